//! A store that fails when it is told to, for crashes and outages.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use bowline_store::{
    BoxFuture, EnvironmentRecord, Error, InferenceFilter, InferenceRecord, KeyRecord, LogFilter, LogRow, LossRecord,
    Maturing, ObservationRecord, OutcomeRecord, PointerRecord, ProjectRecord, QuarantineRecord, RegistrationRecord,
    RolloutFilter, RolloutRecord, Store, SummaryFilter, SummaryRow, VersionRecord, Write,
};
use bowline_types::{ApiKeyHash, Digest, InferenceId, KeyId, ProjectName, PromptName, RolloutId, Scope, Timestamp};

pub(crate) struct FaultyStore {
    inner: Arc<dyn Store>,
    commits: AtomicU64,
    fault: Mutex<Option<Fault>>,
    /// Whether mature units cannot be read, so that no rollout can be judged.
    pub(crate) blind: AtomicBool,
    /// Whether nothing can be listed, so that no snapshot can be compiled.
    pub(crate) mute: AtomicBool,
}

/// Which commit fails, counted from 1, and whether it has happened all the same.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fault {
    pub(crate) commit: u64,
    pub(crate) moment: Moment,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Moment {
    /// Nothing was written.
    Before,
    /// Everything was written, and nobody was told.
    After,
    /// It is not known what was written, and nothing can be any more.
    Sync,
    /// Nobody is answered.
    Never,
}

const DOWN: Error = Error::Unavailable { reason: "it fails in this test" };

// === impl FaultyStore ===

impl FaultyStore {
    pub(crate) fn new(inner: Arc<dyn Store>) -> Self {
        let (blind, mute) = (AtomicBool::new(false), AtomicBool::new(false));
        Self { inner, commits: AtomicU64::new(0), fault: Mutex::new(None), blind, mute }
    }

    /// Begins to count commits anew.
    pub(crate) fn arm(&self, fault: Option<Fault>) {
        self.commits.store(0, Ordering::SeqCst);
        *self.fault.lock().unwrap() = fault;
    }

    pub(crate) fn commits(&self) -> u64 {
        self.commits.load(Ordering::SeqCst)
    }
}

impl Store for FaultyStore {
    fn commit(&self, writes: Vec<Write>) -> BoxFuture<'_, ()> {
        let number = self.commits.fetch_add(1, Ordering::SeqCst) + 1;
        let fault = self.fault.lock().unwrap().filter(|fault| fault.commit == number);
        Box::pin(async move {
            match fault.map(|fault| fault.moment) {
                Some(Moment::Before) => Err(DOWN),
                Some(Moment::Never) => std::future::pending().await,
                Some(Moment::Sync) => Err(Error::Poisoned),
                Some(Moment::After) => self.inner.commit(writes).await.and(Err(DOWN)),
                None => self.inner.commit(writes).await,
            }
        })
    }

    fn maturing_list(&self, rollout: RolloutId, until: Timestamp) -> BoxFuture<'_, Vec<Maturing>> {
        if self.blind.load(Ordering::SeqCst) {
            return Box::pin(async { Err(DOWN) });
        }
        self.inner.maturing_list(rollout, until)
    }

    fn project_list(&self) -> BoxFuture<'_, Vec<ProjectRecord>> {
        if self.mute.load(Ordering::SeqCst) {
            return Box::pin(async { Err(DOWN) });
        }
        self.inner.project_list()
    }

    fn project_fetch(&self, project: ProjectName) -> BoxFuture<'_, Option<ProjectRecord>> {
        self.inner.project_fetch(project)
    }

    fn version_fetch(&self, digest: Digest) -> BoxFuture<'_, Option<VersionRecord>> {
        self.inner.version_fetch(digest)
    }

    fn registration_list(&self, project: ProjectName, prompt: PromptName) -> BoxFuture<'_, Vec<RegistrationRecord>> {
        self.inner.registration_list(project, prompt)
    }

    fn environment_list(&self, project: ProjectName) -> BoxFuture<'_, Vec<EnvironmentRecord>> {
        self.inner.environment_list(project)
    }

    fn environment_fetch(&self, scope: Scope) -> BoxFuture<'_, Option<EnvironmentRecord>> {
        self.inner.environment_fetch(scope)
    }

    fn pointer_list(&self, project: ProjectName) -> BoxFuture<'_, Vec<PointerRecord>> {
        self.inner.pointer_list(project)
    }

    fn pointer_fetch(&self, scope: Scope, prompt: PromptName) -> BoxFuture<'_, Option<PointerRecord>> {
        self.inner.pointer_fetch(scope, prompt)
    }

    fn log_list(&self, filter: LogFilter) -> BoxFuture<'_, Vec<LogRow>> {
        self.inner.log_list(filter)
    }

    fn rollout_list(&self, filter: RolloutFilter) -> BoxFuture<'_, Vec<RolloutRecord>> {
        self.inner.rollout_list(filter)
    }

    fn rollout_fetch(&self, id: RolloutId) -> BoxFuture<'_, Option<RolloutRecord>> {
        self.inner.rollout_fetch(id)
    }

    fn observation_list(&self, rollout: RolloutId, from: u64) -> BoxFuture<'_, Vec<ObservationRecord>> {
        self.inner.observation_list(rollout, from)
    }

    fn loss_list(&self, rollout: RolloutId) -> BoxFuture<'_, Vec<LossRecord>> {
        self.inner.loss_list(rollout)
    }

    fn quarantine_list(&self, project: ProjectName) -> BoxFuture<'_, Vec<QuarantineRecord>> {
        self.inner.quarantine_list(project)
    }

    fn inference_fetch(&self, id: InferenceId) -> BoxFuture<'_, Option<InferenceRecord>> {
        self.inner.inference_fetch(id)
    }

    fn inference_by_answer(&self, key: KeyId, answer_id: String) -> BoxFuture<'_, Option<InferenceRecord>> {
        self.inner.inference_by_answer(key, answer_id)
    }

    fn inference_list(&self, filter: InferenceFilter) -> BoxFuture<'_, Vec<InferenceRecord>> {
        self.inner.inference_list(filter)
    }

    fn outcome_list(&self, inference: InferenceId) -> BoxFuture<'_, Vec<OutcomeRecord>> {
        self.inner.outcome_list(inference)
    }

    fn summary_list(&self, filter: SummaryFilter) -> BoxFuture<'_, Vec<SummaryRow>> {
        self.inner.summary_list(filter)
    }

    fn key_list(&self, project: ProjectName) -> BoxFuture<'_, Vec<KeyRecord>> {
        self.inner.key_list(project)
    }

    fn key_fetch(&self, hash: ApiKeyHash) -> BoxFuture<'_, Option<KeyRecord>> {
        self.inner.key_fetch(hash)
    }
}
