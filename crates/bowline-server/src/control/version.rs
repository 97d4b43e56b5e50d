//! Versions that were released.

use bowline_store::VersionRecord;
use bowline_types::{Digest, ProjectName, PromptName};

use super::Control;
use crate::error::{Error, Result};

/// The fewest digits that name a version.
const DIGITS_MIN: usize = 4;

impl Control {
    /// Fetches a version of a prompt, named by its digest or by the first digits of it.
    ///
    /// # Errors
    /// Says that the prompt has no such version, or that several begin so.
    pub async fn version_fetch(
        &self,
        project: &ProjectName,
        prompt: PromptName,
        wanted: &str,
    ) -> Result<VersionRecord> {
        let unknown = |hint| Error::NotFound { noun: "version", name: wanted.to_owned(), hint };
        let digits = wanted.strip_prefix("sha256:").unwrap_or(wanted);
        if digits.len() < DIGITS_MIN {
            return Err(unknown("give at least the first 4 digits of its digest"));
        }
        let registrations = self.shared.store.registration_list(project.clone(), prompt).await?;
        let found = registrations.iter().map(|registration| registration.version);
        let mut found: Vec<Digest> = found.filter(|version| version.hex().starts_with(digits)).collect();
        found.sort_unstable();
        found.dedup();
        match found[..] {
            [version] => {
                let record = self.shared.store.version_fetch(version).await?;
                record.ok_or_else(|| unknown("it was registered, but its content is gone"))
            }
            [] => Err(unknown("`bowline env log ENV PROMPT` shows the versions that were released")),
            _ => Err(unknown("several begin with these digits; give more of them")),
        }
    }
}
