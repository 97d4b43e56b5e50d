//! The file that a gateway starts from while the control role is down.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use bowline_types::Digest;
use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};

use super::Snapshot;
use crate::private_file::replace_private_file;

/// Why a snapshot could not be written to its file, or read from it.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotFileError {
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
    /// The snapshot cannot be written as JSON.
    #[error("could not encode the snapshot")]
    Encode(#[source] serde_json::Error),
    /// The file is not a whole snapshot.
    #[error("{} is not a whole snapshot: {reason}", .path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What was found.
        reason: String,
    },
    /// The file was written by a Bowline that is too new or too old.
    #[error("{} is a snapshot of schema {found}, this binary reads {} to {}", .path.display(), Snapshot::SCHEMA_OLDEST, Snapshot::SCHEMA)]
    Schema {
        /// The file.
        path: PathBuf,
        /// The schema of the file.
        found: u32,
    },
}

/// What the file holds: the snapshot with the SHA-256 of its very bytes, since half a snapshot must never be served.
#[derive(Serialize, Deserialize)]
struct Envelope {
    schema_version: u32,
    sha256: Digest,
    snapshot: Box<RawValue>,
}

impl Snapshot {
    /// Writes the snapshot to a file, whole or not at all: beside it first, synced, then renamed. Only the owner may read it, as it
    /// holds prompts and the hashes of keys. Blocks.
    ///
    /// # Errors
    /// Those of the files; the file before is then still there.
    pub fn write(&self, path: &Path) -> Result<(), SnapshotFileError> {
        let snapshot = to_raw_value(self).map_err(SnapshotFileError::Encode)?;
        let sha256 = Digest::of(snapshot.get().as_bytes());
        let envelope = Envelope { schema_version: self.schema_version, sha256, snapshot };
        let bytes = serde_json::to_vec(&envelope).map_err(SnapshotFileError::Encode)?;
        replace_private_file(path, &bytes).map_err(|error| at(error.operation, &error.path)(error.source))
    }

    /// Reads the snapshot of a file; `None` where there is none. Blocks.
    ///
    /// # Errors
    /// Refuses a file that is damaged or of another schema; the caller then waits for the control role as if there were none.
    pub fn read(path: &Path) -> Result<Option<Self>, SnapshotFileError> {
        let bytes = match fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(at("read", path)(source)),
        };
        let damaged = |reason: String| SnapshotFileError::Damaged { path: path.to_owned(), reason };
        let envelope: Envelope = serde_json::from_slice(&bytes).map_err(|error| damaged(error.to_string()))?;
        let found = envelope.schema_version;
        if !(Self::SCHEMA_OLDEST..=Self::SCHEMA).contains(&found) {
            return Err(SnapshotFileError::Schema { path: path.to_owned(), found });
        }
        if Digest::of(envelope.snapshot.get().as_bytes()) != envelope.sha256 {
            return Err(damaged("its content does not have its digest".to_owned()));
        }
        serde_json::from_str(envelope.snapshot.get()).map(Some).map_err(|error| damaged(error.to_string()))
    }
}

fn at(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> SnapshotFileError {
    let path = path.to_owned();
    move |source| SnapshotFileError::File { operation, path, source }
}

#[cfg(test)]
mod tests {
    use bowline_types::Timestamp;

    use super::*;

    fn snapshot(epoch: u64) -> Snapshot {
        Snapshot { epoch, ..Snapshot::empty(Timestamp::from_micros(1_790_000_000_000_000)) }
    }

    #[test]
    fn files_are_replaced_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("snapshot.json");
        assert_eq!(Snapshot::read(&path).unwrap(), None);
        for epoch in [1, 2] {
            snapshot(epoch).write(&path).unwrap();
            assert_eq!(Snapshot::read(&path).unwrap(), Some(snapshot(epoch)));
        }
        // What a crash leaves beside it changes nothing.
        fs::write(folder.path().join("snapshot.json.partial"), "{").unwrap();
        assert_eq!(Snapshot::read(&path).unwrap(), Some(snapshot(2)));
        snapshot(3).write(&path).unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        assert_eq!(Snapshot::read(&path).unwrap(), Some(snapshot(3)));
    }

    #[test]
    fn damaged_files_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("snapshot.json");
        snapshot(7).write(&path).unwrap();
        let whole = fs::read(&path).unwrap();
        for length in 0..whole.len() {
            fs::write(&path, &whole[..length]).unwrap();
            assert!(matches!(Snapshot::read(&path), Err(SnapshotFileError::Damaged { .. })), "{length} bytes");
        }
        let text = String::from_utf8(whole).unwrap();
        for (from, to) in [("\"epoch\":7", "\"epoch\":8"), ("{\"schema", "[{\"schema"), ("{}", "{ }")] {
            assert!(text.contains(from), "{text}");
            fs::write(&path, text.replace(from, to)).unwrap();
            assert!(matches!(Snapshot::read(&path), Err(SnapshotFileError::Damaged { .. })), "{from} to {to}");
        }
    }

    #[test]
    fn other_schemas_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("snapshot.json");
        for schema_version in [0, Snapshot::SCHEMA + 1] {
            Snapshot { schema_version, ..snapshot(1) }.write(&path).unwrap();
            let found = Snapshot::read(&path);
            assert!(
                matches!(found, Err(SnapshotFileError::Schema { found, .. }) if found == schema_version),
                "{found:?}"
            );
        }
    }

    #[cfg(unix)]
    #[test]
    fn only_the_owner_may_read() {
        use std::os::unix::fs::PermissionsExt as _;

        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("snapshot.json");
        snapshot(1).write(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }
}
