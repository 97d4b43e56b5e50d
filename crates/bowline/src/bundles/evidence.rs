use bowline_oci::{Descriptor, digest_of};
use bowline_signature::{COSIGN_SIGN, MEDIA_TYPE, PublicKey, verify};
use bowline_types::Digest;
use serde::Serialize;
use serde_json::Value;

use super::attach::secret;
use super::place::Found;
use crate::cli::KeyPlace;
use crate::failure::Result;

/// What is attached to a bundle, as far as it can be trusted.
#[derive(Default)]
pub(crate) struct Evidence {
    /// The keys that signed the bundle, by their place among those that were tried.
    pub(crate) signers: Vec<usize>,
    /// Statements about the bundle whose signatures hold.
    pub(crate) attestations: Vec<Attestation>,
    /// What was attached and could not be trusted, and why.
    pub(crate) refused: Vec<Refused>,
}

/// A statement whose signature holds.
pub(crate) struct Attestation {
    /// What kind of thing is said.
    pub(crate) predicate_type: String,
    /// What is said.
    pub(crate) predicate: Value,
    /// The key, by its place among those that were tried.
    pub(crate) key: usize,
}

/// Something attached that could not be trusted.
#[derive(Serialize)]
pub(crate) struct Refused {
    /// Its manifest.
    pub(crate) digest: Digest,
    /// Why.
    pub(crate) why: String,
}

/// Reads a public key.
///
/// # Errors
/// It is not there, or is none.
pub(crate) fn public_key(place: &KeyPlace) -> Result<PublicKey> {
    Ok(PublicKey::from_pem(secret(&place.0, "public key")?.expose())?)
}

/// Verifies everything that is attached to a bundle against `keys`. What anybody attached and does not hold is told, and changes nothing.
///
/// # Errors
/// The layout is damaged.
pub(crate) fn gather(found: &Found, keys: &[PublicKey]) -> Result<Evidence> {
    let subject = digest_of(&found.descriptor)?;
    let mut evidence = Evidence::default();
    for attached in found.layout.referrers(subject)? {
        if attached.artifact_type().as_ref().is_none_or(|found| found.as_ref() != MEDIA_TYPE) {
            continue;
        }
        match one(found, &attached, subject, keys) {
            Ok(Attestation { predicate_type, key, .. }) if predicate_type == COSIGN_SIGN => evidence.signers.push(key),
            Ok(attestation) => evidence.attestations.push(attestation),
            Err(failure) => evidence.refused.push(Refused { digest: digest_of(&attached)?, why: failure.message() }),
        }
    }
    evidence.signers.sort_unstable();
    evidence.signers.dedup();
    Ok(evidence)
}

fn one(found: &Found, attached: &Descriptor, subject: Digest, keys: &[PublicKey]) -> Result<Attestation> {
    let manifest = found.layout.manifest(attached)?;
    let [layer] = manifest.layers().as_slice() else {
        return Err(crate::failure::Failure::user(format!("it has {} layers, not one", manifest.layers().len())));
    };
    let verified = verify(&found.layout.read(layer)?, keys)?;
    // A referrer is only a claim of whoever pushed it; what counts is what was signed.
    if !verified.statement.is_about(subject) {
        return Err(crate::failure::Failure::user("what was signed is another artifact"));
    }
    let statement = verified.statement;
    Ok(Attestation { predicate_type: statement.predicate_type, predicate: statement.predicate, key: verified.key })
}
