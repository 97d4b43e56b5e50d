use bowline_delivery::{Refused, find, gather, read};
use bowline_oci::digest_of;
use bowline_signature::PublicKey;
use bowline_types::Digest;
use serde::Serialize;

use super::build::count;
use crate::bundles;
use crate::cli::{BundleVerify, Global};
use crate::failure::{Failure, Result};
use crate::output::{Format, Table, json, note};

/// What `--output json` prints.
#[derive(Serialize)]
struct Report<'a> {
    digest: Digest,
    versions: usize,
    signers: Vec<Digest>,
    attestations: Vec<Said<'a>>,
    refused: &'a [Refused],
}

/// A statement whose signature holds.
#[derive(Serialize)]
struct Said<'a> {
    predicate_type: &'a str,
    signer: Digest,
}

/// Checks that a bundle is whole and, with keys, that one of them signed it.
///
/// # Errors
/// It is damaged, is no bundle, or no key signed it.
pub(crate) async fn run(global: &Global, verify: &BundleVerify) -> Result<()> {
    let keys = verify.key.iter().map(bundles::public_key).collect::<Result<Vec<_>>>()?;
    let client = bundles::client(&verify.registry, Some(&verify.bundle))?;
    let found = find(&client, &verify.bundle).await?;
    let bundle = read(&found.layout, &found.descriptor)?;
    let evidence = gather(&found.layout, &found.descriptor, &keys)?;
    let signer = |key: usize| keys.get(key).map(PublicKey::fingerprint);
    if !keys.is_empty() && evidence.signers.is_empty() {
        let attached = evidence.refused.len() + evidence.attestations.len();
        let seen = if attached == 0 {
            "nothing is signed".to_owned()
        } else {
            format!("{} attached to it, and none is its signature by this key", count(attached, "statement"))
        };
        let hint = "hint: is it the right key? `bowline bundle inspect` shows what is attached";
        return Err(Failure::user(format!("{} is not signed by the key: {seen}\n{hint}", verify.bundle)));
    }
    let said = evidence.attestations.iter().filter_map(|attestation| {
        Some(Said { predicate_type: &attestation.predicate_type, signer: signer(attestation.key)? })
    });
    let report = Report {
        digest: digest_of(&found.descriptor)?,
        versions: bundle.versions.len(),
        signers: evidence.signers.iter().filter_map(|key| signer(*key)).collect(),
        attestations: said.collect(),
        refused: &evidence.refused,
    };
    print(global, &report)
}

fn print(global: &Global, report: &Report<'_>) -> Result<()> {
    if global.output == Format::Json {
        return json(report);
    }
    let mut table = Table::default();
    table.row(["whole".to_owned(), format!("{}, {}", report.digest, count(report.versions, "version"))]);
    for signer in &report.signers {
        table.row(["signed".to_owned(), format!("by key {signer}")]);
    }
    for said in &report.attestations {
        table.row(["attested".to_owned(), format!("{}, by key {}", said.predicate_type, said.signer)]);
    }
    table.print_plain("");
    if report.signers.is_empty() {
        note("note: no key was given, so nobody's signature was checked; --key names one");
    }
    Ok(())
}
