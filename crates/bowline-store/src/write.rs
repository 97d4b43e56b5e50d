use bowline_types::{Digest, KeyId, PromptName, Scope, Timestamp};

use crate::{
    EnvironmentRecord, InferenceRecord, KeyRecord, LogRow, LossRecord, ObservationRecord, OutcomeRecord, PointerRecord,
    ProjectRecord, QuarantineRecord, RegistrationRecord, RolloutRecord, VersionRecord,
};

/// One change of a transaction. Preconditions that do not hold fail the whole transaction with [`crate::Error::Conflict`].
#[derive(Clone, Debug, PartialEq)]
pub enum Write {
    /// Sets the running configuration of a project.
    ProjectPut(ProjectRecord),
    /// Adds a version; nothing where it is known.
    VersionPut(VersionRecord),
    /// Adds a registration; nothing where the same project, prompt, version and commit are registered.
    RegistrationPut(RegistrationRecord),
    /// Sets the state of an environment.
    EnvironmentPut(EnvironmentRecord),
    /// Moves a pointer, if it is where the caller believes.
    PointerPut {
        /// The new state.
        pointer: PointerRecord,
        /// The version before; `None` where there must be no pointer.
        expected: Option<Digest>,
    },
    /// Removes a pointer (a prompt that was deleted), if it is where the caller believes.
    PointerRemove {
        /// The environment.
        scope: Scope,
        /// The prompt.
        prompt: PromptName,
        /// The version before.
        expected: Digest,
    },
    /// Appends a row to the pointer log; the store gives it its sequence.
    LogAppend(LogRow),
    /// Sets a rollout whose stored revision is the one expected; `None` where it must not exist. Its number is unique in its project.
    RolloutPut {
        /// The new state.
        rollout: Box<RolloutRecord>,
        /// The stored revision.
        expected: Option<u64>,
    },
    /// Appends to the observation log of a rollout. The sequence must be the next one, and the unit not yet counted in the rollout.
    ObservationAppend(ObservationRecord),
    /// Quarantines a version; replaces an earlier reason.
    QuarantinePut(QuarantineRecord),
    /// Lifts a quarantine; nothing where there is none.
    QuarantineRemove {
        /// The environment.
        scope: Scope,
        /// The prompt.
        prompt: PromptName,
        /// The version.
        version: Digest,
    },
    /// Adds an inference; nothing where its id is known. Outcomes that came before it are applied.
    InferencePut(Box<InferenceRecord>),
    /// Adds an outcome; nothing where its id is known. Applied to its inference now, or when that arrives; of several with one
    /// name the latest by (time, id) counts, in whatever order they arrive.
    OutcomePut(OutcomeRecord),
    /// Raises a counter of lost records to the total given; never lowers it.
    LossPut(LossRecord),
    /// Adds a key; its id and its hash are unique.
    KeyPut(KeyRecord),
    /// Revokes a key, which must exist; nothing where it is revoked.
    KeyRevoke {
        /// The key.
        id: KeyId,
        /// When.
        at: Timestamp,
    },
}
