use std::collections::BTreeMap;
use std::fmt::Display;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::tally::{CaseTally, InOrder};

/// Cases whose outcome changed from stable to candidate.
///
/// With one call per case a flip is what it seems. With repeats, a case flips to *fail* where stable passes most of them and the
/// candidate fails most, unless both did both, and equal versions may differ by as much: that counts as *unsteady*. In the other direction
/// likewise.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Flips {
    /// Passed by stable, failed by the candidate, and not explained.
    pub to_fail: CaseList,
    /// Passed by stable, failed by the candidate, as the suite says that it should.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub explained: Vec<Explained>,
    /// Failed by stable, passed by the candidate.
    pub to_pass: CaseList,
    /// Changed, and as likely by chance.
    pub unsteady: CaseList,
    /// Explained by the suite, and no flip to fail: the explanation is out of date.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stale: Vec<String>,
}

/// A flip that is meant to be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explained {
    /// The id of the case.
    pub case: String,
    /// Why, in the words of the suite.
    pub reason: String,
}

/// Some of many cases.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CaseList {
    /// How many there are.
    pub count: u64,
    /// The ids of the first, at most [`CaseList::IDS_MAX`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ids: Vec<String>,
}

/// Returns why a case is meant to flip, where its suite says so: `metadata.flip`, a text that is not blank.
#[must_use]
pub fn flip_reason(metadata: &Map<String, Value>) -> Option<&str> {
    metadata.get("flip").and_then(Value::as_str).map(str::trim).filter(|reason| !reason.is_empty())
}

// === impl CaseList ===

impl CaseList {
    /// The most cases that are named.
    pub const IDS_MAX: usize = 1_000;

    pub(super) fn of(ids: impl Iterator<Item: Display>) -> Self {
        let mut list = Self::default();
        ids.for_each(|id| list.add(&id));
        list
    }

    /// Returns whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    fn add(&mut self, id: &impl Display) {
        self.count += 1;
        if self.ids.len() < Self::IDS_MAX {
            self.ids.push(id.to_string());
        }
    }
}

// === impl Flips ===

impl Flips {
    pub(super) fn between<I: Ord + Display>(
        stable: &InOrder<I>,
        candidate: &InOrder<I>,
        explained: &BTreeMap<I, String>,
    ) -> Self {
        let (mut flips, cases) = (Self::default(), candidate.cases().fold(0.0, |cases, _| cases + 1.0));
        for (id, after) in candidate.cases() {
            let Some(before) = stable.case(id) else { continue };
            let to_fail = passes(before) && after.fails_mostly();
            let to_pass = before.fails_mostly() && passes(after);
            let is_mixed = before.is_unsteady() && after.is_unsteady();
            let unsteady = is_mixed && chance(before, after) * cases > CHANCE_MIN;
            match (to_fail, to_pass, explained.get(id)) {
                (false, false, _) => {}
                (..) if unsteady => flips.unsteady.add(id),
                (true, _, Some(reason)) => {
                    flips.explained.push(Explained { case: id.to_string(), reason: reason.clone() });
                }
                (true, _, None) => flips.to_fail.add(id),
                (false, true, _) => flips.to_pass.add(id),
            }
        }
        let stale = explained.keys().map(I::to_string);
        flips.stale = stale.filter(|id| !flips.explained.iter().any(|explained| explained.case == *id)).collect();
        flips
    }
}

/// The chance, over all cases of a suite together, below which a change is no accident.
const CHANCE_MIN: f64 = 0.05;

/// Returns how likely two equal versions differ in a case by as much as these or more, in this direction: Fisher's exact test, one-sided
/// (R. A. Fisher, "The Logic of Inductive Inference", 1935).
fn chance(before: &CaseTally, after: &CaseTally) -> f64 {
    let graded = |case: &CaseTally| case.calls() - case.errored();
    // The fewer passes there are on the worse side, the further in the tail.
    let (worse, better) = if passes(before) { (after, before) } else { (before, after) };
    let (calls, all, passed) = (graded(worse), graded(worse) + graded(better), worse.passed() + better.passed());
    let least = (calls + passed).saturating_sub(all);
    let ways = |passes: u32| ln_choose(passed, passes) + ln_choose(all - passed, calls - passes);
    let ways_of_all = ln_choose(all, calls);
    (least..=worse.passed()).map(|passes| (ways(passes) - ways_of_all).exp()).sum()
}

/// Returns the logarithm of the number of ways to take `few` of `many`.
fn ln_choose(many: u32, few: u32) -> f64 {
    (1..=few).map(|index| f64::from(many - few + index).ln() - f64::from(index).ln()).sum()
}

/// Most of what could be graded passed.
fn passes(case: &CaseTally) -> bool {
    case.mean().is_some_and(|mean| mean > 0.5)
}
