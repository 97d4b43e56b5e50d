use bowline_types::{Digest, EnvironmentName, ProjectName, PromptName};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use crate::schema;

/// A prompt of the project, and what is live: a projection that the operator writes.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "bowline.dev",
    version = "v1alpha1",
    kind = "Prompt",
    namespaced,
    status = "PromptStatus",
    derive = "PartialEq",
    shortname = "pmt",
    category = "bowline",
    doc = "A prompt of the project, and what is live. Written by the operator.",
    printcolumn(name = "Prompt", type_ = "string", json_path = ".spec.prompt"),
    printcolumn(name = "Live", type_ = "string", json_path = ".status.summary"),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].status"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("self == oldSelf").message("a Prompt is a projection that the operator writes: change the prompt's file in Git; to act now: kubectl annotate prompt NAME bowline.dev/rollback=\"prod why\""))]
pub struct PromptSpec {
    /// The project.
    #[schemars(schema_with = "schema::segment")]
    pub project: ProjectName,
    /// The name of the prompt.
    #[schemars(schema_with = "schema::path")]
    pub prompt: PromptName,
}

/// What is live.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct PromptStatus {
    /// The generation of the spec that this status is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Ready; LeverHandled after a `rollback`.
    #[serde(default)]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".to_owned()]))]
    pub conditions: Vec<Condition>,
    /// The version that is live, by environment.
    #[serde(default)]
    #[schemars(length(max = 64))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".to_owned()]))]
    pub environments: Vec<Live>,
    /// The same in one line, as `kubectl get` shows it: a column shows the first element of a list only.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(schema_with = "schema::word")]
    pub summary: String,
}

/// The version that is live in an environment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Live {
    /// The environment.
    #[schemars(schema_with = "schema::segment")]
    pub name: EnvironmentName,
    /// The version.
    #[schemars(schema_with = "schema::digest")]
    pub version: Digest,
    /// Its first digits, as people read it.
    #[schemars(schema_with = "schema::word")]
    pub short: String,
    /// Since when.
    pub moved_at: Time,
    /// The rollout that runs or is held, by number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollout: Option<i64>,
}

/// An immutable version of a prompt: a projection that the operator writes.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "bowline.dev",
    version = "v1alpha1",
    kind = "PromptVersion",
    namespaced,
    status = "PromptVersionStatus",
    derive = "PartialEq",
    shortname = "pver",
    category = "bowline",
    selectable = ".spec.prompt",
    doc = "An immutable version of a prompt. Written by the operator.",
    printcolumn(name = "Prompt", type_ = "string", json_path = ".spec.prompt"),
    printcolumn(name = "Verified", type_ = "string", json_path = ".status.conditions[?(@.type==\"Verified\")].status"),
    printcolumn(
        name = "Evaluated",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Evaluated\")].status"
    ),
    printcolumn(name = "Released", type_ = "string", json_path = ".status.conditions[?(@.type==\"Released\")].status"),
    printcolumn(name = "Commit", type_ = "string", json_path = ".spec.commit", priority = 1),
    printcolumn(name = "Author", type_ = "string", json_path = ".spec.author", priority = 1),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("self == oldSelf").message("a version is immutable: a change in Git is another version"))]
pub struct PromptVersionSpec {
    /// The project.
    #[schemars(schema_with = "schema::segment")]
    pub project: ProjectName,
    /// The prompt.
    #[schemars(schema_with = "schema::path")]
    pub prompt: PromptName,
    /// The identity of the version.
    #[schemars(schema_with = "schema::digest")]
    pub digest: Digest,
    /// The bundle that first brought it.
    #[schemars(schema_with = "schema::digest")]
    pub bundle: Digest,
    /// The commit of that bundle.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub commit: Option<String>,
    /// The author of the commit, `Name <email>`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    pub author: Option<String>,
}

/// What is known of a version.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct PromptVersionStatus {
    /// The generation of the spec that this status is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Ready; Verified, Evaluated, Released.
    #[serde(default)]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".to_owned()]))]
    pub conditions: Vec<Condition>,
}

// === impl Live ===

impl Live {
    /// Returns what is live in one line, `prod 1a2b3c4d5e6f, staging 0f1e2d3c4b5a`: of the first four environments, and how many more there are.
    #[must_use]
    pub fn summary(environments: &[Self]) -> String {
        const SHOWN_MAX: usize = 4;
        let shown = environments.iter().take(SHOWN_MAX).map(|live| format!("{} {}", live.name, live.short));
        let more = environments.len().saturating_sub(SHOWN_MAX);
        let rest = (more > 0).then(|| format!("{more} more"));
        shown.chain(rest).collect::<Vec<_>>().join(", ")
    }
}
