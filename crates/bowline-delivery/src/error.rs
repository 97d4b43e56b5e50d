use std::io;

use bowline_types::{ProjectName, PromptName};

/// The result of an operation on bundles in layouts and registries.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a bundle could not be fetched, read, written, verified or released. Texts say what to do next after `hint:`.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The layout or the registry.
    #[error(transparent)]
    Oci(#[from] bowline_oci::Error),
    /// The image of a bundle.
    #[error(transparent)]
    Image(#[from] bowline_oci::image::Error),
    /// What is in the bundle.
    #[error(transparent)]
    Bundle(#[from] bowline_registry::bundle::Error),
    /// A key or a signature.
    #[error(transparent)]
    Signature(#[from] bowline_signature::Error),
    /// There is no place for what is fetched.
    #[error("no temporary folder can be made")]
    Temporary(#[source] io::Error),
    /// Somebody attached more than is read.
    #[error(
        "{count} things are attached to {bundle}, more than the {limit} that are read\nhint: remove old ones from the registry, or push under a new commit"
    )]
    AttachedTooMany {
        /// The bundle.
        bundle: String,
        /// How many.
        count: usize,
        /// The bound.
        limit: usize,
    },
    /// Something attached has not the one layer of a signature.
    #[error("it has {0} layers, not one")]
    AttachedLayers(usize),
    /// A signature holds, for another artifact than the one that it is attached to.
    #[error("what was signed is another artifact")]
    AttachedElsewhere,
    /// The time of the commit is none that an image can have.
    #[error("the time of the commit has no place in an image")]
    CommitTime(#[source] jiff::Error),
    /// Something has no JSON form.
    #[error("could not encode {what}")]
    Encode {
        /// What.
        what: String,
        /// The cause.
        #[source]
        source: serde_json::Error,
    },
    /// The project file in the bundle cannot be read.
    #[error("the project file in the bundle cannot be read\nhint: was it made by another version of Bowline?")]
    ProjectFile(#[source] serde_json::Error),
    /// The bundle of another project.
    #[error("the bundle is of project `{theirs}`, not of `{ours}`")]
    OtherProject {
        /// The project of the bundle.
        theirs: ProjectName,
        /// The one that is released.
        ours: ProjectName,
    },
    /// A prompt that is not in the bundle.
    #[error("the bundle has no prompt `{0}`\nhint: `bowline bundle inspect` shows what is in it")]
    PromptUnknown(PromptName),
}
