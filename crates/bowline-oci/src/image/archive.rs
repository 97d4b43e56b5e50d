use std::io::Write;
use std::path::Path;

use super::layer::write_tar;
use super::{Account, Error, Files, Result};

/// What an OCI layout consists of
/// (<https://github.com/opencontainers/image-spec/blob/v1.1.1/image-layout.md>, read 2026-11-25).
const PARTS: [&str; 3] = ["blobs", "index.json", "oci-layout"];

/// Writes the OCI layout in a folder as an OCI archive: the same layout gives the same bytes.
///
/// # Errors
/// A file of the layout cannot be read, or `out` takes no more.
pub fn write_archive(layout: &Path, out: impl Write) -> Result<()> {
    let mut files = Files::default();
    for part in PARTS {
        files.add(&layout.join(part), &format!("/{part}"))?;
    }
    files.add_parents()?;
    let (mut out, _, _) = write_tar(&files, Account::default(), 0, out)?;
    out.flush().map_err(|source| Error::Write { what: "OCI archive", source })
}
