use std::collections::HashMap;

use bowline_oci::image::{Account, Files, Image, ImagePath, Platform, Settings, annotation, write_layer};
use bowline_oci::{Descriptor, Layout, MediaType, digest_of, is_index, manifest};
use bowline_registry::bundle::{self, Bundle};
use bowline_types::Digest;

use crate::error::{Error, Result};

/// Where the content of a bundle is in its image.
const ROOT: &str = "/bowline";
/// What the image of a bundle runs on: it holds data only, so that all of them share one layer.
const PLATFORMS: [&str; 2] = ["linux/amd64", "linux/arm64"];

/// A bundle that was written to a layout.
#[derive(Clone, Debug)]
pub struct Stored {
    /// Its manifest.
    pub bundle: Descriptor,
    /// The index of its image.
    pub image: Descriptor,
}

/// Writes a bundle, and the image with the same content, to a layout; gives them no names.
///
/// # Errors
/// Those of the layout.
pub fn write(bundle: &Bundle, layout: &Layout) -> Result<Stored> {
    let config = layout.write(bundle::CONFIG_MEDIA_TYPE.into(), &bundle.config_bytes()?)?;
    let mut layers = Vec::new();
    for part in bundle.parts()? {
        layers.push(layout.write(part.kind.media_type().into(), &part.bytes)?);
    }
    let mut artifact = manifest(config, layers)?;
    artifact.set_artifact_type(Some(bundle::ARTIFACT_TYPE.into()));
    artifact.set_annotations(Some(annotations(bundle)));
    let artifact = layout.write_document(MediaType::ImageManifest, &artifact)?;
    let image = image(bundle, digest_of(&artifact)?, layout)?;
    Ok(Stored { bundle: artifact, image })
}

/// Reads a bundle from a layout; everything is held against its digest.
///
/// # Errors
/// It is no bundle, or is damaged.
pub fn read(layout: &Layout, descriptor: &Descriptor) -> Result<Bundle> {
    if is_index(descriptor.media_type()) {
        return Err(bundle::Error::NotBundle { reason: "it is an index of images".to_owned() }.into());
    }
    let manifest = layout.manifest(descriptor)?;
    let found = manifest.artifact_type().as_ref().map(ToString::to_string);
    if found.as_deref() != Some(bundle::ARTIFACT_TYPE) {
        let reason = found.map_or_else(|| "it has no artifact type".to_owned(), |found| format!("it is `{found}`"));
        return Err(bundle::Error::NotBundle { reason }.into());
    }
    let config = layout.read(manifest.config())?;
    let mut layers = Vec::new();
    for layer in manifest.layers() {
        layers.push((layer.media_type().to_string(), layout.read(layer)?));
    }
    let layers = layers.iter().map(|(media_type, bytes)| (media_type.as_str(), bytes.as_slice()));
    Ok(Bundle::read(&config, layers)?)
}

fn annotations(bundle: &Bundle) -> HashMap<String, String> {
    let provenance = &bundle.config.provenance;
    let title = Some(("org.opencontainers.image.title".to_owned(), bundle.config.project.to_string()));
    let revision = provenance.commit.clone().map(|commit| (annotation::REVISION.to_owned(), commit));
    let created = bundle.config.committed_at.map(|at| (annotation::CREATED.to_owned(), at.to_string()));
    title.into_iter().chain(revision).chain(created).collect()
}

/// Writes the image: what is in the bundle, as files under `/bowline`.
fn image(bundle: &Bundle, digest: Digest, layout: &Layout) -> Result<Descriptor> {
    let mut files = content(bundle)?;
    files.add_parents()?;
    let created = bundle.config.committed_at.map_or(0, |at| at.as_micros().div_euclid(1_000_000));
    let mut writer = layout.writer()?;
    let seconds = u64::try_from(created).unwrap_or(0);
    let layer = write_layer(&files, Account::default(), seconds, &mut writer)?;
    writer.finish(MediaType::ImageLayerGzip)?;
    let mut labels: std::collections::BTreeMap<_, _> = annotations(bundle).into_iter().collect();
    labels.insert(annotation::BUNDLE_DIGEST.to_owned(), digest.to_string());
    let created = jiff::Timestamp::from_second(created).map_err(Error::CommitTime)?;
    let settings = Settings { labels, created, ..Settings::default() };
    let mut images = Vec::new();
    for platform in PLATFORMS {
        let platform: Platform = platform.parse()?;
        let image = Image::assemble(&platform, None, std::slice::from_ref(&layer), &settings)?;
        image.config.store(layout)?;
        image.manifest.store(layout)?;
        images.push(image);
    }
    let index = bowline_oci::image::index(&images, &settings, None)?;
    index.store(layout)?;
    Ok(index.descriptor)
}

/// Returns the files of the image: `bundle.json`, `bowline.lock`, one file per version below `prompts/`, and the files of the project.
///
/// # Errors
/// A path has no place in an image.
pub fn content(bundle: &Bundle) -> Result<Files> {
    let mut files = Files::default();
    let root = ImagePath::parse(ROOT)?;
    let mut add =
        |path: &str, bytes: Vec<u8>| -> Result<()> { Ok(files.add_bytes(root.join(path)?, bytes.into(), false)?) };
    add("bundle.json", bundle.config_bytes()?)?;
    add("bowline.lock", bundle.lock.clone().into_bytes())?;
    for version in &bundle.versions {
        let bytes =
            serde_json::to_vec(version).map_err(|source| Error::Encode { what: version.name.to_string(), source })?;
        add(&format!("prompts/{}.json", version.name), bytes)?;
    }
    for (_, file) in bundle.files.iter() {
        add(&file.path, file.bytes()?)?;
    }
    Ok(files)
}
