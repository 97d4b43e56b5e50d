use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;

use super::Outcome;
use crate::debian;
use crate::environment;
use crate::workspace::Workspace;

mod script;

use script::Block;

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

/// Executes the blocks of a document that are marked `sh tour`, and checks what they print.
pub(super) fn run(workspace: &Workspace, options: &Options) -> anyhow::Result<Outcome> {
    let bowline =
        fs::canonicalize(&options.bowline).with_context(|| format!("finding {}", options.bowline.display()))?;
    execute(workspace, &bowline, &options.document)
}

/// Executes the tours of the README and of every page of the documentation that has one, each in a folder of its own.
pub(super) fn execute_all(workspace: &Workspace, bowline: &Path) -> anyhow::Result<Outcome> {
    let (mut passed, mut not_run) = (true, Vec::new());
    for page in std::iter::once(PathBuf::from("README.md")).chain(pages(workspace)?) {
        match execute(workspace, bowline, &page)? {
            Outcome::Passed => {}
            Outcome::Failed => passed = false,
            Outcome::NotRun(reason) => not_run.push(reason),
        }
    }
    Ok(match not_run.join("; ") {
        reason if passed && !reason.is_empty() => Outcome::NotRun(format!("{reason}; the others passed")),
        _ => Outcome::of(passed),
    })
}

/// Returns the pages of the documentation that have a tour, by name.
fn pages(workspace: &Workspace) -> anyhow::Result<Vec<PathBuf>> {
    let mut pages = Vec::new();
    for entry in fs::read_dir(workspace.root.join("docs")).context("listing docs")? {
        let page = Path::new("docs").join(entry?.file_name());
        if page.extension().is_some_and(|extension| extension == "md") {
            let blocks = script::blocks(&workspace.text(&page)?).with_context(|| page.display().to_string())?;
            pages.extend((!blocks.is_empty()).then_some(page));
        }
    }
    pages.sort();
    Ok(pages)
}

/// Executes the tour of a document with a built `bowline`.
fn execute(workspace: &Workspace, bowline: &Path, document: &Path) -> anyhow::Result<Outcome> {
    let text = workspace.text(document)?;
    let blocks = script::blocks(&text)?;
    for program in script::needs(&text) {
        if debian::program(&[program], program)?.is_none() {
            return Ok(Outcome::NotRun(format!("the tour of {} needs {program}", document.display())));
        }
    }
    if blocks.is_empty() {
        return Ok(Outcome::NotRun(format!("{} has no block marked `sh tour`", document.display())));
    }
    let folder = tempfile::tempdir().context("making a folder for the tour")?;
    let (home, outputs) = (folder.path().join("home"), folder.path().join("outputs"));
    let place = folder.path().join("bowline");
    for folder in [&home, &outputs, &place] {
        fs::create_dir(folder).with_context(|| format!("creating {}", folder.display()))?;
    }
    copy(&workspace.root.join("examples"), &place.join("examples"))?;
    let path = environment::path_with(bowline.parent().unwrap_or_else(|| Path::new("/")));
    let mut bash = Command::new("bash");
    bash.arg("-c").arg(script::script(&blocks)).current_dir(&place);
    // Nothing of the person who runs it: not their configuration, not their name, not their running server.
    bash.env("HOME", &home).env("PATH", path).env(script::OUTPUTS, &outputs).env_remove("XDG_CACHE_HOME");
    for role in ["AUTHOR", "COMMITTER"] {
        bash.env(format!("GIT_{role}_NAME"), "Tour").env(format!("GIT_{role}_EMAIL"), "tour@example.com");
    }
    let finished = bash.status().context("starting bash")?.success();
    Ok(Outcome::of(report(document, &blocks, &outputs, finished)?))
}

/// Prints what is wrong with the first block that failed; true where none did.
fn report(document: &Path, blocks: &[Block], outputs: &Path, finished: bool) -> anyhow::Result<bool> {
    let mut printed = Vec::new();
    for index in 0..blocks.len() {
        let path = outputs.join(index.to_string());
        if path.is_file() {
            let bytes = fs::read(&path).with_context(|| format!("reading {}", path.display()))?;
            printed.push(String::from_utf8_lossy(&bytes).into_owned());
        }
    }
    for (index, (block, output)) in blocks.iter().zip(&printed).enumerate() {
        let missing: Vec<_> = block.prints.iter().filter(|text| !output.contains(*text)).collect();
        let is_last = index + 1 == printed.len();
        if missing.is_empty() && (finished || !is_last) {
            continue;
        }
        eprintln!("{}:{}: this block of the tour failed; it printed:\n{output}", document.display(), block.line);
        for text in missing {
            eprintln!("it should have printed: {text}");
        }
        return Ok(false);
    }
    if finished {
        println!("tour: {} blocks of {} did what they say", blocks.len(), document.display());
    }
    Ok(finished)
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
