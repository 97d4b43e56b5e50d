use std::collections::BTreeMap;

use bowline_types::Digest;
use jiff::Timestamp;
use oci_spec::image::{Descriptor, MediaType, PlatformBuilder};
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::{Account, Base, Error, Layer, Platform, Result};
use crate::Layout;

/// Names of labels and annotations: OCI's (<https://github.com/opencontainers/image-spec/blob/v1.1.1/annotations.md>, read 2026-11-25)
/// and ours.
pub mod annotation {
    /// When the image was made, as RFC 3339: the time of its commit.
    pub const CREATED: &str = "org.opencontainers.image.created";
    /// The commit it was made from.
    pub const REVISION: &str = "org.opencontainers.image.revision";
    /// Where the source is.
    pub const SOURCE: &str = "org.opencontainers.image.source";
    /// The version of what is packaged.
    pub const VERSION: &str = "org.opencontainers.image.version";
    /// The name of the base image.
    pub const BASE_NAME: &str = "org.opencontainers.image.base.name";
    /// The digest that this name stood for.
    pub const BASE_DIGEST: &str = "org.opencontainers.image.base.digest";
    /// The digest of the bundle that is inside.
    pub const BUNDLE_DIGEST: &str = "dev.bowline.bundle.digest";
}

/// Where programs are looked for when nothing says so: an image without a base has nobody else who could.
const PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Bytes with their name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blob {
    /// What they are.
    pub descriptor: Descriptor,
    /// The bytes.
    pub bytes: Vec<u8>,
}

/// What an image says about itself and about how it is run. What is `None` or empty stays as in the base.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// The program; with it, the base's arguments are forgotten.
    pub entrypoint: Option<Vec<String>>,
    /// Its arguments by default.
    pub cmd: Option<Vec<String>>,
    /// Variables of the environment; one of the base with the same name is replaced.
    pub env: Vec<(String, String)>,
    /// The working directory.
    pub workdir: Option<String>,
    /// As whom it runs.
    pub user: Option<Account>,
    /// Labels of the configuration, and annotations of the manifest and the index.
    pub labels: BTreeMap<String, String>,
    /// When it was made.
    pub created: Timestamp,
}

/// An image for one platform: what has to be stored besides its layers.
#[derive(Clone, Debug)]
pub struct Image {
    /// The manifest.
    pub manifest: Blob,
    /// The configuration.
    pub config: Blob,
    /// All layers, the base's first.
    pub layers: Vec<Descriptor>,
    /// What it runs on.
    pub platform: Platform,
}

// === impl Image ===

impl Image {
    /// Assembles the image with `layers` over `base`; over nothing where there is none.
    ///
    /// # Errors
    /// The base is for another platform.
    pub fn assemble(platform: &Platform, base: Option<&Base>, layers: &[Layer], settings: &Settings) -> Result<Self> {
        if let Some(base) = base.filter(|base| !platform.accepts(&base.platform)) {
            return Err(Error::Base {
                reason: format!(
                    "`{}` is for {}, not for {platform}\nhint: name a base for {platform}, or another --platform",
                    base.name, base.platform
                ),
            });
        }
        let platform = base.map_or(platform, |base| &base.platform);
        let annotations = annotations(base, settings);
        let config = Blob::json(MediaType::ImageConfig, &config(platform, base, layers, settings, &annotations))?;
        let mut descriptors = base.map(|base| base.layers.clone()).unwrap_or_default();
        for layer in layers {
            descriptors.push(crate::describe(MediaType::ImageLayerGzip, layer.digest, layer.size)?);
        }
        let mut manifest = crate::manifest(config.descriptor.clone(), descriptors.clone())?;
        manifest.set_annotations(Some(annotations.into_iter().collect()));
        let manifest = Blob::json(MediaType::ImageManifest, &manifest)?;
        Ok(Self { manifest, config, layers: descriptors, platform: platform.clone() })
    }
}

// === impl Blob ===

impl Blob {
    /// Returns a document in its canonical bytes, which depend on nothing but the value.
    ///
    /// # Errors
    /// The value cannot be written as JSON.
    pub fn json(media_type: MediaType, value: &impl Serialize) -> Result<Self> {
        Self::new(media_type, crate::encode(value)?)
    }

    /// Returns bytes with their name.
    ///
    /// # Errors
    /// None happens: every digest of ours is one of OCI.
    pub fn new(media_type: MediaType, bytes: Vec<u8>) -> Result<Self> {
        Ok(Self { descriptor: crate::describe(media_type, Digest::of(&bytes), bytes.len() as u64)?, bytes })
    }

    /// Writes the bytes to a layout.
    ///
    /// # Errors
    /// Those of the files.
    pub fn store(&self, layout: &Layout) -> Result<()> {
        layout.write(self.descriptor.media_type().clone(), &self.bytes)?;
        Ok(())
    }
}

