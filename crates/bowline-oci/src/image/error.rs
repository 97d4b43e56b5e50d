use std::path::PathBuf;

/// The result of assembling an image.
pub type Result<T> = std::result::Result<T, Error>;

/// Why an image was not assembled. Texts say what to do next after `hint:`.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A path that cannot be in an image.
    #[error(
        "`{path}` is no path in an image: {reason}\nhint: paths are absolute and stay below the root, such as `/app/prompts`"
    )]
    Path {
        /// The path as it was given.
        path: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A file or folder that is to be added could not be read.
    #[error("could not read {}", path.display())]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// A socket, device or pipe.
    #[error("{} is neither a file, a folder nor a symbolic link\nhint: leave it out, images hold no sockets, pipes or devices", path.display())]
    Special {
        /// Where it is.
        path: PathBuf,
    },
    /// A name that is no UTF-8.
    #[error("the name of {} is not UTF-8\nhint: rename it, as not every container runtime can unpack such a name", path.display())]
    Name {
        /// Where it is.
        path: PathBuf,
    },
    /// Two things for one place.
    #[error("`/{path}` is added twice\nhint: add it once, or give one of them another place")]
    Twice {
        /// The place in the image.
        path: String,
    },
    /// Something is to be below what is no folder.
    #[error("`/{path}` is below `/{parent}`, which is added as a file or link\nhint: give one of them another place")]
    Below {
        /// The place in the image.
        path: String,
        /// What is in the way.
        parent: String,
    },
    /// Too many files.
    #[error("more than {limit} files are added\nhint: add the folders that the program needs, not the whole tree")]
    Many {
        /// The most that a layer may hold.
        limit: usize,
    },
    /// Too many bytes.
    #[error("more than {} GiB are added\nhint: large data belongs on a volume, not into an image", limit >> 30)]
    Large {
        /// The most that a layer may hold, in bytes.
        limit: u64,
    },
    /// A file became shorter or longer while it was copied.
    #[error("{} changed while it was read\nhint: wait until whatever writes it has ended", path.display())]
    Changed {
        /// The file.
        path: PathBuf,
    },
    /// The result could not be written.
    #[error("could not write the {what}")]
    Write {
        /// What was being written.
        what: &'static str,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// Content could not be stored or encoded.
    #[error(transparent)]
    Content(#[from] crate::Error),
    /// The base image is none that can be built upon.
    #[error("the base image cannot be used: {reason}")]
    Base {
        /// What is wrong with it, with a hint.
        reason: String,
    },
    /// A platform that is not written `OS/ARCHITECTURE`.
    #[error(
        "`{0}` is no platform\nhint: write OS/ARCHITECTURE or OS/ARCHITECTURE/VARIANT, such as linux/amd64 or linux/arm/v7"
    )]
    Platform(String),
    /// A user that is not written as numbers.
    #[error(
        "`{0}` is no user\nhint: write UID or UID:GID in numbers, such as 65532:65532: names need an /etc/passwd, and Kubernetes cannot tell that they are not root"
    )]
    User(String),
}
