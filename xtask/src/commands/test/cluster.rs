use std::path::Path;
use std::process::Command;

use anyhow::Context as _;
use serde_json::{Value, json};

use crate::commands::Outcome;
use crate::environment;
use crate::process;

/// Starts the control plane of Kubernetes, works with it, starts it again, breaks and mends it, and takes it down.
pub(super) fn run() -> anyhow::Result<Outcome> {
    if environment::program(&["go"]).is_none() {
        return Ok(Outcome::NotRun("needs Go, to build Kubernetes from its published modules".to_owned()));
    }
    let folder = tempfile::tempdir().context("making a folder for a cluster")?;
    let cluster = Cluster { folder: &folder.path().join("cluster") };
    let worked = work(&cluster);
    // Whatever happened, nothing of it stays.
    let down = cluster.call("down", &[]).context("taking the cluster down");
    worked?;
    down?;
    anyhow::ensure!(!cluster.folder.exists(), "`cluster down` leaves {}", cluster.folder.display());
    Ok(Outcome::Passed)
}

fn work(cluster: &Cluster<'_>) -> anyhow::Result<()> {
    cluster.call("up", &[])?;
    let kubectl = |arguments: &[&str]| {
        let mut command = Command::new(cluster.folder.join("kubectl"));
        process::output(command.arg("--kubeconfig").arg(cluster.folder.join("kubeconfig")).args(arguments))
    };
    let kubeconfig = cluster.call("kubeconfig", &[])?;
    anyhow::ensure!(
        Path::new(kubeconfig.trim()) == cluster.folder.join("kubeconfig"),
        "`cluster kubeconfig` printed {kubeconfig}"
    );
    kubectl(&["get", "namespaces"])?;
    let object = cluster.folder.with_extension("json");
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

    let before = cluster.pids()?;
    cluster.call("up", &[])?;
    anyhow::ensure!(cluster.pids()? == before, "`cluster up` started what was running");

    // A command that ended between a start and its note leaves processes that no file names.
    let notes = cluster.folder.join("cluster.json");
    let mut state: Value = serde_json::from_str(&std::fs::read_to_string(&notes)?)?;
    state["processes"] = json!([]);
    std::fs::write(&notes, state.to_string()).context("forgetting the processes")?;
    cluster.call("up", &[])?;
    anyhow::ensure!(cluster.pids()? == before, "`cluster up` started what was running and not noted");

    // etcd keeps its data over an end that nobody asked for, and `up` starts what is missing.
    let etcd = before.first().context("etcd runs")?.to_string();
    process::output(Command::new("kill").args(["-KILL", &etcd]))?;
    cluster.call("up", &[])?;
    anyhow::ensure!(read()? == "support", "the ConfigMap is gone after etcd was started again");
    // A namespace goes only when the controllers work.
    kubectl(&["delete", "namespace", "bowline", "--timeout=60s"])?;
    Ok(())
}

/// A cluster in a folder of its own, worked with as a person does.
struct Cluster<'a> {
    folder: &'a Path,
}

// === impl Cluster ===

impl Cluster<'_> {
    fn call(&self, verb: &str, options: &[&str]) -> anyhow::Result<String> {
        let program = std::env::current_exe().context("finding this program")?;
        let mut command = Command::new(program);
        command.args(["cluster", verb, "--dir"]).arg(self.folder).args(options);
        process::output(&mut command)
    }

    /// Returns the processes of the components, all of which are well.
    fn pids(&self) -> anyhow::Result<Vec<u64>> {
        let report: Value = serde_json::from_str(&self.call("status", &["--output", "json"])?)?;
        let rows = report["components"].as_array().context("a report has components")?;
        rows.iter().map(|row| row["pid"].as_u64().with_context(|| format!("{row} has a process"))).collect()
    }
}
