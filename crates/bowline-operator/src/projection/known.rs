//! What is known of the projections of a namespace: as little of each as is needed to leave alone what is as it should be.

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Debug;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use bowline_crd::{Lever, LeverStatus, Prompt, PromptRollout, PromptRolloutStatus, PromptStatus, PromptVersion};
use bowline_crd::{PromptVersionStatus, condition::LEVER};
use bowline_types::{Digest, EnvironmentName, PromptName};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, OwnerReference, Time};
use kube::core::NamespaceResourceScope;
use kube::{Resource, ResourceExt as _};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Deleted objects of a namespace that are remembered: far more than writes can be under way.
const GONE_MAX: usize = 256;

/// The projections of one namespace.
#[derive(Clone, Debug, Default)]
pub(crate) struct Known {
    pub(crate) prompts: Entries<Prompt>,
    pub(crate) versions: Entries<PromptVersion>,
    pub(crate) rollouts: Entries<PromptRollout>,
    /// The UIDs of objects that were deleted last: an answer about one of them may still come, and does not bring it back.
    gone: VecDeque<String>,
}

/// The objects of one kind, by name.
pub(crate) type Entries<K> = BTreeMap<String, Entry<<K as Projected>::Subject>>;

/// What is kept of an object.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Entry<S> {
    pub(crate) subject: S,
    pub(crate) uid: String,
    pub(crate) generation: i64,
    /// When it was made, in seconds since 1970.
    pub(crate) created: i64,
    /// Its version at the API server, which grows: what a watch tells late is older than what was written since
    /// (<https://kubernetes.io/docs/reference/using-api/api-concepts/#resource-versions>, read 2026-11-25).
    pub(crate) version: u64,
    /// Of its owners.
    pub(crate) owners: u64,
    /// Of its status, without times of transitions: what is not written again where it is the same.
    pub(crate) status: u64,
    pub(crate) conditions: Box<[Condition]>,
    pub(crate) lever: Option<Box<LeverStatus>>,
    /// Whether somebody pulled a lever that is not handled yet.
    pub(crate) pulled: bool,
}

/// What a PromptVersion is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct VersionSubject {
    pub(crate) prompt: PromptName,
    pub(crate) version: Digest,
}

/// What a PromptRollout is about, and where it stood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RolloutSubject {
    pub(crate) prompt: PromptName,
    pub(crate) environment: EnvironmentName,
    pub(crate) number: i64,
    pub(crate) candidate: Digest,
    pub(crate) state: String,
    pub(crate) stage: i64,
}

/// A kind that the operator writes.
pub(crate) trait Projected:
    Resource<DynamicType = (), Scope = NamespaceResourceScope>
    + Serialize
    + DeserializeOwned
    + Clone
    + Debug
    + Send
    + Sync
    + 'static
{
    /// Its status.
    type Status: Serialize + Clone + Default + Send + Sync;
    /// What is kept of what it is about.
    type Subject: Clone + Debug + PartialEq + Send + Sync;
    /// Its name.
    const KIND: &'static str;
    /// The levers that it has.
    const LEVERS: &'static [Lever];

    /// Returns what it is about.
    fn subject(&self) -> Self::Subject;
    /// Returns its status.
    fn status(&self) -> Option<&Self::Status>;
    /// Returns the conditions of a status.
    fn conditions(status: &mut Self::Status) -> &mut Vec<Condition>;
    /// Returns the lever of a status that was pulled last.
    fn lever(_: &Self::Status) -> Option<&LeverStatus> {
        None
    }
    /// Sets that lever.
    fn lever_set(_: &mut Self::Status, _: Option<LeverStatus>) {}
    /// Returns the objects of this kind.
    fn entries(known: &Known) -> &Entries<Self>;
    /// Returns the objects of this kind, to be changed.
    fn entries_mut(known: &mut Known) -> &mut Entries<Self>;
}

// === impl Known ===

impl Known {
    /// Keeps what the API server says of an object, unless something newer is known of it: a lever may have been pulled since, or it may be gone.
    pub(crate) fn keep<K: Projected>(&mut self, object: &K) {
        let (entry, name) = (Entry::of(object), object.name_any());
        let newer = |known: &Entry<K::Subject>| known.uid == entry.uid && known.version > entry.version;
        if self.gone.contains(&entry.uid) || K::entries(self).get(&name).is_some_and(newer) {
            return;
        }
        K::entries_mut(self).insert(name, entry);
    }

    /// Forgets a deleted object; returns whether it was known. One of the same name may have been made since.
    pub(crate) fn forget<K: Projected>(&mut self, object: &K) -> bool {
        let uid = object.uid().unwrap_or_default();
        let name = object.name_any();
        let is_known = K::entries(self).get(&name).is_some_and(|known| known.uid == uid);
        if is_known {
            K::entries_mut(self).remove(&name);
        }
        if self.gone.len() >= GONE_MAX {
            self.gone.pop_front();
        }
        self.gone.push_back(uid);
        is_known
    }
}

// === impl Entry ===

