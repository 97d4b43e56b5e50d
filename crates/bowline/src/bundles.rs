//! Where the bundles and keys of a command are.

mod keys;
mod place;

pub(crate) use keys::{PASSWORD, key_password, public_key, signing};
pub(crate) use place::{client, latest, local};
