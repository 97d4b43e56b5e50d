use std::fmt;
use std::time::Duration;

use bowline_types::{Arm, Timestamp, format_duration};
use serde::{Deserialize, Serialize};

use crate::evalue::EValue;
use crate::observation::Arms;
use crate::plan::WhenUndecided;
use crate::span;

mod rule;

pub use rule::decide;
pub(crate) use rule::stage_blocker;

/// What a decision needs to know besides the observations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Situation {
    /// The present.
    pub now: Timestamp,
    /// When the rollout started.
    pub started_at: Timestamp,
    /// The stage that gateways serve, from 0.
    pub stage: u16,
    /// Records that were lost before they became observations.
    pub lost: Arms<u64>,
}

/// What to do with a rollout, and why.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Decision {
    /// What to do.
    pub action: Action,
    /// Why: what decided, or else everything that is still missing.
    pub reasons: Vec<Reason>,
}

/// What to do with a rollout.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "action", rename_all = "snake_case")]
pub enum Action {
    /// Go on watching.
    Continue,
    /// Go on with the next stage.
    AdvanceStage {
        /// The stage to serve from now on, from 0.
        to: u16,
    },
    /// Move the pointer to the candidate.
    Promote,
    /// Return to stable.
    Rollback,
    /// Go on, but neither advance nor promote: the data cannot be trusted and a person must look.
    Hold,
    /// End without a verdict: there was data, and it was not enough.
    Inconclusive {
        /// What happens to the candidate.
        then: WhenUndecided,
    },
    /// There is no known observation of the candidate.
    NoData {
        /// What happens to the candidate now that the time is over; `None` while the rollout goes on waiting.
        then: Option<WhenUndecided>,
    },
}

/// One reason of a decision; `Display` says it in words.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "reason", rename_all = "snake_case")]
pub enum Reason {
    /// The candidate is worse than stable.
    Worse {
        /// The most evidence there has been.
        e_value: EValue,
        /// What it needed to reach.
        threshold: f64,
        /// The sequence of the observation at which it did.
        sequence: u64,
    },
    /// The candidate is not worse than stable by the margin.
    NotWorse {
        /// The evidence.
        e_value: EValue,
        /// What it needed to reach.
        threshold: f64,
        /// The margin.
        margin: f64,
    },
    /// The evidence for promotion is not there yet.
    Evidence {
        /// The evidence so far.
        e_value: EValue,
        /// What it needs to reach.
        threshold: f64,
    },
    /// An arm has too few known units for promotion.
    Units {
        /// The arm.
        arm: Arm,
        /// Its known units.
        known: u64,
        /// What it needs.
        needed: u64,
    },
    /// The rollout is too young for promotion.
    Duration {
        /// Its age.
        #[serde(rename = "age_us", with = "span::micros")]
        age: Duration,
        /// What it needs.
        #[serde(rename = "needed_us", with = "span::micros")]
        needed: Duration,
    },
    /// The stage has too few known candidate units for the next one.
    StageUnits {
        /// The stage, from 0.
        stage: u16,
        /// Its known candidate units.
        known: u64,
        /// What it needs.
        needed: u64,
    },
    /// The stage has its units, and nothing speaks against the next one.
    StageComplete {
        /// The stage, from 0.
        stage: u16,
        /// Its known candidate units.
        known: u64,
    },
    /// The evidence is more than half of the way, on a logarithmic scale, to rollback: no more units are exposed meanwhile.
    LeansToRollback {
        /// The evidence so far.
        e_value: EValue,
        /// Where rollback is.
        threshold: f64,
    },
    /// Units do not arrive in the proportion of the share: assignment or recording is broken.
    SampleRatio {
        /// The stage, from 0.
        stage: u16,
        /// Units of each arm.
        units: Arms<u64>,
    },
    /// Values are missing from one arm more often than from the other, so that the known ones do not represent it.
    Coverage {
        /// The stage, from 0.
        stage: u16,
        /// Known units of each arm.
        known: Arms<u64>,
        /// Units of each arm.
        units: Arms<u64>,
    },
    /// More than 1 % of an arm's records were lost.
    Lost {
        /// The arm.
        arm: Arm,
        /// Records lost.
        lost: u64,
        /// Units observed.
        units: u64,
    },
    /// Nothing known was observed of the candidate.
    NoObservations {
        /// The age of the rollout.
        #[serde(rename = "age_us", with = "span::micros")]
        age: Duration,
    },
    /// The time of the plan is over.
    Expired {
        /// The time.
        #[serde(rename = "max_duration_us", with = "span::micros")]
        max_duration: Duration,
    },
}

