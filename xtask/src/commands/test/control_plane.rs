use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::Duration;

use crate::commands::Outcome;
use crate::debian;
use crate::environment;
use crate::process;
use crate::stopwatch::Stopwatch;
use crate::workspace::Workspace;
use anyhow::Context as _;

/// How long the API server may take to act on what it was told, such as a new policy.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long a kind may take to go.
const KIND_PATIENCE: Duration = Duration::from_secs(90);
/// Looks at a kind that does not go before it is touched.
const KIND_LOOKS: u32 = 20;
/// How often it is asked meanwhile.
const LOOK: Duration = Duration::from_millis(100);

/// The control plane of a cluster in a folder of its own, worked with as a person does.
pub(in crate::commands) struct ControlPlane {
    pub(in crate::commands) folder: PathBuf,
    /// The examples of the checkout.
    examples: PathBuf,
}

/// Starts a control plane, works with it, and takes it down.
pub(in crate::commands) fn with(
    workspace: &Workspace,
    work: impl FnOnce(&ControlPlane) -> anyhow::Result<()>,
) -> anyhow::Result<Outcome> {
    started(workspace, &[], work)
}

/// Starts a cluster with a node and images for its pods, works with it, and takes it down.
pub(in crate::commands) fn with_node(
    workspace: &Workspace,
    images: &[PathBuf],
    work: impl FnOnce(&ControlPlane) -> anyhow::Result<()>,
) -> anyhow::Result<Outcome> {
    if !debian::is_root()? {
        return Ok(Outcome::NotRun("a node is run as root".to_owned()));
    }
    let mut options = vec!["--node".to_owned()];
    for image in images {
        options.extend(["--image".to_owned(), image.display().to_string()]);
    }
    let options: Vec<&str> = options.iter().map(String::as_str).collect();
    started(workspace, &options, work)
}

fn started(
    workspace: &Workspace,
    options: &[&str],
    work: impl FnOnce(&ControlPlane) -> anyhow::Result<()>,
) -> anyhow::Result<Outcome> {
    if environment::program(&["go"]).is_none() {
        return Ok(Outcome::NotRun("needs Go, to build Kubernetes from its published modules".to_owned()));
    }
    let folder = tempfile::tempdir().context("making a folder for a cluster")?;
    let cluster = ControlPlane { folder: folder.path().join("cluster"), examples: workspace.root.join("examples") };
    let worked = cluster.call("up", options).and_then(|_| work(&cluster));
    // Whatever happened, nothing of it stays.
    let down = cluster.call("down", &[]).context("taking the cluster down");
    worked?;
    down?;
    anyhow::ensure!(!cluster.folder.exists(), "`cluster down` leaves {}", cluster.folder.display());
    Ok(Outcome::Passed)
}

// === impl ControlPlane ===

impl ControlPlane {
    /// Calls `cargo xtask cluster`, and returns what it printed.
    pub(in crate::commands) fn call(&self, verb: &str, options: &[&str]) -> anyhow::Result<String> {
        let program = std::env::current_exe().context("finding this program")?;
        let mut command = Command::new(program);
        command.args(["cluster", verb, "--dir"]).arg(&self.folder).args(options);
        process::output(&mut command)
    }

    /// Calls kubectl, and returns what it printed.
    pub(in crate::commands) fn kubectl(&self, arguments: &[&str]) -> anyhow::Result<String> {
        process::output(self.command().args(arguments))
    }

    /// Deletes the definition of a kind, with every object of it.
    pub(super) fn kind_delete(&self, name: &str) -> anyhow::Result<()> {
        self.kubectl(&["delete", "crd", name, "--wait=false"])?;
        let mut looks = 0_u32;
        until_within(KIND_PATIENCE, &format!("{name} is gone"), || {
            looks += 1;
            // The API server deletes the objects first. Where its storage for them was just made, it tries again after a wait that doubles and
            // says `storage is (re)initializing`; a change of the definition has it look at once.
            if looks.is_multiple_of(KIND_LOOKS) {
                let nudge = format!("bowline.dev/nudged={looks}");
                self.asked(&["annotate", "crd", name, "--overwrite", &nudge])?;
            }
            Ok(self.asked(&["get", "crd", name, "--ignore-not-found", "--output=name"])?.trim().is_empty())
        })
    }

