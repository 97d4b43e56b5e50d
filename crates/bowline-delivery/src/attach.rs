use std::collections::HashMap;

use bowline_oci::{Descriptor, Layout, digest_of};
use bowline_registry::bundle::{Bundle, SBOM_MEDIA_TYPE};
use bowline_signature::{MEDIA_TYPE, PREDICATE_ANNOTATION, PrivateKey, Statement, sign};
use serde_json::Value;

use crate::error::Result;

/// What kind of statement a bill of materials is.
pub const SBOM_PREDICATE: &str = "https://cyclonedx.org/bom";

/// The key that signs, and what it signs beside the bundle itself.
#[derive(Debug)]
pub struct Signing {
    /// The key.
    pub key: PrivateKey,
    /// Statements by their predicate types.
    pub predicates: Vec<(&'static str, Value)>,
}

/// Attaches the bill of materials to a bundle and, with a key, the signature and the statements; returns the manifests, which are listed in
/// the layout. What is attached already is not attached again.
///
/// # Errors
/// Those of the layout.
pub fn attach(
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
