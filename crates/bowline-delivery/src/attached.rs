use bowline_oci::{Descriptor, Layout, digest_of};
use bowline_signature::{COSIGN_SIGN, MEDIA_TYPE, PublicKey, verify};
use bowline_types::{Digest, chain};
use serde::Serialize;
use serde_json::Value;

use crate::error::{Error, Result};

/// What is attached to a bundle, as far as it can be trusted.
#[derive(Clone, Debug, Default)]
pub struct Attached {
    /// The keys that signed the bundle, by their place among those that were tried.
    pub signers: Vec<usize>,
    /// Statements about the bundle whose signatures hold.
    pub attestations: Vec<Attestation>,
    /// What was attached and could not be trusted, and why.
    pub refused: Vec<Refused>,
}

/// A statement whose signature holds.
#[derive(Clone, Debug)]
pub struct Attestation {
    /// What kind of thing is said.
    pub predicate_type: String,
    /// What is said.
    pub predicate: Value,
    /// The key, by its place among those that were tried.
    pub key: usize,
}

/// Something attached that could not be trusted.
#[derive(Clone, Debug, Serialize)]
pub struct Refused {
    /// Its manifest.
    pub digest: Digest,
    /// Why.
    pub why: String,
}

/// Verifies everything that is attached to a bundle against `keys`. What anybody attached and does not hold is told, and changes nothing.
///
/// # Errors
/// The layout is damaged.
pub fn gather(layout: &Layout, bundle: &Descriptor, keys: &[PublicKey]) -> Result<Attached> {
    let subject = digest_of(bundle)?;
    let mut attached = Attached::default();
    for each in layout.referrers(subject)? {
        if each.artifact_type().as_ref().is_none_or(|found| found.as_ref() != MEDIA_TYPE) {
            continue;
        }
        match one(layout, &each, subject, keys) {
            Ok(Attestation { predicate_type, key, .. }) if predicate_type == COSIGN_SIGN => attached.signers.push(key),
            Ok(attestation) => attached.attestations.push(attestation),
            Err(error) => attached.refused.push(Refused { digest: digest_of(&each)?, why: chain(&error) }),
        }
    }
    attached.signers.sort_unstable();
    attached.signers.dedup();
    Ok(attached)
}

fn one(layout: &Layout, attached: &Descriptor, subject: Digest, keys: &[PublicKey]) -> Result<Attestation> {
    let manifest = layout.manifest(attached)?;
    let [layer] = manifest.layers().as_slice() else {
        return Err(Error::AttachedLayers(manifest.layers().len()));
    };
    let verified = verify(&layout.read(layer)?, keys)?;
    // A referrer is only a claim of whoever pushed it; what counts is what was signed.
    if !verified.statement.is_about(subject) {
        return Err(Error::AttachedElsewhere);
    }
    let statement = verified.statement;
    Ok(Attestation { predicate_type: statement.predicate_type, predicate: statement.predicate, key: verified.key })
}
