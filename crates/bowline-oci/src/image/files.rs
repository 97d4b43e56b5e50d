use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::{fmt, fs};

use bytes::Bytes;

use super::{Error, ImagePath, Result};

/// The most entries of a layer.
const ENTRIES_MAX: usize = 100_000;
/// The most bytes of the files of a layer, before compression.
const BYTES_MAX: u64 = 8 << 30;

/// Who owns files or runs a program in an image, in numbers.
///
/// By default that is root; for files it should stay so, since a program that runs as another user then cannot change what it was shipped with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Account {
    /// The user.
    pub user: u32,
    /// The group.
    pub group: u32,
}

/// What stands at a place in a layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// A folder. `sticky`: everybody may write to it and delete only what is theirs, as in `/tmp` (mode 1777, else 0755).
    Directory {
        /// Whether the source is such a folder.
        sticky: bool,
    },
    /// A file on this machine, read when the layer is written.
    File {
        /// Where it is.
        source: PathBuf,
        /// Its size, in bytes.
        size: u64,
        /// Whether it can be run (mode 0755, else 0644).
        executable: bool,
    },
    /// A file from memory.
    Bytes {
        /// What is in it.
        bytes: Bytes,
        /// Whether it can be run (mode 0755, else 0644).
        executable: bool,
    },
    /// A symbolic link, with its target as it is written.
    Link {
        /// The target.
        target: String,
    },
}

/// The files of a layer, by their place, in the order in which the layer has them.
///
/// Of the files on this machine only name, bytes, target and whether they can be run are taken: no owner, time, further mode or extended attribute,
/// as two checkouts of one commit differ in those.
#[derive(Clone, Debug, Default)]
pub struct Files {
    entries: BTreeMap<ImagePath, Content>,
    bytes: u64,
}

// === impl Account ===

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.user, self.group)
    }
}

impl FromStr for Account {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let wrong = || Error::User(text.to_owned());
        let (user, group) = text.split_once(':').unwrap_or((text, text));
        let number = |text: &str| text.parse().map_err(|_| wrong());
        Ok(Self { user: number(user)?, group: number(group)? })
    }
}

// === impl Files ===

impl Files {
    /// Adds a file or folder of this machine, as `cp -r` would: what is in a folder goes below `destination`; a file goes to `destination`, or
    /// into it under its own name where that ends in a slash. A link that is named as `source` is followed, those below are kept as links.
    ///
    /// # Errors
    /// Something cannot be read, has no place in an image or stands there already, or it is too much.
    pub fn add(&mut self, source: &Path, destination: &str) -> Result<()> {
        let place = ImagePath::parse(destination)?;
        let metadata = fs::metadata(source).map_err(|cause| read(source, cause))?;
        if metadata.is_dir() {
            return self.add_folder(source, &place);
        }
        let place = if destination.ends_with('/') { place.join(name(source)?)? } else { place };
        self.add_file(source, &metadata, place)
    }

    /// Adds a file from memory.
    ///
    /// # Errors
    /// Something stands there already, or it is too much.
    pub fn add_bytes(&mut self, place: ImagePath, bytes: Bytes, executable: bool) -> Result<()> {
        let size = bytes.len() as u64;
        self.insert(place, Content::Bytes { bytes, executable }, size)
    }

    /// Adds a file of this machine that can be run, whatever its mode says.
    ///
    /// # Errors
    /// It cannot be read, something stands there already, or it is too much.
    pub fn add_program(&mut self, source: &Path, place: ImagePath) -> Result<()> {
        let size = fs::metadata(source).map_err(|cause| read(source, cause))?.len();
        self.insert(place, Content::File { source: source.to_owned(), size, executable: true }, size)
    }

    /// Adds the folders around everything that have not been added: what an image without a base needs.
    ///
    /// Over a base they are left out, since an entry for a folder would replace the owner and mode that the base gave it.
    ///
    /// # Errors
    /// It is too much.
    pub fn add_parents(&mut self) -> Result<()> {
        let missing: Vec<ImagePath> = self.entries.keys().flat_map(ImagePath::parents).collect();
        for place in missing {
            if !self.entries.contains_key(&place) {
                self.insert(place, Content::Directory { sticky: false }, 0)?;
            }
        }
        Ok(())
    }

    /// Adds everything that `others` has.
    ///
    /// # Errors
    /// Something stands there already, or it is too much.
    pub fn extend(&mut self, others: &Self) -> Result<()> {
        for (place, content) in &others.entries {
            self.insert(place.clone(), content.clone(), content.size())?;
        }
        Ok(())
    }

