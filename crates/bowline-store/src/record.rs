use bowline_types::{
    ApiKeyHash, Digest, EnvironmentName, KeyId, ProjectName, PromptName, RolloutId, Scope, Subject, SuccessContract,
    Timestamp,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The running configuration of a project: what is no part of a version (endpoints, secret references, routes, environments).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProjectRecord {
    /// The project.
    pub project: ProjectName,
    /// The parsed project file, as JSON.
    pub config: Value,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

/// An immutable version of a prompt, addressed by its content.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct VersionRecord {
    /// The identity.
    pub digest: Digest,
    /// The closure, as JSON; its canonical encoding hashes to `digest`.
    pub content: Value,
}

/// Where a version came from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Provenance {
    /// The Git commit, 40 or 64 hexadecimal digits; `None` outside a repository.
    pub commit: Option<String>,
    /// The author of the commit, `Name <email>`.
    pub author: Option<String>,
    /// Whether the working tree differed from the commit.
    pub dirty: bool,
}

/// One release of a version of a prompt: that it was registered, when, by whom, from which commit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegistrationRecord {
    /// The project.
    pub project: ProjectName,
    /// The prompt.
    pub prompt: PromptName,
    /// The version.
    pub version: Digest,
    /// Where it came from.
    pub provenance: Provenance,
    /// Who released it.
    pub actor: String,
    /// When it was first registered from this commit.
    pub at: Timestamp,
}

/// The state of an environment beside its pointers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnvironmentRecord {
    /// The environment.
    pub scope: Scope,
    /// Set while nothing may move.
    pub freeze: Option<Freeze>,
    /// Set while the environment is there for a time only, such as that of a pull request; the project file does not declare it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub temporary: Option<Temporary>,
    /// The newest release that came with a fence; `None` where none did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fence: Option<Fence>,
}

/// What keeps a release that was delayed from overtaking a later one of the same origin, such as one of an operator that lost its lease while
/// it asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fence {
    /// Whose releases are in order, such as the UID of an object on Kubernetes.
    pub holder: String,
    /// The place in that order; larger is later.
    pub revision: u64,
}

/// An environment that is there for a time only.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Temporary {
    /// The environment whose providers it has, and whose versions it began with.
    pub from: EnvironmentName,
    /// Who made it.
    pub actor: String,
    /// When.
    pub created_at: Timestamp,
    /// When it is removed.
    pub expires_at: Timestamp,
}

/// Why and since when nothing may move in an environment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Freeze {
    /// Who froze it.
    pub actor: String,
    /// Why.
    pub why: String,
    /// Since when.
    pub at: Timestamp,
}

/// What is live: the version of one prompt in one environment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PointerRecord {
    /// The environment.
    pub scope: Scope,
    /// The prompt.
    pub prompt: PromptName,
    /// The version.
    pub version: Digest,
    /// The success contract that came with the release; no part of the version.
    pub success: SuccessContract,
    /// When the pointer was moved here.
    pub moved_at: Timestamp,
}

/// A row of the append-only pointer log of an environment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LogRow {
    /// The place in the log, growing; assigned by the store, 0 before.
    pub sequence: u64,
    /// The environment.
    pub scope: Scope,
    /// The prompt; `None` where the row is about the whole environment.
    pub prompt: Option<PromptName>,
    /// When.
    pub at: Timestamp,
    /// Who: a person, a CI job, or `verdict`.
    pub actor: String,
    /// What happened.
    pub action: LogAction,
    /// The version before.
    pub from: Option<Digest>,
    /// The version after.
    pub to: Option<Digest>,
    /// The rollout it belongs to.
    pub rollout: Option<RolloutId>,
    /// The commit of `to`, where known.
    pub commit: Option<String>,
    /// Why, in words.
    pub why: String,
    /// The numbers under it, as JSON.
    pub evidence: Option<Value>,
}

/// What a row of the pointer log says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogAction {
    /// The pointer moved at once.
    Moved,
    /// A rollout started; the pointer stays.
    RolloutStarted,
    /// A rollout went on to its next stage.
    StageAdvanced,
    /// A rollout ended and the pointer moved to the candidate.
    Promoted,
    /// A rollout ended and the pointer stays; the candidate is quarantined.
    RolledBack,
    /// A person ended a rollout; the pointer stays.
    Aborted,
    /// A newer candidate took the place of a running rollout.
    Superseded,
    /// A rollout waits for a person: not decided, or its samples cannot be trusted.
    Held,
    /// A quarantined version was asked for and refused.
    Refused,
    /// A quarantine was lifted.
    Retried,
    /// The environment was frozen.
    Frozen,
    /// The environment was unfrozen.
    Unfrozen,
    /// A temporary environment was made.
    Created,
    /// A temporary environment was removed.
    Removed,
}

/// A version that lost a rollout in an environment and is not released there again without `--retry`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuarantineRecord {
    /// The environment.
    pub scope: Scope,
    /// The prompt.
    pub prompt: PromptName,
    /// The version.
    pub version: Digest,
    /// The rollout it lost.
    pub rollout: Option<RolloutId>,
    /// Why.
    pub why: String,
    /// Since when.
    pub at: Timestamp,
}

/// A virtual key of an application. The key itself is shown once and never stored; or there is none, and the application proves who it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyRecord {
    /// The id.
    pub id: KeyId,
    /// SHA-256 of the key; [`ApiKeyHash::of_subject`] where it belongs to a subject.
    pub hash: ApiKeyHash,
    /// Whose it is, where it is no secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<Subject>,
    /// What people call it.
    pub name: String,
    /// The project it belongs to.
    pub project: ProjectName,
    /// The environment of a prompt reference that names none.
    pub environment: EnvironmentName,
    /// Environments that the key may name with `prompt:NAME@ENV`, beside its own.
    pub environments: Vec<EnvironmentName>,
    /// Whether the key may name versions with `prompt:NAME@sha256:…`.
    pub versions: bool,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it stopped working.
    pub revoked_at: Option<Timestamp>,
}

/// Which rows of the pointer log to list, newest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogFilter {
    /// The environment.
    pub scope: Scope,
    /// Only this prompt (and rows about the whole environment).
    pub prompt: Option<PromptName>,
    /// Only rows before this place.
    pub before: Option<u64>,
    /// At most this many rows, and never more than [`crate::LIST_ROWS_MAX`].
    pub limit: u32,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn environments_of_before_are_read_and_written_as_before() {
        let before = json!({ "scope": { "project": "shop", "environment": "prod" }, "freeze": null });
        let read: EnvironmentRecord = serde_json::from_value(before.clone()).unwrap();
        assert_eq!((&read.temporary, &read.fence), (&None, &None));
        assert_eq!(serde_json::to_value(&read).unwrap(), before);
    }
}
