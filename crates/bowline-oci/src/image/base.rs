use bowline_types::Digest;
use oci_spec::image::{Descriptor, ImageIndex, ImageManifest, MediaType};
use serde_json::Value;

use super::{Error, Platform, Result};

/// The most layers of a base; overlay file systems mount no more than 128.
const LAYERS_MAX: usize = 120;

/// The image that another one is built upon.
#[derive(Clone, Debug)]
pub struct Base {
    /// The name it was asked for by.
    pub name: String,
    /// The digest of what that name stands for: a manifest, or an index of several.
    pub digest: Digest,
    pub(super) layers: Vec<Descriptor>,
    /// As it came, since there is more in it than the specification says: health checks, shells.
    pub(super) config: Value,
    pub(super) platform: Platform,
}

// === impl Base ===

impl Base {
    /// Reads a base from the bytes of its manifest and configuration. Manifests of Docker's older form are taken as well.
    ///
    /// # Errors
    /// They are not those of an image for one platform.
    pub fn read(name: &str, digest: Digest, manifest: &[u8], config: &[u8]) -> Result<Self> {
        let manifest: ImageManifest = parse("manifest", manifest)?;
        let config: Value = parse("configuration", config)?;
        let text = |field: &str| config.get(field).and_then(Value::as_str).map(str::to_owned);
        let (Some(os), Some(architecture)) = (text("os"), text("architecture")) else {
            let kind = manifest.artifact_type().as_ref().unwrap_or_else(|| manifest.config().media_type());
            return Err(wrong(format!(
                "`{name}` is no container image: it is a `{kind}`, and its configuration has no `os` and `architecture`\n\
                 hint: a bundle has its image under the tag that ends in `-image`"
            )));
        };
        let count = config.pointer("/rootfs/diff_ids").and_then(Value::as_array).map_or(0, Vec::len);
        if count != manifest.layers().len() {
            let layers = manifest.layers().len();
            return Err(wrong(format!("`{name}` has {layers} layers, and its configuration lists {count}")));
        }
        if count > LAYERS_MAX {
            return Err(wrong(format!(
                "`{name}` has {count} layers, more than {LAYERS_MAX}\nhint: flatten it, as no runtime mounts many more"
            )));
        }
        let layers = manifest.layers().iter().cloned().map(as_oci).collect();
        let platform = Platform { architecture, os, variant: text("variant") };
        Ok(Self { name: name.to_owned(), digest, layers, config, platform })
    }

    /// Returns its layers, the lowest first.
    #[must_use]
    pub fn layers(&self) -> &[Descriptor] {
        &self.layers
    }

    /// Returns what it runs on.
    #[must_use]
    pub const fn platform(&self) -> &Platform {
        &self.platform
    }
}

/// Returns the image for a platform from an index.
///
/// # Errors
/// It is no index, or has no image for that platform.
pub fn choose(name: &str, index: &[u8], platform: &Platform) -> Result<Descriptor> {
    let index: ImageIndex = parse("index", index)?;
    let offered = |descriptor: &Descriptor| {
        let offered = descriptor.platform().as_ref()?;
        let variant = offered.variant().clone();
        Some(Platform { architecture: offered.architecture().to_string(), os: offered.os().to_string(), variant })
    };
    let found = index.manifests().iter().find(|it| offered(it).is_some_and(|offered| platform.accepts(&offered)));
    found.cloned().ok_or_else(|| {
        let mut names: Vec<String> = index.manifests().iter().filter_map(offered).map(|it| it.to_string()).collect();
        // Attestations of other tools stand in the index as images for nothing.
        names.retain(|name| name != "unknown/unknown");
        wrong(format!("`{name}` has no image for {platform}\nhint: it has {}", names.join(", ")))
    })
}

/// Returns a descriptor of Docker's older form with the media type that OCI has for the same bytes.
fn as_oci(mut layer: Descriptor) -> Descriptor {
    let media_type = match layer.media_type().to_string().as_str() {
        "application/vnd.docker.image.rootfs.diff.tar.gzip" => Some(MediaType::ImageLayerGzip),
        "application/vnd.docker.image.rootfs.diff.tar" => Some(MediaType::ImageLayer),
        _ => None,
    };
    if let Some(media_type) = media_type {
        layer.set_media_type(media_type);
    }
    layer
}

fn parse<T: serde::de::DeserializeOwned>(what: &str, bytes: &[u8]) -> Result<T> {
    serde_json::from_slice(bytes).map_err(|error| wrong(format!("its {what} cannot be read: {error}")))
}

const fn wrong(reason: String) -> Error {
    Error::Base { reason }
}
