use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;

use super::super::control_plane::ControlPlane;
use super::forward::Forward;
use crate::process;
use crate::workspace::Workspace;

/// The prompt of the story.
pub(super) const PROMPT: &str = "support/classify";
/// The project of the example.
pub(super) const PROJECT: &str = "support-desk";
/// The file of the prompt.
const PROMPT_FILE: &str = "prompts/support/classify.prompt";

/// A Git repository with the prompts of the support desk, as a team has it, and the command line beside it.
pub(super) struct Repository {
    folder: PathBuf,
    /// The namespace and the name in the registry.
    name: String,
    bowline: PathBuf,
    examples: PathBuf,
}

/// A bundle that was pushed.
pub(super) struct Pushed {
    /// The digest of the prompt's version, as the commit's `bowline.lock` has it.
    pub(super) version: String,
    /// The commit.
    pub(super) commit: String,
    /// The digest of the bundle.
    pub(super) bundle: String,
}

// === impl Repository ===

impl Repository {
    /// Makes the repository of a project with a first commit and keys that sign. `name` is where its bundles are in the registry.
    pub(super) fn create(
        workspace: &Workspace,
        bowline: &Path,
        folder: &Path,
        (name, project): (&str, &str),
    ) -> anyhow::Result<Self> {
        let examples = workspace.root.join("examples");
        let (folder, name) = (folder.join(name), name.to_owned());
        let repository = Self { folder, name, bowline: bowline.to_owned(), examples };
        let desk = |name: &str| repository.examples.join("support-desk").join(name);
        fs::create_dir_all(&repository.folder).context("making a repository")?;
        process::output(Command::new("cp").arg("--recursive").arg(desk("prompts")).arg(&repository.folder))?;
        let file = repository.examples.join("kubernetes/bowline.yaml");
        fs::copy(file, repository.folder.join("bowline.yaml")).context("copying the project file")?;
        if project != PROJECT {
            repository.replace("bowline.yaml", PROJECT, project)?;
        }
        fs::write(repository.folder.join(".gitignore"), ".bowline/\nkeys/\n").context("writing .gitignore")?;
        repository.git(&["init", "--quiet", "--initial-branch", "main"])?;
        for key in ["ci", "stranger", "next"] {
            repository.bowline(&["bundle", "key", "generate", "--to", &format!("keys/{key}"), "--no-password"])?;
        }
        repository.commit("sort the tickets of the support desk")?;
        Ok(repository)
    }

    /// Returns the path of a public key.
    pub(super) fn public_key(&self, name: &str) -> PathBuf {
        self.folder.join("keys").join(name).with_extension("pub")
    }

    /// Applies one of the changes of the example to the first version, and commits it.
    pub(super) fn change(&self, name: &str, message: &str) -> anyhow::Result<()> {
        let patch = self.examples.join("support-desk/changes").join(name).display().to_string();
        self.git(&["apply", &patch])?;
        self.commit(message)
    }

    /// Takes the last commit back.
    pub(super) fn revert(&self) -> anyhow::Result<()> {
        self.git(&["revert", "--no-edit", "HEAD"]).map(drop)
    }

    /// Commits a change of the project that is no change of a prompt.
    pub(super) fn touch(&self, message: &str) -> anyhow::Result<()> {
        fs::write(self.folder.join("CHANGES"), message).context("writing CHANGES")?;
        self.commit(message)
    }

    /// Commits a change of the prompt that is neither better nor worse, with a plan whose rollout ends only when somebody ends it.
    pub(super) fn try_long(&self) -> anyhow::Result<()> {
        self.replace(PROMPT_FILE, "Answer with a JSON object that holds", "Answer with one JSON object that holds")?;
        self.replace("bowline.yaml", "stage_units: 10", "stage_units: 100000")?;
        self.commit("say that it is one object")
    }

    /// Commits the prompts as they were in another commit.
    pub(super) fn restore(&self, commit: &str, message: &str) -> anyhow::Result<()> {
        self.git(&["checkout", "--quiet", commit, "--", "prompts"])?;
        self.commit(message)
    }

    /// Bundles the commit and pushes it to the registry of the cluster, signed where a key is named.
    pub(super) fn push(&self, cluster: &ControlPlane, key: Option<&str>) -> anyhow::Result<Pushed> {
        self.bowline(&["bundle", "build"])?;
        let registry = Forward::open(cluster, super::NAMESPACE, "service/registry", ":5000")?;
        let target = format!("{}/{}/prompts:main", registry.address, self.name);
        let key = key.map(|key| format!("keys/{key}.key"));
        let mut arguments = vec!["bundle", "push", &target, "--plain-http"];
        if let Some(key) = &key {
            arguments.extend(["--key", key]);
        }
        let printed = self.bowline(&arguments)?;
        let line = printed.lines().find_map(|line| line.strip_prefix("bundle")).unwrap_or_default();
        let (_, bundle) = line.trim().split_once('@').with_context(|| format!("no digest in {printed:?}"))?;
        let lock = fs::read_to_string(self.folder.join("bowline.lock")).context("reading bowline.lock")?;
        let version = digest(&lock).with_context(|| format!("bowline.lock has no digest of {PROMPT}: {lock}"))?;
        let commit = self.git(&["rev-parse", "HEAD"])?.trim().to_owned();
        Ok(Pushed { version, commit, bundle: bundle.to_owned() })
    }

    /// Calls the command line in the repository.
    pub(super) fn bowline(&self, arguments: &[&str]) -> anyhow::Result<String> {
        process::output(self.command().args(arguments))
    }

    /// Returns the command line, set to the repository.
    pub(super) fn command(&self) -> Command {
        let mut command = Command::new(&self.bowline);
        command.current_dir(&self.folder).env_remove("BOWLINE_CONTROL").env_remove("BOWLINE_ADMIN_TOKEN");
        command
    }

    fn replace(&self, file: &str, from: &str, to: &str) -> anyhow::Result<()> {
        let path = self.folder.join(file);
        let text = fs::read_to_string(&path).with_context(|| format!("reading {file}"))?;
        anyhow::ensure!(text.contains(from), "{file} has no `{from}`");
        fs::write(&path, text.replacen(from, to, 1)).with_context(|| format!("writing {file}"))
    }

    fn commit(&self, message: &str) -> anyhow::Result<()> {
        // A bundle is of a commit, and its lock is part of that.
        self.bowline(&["lock"])?;
        self.git(&["add", "--all"])?;
        self.git(&["commit", "--quiet", "--message", message]).map(drop)
    }

    fn git(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let mut command = Command::new("git");
        command.arg("-C").arg(&self.folder);
        // The story must not depend on who plays it.
        for setting in
            ["user.name=Grace", "user.email=grace@example.com", "commit.gpgsign=false", "core.hooksPath=/dev/null"]
        {
            command.args(["-c", setting]);
        }
        process::output(command.args(arguments))
    }
}

/// Returns the digest of the prompt in a lock.
fn digest(lock: &str) -> Option<String> {
    let line = lock.lines().find(|line| line.contains(PROMPT) && line.contains("sha256:"))?;
    let at = line.find("sha256:")?;
    Some(line.get(at..at + "sha256:".len() + 64)?.to_owned())
}
