//! The JSON bodies of the control API, shared by the server and the client of the command line.

use std::path::PathBuf;
use std::time::Duration;

use bowline_canary::{Arms, Decision, Evidence, Plan, Point};
use bowline_registry::{ReleaseResult, Source};
use bowline_store::{
    EnvironmentRecord, Fence, InferenceRecord, KeyRecord, LogRow, OutcomeRecord, PointerRecord, Provenance,
    QuarantineRecord, RolloutRecord, SummaryRow,
};
use bowline_types::{Digest, EnvironmentName, KeyId, ProjectName, PromptName, Subject, SuccessContract, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value;

mod internal;

pub use internal::{News, NewsQuery, RecordsRequest, SecretView, SnapshotQuery};

/// `POST /api/v1/projects/{project}/releases`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReleaseRequest {
    /// The environment to release to.
    pub environment: EnvironmentName,
    /// How the versions came here.
    pub source: Source,
    /// Who asks.
    pub actor: String,
    /// The commit they came from.
    pub provenance: Provenance,
    /// The bundle that the versions came in; its signatures were verified and its policy held by whoever asks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bundle: Option<Digest>,
    /// The place of this release among those of its origin: one that comes after a later one of the same holder is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fence: Option<Fence>,
    /// The parsed project file; becomes the running configuration of the project.
    pub config: Value,
    /// Whether quarantined versions are tried again.
    #[serde(default)]
    pub retry: bool,
    /// The prompts.
    pub prompts: Vec<ReleasePrompt>,
}

/// One prompt of a release.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReleasePrompt {
    /// The prompt.
    pub name: PromptName,
    /// The identity as the client computed it; checked.
    pub digest: Digest,
    /// The closure.
    pub content: Value,
    /// The success contract.
    pub success: SuccessContract,
    /// The plan of the prompt's own front matter, before that of the environment.
    #[serde(default)]
    pub plan: Option<Plan>,
}

/// The answer to a release.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ReleaseResponse {
    /// What became of each prompt.
    pub results: Vec<ReleaseResult>,
    /// What a person should know: a plan that cannot decide at the prompt's traffic, a prompt that is live but no longer in the commit.
    pub notes: Vec<String>,
}

/// `POST …/environments/{environment}/rollback`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RollbackRequest {
    /// The prompt.
    pub prompt: PromptName,
    /// The version to go to, in full or by its first digits; none is the one before.
    #[serde(default)]
    pub to: Option<String>,
    /// Who asks.
    pub actor: String,
    /// Why.
    pub why: String,
}

/// The answer to a rollback.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RollbackResponse {
    /// The version that is live now.
    pub version: Digest,
}

/// `POST …/environments/{environment}/freeze`, `POST …/rollouts/{number}/promote` and `/abort`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ActionRequest {
    /// Who asks.
    pub actor: String,
    /// Why.
    pub why: String,
    /// For a freeze: whether it is lifted.
    #[serde(default)]
    pub off: bool,
}

/// `GET /api/v1/projects/{project}/environments`: one environment.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct EnvironmentView {
    /// The environment.
    pub environment: EnvironmentName,
    /// The source it declares.
    pub source: Source,
    /// Whether it refuses dirty trees.
    pub protected: bool,
    /// How pointers move: `direct` or `guarded`.
    pub policy: String,
    /// Set while nothing may move.
    pub state: Option<EnvironmentRecord>,
    /// What is live.
    pub pointers: Vec<PointerRecord>,
    /// The rollouts that run or are held.
    pub rollouts: Vec<RolloutRecord>,
    /// The versions that lost.
    pub quarantine: Vec<QuarantineRecord>,
}

/// `POST /api/v1/projects/{project}/environments`: an environment that is there for a time only.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EnvironmentRequest {
    /// Its name.
    pub name: EnvironmentName,
    /// The environment whose providers it has, and whose versions it begins with.
    pub from: EnvironmentName,
    /// How long it is there, such as `3d`: a minute to 90 days.
    #[serde(with = "bowline_types::duration_text")]
    pub ttl: Duration,
    /// Who asks.
    pub actor: String,
}

/// `GET …/log`: a page of the pointer log, newest first.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LogPage {
    /// The rows.
    pub rows: Vec<LogRow>,
}