    /// Checks that nothing is below a file or link.
    ///
    /// # Errors
    /// Something is.
    pub fn check(&self) -> Result<()> {
        for place in self.entries.keys() {
            let in_the_way =
                |parent: &ImagePath| self.entries.get(parent).is_some_and(|content| !content.is_directory());
            if let Some(parent) = place.parents().find(in_the_way) {
                return Err(Error::Below { path: place.as_str().to_owned(), parent: parent.as_str().to_owned() });
            }
        }
        Ok(())
    }

    /// Returns what is there, each folder before what is in it.
    pub fn iter(&self) -> impl Iterator<Item = (&ImagePath, &Content)> {
        self.entries.iter()
    }

    /// Returns whether nothing was added.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    fn add_folder(&mut self, folder: &Path, place: &ImagePath) -> Result<()> {
        // In the order of names, so that a mistake is always told about the same file.
        let mut names: Vec<PathBuf> = Vec::new();
        for entry in fs::read_dir(folder).map_err(|cause| read(folder, cause))? {
            names.push(entry.map_err(|cause| read(folder, cause))?.path());
        }
        names.sort();
        for path in names {
            let place = place.join(name(&path)?)?;
            let metadata = fs::symlink_metadata(&path).map_err(|cause| read(&path, cause))?;
            if metadata.is_dir() {
                self.insert(place.clone(), Content::Directory { sticky: is_sticky(&metadata) }, 0)?;
                self.add_folder(&path, &place)?;
            } else if metadata.is_symlink() {
                let target = fs::read_link(&path).map_err(|cause| read(&path, cause))?;
                let target = target.into_os_string().into_string().map_err(|_| Error::Name { path: path.clone() })?;
                self.insert(place, Content::Link { target }, 0)?;
            } else {
                self.add_file(&path, &metadata, place)?;
            }
        }
        Ok(())
    }

    fn add_file(&mut self, source: &Path, metadata: &fs::Metadata, place: ImagePath) -> Result<()> {
        if !metadata.is_file() {
            return Err(Error::Special { path: source.to_owned() });
        }
        let size = metadata.len();
        let content = Content::File { source: source.to_owned(), size, executable: is_executable(metadata) };
        self.insert(place, content, size)
    }

    fn insert(&mut self, place: ImagePath, content: Content, size: u64) -> Result<()> {
        if place.is_root() {
            return Err(Error::Path { path: "/".to_owned(), reason: "the root is a folder" });
        }
        match self.entries.get(&place) {
            // Two folders with the same name are one.
            Some(there) if there.is_directory() && content.is_directory() => return Ok(()),
            Some(_) => return Err(Error::Twice { path: place.as_str().to_owned() }),
            None => {}
        }
        self.bytes = self.bytes.saturating_add(size);
        if self.bytes > BYTES_MAX {
            return Err(Error::Large { limit: BYTES_MAX });
        }
        if self.entries.len() >= ENTRIES_MAX {
            return Err(Error::Many { limit: ENTRIES_MAX });
        }
        self.entries.insert(place, content);
        Ok(())
    }
}

// === impl Content ===

impl Content {
    const fn is_directory(&self) -> bool {
        matches!(self, Self::Directory { .. })
    }

    /// Returns the bytes that it has, before compression.
    #[must_use]
    pub const fn size(&self) -> u64 {
        match self {
            Self::File { size, .. } => *size,
            Self::Bytes { bytes, .. } => bytes.len() as u64,
            Self::Directory { .. } | Self::Link { .. } => 0,
        }
    }
}

fn name(path: &Path) -> Result<&str> {
    let name = path.file_name().and_then(|name| name.to_str());
    name.ok_or_else(|| Error::Name { path: path.to_owned() })
}

fn read(path: &Path, source: std::io::Error) -> Error {
    Error::Read { path: path.to_owned(), source }
}

#[cfg(unix)]
fn is_executable(metadata: &fs::Metadata) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    // That of the owner: the others follow the umask of whoever made the checkout.
    metadata.permissions().mode() & 0o100 != 0
}

#[cfg(unix)]
fn is_sticky(metadata: &fs::Metadata) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    metadata.permissions().mode() & 0o1002 == 0o1002
}

#[cfg(not(unix))]
const fn is_executable(_: &fs::Metadata) -> bool {
    false
}

#[cfg(not(unix))]
const fn is_sticky(_: &fs::Metadata) -> bool {
    false
}

#[cfg(test)]
mod tests;
