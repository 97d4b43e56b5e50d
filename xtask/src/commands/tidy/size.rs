use std::path::{Path, PathBuf};

use super::{Problem, source};
use crate::workspace::Workspace;

/// Lines of code, tests excluded, that a file may have. The aim is 300.
const CODE_LINES_MAX: usize = 800;
/// How many of the largest files are printed.
const SHOWN: usize = 10;
/// Files that may be larger, each with the reason.
const LARGER: [(&str, &str); 0] = [];

/// Checks the size of every source file and prints the largest.
pub(super) fn check(workspace: &Workspace) -> anyhow::Result<Vec<Problem>> {
    let mut sizes: Vec<(usize, PathBuf)> = Vec::new();
    for path in workspace.files(&["rs"])? {
        if !is_test(&path) {
            sizes.push((source::code_lines(&workspace.text(&path)?), path));
        }
    }
    sizes.sort_by(|left, right| right.cmp(left));
    println!("largest files, in lines of code without tests:");
    for (lines, path) in sizes.iter().take(SHOWN) {
        println!("{lines:>5}  {}", path.display());
    }
    let over = sizes.iter().filter(|(lines, _)| *lines > CODE_LINES_MAX);
    let unlisted = over.filter(|(_, path)| !LARGER.iter().any(|(listed, _)| Path::new(listed) == path));
    let message = |lines| format!("has {lines} lines of code, more than {CODE_LINES_MAX}; split it");
    Ok(unlisted.map(|(lines, path)| Problem::new(path, message(lines))).collect())
}

/// Returns whether a file holds tests alone.
fn is_test(path: &Path) -> bool {
    path.ends_with("tests.rs") || path.components().any(|part| part.as_os_str() == "tests")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_tests_are_not_counted() {
        let check = |path: &str, expected| assert_eq!(is_test(Path::new(path)), expected, "{path}");
        check("crates/a/src/lib.rs", false);
        check("crates/a/src/contests.rs", false);
        check("crates/a/src/plan/tests.rs", true);
        check("crates/a/src/plan/tests/edge.rs", true);
        check("crates/a/tests/it/main.rs", true);
    }
}
