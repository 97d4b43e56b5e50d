//! The OCI image layout: blobs by digest, and an index of what they mean.
//!
//! <https://github.com/opencontainers/image-spec/blob/v1.1.1/image-layout.md>, read 2026-11-25.

use std::fs::{self, File};
use std::io::{self, Read, Seek as _, Write};
use std::path::{Path, PathBuf};

use bowline_types::Digest;
use oci_spec::image::{Descriptor, ImageIndex, ImageManifest, MediaType};
use serde::Serialize;
use serde_json::json;
use sha2::{Digest as _, Sha256};

use crate::content::{self, Document, MANIFEST_BYTES_MAX};
use crate::{Error, LayoutReference, Result};

/// The annotation of an entry of the index that carries its tag.
pub const REF_NAME: &str = "org.opencontainers.image.ref.name";

/// The largest blob that is read into memory, in bytes; larger ones are read as files.
pub const BLOB_BYTES_MAX: u64 = 64 << 20;

const MARKER: &str = "oci-layout";
const INDEX: &str = "index.json";
const VERSION: &str = "1.0.0";

/// A layout on disk. Everything is written whole or not at all, and every read is held against digest and size. Blocks.
#[derive(Clone, Debug)]
pub struct Layout {
    root: PathBuf,
}

/// A blob that is being written. Until it is finished it has no name, and nobody sees it.
#[derive(Debug)]
pub struct BlobWriter {
    blobs: PathBuf,
    file: tempfile::NamedTempFile,
    hash: Sha256,
    size: u64,
}

// === impl Layout ===

impl Layout {
    /// Opens the layout in `root`, and makes an empty one where there is none.
    ///
    /// # Errors
    /// Those of the files, and a folder with a layout of another version.
    pub fn create(root: impl Into<PathBuf>) -> Result<Self> {
        let layout = Self { root: root.into() };
        fs::create_dir_all(layout.blobs()).map_err(Error::at("create", layout.blobs()))?;
        if !layout.root.join(INDEX).exists() {
            layout.replace(INDEX, &content::encode(&content::index(Vec::new()))?)?;
        }
        if !layout.root.join(MARKER).exists() {
            layout.replace(MARKER, &content::encode(&json!({ "imageLayoutVersion": VERSION }))?)?;
        }
        Self::open(layout.root)
    }

    /// Opens the layout in `root`.
    ///
    /// # Errors
    /// Refuses a folder that holds no layout of version 1.0.0.
    pub fn open(root: impl Into<PathBuf>) -> Result<Self> {
        let root = root.into();
        let refused = |reason: String| Error::NotLayout { path: root.clone(), reason };
        let marker = fs::read(root.join(MARKER)).map_err(|error| refused(format!("`{MARKER}`: {error}")))?;
        let marker: serde_json::Value =
            serde_json::from_slice(&marker).map_err(|error| refused(format!("`{MARKER}`: {error}")))?;
        match marker.get("imageLayoutVersion").and_then(serde_json::Value::as_str) {
            Some(VERSION) => Ok(Self { root }),
            Some(version) => Err(refused(format!("its version is {version}, this binary reads {VERSION}"))),
            None => Err(refused(format!("`{MARKER}` has no version"))),
        }
    }

    /// Returns the folder.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Writes a blob and returns its descriptor.
    ///
    /// # Errors
    /// Those of the files.
    pub fn write(&self, media_type: MediaType, bytes: &[u8]) -> Result<Descriptor> {
        let mut writer = self.writer()?;
        writer.write_chunk(bytes)?;
        writer.finish(media_type)
    }

    /// Writes a document in its canonical bytes and returns its descriptor.
    ///
    /// # Errors
    /// Those of the files.
    pub fn write_document(&self, media_type: MediaType, document: &impl Serialize) -> Result<Descriptor> {
        self.write(media_type, &content::encode(document)?)
    }

    /// Begins a blob whose bytes come piece by piece.
    ///
    /// # Errors
    /// Those of the files.
    pub fn writer(&self) -> Result<BlobWriter> {
        let file = partial(&self.blobs())?;
        Ok(BlobWriter { blobs: self.blobs(), file, hash: Sha256::new(), size: 0 })
    }

