//! A bundle: everything of one commit, locked. What it is made of, as bytes; where it is kept is the matter of others.
//!
//! An OCI artifact of type [`ARTIFACT_TYPE`]: a configuration that lists what is inside, and one layer per kind of content. The same commit gives
//! the same bytes on every machine: entries are sorted, texts have LF line ends, and the only time is that of the commit.

mod build;
mod diff;
mod error;
mod read;
mod sbom;
#[cfg(test)]
mod tests;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bowline_canary::Plan;
use bowline_prompt::Version;
use bowline_store::Provenance;
use bowline_types::{Digest, ProjectName, PromptName, SuccessContract, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use diff::{BundleDiff, FileChange, VersionChange};
pub use error::{Error, Result};
pub use sbom::MEDIA_TYPE as SBOM_MEDIA_TYPE;

/// The type of the artifact.
pub const ARTIFACT_TYPE: &str = "application/vnd.bowline.bundle.v1";
/// The media type of its configuration.
pub const CONFIG_MEDIA_TYPE: &str = "application/vnd.bowline.bundle.config.v1+json";

/// The largest file that goes into a bundle, in bytes.
pub const FILE_BYTES_MAX: usize = 8 << 20;
/// The most that the files of one kind may have together, in bytes.
pub const PART_BYTES_MAX: usize = 32 << 20;

/// Everything of one commit.
#[derive(Clone, Debug, PartialEq)]
pub struct Bundle {
    /// What it is, and the list of what is inside.
    pub config: Config,
    /// The versions of its prompts, by name.
    pub versions: Vec<PromptVersion>,
    /// Files of every other kind.
    pub files: Files,
    /// The lock: the text of `bowline.lock`.
    pub lock: String,
}

/// What a bundle is: the configuration of the artifact.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// [`Config::SCHEMA`] at the time of writing.
    pub schema_version: u32,
    /// The project.
    pub project: ProjectName,
    /// The commit, and whether the tree differed from it.
    pub provenance: Provenance,
    /// When the commit was made; none outside a repository.
    pub committed_at: Option<Timestamp>,
    /// The versions, by the name of their prompts.
    pub versions: Vec<Listed>,
    /// The project file as it is read, all environments included. References to secrets are in it, secrets are not.
    pub project_file: Value,
}

/// A prompt and its version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listed {
    /// The prompt.
    pub name: PromptName,
    /// The identity of the version.
    pub digest: Digest,
}

/// A version with what a release needs beside it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PromptVersion {
    /// The prompt.
    pub name: PromptName,
    /// The identity of the version.
    pub digest: Digest,
    /// The closure.
    pub version: Version,
    /// The success contract.
    pub success: SuccessContract,
    /// The plan of the prompt's own front matter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<Plan>,
    /// The path of its suite.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suite: Option<String>,
    /// Whose it is.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub owners: Vec<String>,
}

/// The files of a bundle, by kind; each list is sorted by path.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Files {
    /// Below `evals/`: suites and their data.
    pub suites: Vec<File>,
    /// Below `guards/`.
    pub guards: Vec<File>,
    /// Below `flows/`.
    pub flows: Vec<File>,
    /// Below `schemas/`.
    pub schemas: Vec<File>,
}

/// A file of a project.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct File {
    /// Its path from the root of the project.
    pub path: String,
    /// The digest of its bytes; of a text with LF line ends, so that it is the one in the lock.
    pub digest: Digest,
    /// What is in it.
    #[serde(flatten)]
    pub content: Content,
}

/// What is in a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Content {
    /// A text with LF line ends.
    Text(String),
    /// Anything else, in base 64.
    Base64(String),
}

/// A kind of content; each has a layer of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Versions of prompts.
    Versions,
    /// Suites and their data.
    Suites,
    /// Guards.
    Guards,
    /// Flows.
    Flows,
    /// Schemas.
    Schemas,
    /// The lock.
    Lock,
}

/// One layer of a bundle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// What is in it.
    pub kind: Kind,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// The document in a layer of files.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct FilesDocument {
    schema_version: u32,
    files: Vec<File>,
}

/// The document in the layer of versions.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct VersionsDocument {
    schema_version: u32,
    versions: Vec<PromptVersion>,
}

// === impl Config ===

impl Config {
    /// The schema version that new bundles carry.
    pub const SCHEMA: u32 = 1;
}

// === impl Kind ===

impl Kind {
    /// Every kind, in the order of the layers.
    pub const ALL: [Self; 6] = [Self::Versions, Self::Suites, Self::Guards, Self::Flows, Self::Schemas, Self::Lock];

