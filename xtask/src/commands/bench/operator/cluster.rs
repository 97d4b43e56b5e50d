//! The API server as the operator meets it: with the kinds, the roles and the policies of an install, and with requests told apart.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;
use serde_json::{Value, json};

use super::role::Metrics;
use super::seed::Project;
use super::{Bench, ControlPlane, PATIENCE};
use crate::commands::test::control_plane::until_within;
use crate::process;

/// The namespace of the operator.
pub(super) const SYSTEM: &str = "bowline-system";
/// The name of the operator's service account.
const ACCOUNT: &str = "bowline-operator";
/// What the API server counts the requests of the operator under, and no others.
const FLOW: &str = "bench-operator";
/// How long the token of the operator is valid: longer than any bench.
const TOKEN_DURATION: &str = "--duration=2h";

/// Installs what an operator needs, and the namespaces.
pub(super) fn install(bench: &Bench<'_>) -> anyhow::Result<()> {
    let cluster = bench.cluster;
    cluster.kubectl(&["create", "namespace", SYSTEM])?;
    let apply = |name: &str| {
        let file = bench.deploy.join(name).display().to_string();
        let arguments = ["apply", "--server-side", "--validate=strict", "--filename", &file];
        cluster.kubectl(&arguments).with_context(|| format!("applying deploy/{name}"))
    };
    apply("crds")?;
    cluster.kubectl(&["wait", "--for=condition=Established", "crd", "--all", "--timeout=30s"])?;
    apply("rbac.yaml")?;
    apply("admission.yaml")?;
    cluster.apply("", &flow().to_string(), &[])?;
    let namespaces: Vec<_> = (1..=bench.options.projects)
        .map(|number| {
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": format!("bench-{number:02}")}})
        })
        .collect();
    cluster.apply("", &list(&namespaces), &[])
}

/// Applies PromptBundles, all in one go.
pub(super) fn apply(cluster: &ControlPlane, projects: &[&Project], poll_seconds: u32) -> anyhow::Result<()> {
    let bundles: Vec<_> = projects.iter().map(|project| project.bundle(poll_seconds)).collect();
    cluster.apply("", &list(&bundles), &[])
}

/// Writes the kubeconfig of the operator, which comes as its service account and may do what that may, and no more.
pub(super) fn kubeconfig(bench: &Bench<'_>) -> anyhow::Result<PathBuf> {
    let token = bench.cluster.kubectl(&["create", "token", ACCOUNT, "--namespace", SYSTEM, TOKEN_DURATION])?;
    let text = bench.cluster.kubectl(&["config", "view", "--raw", "--output=json"])?;
    let mut config: Value = serde_json::from_str(&text).context("reading the kubeconfig of the cluster")?;
    let users = config["users"].as_array_mut().context("a kubeconfig has users")?;
    for user in users {
        user["user"] = json!({"token": token.trim()});
    }
    let path = bench.folder.join("kubeconfig");
    fs::write(&path, config.to_string()).context("writing the kubeconfig of the operator")?;
    Ok(path)
}

/// Returns how many requests of the operator the API server has taken.
pub(super) fn requests(cluster: &ControlPlane) -> anyhow::Result<u64> {
    let metrics = Metrics(cluster.kubectl(&["get", "--raw", "/metrics"])?);
    Ok(metrics.sum("apiserver_flowcontrol_dispatched_requests_total", &format!("flow_schema=\"{FLOW}\"")))
}

/// Kills the API server, and starts it again.
pub(super) fn restart_api_server(cluster: &ControlPlane) -> anyhow::Result<()> {
    let report: Value = serde_json::from_str(&cluster.call("status", &["--output", "json"])?)?;
    let rows = report["components"].as_array().context("a report has components")?;
    let api_server = rows.iter().find(|row| row["component"] == "api-server").context("there is an API server")?;
    let process = api_server["pid"].as_u64().context("the API server runs")?.to_string();
    process::output(Command::new("kill").args(["-KILL", &process]))?;
    // It holds its port until all of its memory is given back.
    until_within(PATIENCE, "the killed API server is gone", || Ok(!Path::new("/proc").join(&process).exists()))?;
    cluster.call("up", &[]).map(drop)
}

/// Has the API server count the requests of the operator apart from those of everybody else. Their priority stays what it is
/// (<https://kubernetes.io/docs/concepts/cluster-administration/flow-control/>, read 2026-11-25).
fn flow() -> Value {
    let everything = json!(["*"]);
    json!({
        "apiVersion": "flowcontrol.apiserver.k8s.io/v1",
        "kind": "FlowSchema",
        "metadata": {"name": FLOW},
        "spec": {
            "matchingPrecedence": 500,
            "priorityLevelConfiguration": {"name": "workload-low"},
            "distinguisherMethod": {"type": "ByUser"},
            "rules": [{
                "subjects": [{"kind": "ServiceAccount", "serviceAccount": {"name": ACCOUNT, "namespace": SYSTEM}}],
                "resourceRules": [{
                    "verbs": everything, "apiGroups": everything, "resources": everything, "namespaces": everything,
                    "clusterScope": true,
                }],
            }],
        },
    })
}

fn list(items: &[Value]) -> String {
    json!({"apiVersion": "v1", "kind": "List", "items": items}).to_string()
}
