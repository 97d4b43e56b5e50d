//! Which cases people see: what changed and failed first, a bounded number.

use std::collections::{BTreeMap, BTreeSet};

use super::{CaseResult, Report, Side, text};

/// Why a case is shown, most urgent first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum State {
    /// Stable passes it and the candidate fails it, unexplained.
    Flip,
    MustPass,
    Errored,
    Failed,
    Explained,
    Fixed,
    Passed,
}

/// A case that is shown.
pub(super) struct Shown {
    pub(super) state: State,
    pub(super) case: CaseResult,
}

/// The cases that are shown, and how many of each kind there are.
pub(super) struct Selection {
    pub(super) shown: Vec<Shown>,
    pub(super) counts: Vec<(State, u64)>,
}

/// Limits of a rendering.
#[derive(Clone, Copy)]
pub(super) struct Limits {
    /// Cases.
    pub(super) cases: usize,
    /// Characters of an answer or a variable that are kept.
    pub(super) chars: usize,
    /// The last state that is shown.
    pub(super) until: State,
}

// === impl State ===

impl State {
    pub(super) const fn words(self) -> &'static str {
        match self {
            Self::Flip => "flipped to fail",
            Self::MustPass => "must pass, failed",
            Self::Errored => "errored",
            Self::Failed => "failed",
            Self::Explained => "flipped to fail, explained",
            Self::Fixed => "flipped to pass",
            Self::Passed => "passed",
        }
    }

    /// The word in data attributes.
    pub(super) const fn key(self) -> &'static str {
        match self {
            Self::Flip => "flip",
            Self::MustPass => "must-pass",
            Self::Errored => "errored",
            Self::Failed => "failed",
            Self::Explained => "explained",
            Self::Fixed => "fixed",
            Self::Passed => "passed",
        }
    }
}

/// The flips of one suite, by case.
#[derive(Default)]
struct Known<'a> {
    to_fail: BTreeSet<&'a str>,
    explained: BTreeSet<&'a str>,
    to_pass: BTreeSet<&'a str>,
}

// === impl Selection ===

impl Selection {
    pub(super) fn of(report: &Report, cases: impl Iterator<Item = CaseResult>, limits: Limits) -> Self {
        let known: Vec<Known<'_>> = report
            .suites
            .iter()
            .map(|suite| {
                let flips = &suite.gate.flips;
                Known {
                    to_fail: flips.to_fail.ids.iter().map(String::as_str).collect(),
                    explained: flips.explained.iter().map(|flip| flip.case.as_str()).collect(),
                    to_pass: flips.to_pass.ids.iter().map(String::as_str).collect(),
                }
            })
            .collect();
        let mut kept: BTreeMap<State, Vec<CaseResult>> = BTreeMap::new();
        let mut counts: BTreeMap<State, u64> = BTreeMap::new();
        let mut total = 0;
        for mut case in cases {
            let state = state(&case, report.suite_of(&case).and_then(|index| known.get(index)));
            *counts.entry(state).or_default() += 1;
            if state > limits.until {
                continue;
            }
            // What is least urgent gives way, and is not kept where it would at once.
            if total == limits.cases {
                let Some(mut last) = kept.last_entry() else { continue };
                if *last.key() <= state {
                    continue;
                }
                last.get_mut().pop();
                if last.get().is_empty() {
                    last.remove();
                }
                total -= 1;
            }
            shorten(&mut case, limits.chars);
            kept.entry(state).or_default().push(case);
            total += 1;
        }
        let shown =
            kept.into_iter().flat_map(|(state, cases)| cases.into_iter().map(move |case| Shown { state, case }));
        Self { shown: shown.collect(), counts: counts.into_iter().collect() }
    }

    /// Returns how many results of a state there are.
    pub(super) fn count(&self, state: State) -> u64 {
        self.counts.iter().find(|(known, _)| *known == state).map_or(0, |(_, count)| *count)
    }

    /// Returns how many results up to a state there are.
    pub(super) fn count_until(&self, state: State) -> u64 {
        self.counts.iter().filter(|(known, _)| *known <= state).map(|(_, count)| count).sum()
    }
}

fn state(case: &CaseResult, known: Option<&Known<'_>>) -> State {
    let id = case.case.as_str();
    let grade = &case.candidate.grade;
    match (grade.errored, grade.pass) {
        (true, _) => State::Errored,
        (_, false) if known.is_some_and(|known| known.to_fail.contains(id)) => State::Flip,
        (_, false) if case.must_pass => State::MustPass,
        (_, false) if known.is_some_and(|known| known.explained.contains(id)) => State::Explained,
        (_, false) => State::Failed,
        (_, true) if known.is_some_and(|known| known.to_pass.contains(id)) => State::Fixed,
        (_, true) => State::Passed,
    }
}

/// Cuts the texts of a case, so that what is kept has a bound.
fn shorten(case: &mut CaseResult, chars: usize) {
    let cut = |value: &mut String| {
        let (head, left) = text::cut(value, chars);
        if left > 0 {
            *value = format!("{head}\n[… {left} characters more]");
        }
    };
    let side = |side: &mut Side| {
        cut(&mut side.subject.text);
        side.subject.logprobs = Vec::new();
        for call in &mut side.subject.tool_calls {
            cut(&mut call.arguments);
        }
    };
    side(&mut case.candidate);
    case.stable.as_mut().map(side);
    for value in case.vars.values_mut() {
        let mut written = match value.take() {
            serde_json::Value::String(written) => written,
            other => other.to_string(),
        };
        cut(&mut written);
        *value = serde_json::Value::String(written);
    }
}
