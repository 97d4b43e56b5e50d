use std::pin::Pin;

use bowline_types::{ApiKeyHash, Digest, InferenceId, KeyId, ProjectName, PromptName, RolloutId, Scope, Timestamp};

use crate::{
    EnvironmentRecord, InferenceFilter, InferenceRecord, KeyRecord, LogFilter, LogRow, LossRecord, Maturing,
    ObservationRecord, OutcomeRecord, PointerRecord, ProjectRecord, QuarantineRecord, RegistrationRecord, Result,
    RolloutFilter, RolloutRecord, SummaryFilter, SummaryRow, VersionRecord, Write,
};

/// The future of a storage operation.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T>> + Send + 'a>>;

/// What every store does. `bowline_store::contract` is the suite that says so.
pub trait Store: Send + Sync + 'static {
    /// Applies all writes in one transaction, or none. When this returns `Ok`, they survive kill −9 and power loss.
    ///
    /// # Errors
    /// [`crate::Error::Conflict`] where a precondition does not hold, and the engine's errors; nothing is written then.
    fn commit(&self, writes: Vec<Write>) -> BoxFuture<'_, ()>;

    /// Lists the projects by name.
    fn project_list(&self) -> BoxFuture<'_, Vec<ProjectRecord>>;
    /// Fetches a project.
    fn project_fetch(&self, project: ProjectName) -> BoxFuture<'_, Option<ProjectRecord>>;

    /// Fetches a version.
    fn version_fetch(&self, digest: Digest) -> BoxFuture<'_, Option<VersionRecord>>;
    /// Lists the registrations of a prompt, newest first, at most [`crate::LIST_ROWS_MAX`].
    fn registration_list(&self, project: ProjectName, prompt: PromptName) -> BoxFuture<'_, Vec<RegistrationRecord>>;

    /// Lists the environments of a project that have a record, by name.
    fn environment_list(&self, project: ProjectName) -> BoxFuture<'_, Vec<EnvironmentRecord>>;
    /// Fetches an environment; one without a record has never been frozen.
    fn environment_fetch(&self, scope: Scope) -> BoxFuture<'_, Option<EnvironmentRecord>>;

    /// Lists the pointers of a project, by environment and prompt.
    fn pointer_list(&self, project: ProjectName) -> BoxFuture<'_, Vec<PointerRecord>>;
    /// Fetches a pointer.
    fn pointer_fetch(&self, scope: Scope, prompt: PromptName) -> BoxFuture<'_, Option<PointerRecord>>;
    /// Lists rows of the pointer log, newest first.
    fn log_list(&self, filter: LogFilter) -> BoxFuture<'_, Vec<LogRow>>;

    /// Lists rollouts, newest first, at most [`crate::LIST_ROWS_MAX`].
    fn rollout_list(&self, filter: RolloutFilter) -> BoxFuture<'_, Vec<RolloutRecord>>;
    /// Fetches a rollout.
    fn rollout_fetch(&self, id: RolloutId) -> BoxFuture<'_, Option<RolloutRecord>>;
    /// Lists observations of a rollout from a sequence on, in order, at most [`crate::LIST_ROWS_MAX`].
    fn observation_list(&self, rollout: RolloutId, from: u64) -> BoxFuture<'_, Vec<ObservationRecord>>;
    /// Lists the units of a rollout that are not yet counted and whose first inference started before `until`, by
    /// (start of that inference, unit), at most [`crate::LIST_ROWS_MAX`]. Fallbacks are left out: they are kept out of verdicts.
    /// So are inferences without an arm.
    fn maturing_list(&self, rollout: RolloutId, until: Timestamp) -> BoxFuture<'_, Vec<Maturing>>;
    /// Lists the counters of lost records of a rollout.
    fn loss_list(&self, rollout: RolloutId) -> BoxFuture<'_, Vec<LossRecord>>;
    /// Lists the quarantined versions of a project.
    fn quarantine_list(&self, project: ProjectName) -> BoxFuture<'_, Vec<QuarantineRecord>>;

    /// Fetches an inference.
    fn inference_fetch(&self, id: InferenceId) -> BoxFuture<'_, Option<InferenceRecord>>;
    /// Fetches the newest inference of a key whose answer carried this id.
    fn inference_by_answer(&self, key: KeyId, answer_id: String) -> BoxFuture<'_, Option<InferenceRecord>>;
    /// Lists inferences, newest first, or oldest first after a cursor.
    fn inference_list(&self, filter: InferenceFilter) -> BoxFuture<'_, Vec<InferenceRecord>>;
    /// Lists the outcomes of an inference, oldest first.
    fn outcome_list(&self, inference: InferenceId) -> BoxFuture<'_, Vec<OutcomeRecord>>;
    /// Summarises inferences from rollups, by (prompt, version, rollout, arm), none first.
    fn summary_list(&self, filter: SummaryFilter) -> BoxFuture<'_, Vec<SummaryRow>>;

    /// Lists the keys of a project, revoked ones included, oldest first.
    fn key_list(&self, project: ProjectName) -> BoxFuture<'_, Vec<KeyRecord>>;
    /// Fetches a key by its hash.
    fn key_fetch(&self, hash: ApiKeyHash) -> BoxFuture<'_, Option<KeyRecord>>;
}
