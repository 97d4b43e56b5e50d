use std::io::{BufRead as _, BufReader};
use std::process::{Child, Stdio};

use anyhow::Context as _;

use super::super::control_plane::ControlPlane;

/// A way from loopback to a port of the cluster, as a person has it by `kubectl port-forward`. It ends with this.
pub(super) struct Forward {
    process: Child,
    /// `127.0.0.1:PORT`.
    pub(super) address: String,
}

// === impl Forward ===

impl Forward {
    /// Opens a way to a port of an object such as `service/registry`: `PORT`, or `:PORT` from any free port here.
    pub(super) fn open(cluster: &ControlPlane, namespace: &str, object: &str, ports: &str) -> anyhow::Result<Self> {
        let mut command = cluster.command();
        command.args(["port-forward", "--namespace", namespace, "--address=127.0.0.1", object, ports]);
        let mut process = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().context("starting kubectl")?;
        let output = process.stdout.take().context("the output is a pipe")?;
        let mut forward = Self { process, address: String::new() };
        // It says where once it listens, and closes its output where it fails.
        let mut line = String::new();
        let mut output = BufReader::new(output);
        output.read_line(&mut line).context("reading what `kubectl port-forward` says")?;
        let address = line.strip_prefix("Forwarding from ").and_then(|rest| rest.split(' ').next());
        let address = address.with_context(|| format!("no way to {object} in {namespace}: {line}"))?;
        address.clone_into(&mut forward.address);
        // What it says of each connection is read by nobody, and must not block it.
        std::thread::spawn(move || output.lines().map_while(Result::ok).for_each(drop));
        Ok(forward)
    }
}

impl Drop for Forward {
    fn drop(&mut self) {
        // It may have ended by itself, as the pod did.
        self.process.kill().ok();
        self.process.wait().ok();
    }
}
