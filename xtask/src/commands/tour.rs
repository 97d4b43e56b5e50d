use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail};

use super::Outcome;
use crate::environment;
use crate::workspace::Workspace;

mod document;
mod needs;
mod script;

use document::{Block, Tour};

/// The document and the program.
#[derive(clap::Args)]
pub(super) struct Options {
    /// A built `bowline`.
    #[arg(long, value_name = "FILE")]
    bowline: PathBuf,
    /// The document whose blocks are executed.
    #[arg(long, value_name = "FILE", default_value = "README.md")]
    document: PathBuf,
}

/// Executes the tours of a document, and checks what they print.
pub(super) fn run(workspace: &Workspace, options: &Options) -> anyhow::Result<Outcome> {
    let bowline =
        fs::canonicalize(&options.bowline).with_context(|| format!("finding {}", options.bowline.display()))?;
    let tours = read(workspace, &options.document)?;
    if tours.is_empty() {
        return Ok(Outcome::NotRun(format!("{} has no block marked `sh tour`", options.document.display())));
    }
    execute(workspace, &bowline, &options.document, &tours)
}

/// Executes the tours of the README and of every page of the documentation that has one, each in a folder of its own.
pub(super) fn execute_all(workspace: &Workspace, bowline: &Path) -> anyhow::Result<Outcome> {
    let mut outcomes = Vec::new();
    for page in pages(workspace)? {
        outcomes.push(execute(workspace, bowline, &page, &read(workspace, &page)?)?);
    }
    Ok(together(outcomes))
}

/// Returns the documents whose blocks are accounted for: the README, the pages of the documentation and of the examples. Decisions record
/// what was, and the reference of the command line is generated.
pub(super) fn pages(workspace: &Workspace) -> anyhow::Result<Vec<PathBuf>> {
    let mut pages = workspace.files(&["md"])?;
    pages.retain(|path| {
        let is_page = path == Path::new("README.md") || path.starts_with("docs") || path.starts_with("examples");
        is_page && !path.starts_with("docs/adr") && path != Path::new("docs/cli.md")
    });
    Ok(pages)
}

fn read(workspace: &Workspace, path: &Path) -> anyhow::Result<Vec<Tour>> {
    document::tours(path, &workspace.text(path)?)
}

/// Executes the tours of a document with a built `bowline`.
fn execute(workspace: &Workspace, bowline: &Path, document: &Path, tours: &[Tour]) -> anyhow::Result<Outcome> {
    let mut outcomes = Vec::new();
    for tour in tours {
        outcomes.push(take(workspace, bowline, document, tour)?);
    }
    Ok(together(outcomes))
}

/// Returns what became of several tours: failed where one failed, and not run where one was not run.
fn together(outcomes: Vec<Outcome>) -> Outcome {
    let mut reasons = Vec::new();
    for outcome in outcomes {
        match outcome {
            Outcome::Passed => {}
            Outcome::Failed => return Outcome::Failed,
            Outcome::NotRun(reason) => reasons.push(reason),
        }
    }
    match reasons.join("; ") {
        reasons if reasons.is_empty() => Outcome::Passed,
        reasons => Outcome::NotRun(reasons),
    }
}

/// Takes one tour of a document.
fn take(workspace: &Workspace, bowline: &Path, document: &Path, tour: &Tour) -> anyhow::Result<Outcome> {
    let mut tour = tour.clone();
    if let Some(path) = tour.after.take() {
        let before = read(workspace, &path)?;
        let [before] = &before[..] else {
            bail!("{} is after {}, which has not one tour", document.display(), path.display())
        };
        tour.needs.extend(before.needs.iter().cloned());
        tour.blocks.splice(0..0, before.blocks.iter().cloned());
    }
    let mut path = environment::path_with(bowline.parent().unwrap_or_else(|| Path::new("/")));
    for name in &tour.needs {
        match needs::program(workspace, name) {
            Ok(program) => path = format!("{path}:{}", program.parent().unwrap_or_else(|| Path::new("/")).display()),
            Err(what) => {
                let place = tour.blocks.last().map_or_else(String::new, |block| block.place.clone());
                return Ok(Outcome::NotRun(format!("the tour to {place} needs {what}")));
            }
        }
    }
    let folder = tempfile::tempdir().context("making a folder for the tour")?;
    let (home, outputs) = (folder.path().join("home"), folder.path().join("outputs"));
    let place = folder.path().join("bowline");
    for folder in [&home, &outputs, &place] {
        fs::create_dir(folder).with_context(|| format!("creating {}", folder.display()))?;
    }
    copy(&workspace.root.join("examples"), &place.join("examples"))?;
    let mut bash = Command::new("bash");
    bash.arg("-c").arg(script::script(&tour.blocks)).current_dir(&place);
    // Nothing of the person who runs it: not their configuration, not their name, not their running server.
    bash.env("HOME", &home).env("PATH", path).env(script::OUTPUTS, &outputs).env_remove("XDG_CACHE_HOME");
    for role in ["AUTHOR", "COMMITTER"] {
        bash.env(format!("GIT_{role}_NAME"), "Tour").env(format!("GIT_{role}_EMAIL"), "tour@example.com");
    }
    let finished = bash.status().context("starting bash")?.success();
    let passed = report(document, &tour, &outputs, finished)?;
    Ok(Outcome::of(passed))
}

/// Prints what is wrong with the first block that failed; true where none did.
fn report(document: &Path, tour: &Tour, outputs: &Path, finished: bool) -> anyhow::Result<bool> {
    let mut printed = Vec::new();
    for index in 0..tour.blocks.len() {
        let path = outputs.join(index.to_string());
        if path.is_file() {
            let bytes = fs::read(&path).with_context(|| format!("reading {}", path.display()))?;
            printed.push(String::from_utf8_lossy(&bytes).into_owned());
        }
    }
    for (index, (block, output)) in tour.blocks.iter().zip(&printed).enumerate() {
        let is_last = index + 1 == printed.len();
        if !explain(block, output, finished || !is_last) {
            return Ok(false);
        }
    }
    if finished {
        println!("tour: {} blocks of {} did what they say", tour.blocks.len(), document.display());
        for document::StandIn { shown, executed } in &tour.stand_ins {
            println!("      `{executed}` stood in for `{shown}`");
        }
    }
    Ok(finished)
}

/// Prints what is wrong with a block; true where nothing is.
fn explain(block: &Block, output: &str, succeeded: bool) -> bool {
    let missing: Vec<_> = block.prints.iter().filter(|text| !output.contains(*text)).collect();
    if missing.is_empty() && succeeded {
        return true;
    }
    eprintln!("{}: this block of the tour failed; it printed:\n{output}", block.place);
    for text in missing {
        eprintln!("it should have printed: {text}");
    }
    false
}

fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(to).with_context(|| format!("creating {}", to.display()))?;
    for entry in fs::read_dir(from).with_context(|| format!("reading {}", from.display()))? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        // A store that somebody's server left in the checkout is no part of the example.
        if entry.file_type()?.is_dir() && entry.file_name() != ".bowline" {
            copy(&entry.path(), &target)?;
        } else if entry.file_type()?.is_file() {
            fs::copy(entry.path(), &target).with_context(|| format!("copying {}", entry.path().display()))?;
        }
    }
    Ok(())
}
