use std::path::{Path, PathBuf};

/// Returns the root of the workspace.
#[must_use]
pub fn workspace_root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here).to_owned()
}

/// Returns the folder of a conformance corpus, or says on standard error that it was skipped and returns `None`.
///
/// The data lives in `BOWLINE_CONFORMANCE_DATA`, by default `../shared/data` beside the workspace.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "tests have no config module")]
#[expect(clippy::print_stderr, reason = "a skipped corpus must be visible in the test output")]
pub fn conformance_data(corpus: &str) -> Option<PathBuf> {
    let default = || workspace_root().join("../shared/data");
    let folder = std::env::var("BOWLINE_CONFORMANCE_DATA").map_or_else(|_| default(), PathBuf::from).join(corpus);
    if folder.is_dir() {
        return Some(folder);
    }
    eprintln!("skipped: corpus `{corpus}` is not at {}", folder.display());
    None
}
