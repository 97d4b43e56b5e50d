use std::path::Path;

use bowline_types::ErrorKind;

use super::Problem;
use crate::workspace::Workspace;

/// The sections of the page of an error.
const SECTIONS: [&str; 2] = ["\n## What happened\n", "\n## What to check\n"];

/// Checks that the map of the code names every crate.
pub(super) fn architecture(workspace: &Workspace) -> anyhow::Result<Vec<Problem>> {
    let path = Path::new("ARCHITECTURE.md");
    let text = workspace.text(path)?;
    let missing = workspace.crates.iter().filter(|member| !text.contains(&format!("`{}`", member.name)));
    Ok(missing.map(|member| Problem::new(path, format!("does not name `{}`", member.name))).collect())
}

/// Checks that every code of an error has its page, and every page its code.
pub(super) fn error_pages(workspace: &Workspace) -> anyhow::Result<Vec<Problem>> {
    let folder = Path::new("docs/errors");
    let mut problems = Vec::new();
    for kind in ErrorKind::ALL {
        let path = folder.join(kind.spec().code).with_extension("md");
        if !workspace.root.join(&path).is_file() {
            problems.push(Problem::new(path, "is missing: every code of an error has a page"));
            continue;
        }
        let text = workspace.text(&path)?;
        for section in SECTIONS.iter().filter(|section| !text.contains(*section)) {
            problems.push(Problem::new(&path, format!("lacks the section `{}`", section.trim())));
        }
    }
    for path in workspace.files(&["md"])?.iter().filter(|path| path.parent() == Some(folder)) {
        let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        if stem != "README" && !ErrorKind::ALL.iter().any(|kind| kind.spec().code == stem) {
            problems.push(Problem::new(path, "is the page of no code"));
        }
    }
    Ok(problems)
}

/// Checks that the files which documents link to are there.
pub(super) fn links(workspace: &Workspace) -> anyhow::Result<Vec<Problem>> {
    let mut problems = Vec::new();
    for path in workspace.files(&["md"])? {
        let text = workspace.text(&path)?;
        let folder = path.parent().unwrap_or_else(|| Path::new(""));
        for (line, target) in relative_links(&text) {
            if !workspace.root.join(folder).join(target).exists() {
                problems.push(Problem::at_line(&path, line, format!("links to `{target}`, which is not there")));
            }
        }
    }
    Ok(problems)
}

/// Returns the links to files, each with its line; code is not read.
fn relative_links(text: &str) -> Vec<(usize, &str)> {
    let mut links = Vec::new();
    let mut in_fence = false;
    for (index, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            in_fence = !in_fence;
        }
        if in_fence {
            continue;
        }
        // Every second piece between backticks is code.
        let prose = line.split('`').step_by(2);
        let targets =
            prose.flat_map(|piece| piece.split("](").skip(1)).filter_map(|rest| rest.split([')', '#', ' ']).next());
        let is_relative = |target: &&str| !target.is_empty() && !target.contains(':');
        links.extend(targets.filter(is_relative).map(|target| (index + 1, target)));
    }
    links
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_to_files_are_found() {
        let check = |text: &str, expected: &[(usize, &str)]| assert_eq!(relative_links(text), expected, "{text}");
        check("a [b](c.md) and\n[d](../e.md#f \"title\")", &[(1, "c.md"), (2, "../e.md")]);
        check("![a](b.png) [c](https://d.example) [e](#f) [g](mailto:h@i.example)", &[(1, "b.png")]);
        check("`[a](b.md)` [`c`](d.md)\n```\n[e](f.md)\n```\n[g](h.md)", &[(1, "d.md"), (5, "h.md")]);
    }
}
