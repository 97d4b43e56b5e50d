use std::io;

use bowline_types::{Digest, PromptName};

/// The result of an operation on bundles.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a bundle cannot be made or read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The project has errors.
    #[error("the project has errors, so there is nothing to bundle\nhint: `bowline check` shows them")]
    Project,
    /// The files of the project cannot be listed.
    #[error("could not list the files of the project")]
    List(#[source] io::Error),
    /// A file of the project cannot be read.
    #[error("could not read `{path}`")]
    Read {
        /// The file.
        path: String,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// A file, or all of one kind, is too large.
    #[error(
        "`{path}` has {size} bytes, more than the {limit} that go into a bundle\nhint: keep large data elsewhere and refer to it"
    )]
    TooLarge {
        /// The file or folder.
        path: String,
        /// Its size in bytes.
        size: usize,
        /// The bound in bytes.
        limit: usize,
    },
    /// Something has no JSON form.
    #[error("could not encode the bundle")]
    Encode(#[source] serde_json::Error),
    /// A part is not what its media type says.
    #[error("the {part} of the bundle cannot be read\nhint: was it made by another version of Bowline?")]
    Decode {
        /// The part.
        part: &'static str,
        /// The cause.
        #[source]
        source: serde_json::Error,
    },
    /// A bundle of another schema.
    #[error(
        "the {part} of the bundle has schema {found}, this binary reads {}\nhint: upgrade Bowline",
        super::Config::SCHEMA
    )]
    Schema {
        /// The part.
        part: &'static str,
        /// The schema found.
        found: u32,
    },
    /// A version is not what its digest says.
    #[error(
        "the version of `{prompt}` in the bundle hashes to {computed}, not to {given}\nhint: the bundle was changed; do not use it"
    )]
    VersionDigest {
        /// The prompt.
        prompt: PromptName,
        /// The digest it is listed with.
        given: Digest,
        /// The digest computed here.
        computed: Digest,
    },
    /// A file is not what its digest says.
    #[error("`{path}` in the bundle does not have its digest\nhint: the bundle was changed; do not use it")]
    FileDigest {
        /// The file.
        path: String,
    },
    /// Two parts of the bundle do not agree.
    #[error("the bundle does not agree with itself: {reason}\nhint: the bundle was changed; do not use it")]
    Disagrees {
        /// In what.
        reason: String,
    },
    /// A layer of a kind that this binary does not know.
    #[error("the bundle has a layer of type `{media_type}`, which this binary does not know\nhint: upgrade Bowline")]
    UnknownPart {
        /// The media type.
        media_type: String,
    },
    /// Not a bundle at all.
    #[error("not a bundle: {reason}\nhint: `bowline bundle push` publishes one; its image has the suffix `-image`")]
    NotBundle {
        /// What was found.
        reason: String,
    },
}
