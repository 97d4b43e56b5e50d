use std::ffi::OsStr;
use std::path::Path;

use super::Problem;
use crate::workspace::Workspace;

/// Checks what a newcomer relies on to find things: folder names, no `mod.rs`, one integration binary, the shared lints.
pub(super) fn check(workspace: &Workspace) -> anyhow::Result<Vec<Problem>> {
    let mut problems = Vec::new();
    for member in &workspace.crates {
        let manifest = member.manifest_path.strip_prefix(&workspace.root)?;
        let folder = manifest.parent().unwrap_or_else(|| Path::new(""));
        if folder.file_name() != Some(OsStr::new(&member.name)) {
            problems.push(Problem::new(manifest, format!("the folder of a crate has its name, `{}`", member.name)));
        }
        if !workspace.text(manifest)?.contains("[lints]\nworkspace = true") {
            problems.push(Problem::new(manifest, "does not take the lints of the workspace"));
        }
        let is_test = |kind: &String| kind == "test";
        for target in member.targets.iter().filter(|target| target.kind.iter().any(is_test) && target.name != "it") {
            let message = format!("`{}` is a second integration binary; put it into tests/it", target.name);
            problems.push(Problem::new(manifest, message));
        }
    }
    for path in workspace.files(&["rs"])? {
        if path.file_name() == Some(OsStr::new("mod.rs")) {
            problems.push(Problem::new(path, "is `foo/mod.rs`; call it `foo.rs`"));
        }
    }
    Ok(problems)
}
