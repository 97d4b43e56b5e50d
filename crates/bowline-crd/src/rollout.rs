use bowline_types::{Digest, EnvironmentName, ProjectName, PromptName};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use crate::schema;

/// A guarded move of a pointer: a projection that the operator writes. The control role decides.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "bowline.dev",
    version = "v1alpha1",
    kind = "PromptRollout",
    namespaced,
    status = "PromptRolloutStatus",
    derive = "PartialEq",
    shortname = "pro",
    category = "bowline",
    selectable = ".spec.prompt",
    selectable = ".spec.environment",
    doc = "A guarded move from a stable to a candidate version of a prompt. Written by the operator.",
    printcolumn(name = "Prompt", type_ = "string", json_path = ".spec.prompt"),
    printcolumn(name = "Environment", type_ = "string", json_path = ".spec.environment"),
    printcolumn(name = "State", type_ = "string", json_path = ".status.state"),
    printcolumn(name = "Share", type_ = "string", json_path = ".status.share"),
    printcolumn(name = "Stable", type_ = "string", json_path = ".status.stable.rate"),
    printcolumn(name = "Candidate", type_ = "string", json_path = ".status.candidate.rate"),
    printcolumn(name = "Units", type_ = "integer", json_path = ".status.candidate.units"),
    printcolumn(name = "Why", type_ = "string", json_path = ".status.why", priority = 1),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("self == oldSelf").message("a PromptRollout is a projection that the operator writes: change the prompt's file in Git; to act now: kubectl annotate promptrollout NAME bowline.dev/abort=\"why\" (or bowline.dev/promote=\"why\")"))]
pub struct PromptRolloutSpec {
    /// The project.
    #[schemars(schema_with = "schema::segment")]
    pub project: ProjectName,
    /// The environment.
    #[schemars(schema_with = "schema::segment")]
    pub environment: EnvironmentName,
    /// The prompt.
    #[schemars(schema_with = "schema::path")]
    pub prompt: PromptName,
    /// The number at the control role, as `bowline rollout` takes it.
    pub number: i64,
    /// The version that the pointer is on.
    #[schemars(schema_with = "schema::digest")]
    pub stable: Digest,
    /// The version that is tried.
    #[schemars(schema_with = "schema::digest")]
    pub candidate: Digest,
    /// Shares of the candidate, one per stage, such as `10%`.
    #[schemars(length(max = 16), inner(length(max = 16)))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub stages: Vec<String>,
}

/// Where a rollout stands. Rates and e-values are decimal texts, as numbers with a point do not survive every client.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct PromptRolloutStatus {
    /// The generation of the spec that this status is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Ready once it has ended, Reconciling while it runs, Stalled where a person must decide; LeverHandled after `abort` and `promote`.
    #[serde(default)]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".to_owned()]))]
    pub conditions: Vec<Condition>,
    /// `running`, `held`, `promoted`, `rolled_back`, `aborted` or `superseded`.
    #[serde(default)]
    #[schemars(schema_with = "schema::word")]
    pub state: String,
    /// The stage, from 1.
    #[serde(default)]
    pub stage: i64,
    /// The share of the candidate now, such as `10%`.
    #[serde(default)]
    #[schemars(schema_with = "schema::word")]
    pub share: String,
    /// The stable arm.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stable: Option<ArmStatus>,
    /// The candidate arm.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub candidate: Option<ArmStatus>,
    /// The e-value against "the candidate is not worse"; at `1/alpha` it is rolled back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    pub e_rollback: Option<String>,
    /// The e-value against "the candidate is worse by the margin"; at `1/alpha` it is promoted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    pub e_promote: Option<String>,
    /// `promote`, `rollback`, `inconclusive` or `no_data`; empty while there is none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(schema_with = "schema::word")]
    pub verdict: String,
    /// Why it stands where it stands, in words.
    #[serde(default)]
    #[schemars(schema_with = "schema::sentence")]
    pub why: String,
    /// When it started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Time>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Time>,
    /// The last lever that was pulled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lever: Option<LeverStatus>,
}

/// One arm.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ArmStatus {
    /// Units with a known value.
    pub units: i64,
    /// Successes among them, from 0 to 1, such as `0.883`; empty while there are none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(schema_with = "schema::word")]
    pub rate: String,
}

/// A lever that was pulled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct LeverStatus {
    /// Its name, such as `abort`.
    #[schemars(schema_with = "schema::word")]
    pub name: String,
    /// Who.
    #[schemars(schema_with = "schema::sentence")]
    pub actor: String,
    /// Why.
    #[schemars(schema_with = "schema::sentence")]
    pub why: String,
    /// When it was answered.
    pub at: Time,
    /// What came of it.
    #[schemars(schema_with = "schema::sentence")]
    pub outcome: String,
}
