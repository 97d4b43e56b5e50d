//! Signatures and attestations that cosign verifies, and that verify cosign's: key pairs, in-toto statements, DSSE envelopes and the bundle
//! format of Sigstore.
//!
//! Pure: keys come as text, statements go as bytes. Where they are attached is the matter of others.

mod envelope;
mod error;
mod key;
mod sealed;
mod statement;

pub use envelope::{MEDIA_TYPE, PREDICATE_ANNOTATION, Verified, sign, verify};
pub use error::{Error, Result};
pub use key::{PrivateKey, PublicKey};
pub use statement::{COSIGN_SIGN, Statement, Subject};
