use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use bowline_types::Digest;
use oci_spec::distribution::Reference as RegistryReference;

use crate::{Error, Result};

/// Starts a reference to a layout on disk.
const LAYOUT: &str = "oci:";

/// Where a bundle or an image is: in a registry, or in a layout on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reference {
    /// `REGISTRY/REPOSITORY[:TAG][@DIGEST]`. Without a registry it is `docker.io`, without both tag and digest it is `latest`.
    Registry(RegistryReference),
    /// `oci:PATH[:TAG][@DIGEST]`.
    Layout(LayoutReference),
}

/// A name in a layout on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LayoutReference {
    /// The folder of the layout.
    pub path: PathBuf,
    /// The tag; none means the only one that the layout holds.
    pub tag: Option<String>,
    /// The digest, which decides where both are given.
    pub digest: Option<Digest>,
}

// === impl Reference ===

impl Reference {
    /// Returns the digest that the reference pins.
    ///
    /// # Errors
    /// Refuses a digest that is not SHA-256.
    pub fn digest(&self) -> Result<Option<Digest>> {
        match self {
            Self::Registry(reference) => {
                let digest = reference.digest();
                digest.map(|text| text.parse().map_err(|_| Error::DigestUnsupported(text.to_owned()))).transpose()
            }
            Self::Layout(reference) => Ok(reference.digest),
        }
    }
}

impl FromStr for Reference {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let refused = |reason: String| Error::Reference { text: text.to_owned(), reason };
        let Some(place) = text.strip_prefix(LAYOUT) else {
            if text.contains("://") {
                return Err(refused("it has a scheme".to_owned()));
            }
            return text.parse().map(Self::Registry).map_err(|error| refused(format!("{error}")));
        };
        let (place, digest) = match place.rsplit_once('@') {
            Some((place, digest)) if digest.starts_with("sha256:") => {
                let digest = digest.parse().map_err(|error| refused(format!("{error}")))?;
                (place, Some(digest))
            }
            _ => (place, None),
        };
        let (path, tag) = match place.rsplit_once(':') {
            Some((path, tag)) if !tag.contains('/') => (path, Some(tag)),
            _ => (place, None),
        };
        if path.is_empty() {
            return Err(refused("the path is missing".to_owned()));
        }
        if let Some(tag) = tag.filter(|tag| !is_tag(tag)) {
            return Err(refused(format!("`{tag}` is not a tag")));
        }
        Ok(Self::Layout(LayoutReference { path: path.into(), tag: tag.map(str::to_owned), digest }))
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Registry(reference) => reference.fmt(f),
            Self::Layout(reference) => reference.fmt(f),
        }
    }
}

// === impl LayoutReference ===

impl fmt::Display for LayoutReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{LAYOUT}{}", self.path.display())?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        if let Some(digest) = self.digest {
            write!(f, "@{digest}")?;
        }
        Ok(())
    }
}

/// Returns whether `text` is a tag (distribution-spec 1.1, "Pulling manifests"): a layout uses the same ones as a registry.
fn is_tag(text: &str) -> bool {
    const LENGTH_MAX: usize = 128;
    let first = |first: char| first.is_ascii_alphanumeric() || first == '_';
    let other = |each: char| each.is_ascii_alphanumeric() || matches!(each, '_' | '.' | '-');
    text.len() <= LENGTH_MAX && text.starts_with(first) && text.chars().all(other)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    /// Checks what a reference names, as `place|tag|digest`, or why it names nothing.
    fn check(text: &str, expected: &str) {
        let found = match text.parse() {
            Ok(Reference::Registry(reference)) => {
                let place = format!("{} {}", reference.resolve_registry(), reference.repository());
                format!("{place}|{}|{}", reference.tag().unwrap_or(""), reference.digest().unwrap_or(""))
            }
            Ok(Reference::Layout(reference)) => {
                assert_eq!(reference.to_string(), text);
                let digest = reference.digest.map(|digest| digest.to_string());
                let tag = reference.tag.unwrap_or_default();
                format!("{}|{tag}|{}", reference.path.display(), digest.unwrap_or_default())
            }
            Err(error) => error.to_string().lines().next().unwrap_or_default().to_owned(),
        };
        assert_eq!(found, expected.replace("DIGEST", DIGEST), "{text}");
    }

    #[test]
    fn places_are_told_apart() {
        check("localhost:5000/shop/prompts:main", "localhost:5000 shop/prompts|main|");
        check(&format!("ghcr.io/shop/prompts@{DIGEST}"), "ghcr.io shop/prompts||DIGEST");
        check(&format!("ghcr.io/shop/prompts:v1@{DIGEST}"), "ghcr.io shop/prompts|v1|DIGEST");
        check("python:3.13-slim", "index.docker.io library/python|3.13-slim|");
        check("oci:.bowline/bundles", ".bowline/bundles||");
        check("oci:/tmp/a:main", "/tmp/a|main|");
        check(&format!("oci:/tmp/a:main@{DIGEST}"), "/tmp/a|main|DIGEST");
    }

    #[test]
    fn what_names_nothing_is_refused() {
        check("oci:", "`oci:` is not a reference: the path is missing");
        check("oci:a:-b", "`oci:a:-b` is not a reference: `-b` is not a tag");
        check("https://ghcr.io/a/b", "`https://ghcr.io/a/b` is not a reference: it has a scheme");
        check("ghcr.io/Shop/a", "`ghcr.io/Shop/a` is not a reference: invalid reference format");
        let short = "oci:a@sha256:12";
        check(
            short,
            "`oci:a@sha256:12` is not a reference: `sha256:12` is not a digest (expected `sha256:` and 64 hexadecimal digits)",
        );
    }
}
