use bowline_oci::{Layout, LayoutReference, Reference, digest_of};
use bowline_types::Digest;
use serde::Serialize;

use crate::bundles;
use crate::cli::{BundlePull, Global};
use crate::failure::{Failure, Result};
use crate::output::{Format, json, line};

/// What `--output json` prints.
#[derive(Serialize)]
struct Report {
    digest: Digest,
    layout: String,
    attached: Vec<Digest>,
}

/// Fetches a bundle into a layout. It gets its name once it was read whole.
///
/// # Errors
/// It is not there, is damaged, or is no bundle.
pub(crate) async fn run(global: &Global, pull: &BundlePull) -> Result<()> {
    let Reference::Registry(from) = &pull.from else {
        return Err(Failure::user(format!("`{}` is on this machine already", pull.from)));
    };
    let client = bundles::client(&pull.registry, Some(&pull.from))?;
    let to = bundles::local(global, pull.to.as_ref())?;
    let layout = Layout::create(&to.path)?;
    let descriptor = bowline_delivery::fetch(&client, from, &layout).await?;
    bowline_delivery::read(&layout, &descriptor)?;
    match to.tag.as_deref().or_else(|| from.tag()) {
        Some(tag) => layout.tag(tag, &descriptor)?,
        None => layout.list(&descriptor)?,
    }
    let digest = digest_of(&descriptor)?;
    let attached = layout.referrers(digest)?.iter().map(digest_of).collect::<bowline_oci::Result<Vec<_>>>()?;
    let tag = to.tag.clone().or_else(|| from.tag().map(str::to_owned));
    let place = LayoutReference { tag, digest: Some(digest), ..to };
    match global.output {
        Format::Json => json(&Report { digest, layout: place.to_string(), attached }),
        Format::Text => {
            line(place.to_string());
            Ok(())
        }
    }
}
