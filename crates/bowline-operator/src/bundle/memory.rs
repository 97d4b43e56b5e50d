use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bowline_crd::PromptBundle;
use bowline_types::{Digest, PromptName};
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::{Resource as _, ResourceExt as _};
use tokio::sync::broadcast;
use tokio::time::Instant;

use crate::condition::Why;

/// Namespaces that wait to have their bundles looked at; where there are more, every bundle is looked at.
const WAKES_MAX: usize = 1_024;

/// What is remembered of PromptBundles between two looks at them. All of it can be found out again.
pub(crate) struct Memory {
    bundles: Mutex<BTreeMap<(String, String), Remembered>>,
    wakes: broadcast::Sender<String>,
}

/// What is remembered of one.
#[derive(Clone)]
pub(crate) struct Remembered {
    uid: String,
    owner: OwnerReference,
    reference: ObjectReference,
    facts: Option<Arc<Facts>>,
    pub(super) resolved: Option<Resolved>,
    /// Failures one after the other.
    pub(super) failures: u32,
}

/// What the source named when it was looked at.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Resolved {
    /// The generation of the spec.
    pub(super) generation: i64,
    pub(super) digest: Digest,
    pub(super) at: Instant,
}

/// What is known of a bundle that was verified.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Facts {
    /// Its manifest.
    pub(crate) bundle: Digest,
    pub(crate) commit: Option<String>,
    pub(crate) author: Option<String>,
    /// Its versions, by prompt.
    pub(crate) versions: Vec<(PromptName, Digest)>,
    /// Whether signatures were asked for, and what was found.
    pub(crate) signed: bool,
    pub(crate) verified: Why,
    /// Whether suites were asked for, and what was found.
    pub(crate) tested: bool,
    pub(crate) evaluated: Why,
}

// === impl Facts ===

impl Facts {
    /// Returns whether the bundle has this version of a prompt.
    pub(crate) fn has(&self, prompt: &PromptName, version: &Digest) -> bool {
        self.versions.iter().any(|(name, digest)| name == prompt && digest == version)
    }
}

// === impl Memory ===

impl Memory {
    /// Notes that a bundle is there; what was known of another one of its name is forgotten.
    pub(super) fn meet(&self, bundle: &PromptBundle) {
        let Some(owner) = bundle.owner_ref(&()) else { return };
        let mut bundles = self.locked();
        let known = bundles.get(&key(bundle)).filter(|known| known.uid == owner.uid);
        if known.is_none() {
            let fresh = Remembered {
                uid: owner.uid.clone(),
                owner,
                reference: bundle.object_ref(&()),
                facts: None,
                resolved: None,
                failures: 0,
            };
            bundles.insert(key(bundle), fresh);
        }
    }

    /// Forgets a bundle; returns whether the namespace has another one.
    pub(super) fn forget(&self, namespace: &str, name: &str) -> bool {
        let mut bundles = self.locked();
        bundles.remove(&(namespace.to_owned(), name.to_owned()));
        bundles.keys().any(|(other, _)| other == namespace)
    }

    /// Returns what is remembered of a bundle.
    pub(super) fn of(&self, bundle: &PromptBundle) -> Option<Remembered> {
        self.locked().get(&key(bundle)).cloned()
    }

    pub(super) fn change(&self, bundle: &PromptBundle, change: impl FnOnce(&mut Remembered)) {
        if let Some(remembered) = self.locked().get_mut(&key(bundle)) {
            change(remembered);
        }
    }

    pub(super) fn facts_set(&self, bundle: &PromptBundle, facts: Arc<Facts>) {
        self.change(bundle, |remembered| remembered.facts = Some(facts));
    }

    /// Returns what is known of the bundles of a namespace.
    pub(crate) fn facts(&self, namespace: &str) -> Vec<Arc<Facts>> {
        self.each(namespace, |remembered| remembered.facts.clone())
    }

    /// Returns the bundles of a namespace, as owners of what comes of them.
    pub(crate) fn owners(&self, namespace: &str) -> Vec<OwnerReference> {
        self.each(namespace, |remembered| Some(remembered.owner.clone()))
    }

    /// Returns the bundles of a namespace, as what events are about.
    pub(crate) fn references(&self, namespace: &str) -> Vec<ObjectReference> {
        self.each(namespace, |remembered| Some(remembered.reference.clone()))
    }

    /// Has the bundles of a namespace looked at.
    pub(crate) fn wake(&self, namespace: &str) {
        // Nobody listens on a replica that does not lead.
        drop(self.wakes.send(namespace.to_owned()));
    }

    pub(super) fn wakes(&self) -> broadcast::Receiver<String> {
        self.wakes.subscribe()
    }

    fn each<T>(&self, namespace: &str, one: impl Fn(&Remembered) -> Option<T>) -> Vec<T> {
        let bundles = self.locked();
        let own = bundles.iter().filter(|((other, _), _)| other == namespace);
        own.filter_map(|(_, remembered)| one(remembered)).collect()
    }

    fn locked(&self) -> MutexGuard<'_, BTreeMap<(String, String), Remembered>> {
        // A panic elsewhere leaves the map whole.
        self.bundles.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Memory {
    fn default() -> Self {
        Self { bundles: Mutex::default(), wakes: broadcast::channel(WAKES_MAX).0 }
    }
}

// === impl Remembered ===

impl Remembered {
    /// Returns what is known of a bundle, if it is this one.
    pub(super) fn facts(&self, digest: Digest) -> Option<Arc<Facts>> {
        self.facts.clone().filter(|facts| facts.bundle == digest)
    }
}

fn key(bundle: &PromptBundle) -> (String, String) {
    (bundle.namespace().unwrap_or_default(), bundle.name_any())
}
