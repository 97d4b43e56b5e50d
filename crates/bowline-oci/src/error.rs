use std::io;
use std::path::PathBuf;

use bowline_types::Digest;

/// The result of an operation on OCI content.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why content could not be read, written or moved. Every text says where, and what to do next after `hint:`.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file operation failed.
    #[error("could not {operation} {}", .path.display())]
    File {
        /// The operation, as a verb phrase.
        operation: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// The folder holds no OCI layout of the version that this binary knows.
    #[error("{} is not an OCI layout: {reason}\nhint: a layout is a folder with `oci-layout`, `index.json` and `blobs/`", .path.display())]
    NotLayout {
        /// The folder.
        path: PathBuf,
        /// What was found.
        reason: String,
    },
    /// The text names neither a layout nor a repository of a registry.
    #[error(
        "`{text}` is not a reference: {reason}\nhint: write `REGISTRY/REPOSITORY:TAG`, `REGISTRY/REPOSITORY@sha256:…` or `oci:PATH[:TAG]`"
    )]
    Reference {
        /// The text.
        text: String,
        /// What is wrong.
        reason: String,
    },
    /// The layout does not hold what a reference names.
    #[error("{} holds nothing named `{name}`\nhint: it holds {known}", .path.display())]
    NameUnknown {
        /// The layout.
        path: PathBuf,
        /// The tag or digest asked for.
        name: String,
        /// The tags that are there, joined.
        known: String,
    },
    /// The layout lacks a blob that a manifest lists.
    #[error("{} lacks the blob {digest}\nhint: it was copied in part or cleaned; make or pull it again", .path.display())]
    BlobMissing {
        /// The layout.
        path: PathBuf,
        /// The blob.
        digest: Digest,
    },
    /// Content is not what its descriptor says.
    #[error(
        "{digest} from {place} is not what was published: {reason}\nhint: it was damaged or changed on the way; do not use it, and fetch it again"
    )]
    Damaged {
        /// The digest that was asked for.
        digest: Digest,
        /// Where the bytes came from.
        place: String,
        /// What was found.
        reason: String,
    },
    /// A digest of another kind than SHA-256.
    #[error("digest `{0}` is not supported\nhint: publish the content with SHA-256 digests")]
    DigestUnsupported(String),
    /// Content exceeds its bound.
    #[error("{noun} {digest} has {size} bytes, more than the {limit} that are read")]
    TooLarge {
        /// What it is.
        noun: &'static str,
        /// Its digest.
        digest: Digest,
        /// Its size in bytes.
        size: u64,
        /// The bound in bytes.
        limit: u64,
    },
    /// Bytes are not the document that they should be.
    #[error("{noun} cannot be read")]
    Decode {
        /// What it should be.
        noun: String,
        /// The cause.
        #[source]
        source: serde_json::Error,
    },
    /// A document of another type than expected.
    #[error("{digest} is a {found}, not a {expected}")]
    Type {
        /// Its digest.
        digest: Digest,
        /// The media type found.
        found: String,
        /// The media type expected.
        expected: String,
    },
    /// Certificates that cannot be used.
    #[error("the certificates cannot be used: {reason}\nhint: --ca-file takes certificates in PEM")]
    Certificates {
        /// What is wrong.
        reason: String,
    },
    /// An operation on a registry failed.
    #[error(transparent)]
    Registry(Box<crate::RegistryError>),
    /// A manifest lacks what it must have.
    #[error("could not make a manifest")]
    Incomplete(#[source] oci_spec::OciSpecError),
    /// A document cannot be written as JSON.
    #[error("could not encode a document")]
    Encode(#[source] serde_json::Error),
}

// === impl Error ===

impl Error {
    /// Returns the constructor of a failed file operation, for `map_err`.
    pub(crate) fn at(operation: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { operation, path, source }
    }
}
