//! The gate: whether a candidate may go where stable is, by one suite.
//!
//! In this order, and any one is enough to refuse it:
//! 1. Every must-pass case passes, in every repeat.
//! 2. Every call could be graded, but for the share that the policy allows.
//! 3. The thresholds of the suite hold. A suite without a pass rate that has nothing to compare with must pass in every case.
//! 4. No case that stable passes is failed by the candidate (a *flip*), unless the suite explains it.
//! 5. The candidate is not worse by the paired e-process of [`bowline_canary::Pairs`], one difference per case.
//!
//! What passes all of it has a verdict of its own where the e-process cannot say that the candidate is *not worse* by the margin:
//! inconclusive, with the number of cases that it would take at the least. Without stable there is nothing to say, and it passes.

use std::collections::BTreeMap;
use std::fmt::Display;

use bowline_canary::{Interval, Pairs, PairsDesign, PairsError, PairsEvidence, wilson};
use serde::{Deserialize, Serialize};

use crate::suite::Thresholds;
use tally::InOrder;

mod flips;
mod tally;
mod thresholds;
mod verdict;

pub use flips::{CaseList, Explained, Flips, flip_reason};
pub use tally::{CaseTally, Tally};
pub use thresholds::{Bound, Quantity};
pub use verdict::{Reason, Verdict, exit_code};

/// What an environment asks of the gate.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Policy {
    /// The chance of a false verdict of the e-process, each way. Above 0, below 1. Default: 0.05.
    pub alpha: f64,
    /// How much less often than stable a candidate may pass and still be not worse. Above 0, below 1. Default: 0.05.
    pub margin: f64,
    /// What an inconclusive verdict means. Default: `warn`.
    pub on_inconclusive: OnInconclusive,
    /// The largest share of calls that cannot be graded, 0 to 1. Default: 0.
    pub errored_max: f64,
}

/// What an inconclusive verdict means for the exit code.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnInconclusive {
    /// It is told, and does not stop anything.
    #[default]
    Warn,
    /// It is exit code 101.
    Fail,
}

/// What the gate found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GateReport {
    /// Whether the candidate may go on.
    pub verdict: Verdict,
    /// How the candidate did.
    pub candidate: Standing,
    /// How stable did on its own cases; `None` where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stable: Option<Standing>,
    /// Must-pass cases that did not pass in every repeat.
    pub must_pass_failed: CaseList,
    /// Cases that did not pass and have no graded answer of stable, where the suite has no pass rate: each of them must pass, as where there is no
    /// stable.
    #[serde(default, skip_serializing_if = "CaseList::is_empty")]
    pub uncompared_failed: CaseList,
    /// The thresholds, each with what was measured.
    pub bounds: Vec<Bound>,
    /// What changed from stable to candidate; empty where there is no stable.
    pub flips: Flips,
    /// The paired comparison; `None` where there is no stable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comparison: Option<Comparison>,
    /// The policy that was applied.
    pub policy: Policy,
}

/// How one version did on a suite.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Standing {
    /// Cases.
    pub cases: u64,
    /// Calls: cases times their repeats.
    pub calls: u64,
    /// Cases that passed in more than half of their repeats.
    pub passed: u64,
    /// Calls that passed.
    pub calls_passed: u64,
    /// Calls that could not be graded.
    pub errored: u64,
    /// The mean over cases of the share of repeats that passed, where what is errored has not; 0 without cases.
    pub pass_rate: f64,
    /// The 95 % interval of the pass rate by Wilson, with a case as one observation however often it was repeated; for people.
    pub interval: Interval,
}

/// The paired comparison on the cases that both versions were graded on.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// What it says.
    pub finding: Finding,
    /// Cases left out, since one of the versions has no graded answer to them.
    pub cases_skipped: u64,
    /// How often the candidate passes more than stable, as a mean over the compared cases; 0 without any.
    pub difference: f64,
    /// The cases compared and the e-values.
    pub evidence: PairsEvidence,
    /// How many cases it takes at the least to call the candidate not worse: those compared, and as many more in which the versions
    /// do not differ. `None` where the number is beyond [`Comparison::CASES_MAX`].
    pub cases_needed: Option<u64>,
}

/// What a comparison says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Finding {
    /// The candidate is worse.
    Worse,
    /// It is not worse by the margin.
    NotWorse,
    /// Neither can be said.
    Undecided,
}

