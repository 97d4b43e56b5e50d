use serde::{Deserialize, Serialize};

use crate::design::{Bets, pair_bets};
use crate::evalue::EValue;
use crate::process::Process;

/// A comparison of two versions on the same cases.
///
/// - Signals: for each case the difference of two values in `[0, 1]`, stable minus candidate. Where a case was run several times, the
///   values are means over the runs, so that runs of one case, which resemble each other, count as one.
/// - Worse: a [`Process`] bets that the difference is above 0. Not worse: another bets that the margin minus the difference is above 0.
/// - At the start: both are at 1, which says nothing. Either threshold may be looked at after every case; the chance that a candidate
///   which is not worse is ever called worse is at most `alpha`, and so is the chance that one which is worse by the margin or more is
///   ever called not worse.
/// - Bets: half of the stake is on the case that both versions nearly always agree, for which they are sized before the start; the
///   other half is on a grid. A wrong guess costs cases, never the bound.
///
/// Bets have fixed sizes, so the evidence does not depend on the order of the cases.
#[derive(Clone, Debug)]
pub struct Pairs {
    design: PairsDesign,
    worse: Process,
    not_worse: Process,
    cases: u64,
}

/// The parameters of a [`Pairs`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PairsDesign {
    /// The chance of each of the two errors, above 0 and below 1.
    pub alpha: f64,
    /// How much worse a candidate may be and still be called not worse, above 0 and below 1.
    pub margin: f64,
    /// The bets that the candidate is worse.
    worse: Bets,
    /// The size of the targeted one.
    worse_bet: f64,
    /// The bets that the candidate is not worse by the margin.
    not_worse: Bets,
    /// The size of the targeted one.
    not_worse_bet: f64,
}

/// What the cases say so far.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct PairsEvidence {
    /// Cases compared.
    pub cases: u64,
    /// The evidence that the candidate is worse.
    pub worse: EValue,
    /// The evidence that it is not worse by the margin.
    pub not_worse: EValue,
    /// Where either is believed: 1 / alpha.
    pub threshold: f64,
}

/// A parameter that no comparison can have.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq)]
#[error("the {name} of a comparison is {value}, and must be above 0 and below 1")]
pub struct PairsError {
    /// `alpha` or `margin`.
    pub name: &'static str,
    /// What it is.
    pub value: f64,
}

// === impl PairsDesign ===

impl PairsDesign {
    /// Fixes the bets.
    ///
    /// # Errors
    /// Refuses an alpha or a margin that is not above 0 and below 1.
    pub fn new(alpha: f64, margin: f64) -> Result<Self, PairsError> {
        for (name, value) in [("alpha", alpha), ("margin", margin)] {
            // Far below, a bet could no longer be told from none.
            if !(1e-9..1.0).contains(&value) {
                return Err(PairsError { name, value });
            }
        }
        let bets = pair_bets(margin);
        let (worse, not_worse) = (Bets::new(alpha, 1.0), Bets::new(alpha, 1.0 - margin));
        Ok(Self { alpha, margin, worse, worse_bet: bets.worse, not_worse, not_worse_bet: bets.not_worse })
    }

    /// Returns how many cases it takes to call a candidate not worse if it differs from stable in none: no suite of fewer cases can.
    /// At most `cases_max`; `None` where it takes more.
    #[must_use]
    pub fn cases_min(&self, cases_max: u64) -> Option<u64> {
        Pairs::new(self.clone()).cases_to_go(cases_max)
    }
}

// === impl Pairs ===

impl Pairs {
    /// Returns the comparison before its first case.
    #[must_use]
    pub fn new(design: PairsDesign) -> Self {
        let (worse, not_worse) = (Process::new(&design.worse), Process::new(&design.not_worse));
        Self { design, worse, not_worse, cases: 0 }
    }

    /// Judges the next case by the value of stable and that of the candidate; what is outside 0 to 1 counts as the nearer end.
    pub fn push(&mut self, stable: f64, candidate: f64) {
        let difference = stable.clamp(0.0, 1.0) - candidate.clamp(0.0, 1.0);
        self.worse.settle(self.design.worse_bet, difference);
        self.not_worse.settle(self.design.not_worse_bet, self.design.margin - difference);
        self.cases += 1;
    }

    /// Returns what the cases say so far.
    #[must_use]
    pub fn evidence(&self) -> PairsEvidence {
        PairsEvidence {
            cases: self.cases,
            worse: self.worse.value(),
            not_worse: self.not_worse.value(),
            threshold: self.design.worse.threshold,
        }
    }

    /// Returns how many more cases it takes to call the candidate not worse if the versions differ in none of them; 0 where it is
    /// called so already. `None` where it takes more than `cases_max`.
    #[must_use]
    pub fn cases_to_go(&self, cases_max: u64) -> Option<u64> {
        let mut process = self.not_worse.clone();
        let mut evidence = process.value();
        for more in 0..=cases_max {
            if evidence.reaches(self.design.not_worse.threshold) {
                return Some(more);
            }
            evidence = process.settle(self.design.not_worse_bet, self.design.margin);
        }
        None
    }
}

// === impl PairsEvidence ===

impl PairsEvidence {
    /// Returns whether the candidate is called worse.
    #[must_use]
    pub fn is_worse(&self) -> bool {
        self.worse.reaches(self.threshold)
    }

    /// Returns whether the candidate is called not worse by the margin.
    #[must_use]
    pub fn is_not_worse(&self) -> bool {
        self.not_worse.reaches(self.threshold)
    }
}

#[cfg(test)]
mod tests;