// === impl Decision ===

impl Decision {
    /// Returns a decision.
    pub(crate) fn new(action: Action, reasons: impl Into<Vec<Reason>>) -> Self {
        Self { action, reasons: reasons.into() }
    }
}

// === impl Action ===

impl Action {
    /// Returns whether the rollout ends with it.
    #[must_use]
    pub const fn is_verdict(self) -> bool {
        match self {
            Self::Promote | Self::Rollback | Self::Inconclusive { .. } | Self::NoData { then: Some(_) } => true,
            Self::Continue | Self::AdvanceStage { .. } | Self::Hold | Self::NoData { then: None } => false,
        }
    }

    /// Returns the word used in records and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Continue => "continue",
            Self::AdvanceStage { .. } => "advance_stage",
            Self::Promote => "promote",
            Self::Rollback => "rollback",
            Self::Hold => "hold",
            Self::Inconclusive { .. } => "inconclusive",
            Self::NoData { .. } => "no_data",
        }
    }
}

// === impl Reason ===

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Worse { e_value, threshold, sequence } => {
                write!(
                    f,
                    "the candidate is worse: e-value {e_value} of {threshold:.0} reached at observation {sequence}"
                )
            }
            Self::NotWorse { e_value, threshold, margin } => {
                let points = margin * 100.0;
                write!(f, "the candidate is not worse by {points:.1} points: e-value {e_value} of {threshold:.0}")
            }
            Self::Evidence { e_value, threshold } => {
                write!(f, "evidence for promotion is {e_value} of {threshold:.0}")
            }
            Self::Units { arm, known, needed } => write!(f, "{arm} has {known} of {needed} known units"),
            Self::Duration { age, needed } => {
                write!(f, "the rollout is {} of {} old", whole_seconds(*age), format_duration(*needed))
            }
            Self::StageUnits { stage, known, needed } => {
                write!(f, "stage {} has {known} of {needed} known candidate units", stage + 1)
            }
            Self::StageComplete { stage, known } => {
                write!(f, "stage {} has its {known} known candidate units and nothing speaks against more", stage + 1)
            }
            Self::LeansToRollback { e_value, threshold } => {
                write!(f, "the evidence leans to rollback ({e_value} of {threshold:.0}), so no more units are exposed")
            }
            Self::SampleRatio { stage, units } => write!(
                f,
                "sample ratio mismatch in stage {}: {} stable and {} candidate units do not fit its share",
                stage + 1,
                units.stable,
                units.candidate
            ),
            Self::Coverage { stage, known, units } => write!(
                f,
                "values are missing unevenly in stage {}: known are {} of {} stable and {} of {} candidate units",
                stage + 1,
                known.stable,
                units.stable,
                known.candidate,
                units.candidate
            ),
            Self::Lost { arm, lost, units } => {
                write!(f, "{lost} records of {arm} were lost beside {units} observed units")
            }
            Self::NoObservations { age } => {
                write!(f, "no known observation of the candidate in {}", whole_seconds(*age))
            }
            Self::Expired { max_duration } => write!(f, "the time of {} is over", format_duration(*max_duration)),
        }
    }
}

fn whole_seconds(duration: Duration) -> String {
    format_duration(Duration::from_secs(duration.as_secs()))
}

#[cfg(test)]
mod tests;
