//! Where the files of a project come from.

use std::collections::BTreeMap;
use std::io;

/// The files of one project; paths are relative to its root and separated by `/`.
pub trait Source {
    /// Returns the path of every file, in any order.
    ///
    /// # Errors
    /// When the files cannot be listed.
    fn list(&self) -> io::Result<Vec<String>>;

    /// Returns the bytes of one file.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotFound`] when there is no such file, or the error of reading it.
    fn read(&self, path: &str) -> io::Result<Vec<u8>>;
}

/// Files held in memory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MemorySource {
    files: BTreeMap<String, Vec<u8>>,
}

// === impl MemorySource ===

impl MemorySource {
    /// Returns a source without files.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds or replaces a file.
    pub fn insert(&mut self, path: impl Into<String>, content: impl Into<Vec<u8>>) {
        self.files.insert(path.into(), content.into());
    }

    /// Removes a file, if it is there.
    pub fn remove(&mut self, path: &str) {
        self.files.remove(path);
    }
}

impl<P: Into<String>, C: Into<Vec<u8>>> FromIterator<(P, C)> for MemorySource {
    fn from_iter<I: IntoIterator<Item = (P, C)>>(iter: I) -> Self {
        Self { files: iter.into_iter().map(|(path, content)| (path.into(), content.into())).collect() }
    }
}

impl Source for MemorySource {
    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.files.keys().cloned().collect())
    }

    fn read(&self, path: &str) -> io::Result<Vec<u8>> {
        self.files.get(path).cloned().ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, path.to_owned()))
    }
}
