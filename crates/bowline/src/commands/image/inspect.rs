use bowline_oci::image::annotation;
use bowline_oci::{Descriptor, Layout, digest_of};
use bowline_types::Digest;
use serde::Serialize;
use serde_json::Value;

use super::place::Source;
use super::report::size;
use crate::cli::{Global, ImageInspect};
use crate::failure::Result;
use crate::output::{Format, json, line};

/// What `--output json` prints.
#[derive(Serialize)]
struct Report {
    digest: Digest,
    media_type: String,
    images: Vec<ImageReport>,
}

#[derive(Serialize)]
struct ImageReport {
    platform: String,
    digest: Digest,
    layers: Vec<LayerReport>,
    /// As the configuration has it: `Entrypoint`, `Cmd`, `Env`, `User`, `WorkingDir`, `Labels`.
    config: Value,
    created: Option<String>,
}

#[derive(Serialize)]
struct LayerReport {
    digest: String,
    bytes: u64,
}

/// Shows what an image is made of.
///
/// # Errors
/// It is not there, is damaged, or is no image.
pub(crate) async fn run(global: &Global, inspect: &ImageInspect) -> Result<()> {
    let scratch = tempfile::tempdir()?;
    let into = Layout::create(scratch.path())?;
    let found = Source::new(&inspect.registry, Some(&inspect.image))?.look(&inspect.image, &into).await?;
    let manifests = found.manifests()?;
    let images: Result<Vec<ImageReport>> = manifests.iter().map(|manifest| image(&found.layout, manifest)).collect();
    let digest = digest_of(&found.descriptor)?;
    let report = Report { digest, media_type: found.descriptor.media_type().to_string(), images: images? };
    match global.output {
        Format::Json => json(&report),
        Format::Text => {
            line(report.digest.to_string());
            report.images.iter().for_each(text);
            Ok(())
        }
    }
}

fn image(layout: &Layout, descriptor: &Descriptor) -> Result<ImageReport> {
    let manifest = layout.manifest(descriptor)?;
    let config = layout.read(manifest.config())?;
    let config: Value = bowline_oci::decode("the configuration of the image", &config)?;
    let text = |field: &str| config.get(field).and_then(Value::as_str).unwrap_or("unknown");
    let variant = config.get("variant").and_then(Value::as_str).map_or_else(String::new, |it| format!("/{it}"));
    let layers = manifest.layers().iter();
    Ok(ImageReport {
        platform: format!("{}/{}{variant}", text("os"), text("architecture")),
        digest: digest_of(descriptor)?,
        layers: layers.map(|layer| LayerReport { digest: layer.digest().to_string(), bytes: layer.size() }).collect(),
        config: config.get("config").cloned().unwrap_or_default(),
        created: config.get("created").and_then(Value::as_str).map(str::to_owned),
    })
}

fn text(image: &ImageReport) {
    let label = |name: &str| image.config.pointer("/Labels")?.get(name)?.as_str().map(str::to_owned);
    let words = |field: &str| image.config.get(field).filter(|value| !value.is_null()).map(Value::to_string);
    line(format!("\n{}  {}", image.platform, image.digest));
    let rows = [
        ("created", image.created.clone()),
        ("commit", label(annotation::REVISION)),
        ("bundle", label(annotation::BUNDLE_DIGEST)),
        ("base", label(annotation::BASE_NAME).or_else(|| label(annotation::BASE_DIGEST))),
        ("user", image.config.get("User").and_then(Value::as_str).map(str::to_owned)),
        ("entrypoint", words("Entrypoint")),
        ("cmd", words("Cmd")),
    ];
    for (name, value) in rows {
        value.into_iter().for_each(|value| line(format!("  {name:<11} {value}")));
    }
    for layer in &image.layers {
        line(format!("  {:<11} {}  {}", "layer", layer.digest, size(layer.bytes)));
    }
}