/// Judges a candidate on one suite. `stable` has the results of the version that is now in the environment, on the same cases.
/// `explained` has the reason for each flip that is meant to be ([`flip_reason`]), by the id of its case.
///
/// # Errors
/// Refuses a policy whose alpha or margin is not above 0 and below 1.
pub fn gate<I: Ord + Display>(
    candidate: Tally<I>,
    stable: Option<Tally<I>>,
    thresholds: &Thresholds,
    explained: &BTreeMap<I, String>,
    policy: &Policy,
) -> Result<GateReport, PairsError> {
    let design = PairsDesign::new(policy.alpha, policy.margin)?;
    let (candidate, stable) = (&candidate.in_order(), &stable.map(Tally::in_order));
    let stable = stable.as_ref();
    let failed = candidate.cases().filter(|(_, case)| case.must_pass() && !case.passes_always()).map(|(id, _)| id);
    let uncompared_failed = match stable.filter(|_| thresholds.pass_rate.is_none()) {
        None => CaseList::default(),
        Some(stable) => {
            let is_compared = |id: &I| stable.case(id).and_then(CaseTally::mean).is_some();
            let failed = candidate.cases().filter(|(id, case)| !case.passes_mostly() && !is_compared(id));
            CaseList::of(failed.map(|(id, _)| id))
        }
    };
    let mut report = GateReport {
        verdict: Verdict::Pass,
        candidate: Standing::of(candidate),
        stable: stable.map(Standing::of),
        must_pass_failed: CaseList::of(failed),
        uncompared_failed,
        bounds: thresholds::bounds(candidate, thresholds, stable.is_some()),
        flips: stable.map(|stable| Flips::between(stable, candidate, explained)).unwrap_or_default(),
        comparison: stable.map(|stable| Comparison::of(stable, candidate, design)),
        policy: *policy,
    };
    report.verdict = Verdict::of(&report);
    Ok(report)
}

// === impl Policy ===

impl Default for Policy {
    fn default() -> Self {
        Self { alpha: 0.05, margin: 0.05, on_inconclusive: OnInconclusive::Warn, errored_max: 0.0 }
    }
}

// === impl Standing ===

impl Standing {
    fn of<I: Ord>(tally: &InOrder<I>) -> Self {
        let (mut cases, mut calls, mut passed, mut calls_passed, mut errored, mut shares) = (0, 0, 0, 0, 0, 0.0);
        for (_, case) in tally.cases() {
            cases += 1;
            calls += u64::from(case.calls());
            passed += u64::from(case.passes_mostly());
            calls_passed += u64::from(case.passed());
            errored += u64::from(case.errored());
            shares += case.share();
        }
        let total = count(cases);
        let (pass_rate, interval) = match cases {
            0 => (0.0, Interval { lower: 0.0, upper: 1.0 }),
            _ => (shares / total, wilson(shares, total)),
        };
        Self { cases, calls, passed, calls_passed, errored, pass_rate, interval }
    }
}

/// Returns a count as a float; exact below 2^53, which no suite reaches.
const fn count(count: u64) -> f64 {
    count as f64
}

// === impl Comparison ===

impl Comparison {
    /// Beyond this many cases a suite is not worth a number.
    pub const CASES_MAX: u64 = 100_000;

    fn of<I: Ord>(stable: &InOrder<I>, candidate: &InOrder<I>, design: PairsDesign) -> Self {
        let mut pairs = Pairs::new(design);
        let (mut skipped, mut differences) = (0, 0.0);
        for (id, case) in candidate.cases() {
            match (stable.case(id).and_then(CaseTally::mean), case.mean()) {
                (Some(before), Some(after)) => {
                    pairs.push(before, after);
                    differences += after - before;
                }
                _ => skipped += 1,
            }
        }
        let evidence = pairs.evidence();
        let finding = match evidence {
            worse if worse.is_worse() => Finding::Worse,
            not_worse if not_worse.is_not_worse() => Finding::NotWorse,
            _ => Finding::Undecided,
        };
        let more = pairs.cases_to_go(Self::CASES_MAX.saturating_sub(evidence.cases));
        let difference = if evidence.cases == 0 { 0.0 } else { differences / count(evidence.cases) };
        let cases_needed = more.map(|more| evidence.cases + more);
        Self { finding, cases_skipped: skipped, difference, evidence, cases_needed }
    }
}

#[cfg(test)]
mod tests;
