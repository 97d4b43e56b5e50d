//! From the layers of an artifact to a bundle that is known to be whole.

use std::collections::BTreeSet;

use bowline_types::Digest;
use serde::de::DeserializeOwned;

use super::{Bundle, Config, Error, File, Files, FilesDocument, Kind, Listed, Result, VersionsDocument};

impl Bundle {
    /// Reads a bundle from the bytes of its configuration and its layers, each with its media type. Everything is held against its digest:
    /// every version against its canonical encoding, every file against its bytes, the lists against each other.
    ///
    /// # Errors
    /// Refuses what is damaged, incomplete, of another schema, or does not agree with itself.
    pub fn read<'a>(config: &[u8], layers: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> Result<Self> {
        let config: Config = decode("configuration", config)?;
        supported("configuration", config.schema_version)?;
        let mut bundle = Self { config, versions: Vec::new(), files: Files::default(), lock: String::new() };
        let mut seen = BTreeSet::new();
        for (media_type, bytes) in layers {
            let kind = Kind::ALL.into_iter().find(|kind| kind.media_type() == media_type);
            let kind = kind.ok_or_else(|| Error::UnknownPart { media_type: media_type.to_owned() })?;
            if !seen.insert(kind) {
                return Err(disagrees(format!("it has two layers of {}", kind.as_str())));
            }
            bundle.take(kind, bytes)?;
        }
        bundle.agree()?;
        Ok(bundle)
    }

    fn take(&mut self, kind: Kind, bytes: &[u8]) -> Result<()> {
        match kind {
            Kind::Versions => {
                let document: VersionsDocument = decode(kind.as_str(), bytes)?;
                supported(kind.as_str(), document.schema_version)?;
                self.versions = document.versions;
            }
            Kind::Lock => {
                let text = String::from_utf8(bytes.to_vec());
                self.lock = text.map_err(|_| disagrees("the lock is no text".to_owned()))?;
            }
            Kind::Suites | Kind::Guards | Kind::Flows | Kind::Schemas => {
                let document: FilesDocument = decode(kind.as_str(), bytes)?;
                supported(kind.as_str(), document.schema_version)?;
                document.files.iter().try_for_each(|file| sound(kind, file))?;
                if let Some(files) = self.files.of_mut(kind) {
                    *files = document.files;
                }
            }
        }
        Ok(())
    }

    /// Holds every version against its digest, and the lists of versions against each other.
    fn agree(&self) -> Result<()> {
        for version in &self.versions {
            let (prompt, given, computed) = (version.name.clone(), version.digest, version.version.digest());
            if computed != given {
                return Err(Error::VersionDigest { prompt, given, computed });
            }
        }
        let listed = |version: &super::PromptVersion| Listed { name: version.name.clone(), digest: version.digest };
        if self.config.versions != self.versions.iter().map(listed).collect::<Vec<_>>() {
            return Err(disagrees("its configuration lists other versions than it holds".to_owned()));
        }
        let names: BTreeSet<_> = self.versions.iter().map(|version| &version.name).collect();
        if names.len() != self.versions.len() {
            return Err(disagrees("it holds two versions of one prompt".to_owned()));
        }
        let locked: BTreeSet<_> = self.lock.lines().filter(|line| line.starts_with("prompt ")).collect();
        let expected = self.versions.iter().map(|version| format!("prompt {} {}", version.name, version.digest));
        if locked != expected.collect::<Vec<_>>().iter().map(String::as_str).collect() {
            return Err(disagrees("its lock names other versions than it holds".to_owned()));
        }
        Ok(())
    }
}

/// Holds a file against its digest and its place: a path must not lead out of where a bundle is unpacked.
fn sound(kind: Kind, file: &File) -> Result<()> {
    let inside = kind.folder().is_some_and(|folder| file.path.starts_with(folder));
    let plain = file.path.split('/').all(|part| !part.is_empty() && part != "." && part != "..");
    if !inside || !plain {
        return Err(disagrees(format!("`{}` has no place among the {}", file.path, kind.as_str())));
    }
    if Digest::of(&file.bytes()?) != file.digest {
        return Err(Error::FileDigest { path: file.path.clone() });
    }
    Ok(())
}

fn decode<T: DeserializeOwned>(part: &'static str, bytes: &[u8]) -> Result<T> {
    serde_json::from_slice(bytes).map_err(|source| Error::Decode { part, source })
}

fn supported(part: &'static str, found: u32) -> Result<()> {
    if found == Config::SCHEMA { Ok(()) } else { Err(Error::Schema { part, found }) }
}

fn disagrees(reason: String) -> Error {
    Error::Disagrees { reason }
}
