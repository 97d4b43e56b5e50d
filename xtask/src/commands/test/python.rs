use std::path::{Path, PathBuf};
use std::process::Command;

use super::browser;
use crate::commands::Outcome;
use crate::debian;
use crate::environment;
use crate::process;
use crate::tool_cache;
use crate::workspace::Workspace;

const REQUIREMENTS: &str = "tests/python/requirements.txt";

/// Runs the tests that look at Bowline from outside: the official SDK of a provider, a browser, and the entry points of CI with a registry.
pub(super) fn run(workspace: &Workspace, bowline: &Path) -> anyhow::Result<Outcome> {
    let python = match python(workspace) {
        Ok(python) => python,
        Err(error) => return Ok(Outcome::NotRun(format!("no Python with the OpenAI SDK: {error:#}"))),
    };
    let mut command = Command::new(python);
    command.args(["-B", "-m", "pytest", "-p", "no:cacheprovider", "-ra", "tests/python"]).current_dir(&workspace.root);
    command.env("BOWLINE_BIN", bowline);
    let mut missing = Vec::new();
    for (what, variable, found) in [
        ("Chromium", "BOWLINE_CHROMIUM", browser::find()?),
        ("docker-registry", "BOWLINE_REGISTRY", debian::program(&["docker-registry"], "docker-registry")?),
    ] {
        match found {
            Some(program) => command.env(variable, program),
            None => {
                missing.push(what);
                command.env_remove(variable)
            }
        };
    }
    let passed = process::run(&mut command)?;
    if passed && !missing.is_empty() {
        return Ok(Outcome::NotRun(format!("the tests that need {}; the others passed", missing.join(" or "))));
    }
    Ok(Outcome::of(passed))
}

/// Returns the interpreter of an environment that has exactly the pinned packages.
fn python(workspace: &Workspace) -> anyhow::Result<PathBuf> {
    let requirements = workspace.text(Path::new(REQUIREMENTS))?;
    let Some(system) = environment::program(&["python3"]) else { anyhow::bail!("python3 is missing") };
    let version = process::output(Command::new(&system).arg("--version"))?;
    let folder = tool_cache::folder("python", &[&version, &requirements], |folder| {
        let made = process::run(Command::new(&system).args(["-m", "venv"]).arg(folder))?;
        anyhow::ensure!(made, "`python3 -m venv` failed\nhint: on Debian, `apt-get install python3-venv`");
        let mut install = Command::new(folder.join("bin/python"));
        install.args([
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            "--require-hashes",
            "--requirement",
        ]);
        let installed = process::run(install.arg(REQUIREMENTS).current_dir(&workspace.root))?;
        anyhow::ensure!(installed, "`pip install` failed");
        Ok(())
    })?;
    Ok(folder.join("bin/python"))
}