    /// Applies a file of `examples/kubernetes`.
    pub(in crate::commands) fn example(&self, name: &str) -> anyhow::Result<()> {
        let file = self.examples.join("kubernetes").join(name).display().to_string();
        self.kubectl(&["apply", "--server-side", "--filename", &file]).map(drop)
    }

    /// Calls kubectl, and returns what it printed, also where its exit code is an answer, as that of `kubectl auth can-i` is.
    pub(in crate::commands) fn asked(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let output = self.command().args(arguments).stdin(Stdio::null()).output().context("starting kubectl")?;
        String::from_utf8(output.stdout).context("reading what kubectl printed")
    }

    /// Calls kubectl, which must fail, and returns what it said.
    pub(in crate::commands) fn refused(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let output = self.command().args(arguments).stdin(Stdio::null()).output().context("starting kubectl")?;
        refusal(&output, &arguments.join(" "))
    }

    /// Applies an object on the server's side as `user`, or as the administrator where that is empty.
    pub(in crate::commands) fn apply(&self, user: &str, object: &str, options: &[&str]) -> anyhow::Result<()> {
        let output = self.apply_output(user, object, options)?;
        anyhow::ensure!(
            output.status.success(),
            "{object} is refused: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        );
        Ok(())
    }

    /// Applies objects on the server's side, and returns what was said beside, such as warnings.
    pub(in crate::commands) fn applied(&self, objects: &str, options: &[&str]) -> anyhow::Result<String> {
        let output = self.apply_output("", objects, options)?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        anyhow::ensure!(output.status.success(), "{}", said.trim());
        Ok(said)
    }

    /// Applies an object, which must be refused, and returns what the API server said.
    pub(in crate::commands) fn apply_refused(
        &self,
        user: &str,
        object: &str,
        options: &[&str],
    ) -> anyhow::Result<String> {
        refusal(&self.apply_output(user, object, options)?, object)
    }

    fn apply_output(&self, user: &str, object: &str, options: &[&str]) -> anyhow::Result<Output> {
        let mut command = self.command();
        command.args(["apply", "--server-side", "--validate=strict", "--filename=-"]).args(options);
        if !user.is_empty() {
            command.args(["--as", user]);
        }
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context("starting kubectl")?;
        let mut input = child.stdin.take().context("kubectl has an input")?;
        input.write_all(object.as_bytes()).context("giving kubectl an object")?;
        drop(input);
        child.wait_with_output().context("waiting for kubectl")
    }

    /// Returns the program and the cluster that it is set to.
    pub(in crate::commands) fn command(&self) -> Command {
        let mut command = Command::new(self.folder.join("kubectl"));
        command.arg("--kubeconfig").arg(self.folder.join("kubeconfig"));
        command
    }

    /// Returns the path of a file beside the cluster's folder, which goes with it.
    pub(in crate::commands) fn beside(&self, extension: &str) -> PathBuf {
        Path::with_extension(&self.folder, extension)
    }
}

/// Waits until something is so.
pub(in crate::commands) fn until(what: &str, is_so: impl FnMut() -> anyhow::Result<bool>) -> anyhow::Result<()> {
    until_within(PATIENCE, what, is_so)
}

/// Waits for a time until something is so.
pub(in crate::commands) fn until_within(
    patience: Duration,
    what: &str,
    mut is_so: impl FnMut() -> anyhow::Result<bool>,
) -> anyhow::Result<()> {
    let stopwatch = Stopwatch::start();
    while !is_so()? {
        anyhow::ensure!(stopwatch.elapsed() < patience, "{what}: not after {} s", patience.as_secs());
        thread::sleep(LOOK);
    }
    Ok(())
}

fn refusal(output: &Output, what: &str) -> anyhow::Result<String> {
    anyhow::ensure!(!output.status.success(), "{what} is not refused");
    Ok(String::from_utf8_lossy(&output.stderr).into_owned())
}
