use std::collections::BTreeMap;

use crate::case_id::CaseId;
use crate::subject::{Grade, MetricScore, Subject};

/// The results of one version on one suite, as far as the gate needs them: some 30 bytes per case, whatever the answers. `I` tells
/// cases apart.
#[derive(Clone, Debug, PartialEq)]
pub struct Tally<I = CaseId> {
    /// In the order of the calls; a case may stand here several times.
    cases: Vec<(I, CaseTally)>,
    /// Sums of weighted scores, and of weights.
    metrics: BTreeMap<String, MetricScore>,
    cost_usd: f64,
    costs_unknown: u64,
    latencies_ms: Vec<f64>,
}

/// A tally whose cases stand in the order of their ids, each once.
pub(super) struct InOrder<I>(Tally<I>);

/// The repeats of one case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CaseTally {
    must_pass: bool,
    passed: u32,
    failed: u32,
    errored: u32,
}

// === impl Tally ===

impl<I: Ord> Tally<I> {
    /// Returns a tally without results.
    #[must_use]
    pub const fn new() -> Self {
        Self::of(Vec::new())
    }

    /// Returns a tally without results that has room for so many cases.
    #[must_use]
    pub fn with_capacity(cases: usize) -> Self {
        Self { latencies_ms: Vec::with_capacity(cases), ..Self::of(Vec::with_capacity(cases)) }
    }

    const fn of(cases: Vec<(I, CaseTally)>) -> Self {
        Self { cases, metrics: BTreeMap::new(), cost_usd: 0.0, costs_unknown: 0, latencies_ms: Vec::new() }
    }

    /// Adds the result of one call for the case with this [id](crate::Case::id), in any order.
    pub fn push(&mut self, case: I, must_pass: bool, subject: &Subject, grade: &Grade) {
        let (errored, passed) = (grade.errored, !grade.errored && grade.pass);
        let call = CaseTally {
            must_pass,
            passed: u32::from(passed),
            failed: u32::from(!passed && !errored),
            errored: u32::from(errored),
        };
        match self.cases.last_mut() {
            Some((last, tally)) if *last == case => tally.add(call),
            _ => self.cases.push((case, call)),
        }
        for (name, metric) in &grade.metrics {
            let sums = self.metrics.entry(name.clone()).or_default();
            sums.score += metric.score * metric.weight;
            sums.weight += metric.weight;
        }
        if subject.error.is_none() {
            match subject.cost_usd.as_deref().and_then(|cost| cost.parse::<f64>().ok()).filter(|cost| cost.is_finite())
            {
                Some(cost) => self.cost_usd += cost,
                None => self.costs_unknown += 1,
            }
            self.latencies_ms.push(subject.latency_ms);
        }
    }

    /// Brings the cases in order.
    pub(super) fn in_order(mut self) -> InOrder<I> {
        self.cases.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
        self.cases.dedup_by(|(id, calls), (kept, tally)| {
            let same = id == kept;
            if same {
                tally.add(*calls);
            }
            same
        });
        InOrder(self)
    }

    /// Returns the mean score of a metric over all calls, weighted; `None` where no assertion with a weight names it.
    #[must_use]
    pub fn metric(&self, name: &str) -> Option<f64> {
        self.metrics.get(name).filter(|sums| sums.weight > 0.0).map(|sums| sums.score / sums.weight)
    }

    /// Returns the names of the metrics.
    pub fn metrics(&self) -> impl Iterator<Item = &str> {
        self.metrics.keys().map(String::as_str)
    }

    /// Returns the mean cost of a call in USD; `None` where that of one is not known, or there is none.
    #[must_use]
    pub fn cost_usd_mean(&self) -> Option<f64> {
        let known = self.costs_unknown == 0 && !self.latencies_ms.is_empty();
        known.then(|| self.cost_usd / self.latencies_ms.len() as f64)
    }

    /// Returns the 95th percentile of latency in milliseconds: the least value that 95 % of the calls do not exceed. `None` without
    /// calls.
    #[must_use]
    pub fn latency_ms_p95(&self) -> Option<f64> {
        let mut sorted = self.latencies_ms.clone();
        sorted.sort_unstable_by(f64::total_cmp);
        let rank = (sorted.len() * 95).div_ceil(100).checked_sub(1)?;
        sorted.get(rank).copied()
    }
}

impl<I: Ord> Default for Tally<I> {
    fn default() -> Self {
        Self::new()
    }
}

// === impl InOrder ===

impl<I: Ord> InOrder<I> {
    /// Returns the cases, by id.
    pub(super) fn cases(&self) -> impl Iterator<Item = (&I, &CaseTally)> {
        self.0.cases.iter().map(|(id, case)| (id, case))
    }

    /// Returns one case.
    pub(super) fn case(&self, id: &I) -> Option<&CaseTally> {
        let place = self.0.cases.binary_search_by(|(other, _)| other.cmp(id)).ok()?;
        self.0.cases.get(place).map(|(_, case)| case)
    }

    /// Returns the sums over all calls.
    pub(super) const fn sums(&self) -> &Tally<I> {
        &self.0
    }
}

// === impl CaseTally ===

impl CaseTally {
    const fn add(&mut self, calls: Self) {
        self.must_pass |= calls.must_pass;
        self.passed += calls.passed;
        self.failed += calls.failed;
        self.errored += calls.errored;
    }

    /// Returns whether the gate fails when this case does.
    #[must_use]
    pub const fn must_pass(&self) -> bool {
        self.must_pass
    }

    /// Returns how often it was called.
    #[must_use]
    pub const fn calls(&self) -> u32 {
        self.passed + self.failed + self.errored
    }

    /// Returns how many of the calls passed.
    #[must_use]
    pub const fn passed(&self) -> u32 {
        self.passed
    }

    /// Returns how many of the calls could not be graded.
    #[must_use]
    pub const fn errored(&self) -> u32 {
        self.errored
    }

    /// Returns whether every repeat passed.
    #[must_use]
    pub const fn passes_always(&self) -> bool {
        self.passed > 0 && self.failed == 0 && self.errored == 0
    }

    /// Returns whether more than half of all repeats passed.
    #[must_use]
    pub const fn passes_mostly(&self) -> bool {
        self.passed > self.failed + self.errored
    }

    /// Returns whether more than half of the graded repeats failed.
    #[must_use]
    pub const fn fails_mostly(&self) -> bool {
        self.failed > self.passed
    }

    /// Returns whether some graded repeats passed and some failed.
    #[must_use]
    pub const fn is_unsteady(&self) -> bool {
        self.passed > 0 && self.failed > 0
    }

    /// Returns the share of graded repeats that passed; `None` where none is graded.
    #[must_use]
    pub fn mean(&self) -> Option<f64> {
        let graded = self.passed + self.failed;
        (graded > 0).then(|| f64::from(self.passed) / f64::from(graded))
    }

    /// Returns the share of all repeats that passed.
    #[must_use]
    pub fn share(&self) -> f64 {
        if self.calls() == 0 { 0.0 } else { f64::from(self.passed) / f64::from(self.calls()) }
    }
}
