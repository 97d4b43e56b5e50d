use anyhow::Context;
use bowline_delivery::{Found, Signing, attach, find, read};
use bowline_oci::{Descriptor, LayoutReference, Reference, RegistryReference, digest_of};
use bowline_registry::policy::{PREDICATE, Report as EvalReport};
use bowline_types::Digest;
use serde::Serialize;

use super::build::IMAGE;
use crate::bundles;
use crate::cli::{BundlePush, Global};
use crate::failure::{Failure, Result};
use crate::output::{Format, Table, json, note};

/// What `--output json` prints.
#[derive(Serialize)]
struct Report {
    reference: String,
    digest: Digest,
    image: Option<Digest>,
    signed: bool,
    attached: Vec<Digest>,
}

/// Sends a bundle to a registry, with what belongs to it; the tag moves last.
///
/// # Errors
/// There is no such bundle, the key does not open, or the registry refuses.
pub(crate) async fn run(global: &Global, push: &BundlePush) -> Result<()> {
    let client = bundles::client(&push.registry, Some(&Reference::Registry(push.to.clone())))?;
    let from = bundles::latest(global, push.from.as_ref())?;
    let Reference::Layout(from) = from else {
        return Err(Failure::user(
            "a bundle is pushed from a layout\nhint: `bowline bundle pull` fetches one from a registry",
        ));
    };
    let found = find(&client, &Reference::Layout(from.clone())).await?;
    let bundle = read(&found.layout, &found.descriptor)?;
    let signing = signing(push, digest_of(&found.descriptor)?)?;
    let attached = attach(&found.layout, &found.descriptor, &bundle, signing.as_ref())?;
    // Referrers may come before their subject, so that nobody sees the bundle without its signature.
    for each in &attached {
        let pinned = push.to.clone_with_digest(each.digest().to_string());
        client.push(&found.layout, each, &pinned).await?;
    }
    let image = image(&found, &from);
    if let Some(image) = &image {
        let tag = format!("{}{IMAGE}", push.to.tag().unwrap_or("latest"));
        let (name, repository) = (push.to.registry().to_owned(), push.to.repository().to_owned());
        client.push(&found.layout, image, &RegistryReference::with_tag(name, repository, tag)).await?;
    }
    let digest = client.push(&found.layout, &found.descriptor, &push.to).await?;
    let report = Report {
        reference: push.to.clone_with_digest(digest.to_string()).to_string(),
        digest,
        image: image.as_ref().map(digest_of).transpose()?,
        signed: signing.is_some(),
        attached: attached.iter().map(digest_of).collect::<bowline_oci::Result<_>>()?,
    };
    print(global, push, &report)
}

/// Returns the image of the bundle, where the layout has it under the same name.
fn image(found: &Found, from: &LayoutReference) -> Option<Descriptor> {
    let tag = from.tag.as_ref().map(|tag| format!("{tag}{IMAGE}"))?;
    let name = LayoutReference { path: from.path.clone(), tag: Some(tag), digest: None };
    found.layout.resolve(&name).ok()
}

/// Opens the key, and reads the reports that it is to sign.
fn signing(push: &BundlePush, bundle: Digest) -> Result<Option<Signing>> {
    let Some(key) = &push.key else { return Ok(None) };
    let mut signing = bundles::signing(key, push.key_password.as_ref())?;
    for path in &push.attest {
        let text = std::fs::read(path).with_context(|| format!("could not read {}", path.display()))?;
        let predicate: serde_json::Value =
            serde_json::from_slice(&text).with_context(|| format!("{} is not JSON", path.display()))?;
        let report = EvalReport::read(&predicate).with_context(|| {
            format!("{} is not a report\nhint: `bowline test --report attestation=FILE` writes one", path.display())
        })?;
        if report.bundle.is_some_and(|of| of != bundle) {
            return Err(Failure::user(format!("{} is the report of another bundle", path.display())));
        }
        signing.predicates.push((PREDICATE, predicate));
    }
    Ok(Some(signing))
}

fn print(global: &Global, push: &BundlePush, report: &Report) -> Result<()> {
    if global.output == Format::Json {
        return json(report);
    }
    let mut table = Table::default();
    table.row(["bundle".to_owned(), report.reference.clone()]);
    if let Some(image) = report.image {
        let tag = push.to.tag().unwrap_or("latest");
        table
            .row(["image".to_owned(), format!("{}/{}:{tag}{IMAGE}@{image}", push.to.registry(), push.to.repository())]);
    }
    table.print_plain("");
    if !report.signed {
        note("note: it is not signed; --key says with which key");
    }
    Ok(())
}
