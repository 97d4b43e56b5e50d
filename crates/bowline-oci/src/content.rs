use bowline_types::Digest;
use oci_spec::image::{Descriptor, ImageIndex, ImageManifest, ImageManifestBuilder, MediaType, SCHEMA_VERSION};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{Error, Result};

/// The largest manifest or index that is read, in bytes: what registries accept at most (distribution-spec 1.1, "Pushing manifests",
/// <https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md>, read 2026-11-25, says at least 4 MiB).
pub const MANIFEST_BYTES_MAX: u64 = 4 << 20;

/// What Docker calls a manifest and an index; base images of before OCI still have them.
const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
const DOCKER_INDEX: &str = "application/vnd.docker.distribution.manifest.list.v2+json";

/// What a descriptor of a layout or a registry may lead to, beside a blob.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Document {
    /// One image or artifact.
    Manifest(Box<ImageManifest>),
    /// A list of manifests.
    Index(Box<ImageIndex>),
}

/// Returns the canonical bytes of a document: JSON with sorted keys and no white space, so that one content has one digest.
///
/// # Errors
/// Fails where the value has no JSON form.
pub fn encode(document: &impl Serialize) -> Result<Vec<u8>> {
    let mut value = serde_json::to_value(document).map_err(Error::Encode)?;
    // Annotations come from a hash map, whose order differs from run to run.
    value.sort_all_objects();
    serde_json::to_vec(&value).map_err(Error::Encode)
}

/// Reads a document from its bytes; `noun` names it in an error.
///
/// # Errors
/// Fails where the bytes are not such a document.
pub fn decode<T: DeserializeOwned>(noun: impl Into<String>, bytes: &[u8]) -> Result<T> {
    serde_json::from_slice(bytes).map_err(|source| Error::Decode { noun: noun.into(), source })
}

/// Returns the digest of a descriptor.
///
/// # Errors
/// Refuses any other algorithm than SHA-256.
pub fn digest_of(descriptor: &Descriptor) -> Result<Digest> {
    let text = descriptor.digest().to_string();
    text.parse().map_err(|_| Error::DigestUnsupported(text))
}

/// Returns the descriptor of content that has this digest and this many bytes.
///
/// # Errors
/// None happens: every digest of ours is one of OCI.
pub fn describe(media_type: MediaType, digest: Digest, size: u64) -> Result<Descriptor> {
    let text: oci_spec::image::Digest =
        digest.to_string().parse().map_err(|_| Error::DigestUnsupported(digest.to_string()))?;
    Ok(Descriptor::new(media_type, size, text))
}

/// Returns whether a media type is that of a manifest, OCI's or Docker's of old.
#[must_use]
pub fn is_manifest(media_type: &MediaType) -> bool {
    *media_type == MediaType::ImageManifest || media_type.as_ref() == DOCKER_MANIFEST
}

/// Returns whether a media type is that of an index, OCI's or Docker's of old.
#[must_use]
pub fn is_index(media_type: &MediaType) -> bool {
    *media_type == MediaType::ImageIndex || media_type.as_ref() == DOCKER_INDEX
}

/// Returns a manifest of a configuration and layers; the caller sets the artifact type, subject and annotations.
///
/// # Errors
/// None happens: everything that is required is given.
pub fn manifest(config: Descriptor, layers: Vec<Descriptor>) -> Result<ImageManifest> {
    let builder = ImageManifestBuilder::default().schema_version(SCHEMA_VERSION).media_type(MediaType::ImageManifest);
    builder.config(config).layers(layers).build().map_err(Error::Incomplete)
}

/// Returns an index of manifests.
#[must_use]
pub fn index(manifests: Vec<Descriptor>) -> ImageIndex {
    let mut index = ImageIndex::default();
    index.set_media_type(Some(MediaType::ImageIndex));
    index.set_manifests(manifests);
    index
}

/// Returns the descriptor under which a manifest is listed among the referrers of its subject: with its artifact type and its
/// annotations, as the referrers API answers them (distribution-spec 1.1, "Listing Referrers").
#[must_use]
pub fn as_referrer(descriptor: &Descriptor, manifest: &ImageManifest) -> Descriptor {
    let mut listed = Descriptor::new(descriptor.media_type().clone(), descriptor.size(), descriptor.digest().clone());
    // The type of an artifact is its own, else the type of its configuration.
    let of_config = || Some(manifest.config().media_type().clone());
    listed.set_artifact_type(manifest.artifact_type().clone().or_else(of_config));
    listed.set_annotations(manifest.annotations().clone());
    listed
}

// === impl Document ===