    /// Returns whether the layout holds a blob of that digest and size. Its bytes are not read.
    ///
    /// # Errors
    /// Refuses a digest that is not SHA-256.
    pub fn has(&self, descriptor: &Descriptor) -> Result<bool> {
        let path = self.blob(content::digest_of(descriptor)?);
        Ok(fs::metadata(path).is_ok_and(|found| found.is_file() && found.len() == descriptor.size()))
    }

    /// Reads a blob into memory.
    ///
    /// # Errors
    /// Refuses what is missing, larger than [`BLOB_BYTES_MAX`], or not what the descriptor says.
    pub fn read(&self, descriptor: &Descriptor) -> Result<Vec<u8>> {
        self.read_bounded("blob", descriptor, BLOB_BYTES_MAX)
    }

    /// Opens a blob as a file, at its start, after its bytes were read once and held against the descriptor.
    ///
    /// # Errors
    /// Refuses what is missing or not what the descriptor says.
    pub fn open_blob(&self, descriptor: &Descriptor) -> Result<File> {
        let digest = content::digest_of(descriptor)?;
        let path = self.blob(digest);
        let mut file = self.open_file(digest)?;
        let mut hash = HashingWriter(Sha256::new());
        let size = io::copy(&mut file, &mut hash).map_err(Error::at("read", &path))?;
        self.compare(descriptor, digest, size, Digest::from_bytes(hash.0.finalize().into()))?;
        file.rewind().map_err(Error::at("read", &path))?;
        Ok(file)
    }

    /// Reads the manifest or index that a descriptor leads to.
    ///
    /// # Errors
    /// As [`Layout::read`], with the bound of manifests.
    pub fn document(&self, descriptor: &Descriptor) -> Result<Document> {
        let bytes = self.read_bounded("manifest", descriptor, MANIFEST_BYTES_MAX)?;
        Document::read(descriptor, &bytes)
    }

    /// Reads a manifest; an index is an error.
    ///
    /// # Errors
    /// As [`Layout::document`].
    pub fn manifest(&self, descriptor: &Descriptor) -> Result<ImageManifest> {
        match self.document(descriptor)? {
            Document::Manifest(manifest) => Ok(*manifest),
            Document::Index(_) => Err(Error::Type {
                digest: content::digest_of(descriptor)?,
                found: descriptor.media_type().to_string(),
                expected: MediaType::ImageManifest.to_string(),
            }),
        }
    }

