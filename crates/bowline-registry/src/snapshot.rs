use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bowline_canary::Share;
use bowline_types::{
    ApiKeyHash, Digest, EnvironmentName, KeyId, ModelAlias, ProjectName, PromptName, ProviderName, RolloutId,
    SecretRef, Subject, SuccessContract, Timestamp,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

mod compile;
mod file;

pub use file::SnapshotFileError;

/// The compiled, immutable configuration that a gateway serves from, replaced whole.
///
/// It holds references to secrets, never secrets, and every version that any request may reach.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {
    /// [`Snapshot::SCHEMA`] at the time of writing.
    pub schema_version: u32,
    /// Grows with every change of content while a control role runs; after its restart it begins anew, so tell snapshots of two
    /// control roles apart by [`Snapshot::digest`].
    pub epoch: u64,
    /// When it was compiled; what its age is counted from.
    pub compiled_at: Timestamp,
    /// The projects.
    pub projects: BTreeMap<ProjectName, SnapshotProject>,
    /// The closures of all versions that are live, tried or pinned.
    pub versions: BTreeMap<Digest, Arc<Value>>,
    /// The keys that work.
    pub keys: BTreeMap<ApiKeyHash, SnapshotKey>,
}

/// One project of a snapshot.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SnapshotProject {
    /// The models, each with its targets in order of preference; later ones are fallbacks.
    pub models: BTreeMap<ModelAlias, Vec<Target>>,
    /// The environments.
    pub environments: BTreeMap<EnvironmentName, SnapshotEnvironment>,
    /// The versions of each prompt that a call may name by digest: live, tried, or live before.
    pub versions: BTreeMap<PromptName, BTreeSet<Digest>>,
    /// What content records keep.
    pub content: ContentCapture,
}

/// One environment of a snapshot.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SnapshotEnvironment {
    /// Where the providers are, in this environment.
    pub providers: BTreeMap<ProviderName, Endpoint>,
    /// What is live.
    pub prompts: BTreeMap<PromptName, SnapshotPrompt>,
}

/// What is live of one prompt.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SnapshotPrompt {
    /// The version that the pointer is on.
    pub version: Digest,
    /// What success means.
    pub success: SuccessContract,
    /// The rollout that runs.
    pub rollout: Option<SnapshotRollout>,
}

/// A running rollout, as far as a gateway must know it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SnapshotRollout {
    /// The id; the salt of the assignment.
    pub id: RolloutId,
    /// The version that is tried.
    pub candidate: Digest,
    /// The contract that judges both arms.
    pub success: SuccessContract,
    /// The share of units that are served the candidate.
    pub share: Share,
    /// The stage.
    pub stage: u16,
    /// Until when the candidate may be served without news from the control role: after it, only stable is.
    pub lease_until: Timestamp,
}

/// One provider model that an alias routes to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// The provider, as the project names it.
    pub provider: ProviderName,
    /// The provider's own name of the model.
    pub model: String,
    /// How long one attempt may take: a whole answer until its last byte, a stream from one piece to the next. Microseconds in
    /// JSON.
    #[serde(with = "micros")]
    pub timeout: Duration,
}

/// Where a provider is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    /// The kind of wire format, such as `anthropic`.
    pub kind: String,
    /// Where, without a trailing slash; `None` is the provider's own address.
    pub base_url: Option<String>,
    /// The credential; `None` sends none.
    pub api_key: Option<SecretRef>,
    /// Whose models an openai-compatible upstream serves, where it is not the provider's own.
    pub identity: Option<String>,
    /// Whether it may be stopped and starts when it is called. A gateway that does not know this tells at once that it is not there.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub starts: bool,
}

/// What content records keep.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ContentCapture {
    /// None.
    #[default]
    Off,
    /// Of inferences that failed a check.
    Failures,
    /// Of all.
    All,
}

