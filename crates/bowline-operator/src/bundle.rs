//! PromptBundles: from a tag of a registry to releases, once for each manifest and each change of the spec.

mod fetch;
mod look;
mod memory;
mod reconcile;
mod release;
mod status;
mod verify;
mod write;

pub(crate) use fetch::text;
pub(crate) use memory::{Facts, Memory};
pub(crate) use reconcile::{backoff, is_held, run};
pub(crate) use release::Setback;
