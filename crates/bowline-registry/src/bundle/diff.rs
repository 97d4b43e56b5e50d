//! What changed from one bundle to another.

use std::collections::BTreeMap;

use bowline_prompt::VersionDiff;
use bowline_types::{Digest, PromptName};
use serde::Serialize;

use super::{Bundle, Kind};

/// What changed from one bundle to another; what is the same is left out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct BundleDiff {
    /// Prompts, by name.
    pub prompts: Vec<VersionChange>,
    /// Files, by kind and path.
    pub files: Vec<FileChange>,
}

/// A prompt whose version is another one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct VersionChange {
    /// The prompt.
    pub name: PromptName,
    /// The version before; none where the prompt is new.
    pub from: Option<Digest>,
    /// The version after; none where the prompt is gone.
    pub to: Option<Digest>,
    /// What changed, where both are there.
    #[serde(skip_serializing_if = "VersionDiff::is_empty", flatten)]
    pub diff: VersionDiff,
}

/// A file that is another one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FileChange {
    /// The kind, such as `suites`.
    pub kind: &'static str,
    /// The path.
    pub path: String,
    /// The digest before; none where the file is new.
    pub from: Option<Digest>,
    /// The digest after; none where it is gone.
    pub to: Option<Digest>,
}

// === impl BundleDiff ===

impl BundleDiff {
    /// Compares two bundles.
    #[must_use]
    pub fn between(old: &Bundle, new: &Bundle) -> Self {
        let versions = |bundle: &Bundle| {
            bundle.versions.iter().map(|version| (version.name.clone(), version.digest)).collect::<BTreeMap<_, _>>()
        };
        let prompts = changes(versions(old), versions(new)).map(|(name, from, to)| {
            let diff = match (old.version(&name), new.version(&name)) {
                (Some(old), Some(new)) => VersionDiff::between(&old.version, &new.version),
                _ => VersionDiff::default(),
            };
            VersionChange { name, from, to, diff }
        });
        let files = |bundle: &Bundle| {
            let files = bundle.files.iter().map(|(kind, file)| ((kind, file.path.clone()), file.digest));
            files.collect::<BTreeMap<(Kind, String), Digest>>()
        };
        let files = changes(files(old), files(new)).map(|((kind, path), from, to)| FileChange {
            kind: kind.as_str(),
            path,
            from,
            to,
        });
        Self { prompts: prompts.collect(), files: files.collect() }
    }

    /// Returns whether nothing changed.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.prompts.is_empty() && self.files.is_empty()
    }
}

/// Returns the keys whose digest is another one, with both.
fn changes<K: Ord + Clone>(
    old: BTreeMap<K, Digest>,
    new: BTreeMap<K, Digest>,
) -> impl Iterator<Item = (K, Option<Digest>, Option<Digest>)> {
    let mut both: BTreeMap<K, (Option<Digest>, Option<Digest>)> = BTreeMap::new();
    for (key, digest) in old {
        both.entry(key).or_default().0 = Some(digest);
    }
    for (key, digest) in new {
        both.entry(key).or_default().1 = Some(digest);
    }
    both.into_iter().filter(|(_, (from, to))| from != to).map(|(key, (from, to))| (key, from, to))
}
