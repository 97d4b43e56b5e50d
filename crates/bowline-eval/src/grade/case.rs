//! From the grades of assertions to that of the case.

use std::collections::BTreeMap;

use super::Context;
use crate::assertion::{Assertion, AssertionNode, AssertionSet, Kind};
use crate::subject::{Grade, MetricScore, Part};

/// Returns the assertions of a case in the order in which [`grade_case`] takes their grades: that of the file, sets opened.
pub fn assertions(nodes: &[AssertionNode]) -> impl Iterator<Item = &Assertion> {
    let members = nodes.iter().flat_map(|node| match node {
        AssertionNode::One(assertion) => std::slice::from_ref(assertion),
        AssertionNode::Set(set) => &set.members,
    });
    members.map(|assertion| &**assertion)
}

/// Grades a case by the grades of its [`assertions`].
///
/// The score is their weighted mean, 0 where all weights are. Without a threshold every assertion must pass, save those of weight 0;
/// with one the score must reach it, and nothing else counts. A set is graded the same way and then counts as one. A case without
/// assertions passes. One assertion that is errored makes the case errored, unless its weight is 0.
#[must_use]
pub fn grade_case(
    nodes: &[AssertionNode],
    grades: impl IntoIterator<Item = Grade>,
    threshold: Option<f64>,
    context: &Context<'_>,
) -> Grade {
    let mut grades = grades.into_iter();
    let mut next = || grades.next().unwrap_or_else(|| Grade::failed_to("the assertion was not graded"));
    if nodes.is_empty() {
        return Grade::new(true, "no assertions");
    }
    let parts = nodes.iter().map(|node| match node {
        AssertionNode::One(assertion) => one(assertion, next(), context),
        AssertionNode::Set(set) => {
            let AssertionSet { members, threshold, weight, metric } = &**set;
            let parts = members.iter().map(|member| one(member, next(), context)).collect();
            let metric = metric.as_deref().map(|name| metric_name(name, context));
            Part { assertion: "assert-set".to_owned(), metric, weight: *weight, grade: together(parts, *threshold) }
        }
    });
    together(parts.collect(), threshold)
}

fn one(assertion: &Assertion, mut grade: Grade, context: &Context<'_>) -> Part {
    let Assertion { kind, negated, weight, metric, .. } = assertion;
    if *weight == 0.0 {
        grade.pass = true;
        grade.errored = false;
    }
    let metric = metric.as_deref().map(|name| metric_name(name, context));
    Part { assertion: word(*kind, *negated), metric, weight: *weight, grade }
}

/// Returns the word of the file.
fn word(kind: Kind, negated: bool) -> String {
    let not = if negated { "not-" } else { "" };
    format!("{not}{}", kind.as_str())
}

/// A name that does not render stays as it is.
fn metric_name(name: &str, context: &Context<'_>) -> String {
    if name.contains('{') {
        (context.render)(name, context.vars).unwrap_or_else(|_| name.to_owned())
    } else {
        name.to_owned()
    }
}

fn together(parts: Vec<Part>, threshold: Option<f64>) -> Grade {
    let weights: f64 = parts.iter().map(|part| part.weight).sum();
    let sum: f64 = parts.iter().map(|part| part.weight * part.grade.score).sum();
    let score = if weights > 0.0 { sum / weights } else { 0.0 };
    let errored = parts.iter().find(|part| part.grade.errored);
    // As promptfoo reports it, the last failure gives the reason.
    let failed = parts.iter().rev().find(|part| !part.grade.pass);
    let because = |part: &Part| format!("{}: {}", part.assertion, part.grade.reason);
    let grade = match (errored, failed, threshold) {
        (Some(part), ..) => Grade::failed_to(because(part)),
        (None, _, Some(threshold)) => {
            let pass = score >= threshold;
            let relation = if pass { "not below" } else { "below" };
            let why = failed.filter(|_| !pass).map(|part| format!("; {}", because(part))).unwrap_or_default();
            Grade::scored(
                pass,
                score,
                format!("the score of {score:.2} is {relation} the threshold of {threshold}{why}"),
            )
        }
        (None, Some(part), None) => Grade::scored(false, score, because(part)),
        (None, None, None) => Grade::scored(true, score, ""),
    };
    Grade { metrics: metrics(&parts), parts, ..grade }
}

/// Returns the weighted means by metric, over the parts and what their own parts brought. Errored parts bring none.
fn metrics(parts: &[Part]) -> BTreeMap<String, MetricScore> {
    let mut sums: BTreeMap<String, MetricScore> = BTreeMap::new();
    let mut add = |name: &str, score: f64, weight: f64| {
        let sum = sums.entry(name.to_owned()).or_default();
        sum.score += score * weight;
        sum.weight += weight;
    };
    for Part { metric, weight, grade, .. } in parts.iter().filter(|part| !part.grade.errored) {
        if let Some(name) = metric {
            add(name, grade.score, *weight);
        }
        for (name, inner) in &grade.metrics {
            if Some(name) != metric.as_ref() {
                add(name, inner.score, inner.weight * weight);
            }
        }
    }
    for sum in sums.values_mut() {
        sum.score = if sum.weight > 0.0 { sum.score / sum.weight } else { 0.0 };
    }
    sums
}
