//! The files that a suite refers to: read once, counted into its digest.

use std::collections::BTreeMap;
use std::io;

use bowline_prompt::yaml::{self, Node};
use bowline_prompt::{Diagnostic, Source, Span};
use bowline_types::Digest;

use super::{Dataset, resolve};

/// How a reference to a file begins.
pub(crate) const SCHEME: &str = "file://";
/// How large one file may be.
const BYTES_MAX: usize = 256 << 20;
/// How many files one suite may refer to.
const FILES_MAX: usize = 10_000;
/// What the digest of a suite is a digest of, so that it equals no other one.
const DOMAIN: &str = "bowline.suite.v1\n";
/// Files that hold code.
const CODE: [&str; 15] =
    ["js", "cjs", "mjs", "jsx", "ts", "cts", "mts", "tsx", "py", "rb", "go", "sh", "bash", "exe", "pl"];

/// The files around one suite.
pub(crate) struct Files<'a> {
    source: &'a dyn Source,
    read: BTreeMap<String, Digest>,
    datasets: BTreeMap<String, Digest>,
    listing: Option<Vec<String>>,
}

/// A place that a reference stands at.
#[derive(Clone, Copy)]
pub(crate) struct At<'a> {
    /// The file.
    pub(crate) file: &'a str,
    /// Where in it.
    pub(crate) span: Span,
}

// === impl Files ===

impl<'a> Files<'a> {
    pub(crate) const fn new(source: &'a dyn Source) -> Self {
        Self { source, read: BTreeMap::new(), datasets: BTreeMap::new(), listing: None }
    }

    /// Reads the text of the file at `path`, which `at` refers to.
    pub(crate) fn text(&mut self, path: &str, at: At<'_>) -> Result<String, Diagnostic> {
        let bytes = self.source.read(path).map_err(|error| unreadable(path, &error, at))?;
        if bytes.len() > BYTES_MAX {
            return Err(at.error("file", format!("`{path}` is larger than {} MiB", BYTES_MAX >> 20)));
        }
        let text = String::from_utf8(bytes).map_err(|_| at.error("file", format!("`{path}` is not UTF-8 text")))?;
        if !self.read.contains_key(path) {
            if self.read.len() >= FILES_MAX {
                return Err(at.error("file", format!("a suite refers to at most {FILES_MAX} files")));
            }
            // With LF line ends, as the lock and bundles have it: how Git checked a file out is none of its content.
            let plain = if text.contains('\r') { text.replace("\r\n", "\n") } else { String::new() };
            let plain = if plain.is_empty() { &text } else { &plain };
            self.read.insert(path.to_owned(), Digest::of(plain.as_bytes()));
        }
        Ok(if text.starts_with('\u{feff}') { text.trim_start_matches('\u{feff}').to_owned() } else { text })
    }

    /// As [`Files::text`], for a file of cases or variables.
    pub(crate) fn dataset(&mut self, path: &str, at: At<'_>) -> Result<String, Diagnostic> {
        let text = self.text(path, at)?;
        if let Some(digest) = self.read.get(path) {
            self.datasets.insert(path.to_owned(), *digest);
        }
        Ok(text)
    }

    /// Reads the YAML or JSON file at `path`, with merge keys and `$ref` worked in.
    pub(crate) fn node(&mut self, path: &str, at: At<'_>) -> Result<Node, Diagnostic> {
        let text = self.text(path, at)?;
        resolve::resolve(path, yaml::parse(path, &text, 0)?)
    }

    /// Returns the files that a reference means: one, or those that a pattern matches, sorted.
    ///
    /// `reference` is relative to the folder `base`, with or without `file://`.
    pub(crate) fn matching(&mut self, base: &str, reference: &str, at: At<'_>) -> Result<Vec<String>, Diagnostic> {
        let path = join(base, reference, at)?;
        if !path.contains(['*', '?', '[', '{']) {
            return Ok(vec![path]);
        }
        if self.listing.is_none() {
            let mut listing = self
                .source
                .list()
                .map_err(|error| at.error("file", format!("the files of the project cannot be listed: {error}")))?;
            listing.sort();
            self.listing = Some(listing);
        }
        let listing = self.listing.as_deref().unwrap_or_default();
        let found: Vec<String> = listing.iter().filter(|file| fast_glob::glob_match(&path, file)).cloned().collect();
        if found.is_empty() {
            return Err(at.error("missing-file", format!("no file matches `{path}`")).label("matches nothing"));
        }
        Ok(found)
    }

    /// Returns the digest of everything that was read, and the datasets among it.
    pub(crate) fn finish(self) -> (Digest, Vec<Dataset>) {
        let mut text = DOMAIN.to_owned();
        for (path, digest) in &self.read {
            // A path has no line end, as it would stand on two lines of the lock.
            text.push_str(&format!("{digest} {path}\n"));
        }
        let datasets = self.datasets.into_iter().map(|(path, digest)| Dataset { path, digest }).collect();
        (Digest::of(text.as_bytes()), datasets)
    }
}

// === impl At ===

impl At<'_> {
    pub(crate) fn error(&self, code: &'static str, message: impl Into<String>) -> Diagnostic {
        Diagnostic::error(code, self.file, message).at(self.span)
    }
}

fn unreadable(path: &str, error: &io::Error, at: At<'_>) -> Diagnostic {
    if error.kind() == io::ErrorKind::NotFound {
        let missing = at.error("missing-file", format!("`{path}` does not exist")).label("no such file");
        return missing.hint("paths are relative to the file they stand in, inside the project");
    }
    at.error("file", format!("`{path}` cannot be read: {error}"))
}

/// Returns the project-relative path of `reference` seen from the folder `base`.
pub(crate) fn join(base: &str, reference: &str, at: At<'_>) -> Result<String, Diagnostic> {
    let reference = reference.strip_prefix(SCHEME).unwrap_or(reference);
    if reference.starts_with('/') || reference.contains(['\\', '\n', '\0']) {
        let error = at.error("path", format!("`{reference}` is not a path inside the project"));
        return Err(error.hint("write it relative to this file, with `/`"));
    }
    let mut parts: Vec<&str> = base.split('/').filter(|part| !part.is_empty()).collect();
    for part in reference.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                if parts.pop().is_none() {
                    return Err(at.error("path", format!("`{reference}` leaves the project")).label("outside"));
                }
            }
            part => parts.push(part),
        }
    }
    Ok(parts.join("/"))
}

/// Returns the folder of a file.
pub(crate) fn folder(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(folder, _)| folder)
}

/// Returns the extension of a path in lower case; empty where it has none.
pub(crate) fn extension(path: &str) -> String {
    let name = path.rsplit('/').next().unwrap_or(path);
    name.rsplit_once('.').map(|(_, extension)| extension.to_ascii_lowercase()).unwrap_or_default()
}

/// Returns whether a reference means code: a script, also with the name of a function behind a colon.
pub(crate) fn is_code(reference: &str) -> bool {
    let reference = reference.strip_prefix(SCHEME).unwrap_or(reference);
    let file = match reference.rsplit_once(':') {
        Some((file, _)) if CODE.contains(&extension(file).as_str()) => return true,
        _ => reference,
    };
    CODE.contains(&extension(file).as_str())
}