/// A key that works.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotKey {
    /// The id.
    pub id: KeyId,
    /// The project it belongs to.
    pub project: ProjectName,
    /// The environment of a reference that names none.
    pub environment: EnvironmentName,
    /// Other environments it may name.
    pub environments: Vec<EnvironmentName>,
    /// Whether it may name versions.
    pub versions: bool,
    /// Whose it is, where it is no secret; a gateway that does not know of subjects has a key that nothing opens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<Subject>,
}

/// Why a snapshot cannot be read from JSON.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotJsonError {
    /// It has a schema that this binary does not read.
    #[error("the snapshot has schema {found}, this binary reads {} to {}", Snapshot::SCHEMA_OLDEST, Snapshot::SCHEMA)]
    Schema {
        /// The schema of the snapshot.
        found: u32,
    },
    /// It is not whole, or no snapshot.
    #[error("the snapshot cannot be read")]
    Json(#[source] serde_json::Error),
}

mod micros {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        u64::deserialize(deserializer).map(Duration::from_micros)
    }
}

// === impl Snapshot ===

impl Snapshot {
    /// The schema version that new snapshots carry.
    pub const SCHEMA: u32 = 1;

    /// The oldest schema version that is read: the one before, once there is one.
    pub const SCHEMA_OLDEST: u32 = 1;

    /// Returns the schema in which a reader is answered that knows schemas up to `newest`; `None` where it is too old.
    #[must_use]
    pub fn schema_for(newest: u32) -> Option<u32> {
        Some(newest.min(Self::SCHEMA)).filter(|schema| *schema >= Self::SCHEMA_OLDEST)
    }

    /// Reads a snapshot that another process wrote, of this schema or of the one before.
    ///
    /// # Errors
    /// It has another schema, which is looked at first, or is not whole.
    pub fn from_json(text: &[u8]) -> Result<Self, SnapshotJsonError> {
        #[derive(Deserialize)]
        struct Head {
            schema_version: u32,
        }
        let Head { schema_version: found } = serde_json::from_slice(text).map_err(SnapshotJsonError::Json)?;
        if !(Self::SCHEMA_OLDEST..=Self::SCHEMA).contains(&found) {
            return Err(SnapshotJsonError::Schema { found });
        }
        serde_json::from_slice(text).map_err(SnapshotJsonError::Json)
    }

    /// Returns the rollouts that run.
    pub fn rollouts(&self) -> impl Iterator<Item = &SnapshotRollout> {
        let environments = self.projects.values().flat_map(|project| project.environments.values());
        environments.flat_map(|environment| environment.prompts.values()).filter_map(|prompt| prompt.rollout.as_ref())
    }

    /// Returns the rollouts that run, to change their leases.
    pub fn rollouts_mut(&mut self) -> impl Iterator<Item = &mut SnapshotRollout> {
        let environments = self.projects.values_mut().flat_map(|project| project.environments.values_mut());
        environments.flat_map(|environment| environment.prompts.values_mut()).filter_map(|p| p.rollout.as_mut())
    }

    /// Returns a snapshot of nothing.
    #[must_use]
    pub fn empty(compiled_at: Timestamp) -> Self {
        Self {
            schema_version: Self::SCHEMA,
            epoch: 0,
            compiled_at,
            projects: BTreeMap::new(),
            versions: BTreeMap::new(),
            keys: BTreeMap::new(),
        }
    }

    /// Returns the digest of the content: of everything but the epoch, the time of compiling and the leases, so that renewing a
    /// lease is no change.
    ///
    /// # Errors
    /// Fails where a value cannot be written as JSON, which no stored value can.
    pub fn digest(&self) -> Result<Digest, serde_json::Error> {
        let mut content = Self { epoch: 0, compiled_at: Timestamp::default(), ..self.clone() };
        content.rollouts_mut().for_each(|rollout| rollout.lease_until = Timestamp::default());
        serde_json::to_vec(&content).map(|bytes| Digest::of(&bytes))
    }
}
