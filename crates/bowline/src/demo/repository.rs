use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context;
use bowline_types::ProjectName;

use crate::failure::{Failure, Result};

/// The prompt of the story.
pub(super) const PROMPT: &str = "support/classify";

/// The files of the example, as they are in the repository of Bowline.
const FILES: [(&str, &str); 3] = [
    ("prompts/_tone.prompt", include_str!("../../../../examples/support-desk/prompts/_tone.prompt")),
    (
        "prompts/support/classify.prompt",
        include_str!("../../../../examples/support-desk/prompts/support/classify.prompt"),
    ),
    (".gitignore", ".bowline/\n"),
];
/// Two definitions that look redundant are deleted.
pub(super) const WORSE: &str = include_str!("../../../../examples/support-desk/changes/v2.patch");
/// An example is added.
pub(super) const BETTER: &str = include_str!("../../../../examples/support-desk/changes/v3.patch");
/// Labelled tickets.
pub(super) const TICKETS: &str = include_str!("../../../../examples/support-desk/data/tickets.jsonl");

/// A fresh Git repository with the example project.
pub(super) struct Repository {
    folder: PathBuf,
}

/// Returns the name of the project.
pub(super) fn project() -> Result<ProjectName> {
    Ok(ProjectName::new("support-desk").map_err(anyhow::Error::from)?)
}

/// The project file of the story: as in the example, but for the simulated provider and a plan for a story of a minute. A real
/// rollout takes its time: hours of traffic, not seconds.
fn project_file(simulator: &str) -> String {
    format!(
        r#"project: support-desk
providers:
  openai: {{ kind: openai, base_url: "{simulator}/v1", identity: openai }}
models:
  fast: {{ provider: openai, model: gpt-5-mini }}
environments:
  dev: {{}}
  prod:
    source: cli
    protected: true
    rollout:
      stages: ["10%", "50%"]
      margin: 0.05
      effect: 0.05
      stage_units: 10
      min_units: 50
      min_duration: 0s
      maturity: 1s
"#
    )
}

// === impl Repository ===

impl Repository {
    /// Makes the repository with a first commit; its provider is at `simulator`.
    pub(super) fn create(folder: PathBuf, simulator: &str) -> Result<Self> {
        let repository = Self { folder };
        repository.write("bowline.yaml", &project_file(simulator))?;
        for (path, text) in FILES {
            repository.write(path, text)?;
        }
        repository.git(&["init", "--quiet"], None)?;
        repository.commit("sort the tickets of the support desk")?;
        Ok(repository)
    }

    /// Returns where it is.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Applies a patch and commits it.
    pub(super) fn change(&self, patch: &str, message: &str) -> Result<()> {
        self.git(&["apply", "-"], Some(patch))?;
        self.commit(message)
    }

    /// Takes the last commit back.
    pub(super) fn revert(&self) -> Result<()> {
        self.git(&["revert", "--no-edit", "HEAD"], None)
    }

    fn commit(&self, message: &str) -> Result<()> {
        self.git(&["add", "--all"], None)?;
        self.git(&["commit", "--quiet", "--message", message], None)
    }

    fn write(&self, path: &str, text: &str) -> Result<()> {
        let path = self.folder.join(path);
        let parent = path.parent().unwrap_or(&self.folder);
        std::fs::create_dir_all(parent).with_context(|| format!("could not create {}", parent.display()))?;
        Ok(std::fs::write(&path, text).with_context(|| format!("could not write {}", path.display()))?)
    }

    fn git(&self, arguments: &[&str], input: Option<&str>) -> Result<()> {
        // A story must not depend on who plays it: neither their name, nor their signing, nor their hooks.
        let settings =
            ["user.name=Grace", "user.email=grace@example.com", "commit.gpgsign=false", "core.hooksPath=/dev/null"];
        let mut command = Command::new("git");
        command.arg("-C").arg(&self.folder);
        for setting in settings {
            command.args(["-c", setting]);
        }
        command.args(arguments).stdin(std::process::Stdio::piped());
        command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
        let mut child = command.spawn().context("could not run `git`\nhint: install Git and put it on the PATH")?;
        if let Some(mut pipe) = child.stdin.take() {
            std::io::Write::write_all(&mut pipe, input.unwrap_or_default().as_bytes())
                .context("could not write to `git`")?;
        }
        let output = child.wait_with_output().context("could not wait for `git`")?;
        if output.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        Err(Failure::user(format!("`git {}` failed: {said}", arguments.join(" "))))
    }
}
