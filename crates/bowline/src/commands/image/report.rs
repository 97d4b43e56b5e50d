use bowline_oci::{Descriptor, digest_of};
use bowline_types::Digest;
use serde::Serialize;

use super::build::Built;
use super::origin::Origin;
use crate::cli::Global;
use crate::failure::Result;
use crate::output::{Format, json, line};
use crate::wording::count;

/// What `--output json` prints.
#[derive(Serialize)]
struct Report {
    /// The manifest, or the index of several.
    digest: Digest,
    media_type: String,
    /// Where it is now.
    to: String,
    created: String,
    revision: Option<String>,
    base: Option<Digest>,
    images: Vec<ImageReport>,
    /// The manifest that attaches the bill of materials.
    sbom: Option<Digest>,
}

#[derive(Serialize)]
struct ImageReport {
    platform: String,
    digest: Digest,
    /// Of the layer that was added.
    layer: Option<Digest>,
    layer_bytes: u64,
    files: usize,
}

/// Prints what was built.
///
/// # Errors
/// A digest is none of ours.
pub(super) fn print(
    global: &Global,
    origin: &Origin,
    descriptor: &Descriptor,
    place: &str,
    built: &[Built],
    sbom: Option<&Descriptor>,
) -> Result<()> {
    let digest = |descriptor: &Descriptor| digest_of(descriptor).map_err(anyhow::Error::from);
    let images: std::result::Result<Vec<ImageReport>, anyhow::Error> = built
        .iter()
        .map(|built| {
            Ok(ImageReport {
                platform: built.image.platform.to_string(),
                digest: digest(&built.image.manifest.descriptor)?,
                layer: built.layer.as_ref().map(|layer| layer.digest),
                layer_bytes: built.layer.as_ref().map_or(0, |layer| layer.size),
                files: built.layer.as_ref().map_or(0, |layer| layer.files.len()),
            })
        })
        .collect();
    let report = Report {
        digest: digest(descriptor)?,
        media_type: descriptor.media_type().to_string(),
        to: place.to_owned(),
        created: origin.created.to_string(),
        revision: origin.revision.clone(),
        base: built.first().and_then(|built| built.base.as_ref()).map(|base| base.digest),
        images: images?,
        sbom: sbom.map(digest).transpose()?,
    };
    if global.output == Format::Json {
        return json(&report);
    }
    line(format!("{}  {}", report.digest, report.to));
    for image in &report.images {
        let size = size(image.layer_bytes);
        line(format!("  {:<14} {}, {size} compressed", image.platform, count(image.files, "file")));
    }
    Ok(())
}

/// Returns a number of bytes as people read it.
pub(super) fn size(bytes: u64) -> String {
    match bytes {
        0..1_024 => format!("{bytes} B"),
        1_024..1_048_576 => format!("{}.{} KiB", bytes >> 10, ((bytes & 1_023) * 10) >> 10),
        _ => format!("{}.{} MiB", bytes >> 20, ((bytes & 1_048_575) * 10) >> 20),
    }
}
