use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use bowline_prompt::{front_matter_schema, project_schema};
use serde_json::Value;

use super::Outcome;
use crate::environment;
use crate::workspace::Workspace;

pub(super) mod argocd;
mod charts;
mod command_line;
mod errors;
mod install;

/// Which files, and whether to write them.
#[derive(clap::Args)]
pub(super) struct Options {
    /// Writes nothing; the exit code is 1 where a file is not fresh.
    #[arg(long)]
    check: bool,
    /// A built `bowline`; without it docs/cli.md is left alone.
    #[arg(long, value_name = "FILE")]
    bowline: Option<PathBuf>,
    /// Also deploy/base/install.yaml, with Helm, which is built from its Go module.
    #[arg(long)]
    install: bool,
}

/// What the generated files must be.
#[derive(Default)]
pub(super) struct Generation {
    files: Vec<(PathBuf, String)>,
    /// What could not be generated here, and why.
    pub(super) notes: Vec<String>,
}

// === impl Options ===

impl Options {
    /// Checks `deploy/base/install.yaml`, which needs Helm.
    pub(super) const fn check_install() -> Self {
        Self { check: true, bowline: None, install: true }
    }

    /// Checks every file, with a built `bowline`.
    pub(super) const fn check(bowline: PathBuf) -> Self {
        Self { check: true, bowline: Some(bowline), install: false }
    }
}

/// Writes the generated files, or checks them.
pub(super) fn run(workspace: &Workspace, options: &Options) -> anyhow::Result<Outcome> {
    let generation = generate(workspace, options.bowline.as_deref())?;
    for note in &generation.notes {
        eprintln!("note: {note}");
    }
    let mut is_fresh = generation.settle(workspace, options.check)?;
    if options.install {
        // Helm renders what is on disk, and that comes first.
        let mut rendered = Generation::default();
        rendered.push(install::PATH, install::manifest(workspace)?);
        is_fresh &= rendered.settle(workspace, options.check)?;
    }
    Ok(Outcome::of(is_fresh || !options.check))
}

/// Generates everything that can be generated here.
pub(super) fn generate(workspace: &Workspace, bowline: Option<&Path>) -> anyhow::Result<Generation> {
    let mut generation = Generation::default();
    generation.push("schemas/bowline.schema.json", json(&project_schema())?);
    generation.push("schemas/prompt.schema.json", json(&front_matter_schema())?);
    for manifest in bowline_crd::manifests() {
        generation.push(format!("deploy/crds/{}.yaml", manifest.plural), manifest.to_yaml()?);
    }
    for (path, text) in charts::copies(workspace)? {
        generation.push(path, text);
    }
    generation.push("docs/values.md", charts::values(workspace)?);
    generation.push("deploy/argocd/argocd-cm.yaml", argocd::settings(workspace)?);
    for (path, text) in errors::pages(workspace)? {
        generation.push(path, text);
    }
    prices(workspace, &mut generation)?;
    match bowline {
        Some(bowline) => generation.push("docs/cli.md", command_line::reference(bowline)?),
        None => generation.notes.push("docs/cli.md needs `--bowline FILE`".to_owned()),
    }
    Ok(generation)
}

fn json(value: &Value) -> anyhow::Result<String> {
    Ok(format!("{}\n", serde_json::to_string_pretty(value)?))
}

fn prices(workspace: &Workspace, generation: &mut Generation) -> anyhow::Result<()> {
    let source = environment::conformance_data(&workspace.root).join("prices/genai-prices.json");
    if !source.is_file() {
        generation.notes.push(format!("the price table needs {}, which is absent", source.display()));
        return Ok(());
    }
    let text = fs::read_to_string(&source).with_context(|| format!("reading {}", source.display()))?;
    let table = bowline_providers::price::import(&text).context("importing the prices")?;
    generation.push("crates/bowline-providers/data/prices.json", table.to_json()?);
    Ok(())
}

// === impl Generation ===

impl Generation {
    /// Returns the files that are not what they must be.
    pub(super) fn stale(&self, workspace: &Workspace) -> Vec<&Path> {
        let is_fresh =
            |path: &Path, text: &str| fs::read(workspace.root.join(path)).is_ok_and(|old| old == text.as_bytes());
        let stale = self.files.iter().filter(|(path, text)| !is_fresh(path, text));
        stale.map(|(path, _)| path.as_path()).collect()
    }

    /// Writes the files, or only says which are not fresh; returns whether all were.
    fn settle(&self, workspace: &Workspace, check: bool) -> anyhow::Result<bool> {
        let stale = self.stale(workspace);
        for path in &stale {
            println!("{}: {}", path.display(), if check { "not fresh" } else { "written" });
        }
        if !check {
            self.write(workspace)?;
        }
        Ok(stale.is_empty())
    }

    fn write(&self, workspace: &Workspace) -> anyhow::Result<()> {
        for (path, text) in &self.files {
            let full = workspace.root.join(path);
            if let Some(folder) = full.parent() {
                fs::create_dir_all(folder).with_context(|| format!("creating {}", folder.display()))?;
            }
            fs::write(&full, text).with_context(|| format!("writing {}", path.display()))?;
        }
        Ok(())
    }

    fn push(&mut self, path: impl Into<PathBuf>, text: String) {
        self.files.push((path.into(), text));
    }
}
