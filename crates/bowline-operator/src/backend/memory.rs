use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bowline_types::Digest;
use serde_json::Value;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::gateways::Gateways;

/// How long what was applied is believed to be as it was: beyond it is applied again, should anybody have changed it.
const APPLIED_FRESH: Duration = Duration::from_secs(600);
/// How long it is believed whether KEDA is there.
const KEDA_FRESH: Duration = Duration::from_secs(300);

/// What is remembered of ModelBackends. All of it can be found out again.
#[derive(Default)]
pub(crate) struct Memory {
    configs: Mutex<BTreeMap<String, Arc<tokio::sync::Mutex<Config>>>>,
    applied: Mutex<BTreeMap<String, (Digest, Instant)>>,
    keda: Mutex<Option<(bool, Instant)>>,
    left: Mutex<BTreeSet<String>>,
    leaving: Notify,
    pub(super) gateways: Gateways,
}

/// The configuration of the project of a namespace. Who holds it is the only one who tells the control role another one.
#[derive(Debug, Default)]
pub(crate) struct Config {
    /// The project file of the bundle that was released last, without any endpoint.
    base: Option<Value>,
    /// What the control role was told last.
    told: Option<Digest>,
}

// === impl Memory ===

impl Memory {
    /// Waits for the configuration of a namespace.
    pub(crate) async fn config(&self, namespace: &str) -> tokio::sync::OwnedMutexGuard<Config> {
        let config = Arc::clone(locked(&self.configs).entry(namespace.to_owned()).or_default());
        config.lock_owned().await
    }

    /// Returns whether objects are there as they were applied a while ago.
    pub(super) fn is_applied(&self, uid: &str, content: Digest) -> bool {
        let applied = locked(&self.applied);
        applied.get(uid).is_some_and(|(known, at)| *known == content && at.elapsed() < APPLIED_FRESH)
    }

    pub(super) fn applied(&self, uid: &str, content: Digest) {
        locked(&self.applied).insert(uid.to_owned(), (content, Instant::now()));
    }

    pub(super) fn applied_forget(&self, uid: &str) {
        locked(&self.applied).remove(uid);
    }

    /// Returns whether KEDA is there, where that was found out a while ago.
    pub(super) fn keda(&self) -> Option<bool> {
        locked(&self.keda).filter(|(_, at)| at.elapsed() < KEDA_FRESH).map(|(keda, _)| keda)
    }

    pub(super) fn keda_set(&self, keda: bool) {
        *locked(&self.keda) = Some((keda, Instant::now()));
    }

    /// Notes that a backend left a namespace: what it gave is taken away.
    pub(super) fn left(&self, namespace: &str) {
        locked(&self.left).insert(namespace.to_owned());
        self.leaving.notify_one();
    }

    /// Waits until some backend leaves.
    pub(super) async fn leaving(&self) {
        self.leaving.notified().await;
    }

    pub(super) fn left_take(&self) -> BTreeSet<String> {
        std::mem::take(&mut *locked(&self.left))
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panic elsewhere leaves the maps whole.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

// === impl Config ===

impl Config {
    /// Notes a project file that was released.
    pub(crate) fn released(&mut self, base: &Value, told: &Value) {
        self.base = Some(base.clone());
        self.told = Some(digest(told));
    }

    /// Notes the project file of a bundle that was released before this operator began, where nothing else is known.
    pub(crate) fn found(&mut self, base: &Value) {
        self.base.get_or_insert_with(|| base.clone());
    }

    pub(super) fn base(&self) -> Option<&Value> {
        self.base.as_ref()
    }

    pub(super) fn is_told(&self, config: &Value) -> bool {
        self.told == Some(digest(config))
    }

    pub(super) fn told(&mut self, config: &Value) {
        self.told = Some(digest(config));
    }
}

fn digest(value: &Value) -> Digest {
    Digest::of(value.to_string().as_bytes())
}
