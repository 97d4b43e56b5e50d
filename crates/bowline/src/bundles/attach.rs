use std::collections::HashMap;

use bowline_gateway::Secrets as _;
use bowline_oci::{Descriptor, Layout, digest_of};
use bowline_registry::bundle::{Bundle, SBOM_MEDIA_TYPE};
use bowline_signature::{MEDIA_TYPE, PREDICATE_ANNOTATION, PrivateKey, Statement, sign};
use bowline_types::{Secret, SecretRef};
use serde_json::Value;

use crate::cli::KeyPlace;
use crate::failure::{Failure, Result};
use crate::settings::ProcessSecrets;

/// What kind of statement a bill of materials is.
pub(crate) const SBOM_PREDICATE: &str = "https://cyclonedx.org/bom";
/// Where cosign looks for the password of a key.
pub(crate) const PASSWORD: &str = "COSIGN_PASSWORD";

/// The key that signs, and what it signs beside the bundle itself.
pub(crate) struct Signing {
    pub(crate) key: PrivateKey,
    /// Statements by their predicate types.
    pub(crate) predicates: Vec<(&'static str, Value)>,
}

impl Signing {
    /// Opens the key.
    ///
    /// # Errors
    /// It is not there, is none, or has another password.
    pub(crate) fn open(place: &KeyPlace, password: Option<&SecretRef>) -> Result<Self> {
        let pem = secret(&place.0, "key")?;
        let key = PrivateKey::from_pem(pem.expose(), &key_password(password)?)?;
        Ok(Self { key, predicates: Vec::new() })
    }
}

/// Returns the password of a key: that of the reference, else cosign's variable, else the empty one.
pub(crate) fn key_password(place: Option<&SecretRef>) -> Result<Secret> {
    match place {
        Some(place) => secret(place, "password"),
        None => {
            let found = ProcessSecrets.resolve(&SecretRef::Env(PASSWORD.to_owned()));
            Ok(found.unwrap_or_else(|| Secret::new(String::new())))
        }
    }
}

/// Reads a key or password.
pub(crate) fn secret(place: &SecretRef, noun: &str) -> Result<Secret> {
    ProcessSecrets.resolve(place).ok_or_else(|| Failure::user(format!("there is no {noun} at {place}")))
}

/// Attaches the bill of materials to a bundle and, with a key, the signature and the statements; returns the manifests, which are listed in
/// the layout. What is attached already is not attached again.
///
/// # Errors
/// Those of the layout.
pub(crate) fn attach(
    layout: &Layout,
    subject: &Descriptor,
    bundle: &Bundle,
    signing: Option<&Signing>,
) -> Result<Vec<Descriptor>> {
    let mut attached = vec![one(layout, subject, SBOM_MEDIA_TYPE, &bundle.sbom()?, HashMap::new())?];
    let Some(Signing { key, predicates }) = signing else { return Ok(attached) };
    let digest = digest_of(subject)?;
    let mut statements =
        vec![Statement::signature(digest), Statement::new(digest, SBOM_PREDICATE, bundle.sbom_value())];
    statements.extend(predicates.iter().map(|(kind, predicate)| Statement::new(digest, kind, predicate.clone())));
    for statement in statements {
        let annotations = HashMap::from([
            ("dev.sigstore.bundle.content".to_owned(), "dsse-envelope".to_owned()),
            (PREDICATE_ANNOTATION.to_owned(), statement.predicate_type.clone()),
        ]);
        attached.push(one(layout, subject, MEDIA_TYPE, &sign(&statement, key)?, annotations)?);
    }
    Ok(attached)
}

fn one(
    layout: &Layout,
    subject: &Descriptor,
    artifact_type: &str,
    bytes: &[u8],
    annotations: HashMap<String, String>,
) -> Result<Descriptor> {
    let descriptor = layout.attach(subject, artifact_type, bytes, annotations)?;
    layout.list(&descriptor)?;
    Ok(descriptor)
}
