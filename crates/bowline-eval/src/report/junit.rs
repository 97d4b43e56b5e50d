//! JUnit: one test per call, and one per suite for its verdict at the gate.
//!
//! Source: the schema that Jenkins and GitLab read, <https://github.com/jenkinsci/xunit-plugin/blob/master/src/main/resources/org/jenkinsci/plugins/xunit/types/model/xsd/junit-10.xsd>,
//! read 2026-11-25.

use std::io::{self, Write};

use super::{CaseResult, Report, text};
use crate::gate::{OnInconclusive, Verdict};

/// The most characters of an answer in a failure.
const ANSWER_CHARS_MAX: usize = 2_000;

/// Sums over the suites.
#[derive(Default)]
struct Counts {
    suites: usize,
    /// Suites that the gate refuses.
    refused: usize,
    /// Suites that are inconclusive, where that is a warning.
    warned: usize,
    calls: u64,
    failed: u64,
    errored: u64,
}

pub(super) fn write(report: &Report, cases: impl Iterator<Item = CaseResult>, out: &mut dyn Write) -> io::Result<()> {
    let counts = Counts::of(report);
    let seconds = report.finished_at.since(report.started_at).as_secs_f64();
    writeln!(out, r#"<?xml version="1.0" encoding="UTF-8"?>"#)?;
    writeln!(
        out,
        r#"<testsuites name="bowline" tests="{}" failures="{}" errors="{}" time="{seconds:.3}">"#,
        counts.calls + as_count(counts.suites),
        counts.failed + as_count(counts.refused),
        counts.errored,
    )?;
    write_gate(report, &counts, out)?;
    writeln!(
        out,
        r#"<testsuite name="cases" tests="{}" failures="{}" errors="{}" skipped="0" timestamp="{}">"#,
        counts.calls, counts.failed, counts.errored, report.started_at,
    )?;
    for case in cases {
        write_case(&case, out)?;
    }
    writeln!(out, "</testsuite>\n</testsuites>")
}

fn write_gate(report: &Report, counts: &Counts, out: &mut dyn Write) -> io::Result<()> {
    writeln!(
        out,
        r#"<testsuite name="gate" tests="{}" failures="{}" errors="0" skipped="{}" timestamp="{}">"#,
        counts.suites, counts.refused, counts.warned, report.started_at,
    )?;
    writeln!(out, "<properties>")?;
    let property = |out: &mut dyn Write, name: &str, value: &str| {
        writeln!(out, r#"<property name="{}" value="{}"/>"#, escape(name), escape(value))
    };
    property(out, "simulated", if report.simulated { "true" } else { "false" })?;
    if let Some(commit) = report.revision() {
        property(out, "commit", &commit)?;
    }
    for version in &report.versions {
        property(out, &format!("version {}", version.prompt), &version.candidate.to_string())?;
    }
    for suite in &report.suites {
        property(out, &format!("suite {}", suite.name), &suite.digest.to_string())?;
    }
    writeln!(out, "</properties>")?;
    for suite in &report.suites {
        write!(out, r#"<testcase name="{}" classname="gate""#, escape(&suite.title()))?;
        match &suite.gate.verdict {
            Verdict::Pass => writeln!(out, "/>")?,
            Verdict::Failed { reasons } => {
                let reasons: Vec<String> = reasons.iter().map(ToString::to_string).collect();
                let message = escape(&reasons.join("; "));
                writeln!(out, r#"><failure type="gate" message="{message}"/></testcase>"#)?;
            }
            verdict @ Verdict::Inconclusive { .. } => {
                let message = escape(&verdict.words());
                let element = match suite.gate.policy.on_inconclusive {
                    OnInconclusive::Warn => format!(r#"<skipped message="{message}"/>"#),
                    OnInconclusive::Fail => format!(r#"<failure type="inconclusive" message="{message}"/>"#),
                };
                writeln!(out, ">{element}</testcase>")?;
            }
        }
    }
    writeln!(out, "</testsuite>")
}

fn write_case(case: &CaseResult, out: &mut dyn Write) -> io::Result<()> {
    let repeat = if case.repeat == 0 { String::new() } else { format!(" (repeat {})", case.repeat) };
    let class = [&case.suite, &case.prompt, &case.model].into_iter().filter(|part| !part.is_empty()).cloned();
    let class = class.collect::<Vec<_>>().join(" · ");
    let title = if case.title() == case.case { case.case.clone() } else { format!("{} [{}]", case.title(), case.case) };
    let seconds = case.candidate.subject.latency_ms / 1_000.0;
    write!(
        out,
        r#"<testcase name="{}" classname="{}" time="{seconds:.3}""#,
        escape(&format!("{title}{repeat}")),
        escape(&class),
    )?;
    let grade = &case.candidate.grade;
    if grade.pass {
        return writeln!(out, "/>");
    }
    let element = if grade.errored { "error" } else { "failure" };
    let (answer, left) = text::cut(&case.candidate.subject.text, ANSWER_CHARS_MAX);
    let more = if left > 0 { format!("\n[… {left} characters more]") } else { String::new() };
    writeln!(
        out,
        r#"><{element} type="assertion" message="{}">{}</{element}></testcase>"#,
        escape(&grade.reason),
        escape(&format!("{answer}{more}")),
    )
}

// === impl Counts ===

impl Counts {
    fn of(report: &Report) -> Self {
        let mut counts = Self::default();
        for suite in &report.suites {
            let gate = &suite.gate;
            let warns = gate.policy.on_inconclusive == OnInconclusive::Warn;
            counts.suites += 1;
            match gate.verdict {
                Verdict::Pass => {}
                Verdict::Inconclusive { .. } if warns => counts.warned += 1,
                Verdict::Failed { .. } | Verdict::Inconclusive { .. } => counts.refused += 1,
            }
            let standing = &gate.candidate;
            counts.calls += standing.calls;
            counts.errored += standing.errored;
            counts.failed += standing.calls - standing.calls_passed - standing.errored;
        }
        counts
    }
}

fn as_count(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

/// Escapes a text for an attribute or an element; what XML cannot hold is replaced.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text::clean(text).chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '\n' => out.push_str("&#10;"),
            '\t' => out.push_str("&#9;"),
            '\u{fffe}' | '\u{ffff}' => out.push('\u{fffd}'),
            other => out.push(other),
        }
    }
    out
}
