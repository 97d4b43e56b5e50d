//! What people do to a cluster that runs, on purpose or not, under the traffic of the application.

use std::collections::BTreeSet;

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};

use super::super::control_plane::{ControlPlane, until_within};
use super::faults::{served, under_traffic};
use super::repository::Repository;
use super::story::{self, act};
use super::{PATIENCE, SYSTEM, desk, setbacks};
use crate::helm::{self, Helm, Line};
use crate::process;
use crate::workspace::Workspace;

/// The kind that is deleted.
const KIND: &str = "promptrollouts";
/// The calls that the application makes with another key.
const CALLS: u64 = 120;
/// The copy of the store, as the Job of `examples/kubernetes/restore.yaml` has it.
const COPY: &str = "/var/lib/bowline/copy.db";
/// A key that the copy does not have.
const AFTER: &str = "after-the-copy";

/// Lets each of them happen. `second` is the project of the namespace that is deleted.
pub(super) fn each(
    workspace: &Workspace,
    cluster: &ControlPlane,
    repository: &Repository,
    second: &Repository,
) -> anyhow::Result<()> {
    act("the key of the application is replaced at once", || key(cluster, repository))?;
    under_traffic(cluster, "a kind is deleted, and applied again", || kind(workspace, cluster))?;
    under_traffic(cluster, "a stranger takes the lease", || lease(cluster, repository))?;
    act("the namespace of a project is deleted", || namespace(cluster, second))?;
    let helm = Helm::build(workspace, Line::Four)?;
    under_traffic(cluster, "from the manifest to Helm, with another log level", || upgrade(cluster, &helm))?;
    act("helm test", || tested(cluster, &helm))
}

/// Replaces the key of the application without waiting for its time: another Secret, which the application reads from then on, and the first one
/// is no longer asked for.
fn key(cluster: &ControlPlane, repository: &Repository) -> anyhow::Result<()> {
    let ask = |names: &[&str]| {
        let keys: Vec<_> = names.iter().map(|name| json!({ "secretName": name, "environment": "prod" })).collect();
        let patch = json!({ "spec": { "keys": keys } }).to_string();
        desk(cluster, &["patch", "promptbundle/desk", "--type=merge", "--patch", &patch])
    };
    ask(&["desk-key", "desk-key-next"])?;
    desk(cluster, &["wait", "secret/desk-key-next", "--for=create", "--timeout=60s"])?;
    let container = json!({ "name": "desk", "envFrom": [{ "secretRef": { "name": "desk-key-next" } }] });
    let patch = json!({ "spec": { "template": { "spec": { "containers": [container] } } } }).to_string();
    let before = desk(cluster, &["get", "pods", "--selector=app=desk", "--output=name"])?;
    desk(cluster, &["patch", "deployment/desk", "--patch", &patch])?;
    desk(cluster, &["rollout", "status", "deployment/desk", "--timeout=60s"])?;
    // A pod that ends calls to the last.
    desk(cluster, &["wait", before.trim(), "--for=delete", "--timeout=60s"])?;
    ask(&["desk-key-next"])?;
    desk(cluster, &["wait", "secret/desk-key", "--for=delete", "--timeout=60s"])?;
    ensure!(keys(cluster, repository)?.len() == 1, "the key that is no longer asked for works");
    served(cluster, CALLS).map(drop)
}

/// Returns the names of the keys of a project that work.
fn keys(cluster: &ControlPlane, repository: &Repository) -> anyhow::Result<Vec<String>> {
    let printed = story::control(cluster, repository, &["key", "list", "--output", "json"])?;
    let listed: Vec<Value> = serde_json::from_str(&printed).with_context(|| format!("reading {printed}"))?;
    Ok(listed.iter().filter_map(|key| key["name"].as_str().map(str::to_owned)).collect())
}

/// Deletes the definition of a projection: the operator says so, and writes all of them again once it is back.
fn kind(workspace: &Workspace, cluster: &ControlPlane) -> anyhow::Result<()> {
    let names = || -> anyhow::Result<BTreeSet<String>> {
        let listed = story::list(cluster, KIND)?;
        Ok(listed.iter().filter_map(|object| object["metadata"]["name"].as_str().map(str::to_owned)).collect())
    };
    let before = names()?;
    ensure!(!before.is_empty(), "there is no rollout to lose");
    cluster.kind_delete(&format!("{KIND}.bowline.dev"))?;
    until_within(PATIENCE, "the operator says what is missing", || {
        let pod = leader(cluster)?;
        let log = cluster.kubectl(&["logs", &pod, "--namespace", SYSTEM, "--tail=200"])?;
        Ok(log.lines().any(|line| line.contains("projections are not written") && line.contains("PromptRollout")))
    })?;
    let file = workspace.root.join("deploy/crds").join(KIND).with_extension("yaml").display().to_string();
    cluster.kubectl(&["apply", "--server-side", "--filename", &file])?;
    until_within(PATIENCE, "the projections are back", || {
        // Until it is established, the kind cannot be listed.
        Ok(names().unwrap_or_default().is_superset(&before))
    })
}

/// Returns the pod of the operator that leads.
fn leader(cluster: &ControlPlane) -> anyhow::Result<String> {
    let holder = holder(cluster)?;
    Ok(holder.split('_').next().unwrap_or(&holder).to_owned())
}

fn holder(cluster: &ControlPlane) -> anyhow::Result<String> {
    let jsonpath = "--output=jsonpath={.spec.holderIdentity}";
    cluster.kubectl(&["get", "lease", "bowline-operator", "--namespace", SYSTEM, jsonpath])
}

