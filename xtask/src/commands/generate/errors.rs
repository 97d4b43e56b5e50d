//! The table of errors, and the line of facts on the page of each; the rest of a page is written by people.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use bowline_types::{Actor, ErrorKind, ErrorSpec};

use crate::workspace::Workspace;

const FOLDER: &str = "docs/errors";
const HEAD: &str = "\
# Errors

<!-- written by `cargo xtask gen` from ErrorKind -->

Every error that leaves Bowline has a kind. The kind decides the HTTP status, whether the same request may succeed later, and who
must act. Each page says what happened and what to check. An answer may carry a more exact code; the page of its kind explains it.

| code | status | retry helps | who acts |
|---|---|---|---|
";

/// Returns the table and every page that is there, with the facts as they are now.
pub(super) fn pages(workspace: &Workspace) -> anyhow::Result<Vec<(PathBuf, String)>> {
    let folder = Path::new(FOLDER);
    let mut table = HEAD.to_owned();
    let mut pages = Vec::new();
    for spec in ErrorKind::ALL.map(ErrorKind::spec) {
        let ErrorSpec { status, code, retryable, actor } = spec;
        let retry = if retryable { "yes" } else { "no" };
        writeln!(table, "| [`{code}`]({code}.md) | {status} | {retry} | {} |", who(actor))?;
        let path = folder.join(code).with_extension("md");
        // `tidy` tells which pages are missing.
        if workspace.root.join(&path).is_file() {
            let text = workspace.text(&path)?;
            pages.push((path, with_facts(&text, spec)));
        }
    }
    pages.push((folder.join("README.md"), table));
    Ok(pages)
}

/// Returns a page with its title and facts replaced: everything above the first section.
fn with_facts(page: &str, spec: ErrorSpec) -> String {
    let ErrorSpec { status, code, retryable, actor } = spec;
    let sections = page.split_once("\n## ").map_or("", |(_, sections)| sections);
    let retry = if retryable { "may succeed later" } else { "will fail again" };
    format!("# {code}\n\nHTTP status {status}. The same request {retry}. To act: {}.\n\n## {sections}", who(actor))
}

const fn who(actor: Actor) -> &'static str {
    match actor {
        Actor::Application => "whoever writes the application",
        Actor::Operator => "whoever runs Bowline",
        Actor::Provider => "the provider; wait and retry",
        Actor::Bowline => "whoever writes Bowline; report it",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_are_replaced_and_sections_stay() {
        let page = with_facts(
            "# old\n\nHTTP status 1.\n\n## What happened\nIt.\n\n## What to check\nThat.\n",
            ErrorKind::TooLarge.spec(),
        );
        assert_eq!(
            page,
            "# too_large\n\nHTTP status 413. The same request will fail again. To act: whoever writes the application.\n\n\
             ## What happened\nIt.\n\n## What to check\nThat.\n"
        );
        assert_eq!(with_facts(&page, ErrorKind::TooLarge.spec()), page);
    }
}
