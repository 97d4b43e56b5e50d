//! Projects with histories: repositories whose commits were bundled and released one after the other, as a pipeline does it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;
use serde_json::{Value, json};

use super::Bench;
use crate::process;

/// The environment.
pub(super) const ENVIRONMENT: &str = "prod";
/// How often the tags are looked at.
pub(super) const POLL_SECONDS: u32 = 60;

/// Where releases go.
pub(super) struct Target<'a> {
    /// The address of the control API.
    pub(super) control: &'a str,
    /// The admin token.
    pub(super) token: &'a str,
}

/// A project: a repository, a namespace, and a PromptBundle that follows a tag.
pub(super) struct Project {
    /// Its name, which is that of the namespace and of the PromptBundle too.
    pub(super) name: String,
    repository: String,
    public_key: String,
}

/// Makes every project: all versions but the newest are released, one after the other; the newest is what the tag names.
pub(super) fn all(bench: &Bench<'_>, target: &Target<'_>) -> anyhow::Result<Vec<Project>> {
    let mut projects = Vec::new();
    for number in 1..=bench.options.projects {
        let name = format!("bench-{number:02}");
        projects.push(project(bench, target, &name).with_context(|| format!("making project {name}"))?);
        if number % 5 == 0 {
            eprintln!("  {number} of {} projects", bench.options.projects);
        }
    }
    Ok(projects)
}

fn project(bench: &Bench<'_>, target: &Target<'_>, name: &str) -> anyhow::Result<Project> {
    let folder = bench.folder.join(name);
    fs::create_dir_all(folder.join("prompts"))?;
    fs::write(folder.join(".gitignore"), ".bowline/\nkeys/\n")?;
    let repository = Repository { bowline: &bench.bowline, folder, target };
    repository.git(&["init", "--quiet", "--initial-branch", "main"])?;
    repository.bowline(&["bundle", "key", "generate", "--to", "keys/ci", "--no-password"])?;
    let newest = bench.options.versions;
    for version in 1..=newest {
        repository.commit(name, version, bench.options.prompts, version == newest)?;
        repository.bowline(&["bundle", "build"])?;
        if version < newest {
            repository.bowline(&["release", "--env", ENVIRONMENT, "--bundle", "oci:.bowline/bundles:latest"])?;
        }
    }
    let place = format!("{}/{name}/prompts", bench.registry.address());
    repository.bowline(&["bundle", "push", &format!("{place}:main"), "--plain-http", "--key", "keys/ci.key"])?;
    let public_key = fs::read_to_string(repository.folder.join("keys/ci.pub")).context("reading the public key")?;
    Ok(Project { name: name.to_owned(), repository: place, public_key })
}

/// A repository, and where what is in it goes.
struct Repository<'a> {
    bowline: &'a Path,
    folder: PathBuf,
    target: &'a Target<'a>,
}

// === impl Repository ===

impl Repository<'_> {
    /// Changes every prompt, and commits that.
    fn commit(&self, project: &str, version: u32, prompts: u32, guarded: bool) -> anyhow::Result<()> {
        let rollout = if guarded { ", rollout: {}" } else { "" };
        let file = format!(
            "project: {project}\nproviders:\n  openai: {{ kind: openai, api_key: env:OPENAI_API_KEY }}\nmodels:\n  \
             fast: {{ provider: openai, model: gpt-5-mini }}\nenvironments:\n  \
             {ENVIRONMENT}: {{ source: bundle{rollout} }}\n"
        );
        fs::write(self.folder.join("bowline.yaml"), file)?;
        for prompt in 1..=prompts {
            let text = format!("---\nmodel: fast\n---\nAnswer question {prompt} of {project}, in manner {version}.\n");
            fs::write(self.folder.join(format!("prompts/answer-{prompt:03}.prompt")), text)?;
        }
        self.bowline(&["lock"])?;
        self.git(&["add", "--all"])?;
        self.git(&["commit", "--quiet", "--message", &format!("answer in manner {version}")])
    }

    fn bowline(&self, arguments: &[&str]) -> anyhow::Result<()> {
        let mut command = Command::new(self.bowline);
        command.current_dir(&self.folder).args(arguments);
        command.env("BOWLINE_CONTROL", self.target.control).env("BOWLINE_ADMIN_TOKEN", self.target.token);
        process::output(&mut command).map(drop)
    }

    fn git(&self, arguments: &[&str]) -> anyhow::Result<()> {
        let mut command = Command::new("git");
        command.arg("-C").arg(&self.folder);
        // The figures must not depend on who measures.
        for setting in
            ["user.name=Grace", "user.email=grace@example.com", "commit.gpgsign=false", "core.hooksPath=/dev/null"]
        {
            command.args(["-c", setting]);
        }
        process::output(command.args(arguments)).map(drop)
    }
}

// === impl Project ===

impl Project {
    /// Returns the PromptBundle. How often the tag is looked at is what the bench changes about it.
    pub(super) fn bundle(&self, poll_seconds: u32) -> Value {
        json!({
            "apiVersion": "bowline.dev/v1alpha1",
            "kind": "PromptBundle",
            "metadata": {"name": self.name, "namespace": self.name},
            "spec": {
                "source": {
                    "repository": self.repository,
                    "tag": "main",
                    "pollInterval": format!("{poll_seconds}s"),
                    "plainHttp": true,
                },
                "verification": {"signers": [{"name": "ci", "publicKey": self.public_key}]},
                "environments": [ENVIRONMENT],
            },
        })
    }
}
