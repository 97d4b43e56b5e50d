//! What Bowline remembers: the records, the atomic writes, and the [`Store`] trait with the contract suite that every
//! implementation passes.
//!
//! All changes go through [`Store::commit`], which applies a list of [`Write`]s in one transaction or none of them: a verdict,
//! its pointer move and its log row can therefore never be seen apart. What a change must be is decided above, by pure
//! functions of the registry; a store only checks the preconditions that the writes carry.
//!
//! Storage methods are named noun first (`pointer_list`, `rollout_fetch`), so they sort and grep.

mod error;
mod inference;
mod outcome;
mod record;
mod rollout;
mod store;
mod summary;
mod write;

#[cfg(feature = "contract")]
pub mod contract;

pub use error::{Error, Result};
pub use inference::{Content, InferenceFilter, InferenceRecord};
pub use outcome::{OutcomeRecord, OutcomeTarget, OutcomeValue};
pub use record::{
    EnvironmentRecord, Fence, Freeze, KeyRecord, LogAction, LogFilter, LogRow, PointerRecord, ProjectRecord,
    Provenance, QuarantineRecord, RegistrationRecord, Temporary, VersionRecord,
};
pub use rollout::{LossRecord, Maturing, ObservationRecord, RolloutFilter, RolloutRecord, RolloutState};
pub use store::{BoxFuture, Store};
pub use summary::{SummaryFilter, SummaryRow};
pub use write::Write;

/// The version of the records below; written into every record, and readers accept one back.
pub const SCHEMA_VERSION: u32 = 1;

/// The most rows one list call returns; callers page with the cursor of the filter.
pub const LIST_ROWS_MAX: u32 = 1_000;
