//! The registry: what a release, a rollback or a verdict changes, and the snapshot that gateways serve from.
//!
//! The functions here are pure: they take the state that was read from a [`bowline_store::Store`] and return the
//! [`bowline_store::Write`]s of one transaction, whose preconditions name the state they were computed from. Whoever holds the
//! store (the control role) commits them; where the state changed meanwhile, the commit fails and the caller reads again.

pub mod bundle;
mod environment;
mod error;
mod git;
pub mod policy;
mod private_file;
mod release;
mod rollback;
mod rollout;
mod snapshot;
mod temporary;
#[cfg(test)]
mod testing;

pub use environment::EnvironmentState;
pub use error::{Error, Result};
pub use git::{GitError, commit_time, provenance};
pub use private_file::{PrivateFileError, replace_private_file};
pub use release::{Policy, PromptRelease, Release, ReleaseResult, ReleaseStatus, Source};
pub use rollback::{FreezeRequest, Rollback, freeze, rollback, unfreeze};
pub use rollout::{Conclusion, End, VERDICT, advance, conclude, hold, observe};
pub use snapshot::{
    ContentCapture, Endpoint, Snapshot, SnapshotEnvironment, SnapshotFileError, SnapshotJsonError, SnapshotKey,
    SnapshotProject, SnapshotPrompt, SnapshotRollout, Target,
};
pub use temporary::{NewEnvironment, create, next_expiry, overlay, remove};
