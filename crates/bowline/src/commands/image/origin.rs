//! Where an image comes from: what its labels and its time say.

use std::path::Path;

use anyhow::Context;
use bowline_registry::{commit_time, provenance};
use jiff::Timestamp;

use crate::failure::{Failure, Result};
use crate::output::note;
use crate::settings;

/// What decides the time of an image before its commit does (<https://reproducible-builds.org/specs/source-date-epoch/>, read 2026-11-25).
const EPOCH: &str = "SOURCE_DATE_EPOCH";

/// The commit behind an image.
pub(crate) struct Origin {
    /// The time of everything in it.
    pub(crate) created: Timestamp,
    /// The commit, with `-dirty` where the working tree differs from it.
    pub(crate) revision: Option<String>,
}

// === impl Origin ===

impl Origin {
    /// Returns the origin of what is packaged in `folder`.
    ///
    /// # Errors
    /// Git fails, or the environment has no number where there should be one.
    pub(crate) fn of(folder: &Path) -> Result<Self> {
        let provenance = provenance(folder).map_err(anyhow::Error::from)?;
        let created = match (given()?, &provenance.commit) {
            (Some(given), _) => given,
            (None, Some(commit)) => time(commit_time(folder, commit).map_err(anyhow::Error::from)?)?,
            (None, None) => Timestamp::UNIX_EPOCH,
        };
        if provenance.commit.is_some() && provenance.dirty {
            note("the working tree has uncommitted changes: the image is labelled as dirty");
        }
        let suffix = if provenance.dirty { "-dirty" } else { "" };
        Ok(Self { created, revision: provenance.commit.map(|commit| format!("{commit}{suffix}")) })
    }

    /// Returns the time in whole seconds since 1970, as archives have it.
    pub(crate) fn seconds(&self) -> u64 {
        u64::try_from(self.created.as_second()).unwrap_or(0)
    }
}

/// Returns the time that the environment asks for.
fn given() -> Result<Option<Timestamp>> {
    let Some(text) = settings::variable(EPOCH) else { return Ok(None) };
    let wrong = || Failure::user(format!("{EPOCH} is `{text}`, which is no number of seconds since 1970"));
    let seconds: i64 = text.parse().ok().filter(|seconds| *seconds >= 0).ok_or_else(wrong)?;
    time(seconds).map(Some)
}

fn time(seconds: i64) -> Result<Timestamp> {
    Ok(Timestamp::from_second(seconds).context("the time of the image is beyond what dates can say")?)
}
