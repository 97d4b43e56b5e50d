use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;

use bowline_types::Digest;
use flate2::{Compression, GzBuilder};
use sha2::{Digest as _, Sha256};
use tar::{EntryType, Header};

use super::{Account, Content, Error, Files, ImagePath, Result};

/// The level of compression: the default of gzip.
const LEVEL: u32 = 6;
/// "Unknown" in a gzip header (RFC 1952), which would else name the system that compressed.
const GZIP_SYSTEM: u8 = 255;

/// A layer that was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layer {
    /// The digest of the archive before compression, which the image configuration names.
    pub diff_id: Digest,
    /// The digest of the bytes that were written, which the manifest names.
    pub digest: Digest,
    /// How many were written.
    pub size: u64,
    /// Its files, in order; folders and links are not among them.
    pub files: Vec<LayerFile>,
}

/// A file of a layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LayerFile {
    /// Its place.
    pub path: ImagePath,
    /// Its size, in bytes.
    pub size: u64,
    /// The digest of its content.
    pub digest: Digest,
}

/// Hashes and counts what passes through to a writer.
struct Hashing<W> {
    inner: W,
    hash: Sha256,
    count: u64,
}

/// Writes files as a gzipped tar archive. The same files, account and time give the same bytes.
///
/// `seconds` is the time of every entry, in seconds since 1970.
///
/// # Errors
/// A file cannot be read or changes meanwhile, or `out` takes no more.
pub fn write_layer(files: &Files, account: Account, seconds: u64, out: impl Write) -> Result<Layer> {
    let gzip = GzBuilder::new().mtime(0).operating_system(GZIP_SYSTEM);
    let gzip = gzip.write(Hashing::new(out), Compression::new(LEVEL));
    let (gzip, diff_id, written) = write_tar(files, account, seconds, gzip)?;
    let (mut out, digest, size) = gzip.finish().map_err(unwritten)?.finish();
    out.flush().map_err(unwritten)?;
    Ok(Layer { diff_id, digest, size, files: written })
}

/// Writes files as a tar archive, and returns the writer, the digest of what went there, and its files.
pub(super) fn write_tar<W: Write>(
    files: &Files,
    account: Account,
    seconds: u64,
    out: W,
) -> Result<(W, Digest, Vec<LayerFile>)> {
    files.check()?;
    let mut archive = tar::Builder::new(Hashing::new(out));
    let mut written = Vec::new();
    for (place, content) in files.iter() {
        let mut header = header(content, account, seconds);
        let digest = append(&mut archive, &mut header, place, content)?;
        written.extend(digest.map(|digest| LayerFile { path: place.clone(), size: content.size(), digest }));
    }
    let (out, digest, _) = archive.into_inner().map_err(unwritten)?.finish();
    Ok((out, digest, written))
}

fn header(content: &Content, account: Account, seconds: u64) -> Header {
    let (kind, mode) = match content {
        Content::Directory { sticky: false } => (EntryType::Directory, 0o755),
        Content::Directory { sticky: true } => (EntryType::Directory, 0o1777),
        Content::File { executable: true, .. } | Content::Bytes { executable: true, .. } => (EntryType::Regular, 0o755),
        Content::File { .. } | Content::Bytes { .. } => (EntryType::Regular, 0o644),
        Content::Link { .. } => (EntryType::Symlink, 0o777),
    };
    // The GNU form has an extension for names of any length that every container runtime reads.
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_uid(account.user.into());
    header.set_gid(account.group.into());
    header.set_mtime(seconds);
    header.set_size(content.size());
    header
}

/// Appends one entry, and returns the digest of its content where it is a file.
fn append<W: Write>(
    archive: &mut tar::Builder<W>,
    header: &mut Header,
    place: &ImagePath,
    content: &Content,
) -> Result<Option<Digest>> {
    let path = place.as_str();
    match content {
        Content::Directory { .. } => {
            archive.append_data(header, format!("{path}/"), io::empty()).map_err(unwritten)?;
            Ok(None)
        }
        Content::Link { target } => {
            archive.append_link(header, path, target).map_err(unwritten)?;
            Ok(None)
        }
        Content::Bytes { bytes, .. } => {
            archive.append_data(header, path, bytes.as_ref()).map_err(unwritten)?;
            Ok(Some(Digest::of(bytes)))
        }
        Content::File { source, size, .. } => {
            let file = File::open(source).map_err(|cause| Error::Read { path: source.clone(), source: cause })?;
            let mut reader = Exact { file, left: *size, hash: Sha256::new(), path: source, failed: None };
            let appended = archive.append_data(header, path, &mut reader);
            if let Some(error) = reader.failed.take() {
                return Err(error);
            }
            appended.map_err(unwritten)?;
            reader.finish().map(Some)
        }
    }
}

fn unwritten(source: io::Error) -> Error {
    Error::Write { what: "archive of the files", source }
}

/// Reads a file that must have the size it had when it was added, since the header before it says so.
struct Exact<'a> {
    file: File,
    left: u64,
    hash: Sha256,
    path: &'a Path,
    /// Kept here, as the archive would give it back as an error of writing.
    failed: Option<Error>,
}

// === impl Exact ===

impl Exact<'_> {
    fn finish(mut self) -> Result<Digest> {
        // One byte more means that it has grown.
        let grown =
            self.file.read(&mut [0]).map_err(|cause| Error::Read { path: self.path.to_owned(), source: cause })?;
        if self.left > 0 || grown > 0 {
            return Err(Error::Changed { path: self.path.to_owned() });
        }
        Ok(Digest::from_bytes(self.hash.finalize().into()))
    }
}

impl Read for Exact<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let wanted = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        let Some(part) = buffer.get_mut(..wanted).filter(|part| !part.is_empty()) else { return Ok(0) };
        match self.file.read(part) {
            Ok(0) => {
                self.failed = Some(Error::Changed { path: self.path.to_owned() });
                Err(io::ErrorKind::UnexpectedEof.into())
            }
            Ok(count) => {
                self.hash.update(part.get(..count).unwrap_or_default());
                self.left = self.left.saturating_sub(count as u64);
                Ok(count)
            }
            Err(cause) => {
                let kind = cause.kind();
                self.failed = Some(Error::Read { path: self.path.to_owned(), source: cause });
                Err(kind.into())
            }
        }
    }
}

// === impl Hashing ===

impl<W: Write> Hashing<W> {
    fn new(inner: W) -> Self {
        Self { inner, hash: Sha256::new(), count: 0 }
    }

    fn finish(self) -> (W, Digest, u64) {
        (self.inner, Digest::from_bytes(self.hash.finalize().into()), self.count)
    }
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.inner.write(bytes)?;
        self.hash.update(bytes.get(..count).unwrap_or_default());
        self.count = self.count.saturating_add(count as u64);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

#[cfg(test)]
mod tests;
