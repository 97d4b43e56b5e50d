use std::io;
use std::path::PathBuf;

use bowline_store::Error as StoreError;

/// The result of opening, copying or restoring a store.
pub type Result<T> = std::result::Result<T, Error>;

/// Why a store could not be opened, copied or restored. What happens afterwards is told by [`bowline_store::Error`].
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another process, or another part of this one, has the store open.
    #[error("the store in {} is in use by {}", .folder.display(), holder_name(.holder.as_ref()))]
    Locked {
        /// The folder of the store.
        folder: PathBuf,
        /// The process that holds it, as it wrote itself into the lock file.
        holder: Option<u32>,
    },
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
    /// The target of a copy exists; it is never overwritten.
    #[error("{} exists", .path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// A file is not a sound copy of a store.
    #[error("{} is not a sound copy of a store: {reason}", .path.display())]
    Unsound {
        /// The file.
        path: PathBuf,
        /// What was found.
        reason: String,
    },
    /// The engine failed, or the schema is too new.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Names the operation of an engine call that failed.
pub(crate) trait During<T> {
    fn during(self, operation: &'static str) -> bowline_store::Result<T>;
}

/// Names the operation and the path of a file call that failed.
pub(crate) trait AtPath<T> {
    fn at(self, operation: &'static str, path: impl Into<PathBuf>) -> Result<T>;
}

impl<T> During<T> for rusqlite::Result<T> {
    fn during(self, operation: &'static str) -> bowline_store::Result<T> {
        self.map_err(|source| StoreError::Engine { operation, source: Box::new(source) })
    }
}

impl<T> AtPath<T> for io::Result<T> {
    fn at(self, operation: &'static str, path: impl Into<PathBuf>) -> Result<T> {
        self.map_err(|source| Error::File { operation, path: path.into(), source })
    }
}

/// Returns the error of a precondition that does not hold.
pub(crate) fn conflict<T>(what: String) -> bowline_store::Result<T> {
    Err(StoreError::Conflict { what })
}

fn holder_name(holder: Option<&u32>) -> String {
    holder.map_or_else(|| "another process".to_owned(), |pid| format!("process {pid}"))
}