/// `GET …/rollouts/{number}`: a rollout with what people judge it by.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RolloutView {
    /// The record.
    pub rollout: RolloutRecord,
    /// What the observations say, as the verdict is computed from them.
    pub evidence: Evidence,
    /// What would be done now, and everything that is missing for more; `None` once the rollout has ended.
    pub decision: Option<Decision>,
    /// Inferences by arm, late outcomes included.
    pub summary: Vec<SummaryRow>,
    /// Records that gateways lost.
    pub lost: Arms<u64>,
    /// The evidence in sentences.
    pub explanation: Vec<String>,
    /// Points of the e-values, for a plot; at most a few hundred, the last observation among them.
    pub series: Vec<Point>,
}

/// What a stage, a hold or a verdict was decided on: the `evidence` of its row in the pointer log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ruling {
    /// The decision.
    pub decision: Decision,
    /// The stage in which it was made.
    pub stage: u16,
    /// Records that gateways had lost.
    pub lost: Arms<u64>,
    /// What the observations said.
    pub evidence: Evidence,
}

/// `GET …/rollouts/{number}/replay`: every decision of a rollout computed anew from its observation log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReplayView {
    /// The evidence recorded at the last step.
    pub recorded: Value,
    /// The evidence computed from the log.
    pub replayed: Value,
    /// Observations read.
    pub observations: u64,
    /// The stages, holds and the verdict, oldest first.
    pub rulings: Vec<RulingReplay>,
    /// Whether everything is equal bit for bit.
    pub equal: bool,
}

/// One decision, recorded and computed anew.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RulingReplay {
    /// When it was made.
    pub at: Timestamp,
    /// What the pointer log says.
    pub recorded: Value,
    /// What the observations up to then give.
    pub replayed: Value,
    /// Whether both are equal bit for bit.
    pub equal: bool,
}

/// `POST /api/v1/projects/{project}/keys`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyRequest {
    /// What people call it.
    pub name: String,
    /// The environment of references that name none.
    pub environment: EnvironmentName,
    /// Other environments it may name.
    #[serde(default)]
    pub environments: Vec<EnvironmentName>,
    /// Whether it may name versions.
    #[serde(default)]
    pub versions: bool,
    /// Whose it is, where it is to be no secret: a service account, whose tokens are the key then. The answer is a [`SubjectResponse`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<Subject>,
    /// The key of the same subject that ends in the moment this one begins, so that no call falls between them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaces: Option<KeyId>,
}

/// The answer to a new key: the only time that the key itself is shown.
#[derive(Clone, Serialize, Deserialize)]
pub struct KeyResponse {
    /// The key in the clear.
    pub key: String,
    /// What is kept.
    pub record: KeyRecord,
}

/// The answer to a new key of a subject, which has no secret.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SubjectResponse {
    /// What is kept.
    pub record: KeyRecord,
}

/// `GET …/keys`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct KeyList {
    /// The keys, revoked ones included.
    pub keys: Vec<KeyRecord>,
}

/// `DELETE …/keys/{id}`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct KeyRevoked {
    /// The key.
    pub id: KeyId,
}

/// `GET …/inferences/{id}`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct InferenceView {
    /// The record.
    pub inference: InferenceRecord,
    /// The outcomes, oldest first.
    pub outcomes: Vec<OutcomeRecord>,
}

/// `POST …/plan`: a preview of a rollout.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlanRequest {
    /// The environment.
    pub environment: EnvironmentName,
    /// The prompt.
    pub prompt: PromptName,
    /// The plan; none is that of the environment.
    #[serde(default)]
    pub plan: Option<Plan>,
    /// The traffic to assume, in units per hour; none is what was measured.
    #[serde(default)]
    pub units_per_hour: Option<f64>,
}

/// `GET …/changes`: that something of a project has changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangesView {
    /// Another number after each change, and after a restart of the control role; to be compared for being equal and for nothing else.
    pub at: u64,
}

/// `POST …/backup`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BackupRequest {
    /// The file to write, on the machine of the control role; it must not exist.
    pub path: PathBuf,
}

/// The body of every error.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ErrorBody {
    /// The error.
    pub error: ErrorDetail,
}

/// What went wrong.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ErrorDetail {
    /// The stable code, a page under `docs/errors/`.
    pub code: String,
    /// What happened, and after `hint:` what to do next.
    pub message: String,
}

/// `GET /api/v1/projects`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ProjectList {
    /// The projects.
    pub projects: Vec<ProjectName>,
}

impl std::fmt::Debug for KeyResponse {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeyResponse").field("record", &self.record).finish_non_exhaustive()
    }
}
