//! The one place that reads the environment.

use std::path::{Path, PathBuf};

/// Returns whether this runs on CI, where a step that cannot run is a failure.
pub(crate) fn on_ci() -> bool {
    variable("CI").is_some_and(|value| !matches!(value.as_str(), "0" | "false"))
}

/// Returns the folder of the conformance corpora: `BOWLINE_CONFORMANCE_DATA`, by default `../shared/data` beside the workspace.
pub(crate) fn conformance_data(root: &Path) -> PathBuf {
    variable("BOWLINE_CONFORMANCE_DATA").map_or_else(|| root.join("../shared/data"), PathBuf::from)
}

/// Returns the folder for what is expensive to make again: `$XDG_CACHE_HOME/bowline`, by default `~/.cache/bowline`.
pub(crate) fn cache() -> Option<PathBuf> {
    let home = || variable("HOME").map(|home| PathBuf::from(home).join(".cache"));
    Some(variable("XDG_CACHE_HOME").map(PathBuf::from).or_else(home)?.join("bowline"))
}

/// Returns where cargo keeps the sources of dependencies: `$CARGO_HOME`, by default `~/.cargo`.
pub(crate) fn cargo_home() -> Option<PathBuf> {
    variable("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| variable("HOME").map(|home| PathBuf::from(home).join(".cargo")))
}

/// Returns the kubeconfig of an existing cluster: the first file of `KUBECONFIG`.
pub(crate) fn kubeconfig() -> Option<PathBuf> {
    variable("KUBECONFIG")?.split(':').find(|path| !path.is_empty()).map(PathBuf::from)
}

/// Returns what the processes of a cluster get of the environment: where programs are, and a home. System programs may be missing in the
/// search path of a person.
pub(crate) fn passed_on() -> Vec<(&'static str, String)> {
    let path =
        format!("{}:/usr/local/sbin:/usr/sbin:/sbin", variable("PATH").unwrap_or_else(|| "/usr/bin:/bin".to_owned()));
    let home = variable("HOME").unwrap_or_else(|| "/".to_owned());
    vec![("PATH", path), ("HOME", home)]
}

/// Returns the search path with a folder in front of it.
pub(crate) fn path_with(folder: &Path) -> String {
    format!("{}:{}", folder.display(), variable("PATH").unwrap_or_default())
}

/// Returns the first of the programs that the search path has.
pub(crate) fn program(names: &[&str]) -> Option<PathBuf> {
    let path = variable("PATH")?;
    let folders: Vec<&str> = path.split(':').collect();
    names
        .iter()
        .flat_map(|name| folders.iter().map(move |folder| Path::new(folder).join(name)))
        .find(|path| path.is_file())
}

#[expect(clippy::disallowed_methods, reason = "chores have no config module; this one stands for it")]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}
