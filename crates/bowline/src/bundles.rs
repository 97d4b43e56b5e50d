//! Bundles in layouts and registries, and what is attached to them.

mod attach;
mod evidence;
mod place;
mod store;

pub(crate) use attach::{PASSWORD, Signing, attach, key_password};
pub(crate) use evidence::{Refused, gather, public_key};
pub(crate) use place::{Found, Registry, latest, local};
pub(crate) use store::{content, read, write};