/// Writes somebody into the lease who does not exist, while a bundle is pushed: one operator leads in the end, and the bundle is released.
fn lease(cluster: &ControlPlane, repository: &Repository) -> anyhow::Result<()> {
    let stranger = json!({ "spec": { "holderIdentity": "stranger" } }).to_string();
    let patch = ["patch", "lease", "bowline-operator", "--namespace", SYSTEM, "--type=merge", "--patch", &stranger];
    cluster.kubectl(&patch)?;
    repository.touch("while nobody leads")?;
    setbacks::released(cluster, repository)?;
    let holder = holder(cluster)?;
    ensure!(!holder.is_empty() && holder != "stranger", "`{holder}` holds the lease");
    let selector = "--selector=app.kubernetes.io/component=operator";
    let pods = cluster.kubectl(&["get", "pods", "--namespace", SYSTEM, selector, "--output=name"])?;
    let mut leading = 0;
    for pod in pods.lines().filter_map(|line| line.strip_prefix("pod/")) {
        let metrics = cluster.kubectl(&[
            "get",
            "--raw",
            &format!("/api/v1/namespaces/{SYSTEM}/pods/{pod}:7083/proxy/metrics"),
        ])?;
        leading += u32::from(metrics.lines().any(|line| line == "bowline_operator_leader 1"));
    }
    ensure!(leading == 1, "{leading} operators lead");
    Ok(())
}

/// Makes a namespace with a project of its own, and deletes it: it goes, and its keys open nothing any more.
fn namespace(cluster: &ControlPlane, second: &Repository) -> anyhow::Result<()> {
    cluster.kubectl(&["create", "namespace", "second"])?;
    second.push(cluster, None)?;
    let bundle = json!({
        "apiVersion": "bowline.dev/v1alpha1",
        "kind": "PromptBundle",
        "metadata": { "name": "second", "namespace": "second" },
        "spec": {
            "source": {
                "repository": "registry.desk.svc:5000/second/prompts",
                "tag": "main", "pollInterval": "5s", "plainHttp": true,
            },
            "verification": { "insecureUnsigned": true, "acceptSimulated": true },
            "environments": ["prod"],
            "keys": [{ "secretName": "app", "environment": "prod" }],
        },
    });
    cluster.apply("", &bundle.to_string(), &[])?;
    let ready = ["wait", "promptbundle/second", "--namespace", "second", "--for=condition=Ready", "--timeout=60s"];
    cluster.kubectl(&ready)?;
    until_within(PATIENCE, "the application of the namespace has a key", || Ok(keys(cluster, second)?.len() == 1))?;
    cluster.kubectl(&["delete", "namespace", "second", "--timeout=90s"])?;
    ensure!(keys(cluster, second)?.is_empty(), "the namespace is gone, and its key works");
    Ok(())
}

/// Has Helm take over what the manifest installed, as `docs/install.md` says, with a change that replaces every pod.
fn upgrade(cluster: &ControlPlane, helm: &Helm) -> anyhow::Result<()> {
    let mut command = helm.command();
    command.args(["upgrade", "--install", "bowline", helm::ROLES, "--namespace", SYSTEM]);
    command.args(["--take-ownership", "--force-conflicts", "--set", "logLevel=debug"]);
    command.arg("--kubeconfig").arg(cluster.folder.join("kubeconfig"));
    process::output(&mut command).context("installing over the manifest with Helm")?;
    Ok(())
}

/// Has Helm run the test of the chart: a pod that asks the control API.
fn tested(cluster: &ControlPlane, helm: &Helm) -> anyhow::Result<()> {
    let mut command = helm.command();
    command.args(["test", "bowline", "--namespace", SYSTEM, "--timeout=120s", "--kubeconfig"]);
    let said = process::output(command.arg(cluster.folder.join("kubeconfig")))?;
    ensure!(said.contains("bowline-test") && said.contains("Succeeded"), "`helm test` tests nothing: {said}");
    Ok(())
}

/// Copies the store, releases something, and puts the copy back, as `docs/runbook.md` says: what was released since is released again.
pub(super) fn restored(cluster: &ControlPlane, repository: &Repository) -> anyhow::Result<()> {
    let control = |arguments: &[&str]| story::control(cluster, repository, arguments);
    control(&["backup", COPY])?;
    let before = story::log(cluster, repository)?.len();
    under_traffic(cluster, "the control role is restored from a copy", || {
        control(&["key", "create", AFTER, "--env", "prod"])?;
        let pushed = repository.push(cluster, Some("ci"))?;
        setbacks::seen(cluster, &pushed)?;
        started(cluster, repository, before)?;
        system(cluster, &["scale", "statefulset/bowline-control", "--replicas=0"])?;
        system(cluster, &["wait", "pod/bowline-control-0", "--for=delete", "--timeout=60s"])?;
        cluster.example("restore.yaml")?;
        system(cluster, &["wait", "job/bowline-restore", "--for=condition=Complete", "--timeout=60s"])?;
        system(cluster, &["delete", "job/bowline-restore"])?;
        system(cluster, &["scale", "statefulset/bowline-control", "--replicas=1"])?;
        system(cluster, &["rollout", "status", "statefulset/bowline-control", "--timeout=60s"])?;
        ensure!(!keys(cluster, repository)?.contains(&AFTER.to_owned()), "the copy has a key of after it");
        started(cluster, repository, before)
    })
}

/// Waits until the log has rows beyond so many.
fn started(cluster: &ControlPlane, repository: &Repository, rows: usize) -> anyhow::Result<()> {
    until_within(PATIENCE, "the control role has the release", || Ok(story::log(cluster, repository)?.len() > rows))
}

fn system(cluster: &ControlPlane, arguments: &[&str]) -> anyhow::Result<String> {
    cluster.kubectl(&[&["--namespace", SYSTEM], arguments].concat())
}
