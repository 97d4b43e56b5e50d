//! The delivery of bundles: from a registry to a layout, to what can be trusted of them, to the release that they ask for.
//!
//! One way for the command line and for the operator: [`find`] fetches a bundle with what is attached to it, [`Delivery::open`] reads it whole,
//! [`Delivery::judge`] holds what signers said of it against the policy of an environment, and [`Delivery::request`] is what control is then asked.
//! Policies themselves are pure values of [`bowline_registry::policy`]; keys are handed in.

mod attach;
mod attached;
mod error;
mod fetch;
mod release;
mod store;

pub use attach::{SBOM_PREDICATE, Signing, attach};
pub use attached::{Attached, Attestation, Refused, gather};
pub use error::{Error, Result};
pub use fetch::{Found, fetch, find};
pub use release::Delivery;
pub use store::{Stored, content, read, write};
