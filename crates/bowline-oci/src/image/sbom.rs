use bowline_types::Digest;
use jiff::Timestamp;
use oci_spec::image::MediaType;
use serde::Serialize;

use super::{Blob, LayerFile, Platform, Result};

/// The media type of a CycloneDX document in JSON.
pub const SBOM_MEDIA_TYPE: &str = "application/vnd.cyclonedx+json";

/// What the bill of materials of an image says.
#[derive(Clone, Debug)]
pub struct Sbom<'a> {
    /// The name of the image: its repository, or what else it is called.
    pub name: &'a str,
    /// What it is attached to: the digest of the manifest or index.
    pub digest: Digest,
    /// When the image was made.
    pub created: Timestamp,
    /// The version of Bowline that made it.
    pub tool_version: &'a str,
    /// The base image.
    pub base: Option<SbomBase<'a>>,
    /// What was added, per platform.
    pub targets: Vec<SbomTarget<'a>>,
}

/// The base image in a bill of materials. What is inside is for its own.
#[derive(Clone, Copy, Debug)]
pub struct SbomBase<'a> {
    /// The name it was asked for by.
    pub name: &'a str,
    /// The digest that this name stood for.
    pub digest: Digest,
}

/// What was added to an image for one platform.
#[derive(Clone, Copy, Debug)]
pub struct SbomTarget<'a> {
    /// The platform.
    pub platform: &'a Platform,
    /// The files.
    pub files: &'a [LayerFile],
}

/// Wire form: CycloneDX 1.6 (<https://cyclonedx.org/docs/1.6/json/>, read 2026-11-25), the part of it that is used. No serial number: the document
/// is to be the same for the same image.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    bom_format: &'static str,
    spec_version: &'static str,
    version: u32,
    metadata: Metadata,
    components: Vec<Component>,
}

#[derive(Serialize)]
struct Metadata {
    timestamp: String,
    tools: Tools,
    component: Component,
}

#[derive(Serialize)]
struct Tools {
    components: Vec<Component>,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Component {
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    bom_ref: Option<String>,
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    hashes: Vec<Hash>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    properties: Vec<Property>,
}

#[derive(Serialize)]
struct Hash {
    alg: &'static str,
    content: String,
}

#[derive(Serialize)]
struct Property {
    name: &'static str,
    value: String,
}

// === impl Sbom ===

impl Sbom<'_> {
    /// Returns the document.
    ///
    /// # Errors
    /// It cannot be written as JSON.
    pub fn document(&self) -> Result<Blob> {
        let mut components: Vec<Component> = self.base.iter().map(|base| container(base.name, base.digest)).collect();
        for target in &self.targets {
            components.extend(target.files.iter().map(|file| file_component(target.platform, file)));
        }
        let tool = Component { version: Some(self.tool_version.to_owned()), ..named("application", "bowline") };
        let document = Document {
            bom_format: "CycloneDX",
            spec_version: "1.6",
            version: 1,
            metadata: Metadata {
                timestamp: self.created.to_string(),
                tools: Tools { components: vec![tool] },
                component: container(self.name, self.digest),
            },
            components,
        };
        Blob::json(MediaType::from(SBOM_MEDIA_TYPE), &document)
    }
}

fn container(name: &str, digest: Digest) -> Component {
    Component {
        bom_ref: Some(format!("{name}@{digest}")),
        version: Some(digest.to_string()),
        hashes: vec![sha256(digest)],
        ..named("container", name)
    }
}

fn file_component(platform: &Platform, file: &LayerFile) -> Component {
    let property = |name, value| Property { name, value };
    Component {
        bom_ref: Some(format!("{platform}:{}", file.path)),
        hashes: vec![sha256(file.digest)],
        properties: vec![
            property("bowline:platform", platform.to_string()),
            property("bowline:bytes", file.size.to_string()),
        ],
        ..named("file", &file.path.to_string())
    }
}

fn named(kind: &'static str, name: &str) -> Component {
    let name = name.to_owned();
    Component { kind, bom_ref: None, name, version: None, hashes: Vec::new(), properties: Vec::new() }
}

fn sha256(digest: Digest) -> Hash {
    Hash { alg: "SHA-256", content: digest.hex() }
}