    /// Reads the index of the layout itself.
    ///
    /// # Errors
    /// Those of the file.
    pub fn index(&self) -> Result<ImageIndex> {
        let path = self.root.join(INDEX);
        let file = File::open(&path).map_err(Error::at("read", &path))?;
        let mut bytes = Vec::new();
        // One byte more than the bound, so that a longer file is seen and not cut.
        file.take(MANIFEST_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(Error::at("read", &path))?;
        let size = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        if size > MANIFEST_BYTES_MAX {
            let reason = format!("`{INDEX}` has more than the {MANIFEST_BYTES_MAX} bytes that are read");
            return Err(Error::NotLayout { path: self.root.clone(), reason });
        }
        content::decode(path.display().to_string(), &bytes)
    }

    /// Gives a manifest or index a tag; what had the tag before stays, without it.
    ///
    /// # Errors
    /// Those of the files.
    pub fn tag(&self, name: &str, descriptor: &Descriptor) -> Result<()> {
        self.change_index(|entries| {
            entries
                .retain(|entry| entry.digest() != descriptor.digest() || tag_of(entry).is_some_and(|tag| tag != name));
            for entry in entries.iter_mut().filter(|entry| tag_of(entry) == Some(name)) {
                set_tag(entry, None);
            }
            let mut entry = descriptor.clone();
            set_tag(&mut entry, Some(name));
            entries.push(entry);
        })
    }

    /// Lists a manifest without a tag, as a referrer is; does nothing where it is listed already.
    ///
    /// # Errors
    /// Those of the files.
    pub fn list(&self, descriptor: &Descriptor) -> Result<()> {
        self.change_index(|entries| {
            if !entries.iter().any(|entry| entry.digest() == descriptor.digest()) {
                entries.push(descriptor.clone());
            }
        })
    }

    /// Returns what a reference names. Without tag and digest it is the only tag that the layout holds.
    ///
    /// # Errors
    /// Refuses a name that the layout does not hold, and no name where it holds several.
    pub fn resolve(&self, reference: &LayoutReference) -> Result<Descriptor> {
        let index = self.index()?;
        let tags: Vec<_> = index.manifests().iter().filter_map(tag_of).collect();
        let unknown = |name: String| Error::NameUnknown {
            path: self.root.clone(),
            name,
            known: if tags.is_empty() { "no tags".to_owned() } else { tags.join(", ") },
        };
        let found = match (reference.digest, &reference.tag) {
            (Some(digest), _) => {
                let text = digest.to_string();
                let found = index.manifests().iter().find(|entry| entry.digest().as_ref() == text);
                found.ok_or_else(|| unknown(text))?
            }
            (None, Some(tag)) => {
                let found = index.manifests().iter().find(|entry| tag_of(entry) == Some(tag));
                found.ok_or_else(|| unknown(tag.clone()))?
            }
            (None, None) => {
                let mut tagged = index.manifests().iter().filter(|entry| tag_of(entry).is_some());
                match (tagged.next(), tagged.next()) {
                    (Some(found), None) => found,
                    _ => return Err(unknown("(no tag given)".to_owned())),
                }
            }
        };
        Ok(found.clone())
    }

    /// Returns the manifests that refer to `subject`, with their artifact types and annotations, ordered by digest.
    ///
    /// # Errors
    /// Those of the files.
    pub fn referrers(&self, subject: Digest) -> Result<Vec<Descriptor>> {
        let subject = subject.to_string();
        let mut found = Vec::new();
        for entry in self.index()?.manifests().iter().filter(|entry| content::is_manifest(entry.media_type())) {
            let manifest = self.manifest(entry)?;
            if manifest.subject().as_ref().is_some_and(|to| to.digest().as_ref() == subject) {
                found.push(content::as_referrer(entry, &manifest));
            }
        }
        found.sort_by(|a, b| a.digest().as_ref().cmp(b.digest().as_ref()));
        found.dedup_by(|a, b| a.digest() == b.digest());
        Ok(found)
    }

    fn blobs(&self) -> PathBuf {
        self.root.join("blobs/sha256")
    }

    fn blob(&self, digest: Digest) -> PathBuf {
        self.blobs().join(digest.hex())
    }

    fn open_file(&self, digest: Digest) -> Result<File> {
        let path = self.blob(digest);
        File::open(&path).map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => Error::BlobMissing { path: self.root.clone(), digest },
            _ => Error::File { operation: "read", path, source },
        })
    }

    fn read_bounded(&self, noun: &'static str, descriptor: &Descriptor, limit: u64) -> Result<Vec<u8>> {
        let digest = content::digest_of(descriptor)?;
        let size = descriptor.size();
        if size > limit {
            return Err(Error::TooLarge { noun, digest, size, limit });
        }
        let mut bytes = Vec::new();
        let file = self.open_file(digest)?;
        file.take(size + 1).read_to_end(&mut bytes).map_err(Error::at("read", self.blob(digest)))?;
        let found = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        self.compare(descriptor, digest, found, Digest::of(&bytes))?;
        Ok(bytes)
    }

    /// Holds what was read against what the descriptor says.
    fn compare(&self, descriptor: &Descriptor, digest: Digest, size: u64, computed: Digest) -> Result<()> {
        let reason = if size != descriptor.size() {
            format!("it should have {} bytes", descriptor.size())
        } else if computed != digest {
            format!("its bytes hash to {computed}")
        } else {
            return Ok(());
        };
        Err(Error::Damaged { digest, place: self.root.display().to_string(), reason })
    }

    /// Changes the index under a lock, so that two writers lose nothing.
    fn change_index(&self, change: impl FnOnce(&mut Vec<Descriptor>)) -> Result<()> {
        let marker = self.root.join(MARKER);
        let lock = File::open(&marker).map_err(Error::at("open", &marker))?;
        lock.lock().map_err(Error::at("lock", &marker))?;
        let mut index = self.index()?;
        let mut entries = index.manifests().clone();
        change(&mut entries);
        index.set_manifests(entries);
        self.replace(INDEX, &content::encode(&index)?)
    }

    fn replace(&self, name: &str, bytes: &[u8]) -> Result<()> {
        let path = self.root.join(name);
        let mut file = partial(&self.root)?;
        file.write_all(bytes).map_err(Error::at("write", &path))?;
        keep(file, &path, &self.root)
    }
}

