use std::path::Path;
use std::process::Command;

use anyhow::Context as _;
use serde_json::{Value, json};

use super::control_plane::{self, ControlPlane};
use crate::commands::Outcome;
use crate::process;

/// Starts the control plane of Kubernetes, works with it, starts it again, breaks and mends it, and takes it down.
pub(super) fn run() -> anyhow::Result<Outcome> {
    control_plane::with(work)
}

fn work(cluster: &ControlPlane) -> anyhow::Result<()> {
    let kubectl = |arguments: &[&str]| cluster.kubectl(arguments);
    let kubeconfig = cluster.call("kubeconfig", &[])?;
    anyhow::ensure!(
        Path::new(kubeconfig.trim()) == cluster.folder.join("kubeconfig"),
        "`cluster kubeconfig` printed {kubeconfig}"
    );
    kubectl(&["get", "namespaces"])?;
    let object = cluster.beside("json");
    let content = json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "story", "namespace": "bowline"},
        "data": {"prompt": "support"},
    });
    std::fs::write(&object, content.to_string()).context("writing a manifest")?;
    kubectl(&["create", "namespace", "bowline"])?;
    kubectl(&["apply", "--server-side", "--filename", &object.display().to_string()])?;
    let read = || kubectl(&["get", "configmap", "story", "--namespace=bowline", "--output=jsonpath={.data.prompt}"]);
    anyhow::ensure!(read()? == "support", "the ConfigMap is not what was applied");

    let before = pids(cluster)?;
    cluster.call("up", &[])?;
    anyhow::ensure!(pids(cluster)? == before, "`cluster up` started what was running");

    // A command that ended between a start and its note leaves processes that no file names.
    let notes = cluster.folder.join("cluster.json");
    let mut state: Value = serde_json::from_str(&std::fs::read_to_string(&notes)?)?;
    state["processes"] = json!([]);
    std::fs::write(&notes, state.to_string()).context("forgetting the processes")?;
    cluster.call("up", &[])?;
    anyhow::ensure!(pids(cluster)? == before, "`cluster up` started what was running and not noted");

    // etcd keeps its data over an end that nobody asked for, and `up` starts what is missing.
    let etcd = before.first().context("etcd runs")?.to_string();
    process::output(Command::new("kill").args(["-KILL", &etcd]))?;
    cluster.call("up", &[])?;
    anyhow::ensure!(read()? == "support", "the ConfigMap is gone after etcd was started again");
    // A namespace goes only when the controllers work.
    kubectl(&["delete", "namespace", "bowline", "--timeout=60s"])?;
    Ok(())
}

/// Returns the processes of the components, all of which are well.
fn pids(cluster: &ControlPlane) -> anyhow::Result<Vec<u64>> {
    let report: Value = serde_json::from_str(&cluster.call("status", &["--output", "json"])?)?;
    let rows = report["components"].as_array().context("a report has components")?;
    rows.iter().map(|row| row["pid"].as_u64().with_context(|| format!("{row} has a process"))).collect()
}