impl<S> Entry<S> {
    /// Returns what is kept of an object.
    pub(crate) fn of<K: Projected<Subject = S>>(object: &K) -> Self {
        let mut status = object.status().cloned().unwrap_or_default();
        let conditions = K::conditions(&mut status).clone().into_boxed_slice();
        let annotations = object.annotations();
        Self {
            subject: object.subject(),
            uid: object.uid().unwrap_or_default(),
            generation: object.meta().generation.unwrap_or(1),
            created: object.creation_timestamp().map_or(0, |at| at.0.as_second()),
            lever: K::lever(&status).cloned().map(Box::new),
            version: object.resource_version().and_then(|version| version.parse().ok()).unwrap_or_default(),
            owners: owners(object.owner_references()),
            status: fingerprint::<K>(status),
            conditions,
            pulled: K::LEVERS.iter().any(|lever| annotations.contains_key(lever.annotation())),
        }
    }

    /// Returns the condition that answers a lever.
    pub(crate) fn handled(&self) -> Option<&Condition> {
        self.conditions.iter().find(|condition| condition.type_ == LEVER)
    }
}

/// Returns a number that is the same for the same owners.
pub(crate) fn owners(owners: &[OwnerReference]) -> u64 {
    let mut uids: Vec<_> = owners.iter().map(|owner| owner.uid.as_str()).collect();
    uids.sort_unstable();
    let mut hasher = DefaultHasher::new();
    uids.hash(&mut hasher);
    hasher.finish()
}

/// Returns a number that is the same for equal statuses; times of transitions do not count.
pub(crate) fn fingerprint<K: Projected>(mut status: K::Status) -> u64 {
    let conditions = K::conditions(&mut status);
    conditions.sort_by(|a, b| a.type_.cmp(&b.type_));
    for condition in conditions {
        condition.last_transition_time = Time(k8s_openapi::jiff::Timestamp::UNIX_EPOCH);
    }
    let mut hasher = DefaultHasher::new();
    // A status without a JSON form cannot be written either, which is told there.
    serde_json::to_vec(&status).unwrap_or_default().hash(&mut hasher);
    hasher.finish()
}

// === the kinds ===

impl Projected for Prompt {
    type Status = PromptStatus;
    type Subject = PromptName;
    const KIND: &'static str = "Prompt";
    const LEVERS: &'static [Lever] = &[Lever::Rollback];

    fn subject(&self) -> PromptName {
        self.spec.prompt.clone()
    }
    fn status(&self) -> Option<&PromptStatus> {
        self.status.as_ref()
    }
    fn conditions(status: &mut PromptStatus) -> &mut Vec<Condition> {
        &mut status.conditions
    }
    fn entries(known: &Known) -> &Entries<Self> {
        &known.prompts
    }
    fn entries_mut(known: &mut Known) -> &mut Entries<Self> {
        &mut known.prompts
    }
}

impl Projected for PromptVersion {
    type Status = PromptVersionStatus;
    type Subject = VersionSubject;
    const KIND: &'static str = "PromptVersion";
    const LEVERS: &'static [Lever] = &[];

    fn subject(&self) -> VersionSubject {
        VersionSubject { prompt: self.spec.prompt.clone(), version: self.spec.digest }
    }
    fn status(&self) -> Option<&PromptVersionStatus> {
        self.status.as_ref()
    }
    fn conditions(status: &mut PromptVersionStatus) -> &mut Vec<Condition> {
        &mut status.conditions
    }
    fn entries(known: &Known) -> &Entries<Self> {
        &known.versions
    }
    fn entries_mut(known: &mut Known) -> &mut Entries<Self> {
        &mut known.versions
    }
}

impl Projected for PromptRollout {
    type Status = PromptRolloutStatus;
    type Subject = RolloutSubject;
    const KIND: &'static str = "PromptRollout";
    const LEVERS: &'static [Lever] = &[Lever::Abort, Lever::Promote];

    fn subject(&self) -> RolloutSubject {
        let status = self.status.as_ref();
        RolloutSubject {
            prompt: self.spec.prompt.clone(),
            environment: self.spec.environment.clone(),
            number: self.spec.number,
            candidate: self.spec.candidate,
            state: status.map(|status| status.state.clone()).unwrap_or_default(),
            stage: status.map_or(0, |status| status.stage),
        }
    }
    fn status(&self) -> Option<&PromptRolloutStatus> {
        self.status.as_ref()
    }
    fn conditions(status: &mut PromptRolloutStatus) -> &mut Vec<Condition> {
        &mut status.conditions
    }
    fn lever(status: &PromptRolloutStatus) -> Option<&LeverStatus> {
        status.lever.as_ref()
    }
    fn lever_set(status: &mut PromptRolloutStatus, lever: Option<LeverStatus>) {
        status.lever = lever;
    }
    fn entries(known: &Known) -> &Entries<Self> {
        &known.rollouts
    }
    fn entries_mut(known: &mut Known) -> &mut Entries<Self> {
        &mut known.rollouts
    }
}