impl Document {
    /// Reads the document that a descriptor leads to; the media type of the descriptor decides what it is. One that says of itself to be
    /// of another type is refused, so that nobody makes a signed manifest be read as an index
    /// (<https://github.com/opencontainers/image-spec/blob/v1.1.1/manifest.md>, `mediaType`, read 2026-11-25).
    ///
    /// # Errors
    /// Fails where it is neither a manifest nor an index.
    pub fn read(descriptor: &Descriptor, bytes: &[u8]) -> Result<Self> {
        let noun = || format!("{} {}", descriptor.media_type(), descriptor.digest());
        let kind = descriptor.media_type();
        let wrong = |found: &MediaType, expected: &str| -> Result<Self> {
            let (found, expected) = (found.to_string(), expected.to_owned());
            Err(Error::Type { digest: digest_of(descriptor)?, found, expected })
        };
        let document = if is_manifest(kind) {
            Self::Manifest(Box::new(decode(noun(), bytes)?))
        } else if is_index(kind) {
            Self::Index(Box::new(decode(noun(), bytes)?))
        } else {
            return wrong(kind, "manifest or index");
        };
        match document.media_type() {
            Some(own) if own != kind => wrong(own, kind.as_ref()),
            _ => Ok(document),
        }
    }

    /// Returns what the document says that it is.
    fn media_type(&self) -> Option<&MediaType> {
        match self {
            Self::Manifest(manifest) => manifest.media_type().as_ref(),
            Self::Index(index) => index.media_type().as_ref(),
        }
    }

    /// Returns the descriptors that the document lists: the configuration and the layers, or the manifests.
    #[must_use]
    pub fn children(&self) -> Vec<&Descriptor> {
        match self {
            Self::Manifest(manifest) => std::iter::once(manifest.config()).chain(manifest.layers()).collect(),
            Self::Index(index) => index.manifests().iter().collect(),
        }
    }

    /// Returns what the document refers to, where it is a referrer.
    #[must_use]
    pub fn subject(&self) -> Option<&Descriptor> {
        match self {
            Self::Manifest(manifest) => manifest.subject().as_ref(),
            Self::Index(index) => index.subject().as_ref(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    #[test]
    fn one_content_has_one_encoding() {
        let config = describe(MediaType::EmptyJSON, Digest::of(b"{}"), 2).unwrap();
        let names = ["delta", "alpha", "charlie", "bravo"];
        let encoded = |names: &mut dyn Iterator<Item = &str>| {
            let mut manifest = manifest(config.clone(), vec![]).unwrap();
            let annotations: HashMap<_, _> = names.map(|name| (name.to_owned(), String::new())).collect();
            manifest.set_annotations(Some(annotations));
            String::from_utf8(encode(&manifest).unwrap()).unwrap()
        };
        let one = encoded(&mut names.into_iter());
        assert_eq!(one, encoded(&mut names.into_iter().rev()));
        assert!(
            one.starts_with(r#"{"annotations":{"alpha":"","bravo":"","charlie":"","delta":""},"config":{"#),
            "{one}"
        );
    }

    #[test]
    fn a_document_is_what_it_says_to_be() {
        let config = describe(MediaType::EmptyJSON, Digest::of(b"{}"), 2).unwrap();
        let mut both = serde_json::to_value(manifest(config, vec![]).unwrap()).unwrap();
        both["manifests"] = serde_json::json!([]);
        let bytes = encode(&both).unwrap();
        let described = |kind| describe(kind, Digest::of(&bytes), 1).unwrap();
        assert!(matches!(Document::read(&described(MediaType::ImageManifest), &bytes), Ok(Document::Manifest(_))));
        let swapped = Document::read(&described(MediaType::ImageIndex), &bytes);
        assert!(matches!(swapped, Err(Error::Type { .. })), "{swapped:?}");
    }

    #[test]
    fn referrers_carry_type_and_annotations() {
        let config = describe(MediaType::EmptyJSON, Digest::of(b"{}"), 2).unwrap();
        let listed = describe(MediaType::ImageManifest, Digest::of(b"m"), 1).unwrap();
        let mut referrer = manifest(config, vec![]).unwrap();
        assert_eq!(as_referrer(&listed, &referrer).artifact_type(), &Some(MediaType::EmptyJSON));
        referrer.set_artifact_type(Some("application/example".into()));
        referrer.set_annotations(Some(HashMap::from([("a".to_owned(), "b".to_owned())])));
        let listed = as_referrer(&listed, &referrer);
        assert_eq!(listed.artifact_type(), &Some("application/example".into()));
        assert_eq!(listed.annotations(), referrer.annotations());
    }
}
