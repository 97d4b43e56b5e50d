use std::fmt;

use super::{Error, Result};

/// The most bytes of a path, as Linux has it (`PATH_MAX`).
const BYTES_MAX: usize = 4096;
/// The most bytes of one name in a path (`NAME_MAX`).
const NAME_BYTES_MAX: usize = 255;
/// Begins the names with which a layer deletes what is below it (OCI image specification 1.1, layer.md, "Whiteouts", read 2026-11-25).
const WHITEOUT: &str = ".wh.";

/// A place in an image, below its root and without the leading slash: `usr/local/bin/bowline`. Empty for the root itself.
///
/// The order is that of bytes, so a folder comes before what is in it.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ImagePath(String);

// === impl ImagePath ===

impl ImagePath {
    /// Reads an absolute path.
    ///
    /// # Errors
    /// It is relative, leaves the root, is too long, or has a name that deletes what is below in an image.
    pub fn parse(text: &str) -> Result<Self> {
        if !text.starts_with('/') {
            return Err(wrong(text, "it is not absolute"));
        }
        Self::default().join(text)
    }

    /// Returns the place `below` this one.
    ///
    /// # Errors
    /// As [`parse`](Self::parse).
    pub fn join(&self, below: &str) -> Result<Self> {
        let mut path = self.0.clone();
        for name in below.split('/').filter(|name| !name.is_empty() && *name != ".") {
            if let Some(reason) = wrong_name(name) {
                return Err(wrong(below, reason));
            }
            if !path.is_empty() {
                path.push('/');
            }
            path.push_str(name);
        }
        if path.len() > BYTES_MAX {
            return Err(wrong(below, "it is longer than 4096 bytes"));
        }
        Ok(Self(path))
    }

    /// Returns the path without the leading slash.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns whether this is the root.
    #[must_use]
    pub const fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the folders that this is in, the innermost first, without the root.
    pub fn parents(&self) -> impl Iterator<Item = Self> {
        std::iter::successors(self.parent(), Self::parent)
    }

    fn parent(&self) -> Option<Self> {
        self.0.rsplit_once('/').map(|(parent, _)| Self(parent.to_owned()))
    }
}

impl fmt::Display for ImagePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "/{}", self.0)
    }
}

fn wrong(path: &str, reason: &'static str) -> Error {
    Error::Path { path: path.to_owned(), reason }
}

fn wrong_name(name: &str) -> Option<&'static str> {
    if name == ".." {
        Some("it leaves the root")
    } else if name.contains('\0') {
        Some("it has a NUL in it")
    } else if name.starts_with(WHITEOUT) {
        Some("a name that begins with `.wh.` deletes a file of the base image")
    } else if name.len() > NAME_BYTES_MAX {
        Some("a name in it is longer than 255 bytes")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &str) {
        let path = ImagePath::parse(text);
        let found = path.map_or_else(|error| error.to_string(), |path| path.to_string());
        assert!(found.contains(expected), "{text}: {found}");
    }

    #[test]
    fn paths_stay_below_the_root() {
        check("/app/prompts", "/app/prompts");
        check("/", "/");
        check("//app/./prompts/", "/app/prompts");
        check("app", "it is not absolute");
        check("/app/../../etc/shadow", "it leaves the root");
        check("/app/.wh..wh..opq", "deletes a file of the base image");
        check("/a\0b", "NUL");
        check(&format!("/{}", "a".repeat(256)), "longer than 255 bytes");
        check(&"/aaaaaaaaa".repeat(500), "longer than 4096 bytes");
    }

    #[test]
    fn parents_are_the_folders_around() {
        let parents: Vec<String> = ImagePath::parse("/a/b/c").unwrap().parents().map(|path| path.to_string()).collect();
        assert_eq!(parents, ["/a/b", "/a"]);
    }
}
