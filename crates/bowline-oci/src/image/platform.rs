use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::Error;

/// What an image runs on, in Go's words: `linux/amd64`, `linux/arm/v7`.
///
/// Wire form: the `platform` of a descriptor and the fields of the same names in an image configuration
/// (<https://github.com/opencontainers/image-spec/blob/v1.1.1/image-index.md>, read 2026-11-25).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Platform {
    /// The processor, such as `amd64`.
    pub architecture: String,
    /// The operating system, such as `linux`.
    pub os: String,
    /// The variant of the processor, such as `v7`; none for most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
}

// === impl Platform ===

impl Platform {
    /// Returns Linux on the processor that this program was compiled for.
    #[must_use]
    pub fn host() -> Self {
        let architecture = match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            "x86" => "386",
            "powerpc64" => "ppc64le",
            other => other,
        };
        Self { architecture: architecture.to_owned(), os: "linux".to_owned(), variant: None }
    }

    /// Returns whether an image for `offered` runs on this one. A variant that is not asked for may be any.
    #[must_use]
    pub fn accepts(&self, offered: &Self) -> bool {
        let same = self.os == offered.os && self.architecture == offered.architecture;
        same && (self.variant.is_none() || self.variant == offered.variant)
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        self.variant.iter().try_for_each(|variant| write!(f, "/{variant}"))
    }
}

impl FromStr for Platform {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let word =
            |part: &str| !part.is_empty() && part.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c));
        let parts: Vec<&str> = text.split('/').collect();
        let (os, architecture, variant) = match parts.as_slice() {
            [os, architecture] => (*os, *architecture, None),
            [os, architecture, variant] => (*os, *architecture, Some(*variant)),
            _ => return Err(Error::Platform(text.to_owned())),
        };
        if !parts.iter().copied().all(word) {
            return Err(Error::Platform(text.to_owned()));
        }
        Ok(Self { architecture: architecture.to_owned(), os: os.to_owned(), variant: variant.map(str::to_owned) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn platforms_are_written_as_go_writes_them() {
        for text in ["linux/amd64", "linux/arm/v7", "windows/amd64"] {
            assert_eq!(text.parse::<Platform>().unwrap().to_string(), text);
        }
        for text in ["", "linux", "linux/", "/amd64", "linux/arm/v7/x", "linux/a b"] {
            assert!(text.parse::<Platform>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_variant_that_is_not_asked_for_may_be_any() {
        let platform = |text: &str| text.parse::<Platform>().unwrap();
        assert!(platform("linux/arm64").accepts(&platform("linux/arm64/v8")));
        assert!(platform("linux/arm/v7").accepts(&platform("linux/arm/v7")));
        assert!(!platform("linux/arm/v7").accepts(&platform("linux/arm/v6")));
        assert!(!platform("linux/amd64").accepts(&platform("linux/arm64")));
    }
}
