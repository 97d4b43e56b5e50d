use bowline_types::{
    Arm, Digest, InferenceId, InstanceId, ProjectName, PromptName, RolloutId, Scope, SuccessContract, Timestamp, Unit,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{InferenceRecord, Provenance};

/// A guarded move of a pointer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RolloutRecord {
    /// The id; also the salt of the assignment.
    pub id: RolloutId,
    /// The number that people type, from 1 within a project; given by the caller, unique.
    pub number: u64,
    /// The environment.
    pub scope: Scope,
    /// The prompt.
    pub prompt: PromptName,
    /// The version the pointer is on.
    pub stable: Digest,
    /// The version that is tried.
    pub candidate: Digest,
    /// The contract that judges both arms, frozen at the start.
    pub success: SuccessContract,
    /// The frozen statistical design (`bowline_canary::Design`), as JSON; replay needs nothing else.
    pub design: Value,
    /// Where it stands.
    pub state: RolloutState,
    /// The stage, from 0.
    pub stage: u16,
    /// Observations before this time of assignment are frozen: a record that comes later counts as unknown.
    pub frontier: Timestamp,
    /// When it started.
    pub started_at: Timestamp,
    /// When its stage started.
    pub stage_started_at: Timestamp,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// Who asked for it.
    pub actor: String,
    /// Where the candidate came from.
    pub provenance: Provenance,
    /// Why it is in this state, in words.
    pub why: String,
    /// The evidence at its last step (`bowline_canary::Evidence`), as JSON.
    pub evidence: Option<Value>,
    /// Grows with every change; the precondition of the next one.
    pub revision: u64,
}

/// Where a rollout stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RolloutState {
    /// The candidate is served to its share.
    Running,
    /// Undecided or not to be trusted: the candidate keeps its share, a person decides.
    Held,
    /// The pointer moved to the candidate.
    Promoted,
    /// The candidate was worse.
    RolledBack,
    /// A person ended it.
    Aborted,
    /// A newer candidate took its place.
    Superseded,
}

/// The frozen value of one unit in one rollout.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ObservationRecord {
    /// The rollout.
    pub rollout: RolloutId,
    /// The place in the log of the rollout, from 0 without gaps.
    pub sequence: u64,
    /// When the unit was first served in the rollout.
    pub assigned_at: Timestamp,
    /// The unit.
    pub unit: Unit,
    /// Its arm.
    pub arm: Arm,
    /// The stage in which it was assigned.
    pub stage: u16,
    /// Success in `0.0..=1.0`; `None` is unknown.
    pub value: Option<f64>,
    /// The inference that it is the value of.
    pub inference: InferenceId,
}

/// A unit whose first inference in a rollout has not been frozen.
#[derive(Clone, Debug, PartialEq)]
pub struct Maturing {
    /// The first inference of the unit, with its checks as outcomes have revised them.
    pub inference: InferenceRecord,
}

/// Records that a gateway could not keep, as it told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LossRecord {
    /// The process that lost them.
    pub instance: InstanceId,
    /// The rollout.
    pub rollout: RolloutId,
    /// The arm.
    pub arm: Arm,
    /// How many this process lost since it started; a total, so telling it twice changes nothing.
    pub total: u64,
}

/// Which rollouts to list, newest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RolloutFilter {
    /// Only this project.
    pub project: Option<ProjectName>,
    /// Only this environment.
    pub scope: Option<Scope>,
    /// Only this prompt.
    pub prompt: Option<PromptName>,
    /// Only rollouts that are running or held.
    pub active: bool,
}

// === impl RolloutState ===

impl RolloutState {
    /// Returns whether the rollout still serves its candidate.
    #[must_use]
    pub const fn is_active(self) -> bool {
        matches!(self, Self::Running | Self::Held)
    }

    /// Returns the word used in output and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Held => "held",
            Self::Promoted => "promoted",
            Self::RolledBack => "rolled_back",
            Self::Aborted => "aborted",
            Self::Superseded => "superseded",
        }
    }
}