    /// Returns the media type of its layer.
    #[must_use]
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::Versions => "application/vnd.bowline.versions.v1+json",
            Self::Suites => "application/vnd.bowline.suites.v1+json",
            Self::Guards => "application/vnd.bowline.guards.v1+json",
            Self::Flows => "application/vnd.bowline.flows.v1+json",
            Self::Schemas => "application/vnd.bowline.schemas.v1+json",
            Self::Lock => "application/vnd.bowline.lock.v1+text",
        }
    }

    /// Returns the word for people.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Versions => "versions",
            Self::Suites => "suites",
            Self::Guards => "guards",
            Self::Flows => "flows",
            Self::Schemas => "schemas",
            Self::Lock => "lock",
        }
    }

    /// Returns the folder of a project whose files are of this kind.
    const fn folder(self) -> Option<&'static str> {
        match self {
            Self::Suites => Some("evals/"),
            Self::Guards => Some("guards/"),
            Self::Flows => Some("flows/"),
            Self::Schemas => Some("schemas/"),
            Self::Versions | Self::Lock => None,
        }
    }
}

// === impl Files ===

impl Files {
    /// Returns the files of a kind; none for versions and the lock, which are no files.
    #[must_use]
    pub fn of(&self, kind: Kind) -> &[File] {
        match kind {
            Kind::Suites => &self.suites,
            Kind::Guards => &self.guards,
            Kind::Flows => &self.flows,
            Kind::Schemas => &self.schemas,
            Kind::Versions | Kind::Lock => &[],
        }
    }

    /// Returns all files with their kinds.
    pub fn iter(&self) -> impl Iterator<Item = (Kind, &File)> {
        Kind::ALL.into_iter().flat_map(|kind| self.of(kind).iter().map(move |file| (kind, file)))
    }

    fn of_mut(&mut self, kind: Kind) -> Option<&mut Vec<File>> {
        match kind {
            Kind::Suites => Some(&mut self.suites),
            Kind::Guards => Some(&mut self.guards),
            Kind::Flows => Some(&mut self.flows),
            Kind::Schemas => Some(&mut self.schemas),
            Kind::Versions | Kind::Lock => None,
        }
    }
}

// === impl File ===

impl File {
    /// Returns a file; a text loses its CR line ends.
    #[must_use]
    pub fn new(path: &str, bytes: Vec<u8>) -> Self {
        match String::from_utf8(bytes) {
            Ok(text) => {
                let text = text.replace("\r\n", "\n");
                Self { path: path.to_owned(), digest: Digest::of(text.as_bytes()), content: Content::Text(text) }
            }
            Err(other) => {
                let bytes = other.into_bytes();
                let content = Content::Base64(STANDARD.encode(&bytes));
                Self { path: path.to_owned(), digest: Digest::of(&bytes), content }
            }
        }
    }

    /// Returns its bytes.
    ///
    /// # Errors
    /// Refuses base 64 that is none.
    pub fn bytes(&self) -> Result<Vec<u8>> {
        match &self.content {
            Content::Text(text) => Ok(text.clone().into_bytes()),
            Content::Base64(text) => STANDARD.decode(text).map_err(|_| Error::FileDigest { path: self.path.clone() }),
        }
    }
}

// === impl Bundle ===

impl Bundle {
    /// Returns the bytes of the configuration.
    ///
    /// # Errors
    /// Fails where it has no JSON form.
    pub fn config_bytes(&self) -> Result<Vec<u8>> {
        encode(&self.config)
    }

    /// Returns the layers, in order; a kind without content has none.
    ///
    /// # Errors
    /// Fails where something has no JSON form.
    pub fn parts(&self) -> Result<Vec<Part>> {
        let mut parts = Vec::new();
        for kind in Kind::ALL {
            let bytes = match kind {
                Kind::Versions if self.versions.is_empty() => continue,
                Kind::Versions => {
                    encode(&VersionsDocument { schema_version: Config::SCHEMA, versions: self.versions.clone() })?
                }
                Kind::Lock => self.lock.clone().into_bytes(),
                _ if self.files.of(kind).is_empty() => continue,
                _ => encode(&FilesDocument { schema_version: Config::SCHEMA, files: self.files.of(kind).to_vec() })?,
            };
            parts.push(Part { kind, bytes });
        }
        Ok(parts)
    }

    /// Returns the version of a prompt.
    #[must_use]
    pub fn version(&self, name: &PromptName) -> Option<&PromptVersion> {
        self.versions.iter().find(|version| version.name == *name)
    }
}

/// Writes a document. Its keys are not sorted: fields stand in the order of the code, and schemas in that of their author, which models follow.
fn encode(document: &impl Serialize) -> Result<Vec<u8>> {
    serde_json::to_vec(document).map_err(Error::Encode)
}