// === impl BlobWriter ===

impl BlobWriter {
    /// Appends bytes.
    ///
    /// # Errors
    /// Those of the file.
    pub fn write_chunk(&mut self, bytes: &[u8]) -> Result<()> {
        self.file.write_all(bytes).map_err(Error::at("write", self.file.path()))?;
        self.hash.update(bytes);
        self.size = self.size.saturating_add(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        Ok(())
    }

    /// Returns how many bytes were written.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// Names the blob by its digest and returns its descriptor.
    ///
    /// # Errors
    /// Those of the file; the layout then is as before.
    pub fn finish(self, media_type: MediaType) -> Result<Descriptor> {
        let digest = Digest::from_bytes(self.hash.finalize().into());
        let path = self.blobs.join(digest.hex());
        keep(self.file, &path, &self.blobs)?;
        content::describe(media_type, digest, self.size)
    }

    /// Names the blob where it is what `expected` says, and discards it where not; `place` says where the bytes came from.
    ///
    /// # Errors
    /// Those of the file, and content that is not the expected one.
    pub fn finish_as(self, expected: &Descriptor, place: &str) -> Result<()> {
        let digest = content::digest_of(expected)?;
        let reason = if self.size == expected.size() {
            let computed = Digest::from_bytes(self.hash.clone().finalize().into());
            (computed != digest).then(|| format!("its bytes hash to {computed}"))
        } else {
            Some(format!("it has {} bytes and should have {}", self.size, expected.size()))
        };
        match reason {
            Some(reason) => Err(Error::Damaged { digest, place: place.to_owned(), reason }),
            None => keep(self.file, &self.blobs.join(digest.hex()), &self.blobs),
        }
    }
}

impl Write for BlobWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.hash.update(bytes.get(..written).unwrap_or(bytes));
        self.size = self.size.saturating_add(u64::try_from(written).unwrap_or(u64::MAX));
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// Hashes what is written to it.
struct HashingWriter(Sha256);

impl Write for HashingWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Returns a file without a lasting name in `folder`; it is removed where it is not kept.
fn partial(folder: &Path) -> Result<tempfile::NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(".partial-");
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644));
    builder.tempfile_in(folder).map_err(Error::at("create a file in", folder))
}

/// Gives a file its name, after its bytes have reached the disk.
fn keep(file: tempfile::NamedTempFile, path: &Path, folder: &Path) -> Result<()> {
    file.as_file().sync_all().map_err(Error::at("write", path))?;
    file.persist(path).map_err(|error| Error::at("replace", path)(error.error))?;
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(Error::at("sync", folder))
}

/// Returns the tag of an entry of an index.
fn tag_of(entry: &Descriptor) -> Option<&str> {
    entry.annotations().as_ref()?.get(REF_NAME).map(String::as_str)
}

fn set_tag(entry: &mut Descriptor, tag: Option<&str>) {
    let mut annotations = entry.annotations().clone().unwrap_or_default();
    annotations.remove(REF_NAME);
    annotations.extend(tag.map(|tag| (REF_NAME.to_owned(), tag.to_owned())));
    entry.set_annotations((!annotations.is_empty()).then_some(annotations));
}

#[cfg(test)]
mod tests;
