use std::path::PathBuf;

use crate::debian;

const NAMES: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];

/// Returns a Chromium.
pub(super) fn find() -> anyhow::Result<Option<PathBuf>> {
    debian::program(&NAMES, "chromium")
}