/// Returns the index of images for several platforms, in the order of their platforms.
///
/// # Errors
/// Two are for the same platform.
pub fn index(images: &[Image], settings: &Settings, base: Option<&Base>) -> Result<Blob> {
    let by_platform: BTreeMap<&Platform, &Image> = images.iter().map(|image| (&image.platform, image)).collect();
    if by_platform.len() != images.len() {
        let reason = "two of the images are for the same platform\nhint: give each --platform once".to_owned();
        return Err(Error::Base { reason });
    }
    let manifests: Result<Vec<Descriptor>> = by_platform.values().map(|image| image.in_index()).collect();
    let mut index = crate::index(manifests?);
    index.set_annotations(Some(annotations(base, settings).into_iter().collect()));
    Blob::json(MediaType::ImageIndex, &index)
}

impl Image {
    /// Returns the descriptor of the manifest with the platform, as an index has it.
    fn in_index(&self) -> Result<Descriptor> {
        let Platform { architecture, os, variant } = &self.platform;
        let mut platform = PlatformBuilder::default().architecture(architecture.as_str()).os(os.as_str());
        if let Some(variant) = variant {
            platform = platform.variant(variant.as_str());
        }
        let mut descriptor = self.manifest.descriptor.clone();
        descriptor.set_platform(Some(platform.build().map_err(crate::Error::Incomplete)?));
        Ok(descriptor)
    }
}

fn annotations(base: Option<&Base>, settings: &Settings) -> BTreeMap<String, String> {
    let mut annotations = BTreeMap::from([(annotation::CREATED.to_owned(), settings.created.to_string())]);
    if let Some(base) = base {
        annotations.insert(annotation::BASE_DIGEST.to_owned(), base.digest.to_string());
    }
    annotations.extend(settings.labels.clone());
    annotations
}

/// Returns the configuration (<https://github.com/opencontainers/image-spec/blob/v1.1.1/config.md>, read 2026-11-25).
fn config(
    platform: &Platform,
    base: Option<&Base>,
    layers: &[Layer],
    settings: &Settings,
    labels: &BTreeMap<String, String>,
) -> Value {
    let mut config = base.and_then(|base| base.config.as_object().cloned()).unwrap_or_default();
    config.insert("architecture".to_owned(), json!(platform.architecture));
    config.insert("os".to_owned(), json!(platform.os));
    if let Some(variant) = &platform.variant {
        config.insert("variant".to_owned(), json!(variant));
    }
    config.insert("created".to_owned(), json!(settings.created.to_string()));
    let mut run = config.get("config").and_then(Value::as_object).cloned().unwrap_or_default();
    run_as(&mut run, settings);
    let mut all = run.get("Labels").and_then(Value::as_object).cloned().unwrap_or_default();
    all.extend(labels.iter().map(|(name, value)| (name.clone(), json!(value))));
    run.insert("Labels".to_owned(), Value::Object(all));
    config.insert("config".to_owned(), Value::Object(run));

    let mut diff_ids = items(config.get("rootfs").and_then(|rootfs| rootfs.get("diff_ids")));
    diff_ids.extend(layers.iter().map(|layer| json!(layer.diff_id)));
    config.insert("rootfs".to_owned(), json!({ "type": "layers", "diff_ids": diff_ids }));
    let mut history = items(config.get("history"));
    history.extend(
        layers.iter().map(|_| json!({ "created": settings.created.to_string(), "created_by": "bowline image build" })),
    );
    config.insert("history".to_owned(), Value::Array(history));
    Value::Object(config)
}

/// Changes how a program is run.
fn run_as(run: &mut Map<String, Value>, settings: &Settings) {
    if let Some(entrypoint) = &settings.entrypoint {
        run.insert("Entrypoint".to_owned(), json!(entrypoint));
        // The base's arguments were for the base's program.
        run.remove("Cmd");
    }
    if let Some(cmd) = &settings.cmd {
        run.insert("Cmd".to_owned(), json!(cmd));
    }
    if let Some(workdir) = &settings.workdir {
        run.insert("WorkingDir".to_owned(), json!(workdir));
    }
    if let Some(user) = &settings.user {
        run.insert("User".to_owned(), json!(user.to_string()));
    }
    let mut env = items(run.get("Env"));
    if env.is_empty() {
        env.push(json!(PATH));
    }
    for (name, value) in &settings.env {
        let entry = json!(format!("{name}={value}"));
        let is_same = |there: &&mut Value| {
            there.as_str().and_then(|there| there.split_once('=')).is_some_and(|(there, _)| there == name)
        };
        match env.iter_mut().find(is_same) {
            Some(there) => *there = entry,
            None => env.push(entry),
        }
    }
    run.insert("Env".to_owned(), Value::Array(env));
}

fn items(list: Option<&Value>) -> Vec<Value> {
    list.and_then(Value::as_array).cloned().unwrap_or_default()
}

#[cfg(test)]
mod tests;
