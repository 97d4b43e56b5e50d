use serde::{Deserialize, Serialize};

use crate::evalue::EValue;
use crate::interval::{Interval, wilson};
use crate::observation::Arms;
use crate::share::Share;

/// What the observations of a rollout say so far. A function of the design and the log alone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    /// Observations read.
    pub observations: u64,
    /// The place of the last one in the log, `None` where there is none.
    pub last_sequence: Option<u64>,
    /// Units of each arm, over all stages.
    pub arms: Arms<ArmEvidence>,
    /// Blocks judged, over all stages: one candidate unit and its share of stable units each.
    pub blocks: u64,
    /// The test of "the candidate is not worse than stable".
    pub rollback: TestEvidence,
    /// The test of "the candidate is worse than stable by the margin or more".
    pub promotion: TestEvidence,
    /// One per stage of the plan, first stage first.
    pub stages: Vec<StageEvidence>,
}

/// The units of one arm.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ArmEvidence {
    /// All of them.
    pub units: u64,
    /// Those with the score 1.
    pub pass: u64,
    /// Those with the score 0.
    pub fail: u64,
    /// Those without a score in time; they are in no block.
    pub unknown: u64,
    /// The sum of all scores.
    pub score: f64,
}

/// One e-process against its threshold.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct TestEvidence {
    /// The evidence against the hypothesis now.
    pub e_value: EValue,
    /// The most it has ever been.
    pub peak: EValue,
    /// Where the hypothesis is rejected: 1 / alpha.
    pub threshold: f64,
    /// The sequence of the observation at which the threshold was first reached.
    pub reached_at: Option<u64>,
}

/// One stage.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct StageEvidence {
    /// The candidate's share.
    pub share: Share,
    /// Units assigned in this stage.
    pub units: Arms<u64>,
    /// Those with a known value.
    pub known: Arms<u64>,
    /// Blocks judged.
    pub blocks: u64,
    /// Known units that fell out of a full queue, as too few of the other arm came along.
    pub unpaired: Arms<u64>,
    /// The most evidence there has been that units do not arrive in the proportion of the share.
    pub sample_ratio: EValue,
    /// The same of units with a known value: with a sound sample ratio it means that values are missing from one arm more
    /// often than from the other, so that those that are known do not represent it.
    pub coverage: EValue,
}

// === impl Evidence ===

impl Evidence {
    /// Returns the difference of the mean scores, candidate minus stable; `None` until both arms have a known value.
    #[must_use]
    pub fn difference(&self) -> Option<f64> {
        Some(self.arms.candidate.mean()? - self.arms.stable.mean()?)
    }
}

// === impl ArmEvidence ===

impl ArmEvidence {
    /// Returns the units with a known value.
    #[must_use]
    pub const fn known(&self) -> u64 {
        self.units - self.unknown
    }

    /// Returns the mean score of the known units, which is the success rate where every score is 0 or 1.
    #[must_use]
    pub fn mean(&self) -> Option<f64> {
        (self.known() > 0).then(|| self.score / to_f64(self.known()))
    }

    /// Returns the share of units with a known value.
    #[must_use]
    pub fn coverage(&self) -> Option<f64> {
        (self.units > 0).then(|| to_f64(self.known()) / to_f64(self.units))
    }

    /// Returns the 95 % interval of the mean by Wilson, for people: it holds for one look and decides nothing.
    #[must_use]
    pub fn interval(&self) -> Option<Interval> {
        (self.known() > 0).then(|| wilson(self.score, to_f64(self.known())))
    }
}

/// Returns a count as a float; exact below 2^53, which no log reaches.
pub(crate) const fn to_f64(count: u64) -> f64 {
    count as f64
}
