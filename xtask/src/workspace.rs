use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;
use serde::Deserialize;

use crate::process;

/// Folders that hold no file of the project.
const SKIPPED: [&str; 6] = [".git", "target", ".bowline", "node_modules", "__pycache__", ".pytest_cache"];

/// The checkout.
pub(crate) struct Workspace {
    /// Its folder.
    pub(crate) root: PathBuf,
    /// Where cargo puts what it builds.
    pub(crate) target: PathBuf,
    /// Its crates, by name.
    pub(crate) crates: Vec<Crate>,
}

/// One crate of the workspace, as `cargo metadata` describes it.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Crate {
    /// The name of its package.
    pub(crate) name: String,
    /// The path of its manifest.
    pub(crate) manifest_path: PathBuf,
    /// What its manifest asks for.
    pub(crate) dependencies: Vec<Dependency>,
    /// What is built from it.
    pub(crate) targets: Vec<Target>,
}

/// One entry of a manifest's dependencies.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Dependency {
    /// The package.
    pub(crate) name: String,
    /// `None` for `[dependencies]`, else `dev` or `build`.
    pub(crate) kind: Option<String>,
}

/// One thing that is built from a crate.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Target {
    /// Its name.
    pub(crate) name: String,
    /// What it is: `lib`, `bin`, `test`, and others.
    pub(crate) kind: Vec<String>,
}

#[derive(Deserialize)]
struct Metadata {
    target_directory: PathBuf,
    packages: Vec<Crate>,
}

// === impl Workspace ===

impl Workspace {
    /// Reads the workspace that this program was built from.
    pub(crate) fn read() -> anyhow::Result<Self> {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        let root = here.parent().context("xtask is a folder of the workspace")?.to_owned();
        let mut command = Command::new("cargo");
        command.args(["metadata", "--format-version", "1", "--no-deps"]).current_dir(&root);
        let metadata: Metadata =
            serde_json::from_str(&process::output(&mut command)?).context("reading `cargo metadata`")?;
        let mut crates = metadata.packages;
        crates.sort_by(|left, right| left.name.cmp(&right.name));
        Ok(Self { root, target: metadata.target_directory, crates })
    }

    /// Returns the files of the project with one of the extensions, all of them where none is given; sorted, relative to the root.
    pub(crate) fn files(&self, extensions: &[&str]) -> anyhow::Result<Vec<PathBuf>> {
        let mut files = Vec::new();
        self.collect(&self.root, &mut files)?;
        let wanted = |path: &PathBuf| {
            let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
            extensions.is_empty() || extensions.contains(&extension)
        };
        files.retain(wanted);
        files.sort();
        Ok(files)
    }

    /// Reads a file of the project.
    pub(crate) fn text(&self, path: &Path) -> anyhow::Result<String> {
        fs::read_to_string(self.root.join(path)).with_context(|| format!("reading {}", path.display()))
    }

    /// Returns `cargo`, to be run at the root.
    pub(crate) fn cargo(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("cargo");
        command.args(arguments).current_dir(&self.root);
        command
    }

    fn collect(&self, folder: &Path, files: &mut Vec<PathBuf>) -> anyhow::Result<()> {
        for entry in fs::read_dir(folder).with_context(|| format!("reading {}", folder.display()))? {
            let entry = entry?;
            let kind = entry.file_type()?;
            let name = entry.file_name();
            if kind.is_dir() && !SKIPPED.iter().any(|skipped| name == *skipped) {
                self.collect(&entry.path(), files)?;
            } else if kind.is_file() {
                files.push(entry.path().strip_prefix(&self.root)?.to_owned());
            }
        }
        Ok(())
    }
}
