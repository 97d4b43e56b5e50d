use std::fmt;
use std::path::Path;

use super::{Outcome, generate};
use crate::workspace::Workspace;

mod commands;
mod copies;
mod documents;
mod edges;
mod layout;
mod size;
mod source;
mod unfinished;

/// Something that must be mended.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Problem {
    place: String,
    message: String,
}

type Check = fn(&Workspace) -> anyhow::Result<Vec<Problem>>;

/// Every check, with the name it is reported by.
const CHECKS: [(&str, Check); 10] = [
    ("edges", edges::check),
    ("layout", layout::check),
    ("size", size::check),
    ("unfinished", unfinished::check),
    ("architecture", documents::architecture),
    ("error pages", documents::error_pages),
    ("links", documents::links),
    ("commands", commands::check),
    ("copies", copies::check),
    ("generated", generated),
];

/// Runs every check and prints what each one found.
pub(super) fn run(workspace: &Workspace) -> anyhow::Result<Outcome> {
    let mut count = 0;
    for (name, check) in CHECKS {
        let mut problems = check(workspace)?;
        problems.sort();
        for problem in &problems {
            eprintln!("{name}: {problem}");
        }
        count += problems.len();
    }
    match count {
        0 => println!("tidy: {} checks passed", CHECKS.len()),
        _ => eprintln!("tidy: {count} problems"),
    }
    Ok(Outcome::of(count == 0))
}

fn generated(workspace: &Workspace) -> anyhow::Result<Vec<Problem>> {
    let generation = generate::generate(workspace, None)?;
    for note in &generation.notes {
        eprintln!("generated: note: {note}");
    }
    let stale = generation.stale(workspace);
    Ok(stale.into_iter().map(|path| Problem::new(path, "is not what `cargo xtask gen` writes; run it")).collect())
}

// === impl Problem ===

impl Problem {
    fn new(place: impl AsRef<Path>, message: impl Into<String>) -> Self {
        Self { place: place.as_ref().display().to_string(), message: message.into() }
    }

    fn at_line(place: &Path, line: usize, message: impl Into<String>) -> Self {
        Self { place: format!("{}:{line}", place.display()), message: message.into() }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.message)
    }
}
