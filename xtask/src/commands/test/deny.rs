use std::path::Path;
use std::process::Command;

use crate::commands::Outcome;
use crate::process;
use crate::tool_cache;
use crate::workspace::Workspace;

/// The version of cargo-deny. Without its default features: they are for advisories, which need the network at every run.
const VERSION: &str = "0.20.2";

/// Checks licences, sources and banned crates of the dependencies; `deny.toml` says what is allowed.
pub(super) fn run(workspace: &Workspace) -> anyhow::Result<Outcome> {
    let compiler = process::output(Command::new("rustc").arg("--version"))?;
    match tool_cache::folder("cargo-deny", &[VERSION, &compiler], |folder| install(workspace, folder)) {
        Ok(folder) => {
            let mut command = Command::new(folder.join("bin/cargo-deny"));
            command.args(["check", "bans", "licenses", "sources"]).current_dir(&workspace.root);
            Ok(Outcome::of(process::run(&mut command)?))
        }
        Err(error) => Ok(Outcome::NotRun(format!("cargo-deny: {error:#}"))),
    }
}

fn install(workspace: &Workspace, folder: &Path) -> anyhow::Result<()> {
    let mut command = workspace.cargo(&[
        "install",
        "cargo-deny",
        "--version",
        VERSION,
        "--locked",
        "--no-default-features",
        "--root",
    ]);
    // Its own target folder, gone afterwards: nothing of it is shared with the workspace.
    let target = tempfile::tempdir()?;
    let installed = process::run(command.arg(folder).arg("--quiet").env("CARGO_TARGET_DIR", target.path()))?;
    anyhow::ensure!(installed, "`cargo install` failed");
    Ok(())
}
