use std::fs;
use std::os::unix::fs::chown;
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use serde_json::json;

use super::control_plane::{self, ControlPlane};
use crate::commands::Outcome;
use crate::environment;
use crate::workspace::Workspace;

mod account;
mod autoscale;
mod backends;
mod faults;
mod forward;
mod images;
mod operations;
mod repository;
mod setbacks;
mod story;

use repository::{PROJECT, Repository};
use story::act;

/// Where the roles are.
const SYSTEM: &str = "bowline-system";
/// What runs there.
const ROLES: [&str; 3] = ["statefulset/bowline-control", "deployment/bowline-gateway", "deployment/bowline-operator"];
/// Where the application and its prompts are.
const NAMESPACE: &str = "desk";
/// How long a rollout, or anything else of the story, may take.
const PATIENCE: Duration = Duration::from_secs(300);
/// As whom the roles run.
const USER: u32 = 65532;
/// How much of the log of a pod is shown when something failed.
const TAIL: &str = "--tail=40";

/// Plays the story on a real cluster with real pods, and breaks each thing once under its traffic.
pub(super) fn run(workspace: &Workspace) -> anyhow::Result<Outcome> {
    with_cluster(workspace, None)
}

/// Plays the story, and lets many faults happen under its traffic.
pub(in crate::commands) fn chaos(workspace: &Workspace, faults: u32) -> anyhow::Result<Outcome> {
    with_cluster(workspace, Some(faults))
}

fn with_cluster(workspace: &Workspace, faults: Option<u32>) -> anyhow::Result<Outcome> {
    if environment::kubeconfig().is_some() {
        return Ok(Outcome::NotRun("brings up a cluster of its own, and KUBECONFIG names another".to_owned()));
    }
    let folder = tempfile::tempdir().context("making a folder for the story")?;
    let images = match act("images", || images::build(workspace, folder.path()))? {
        Ok(images) => images,
        Err(reason) => return Ok(Outcome::NotRun(reason)),
    };
    control_plane::with_node(workspace, &images.archives, |cluster| {
        let played = play(workspace, cluster, folder.path(), &images.bowline, faults);
        if played.is_err() {
            explain(cluster);
        }
        played
    })
}

fn play(
    workspace: &Workspace,
    cluster: &ControlPlane,
    folder: &Path,
    bowline: &Path,
    many: Option<u32>,
) -> anyhow::Result<()> {
    act("installed", || install(workspace, cluster, &folder.join("volume")))?;
    let create = |name: &str, project: &str| Repository::create(workspace, bowline, folder, (name, project));
    let repository = create(NAMESPACE, PROJECT)?;
    act("the namespace of the project", || namespace(cluster, &repository))?;
    let first = story::play(cluster, &repository)?;
    account::play(cluster)?;
    setbacks::each(cluster, &repository)?;
    operations::each(workspace, cluster, &repository, &create("second", "second")?)?;
    // The change is taken back while everything else breaks: that is worse than what is live, so it is rolled back. What the control role knows of
    // it is lost at first.
    repository.restore(&first.commit, "take the examples back")?;
    operations::restored(cluster, &repository)?;
    match many {
        Some(count) => faults::many(cluster, count)?,
        None => faults::EACH.into_iter().try_for_each(|fault| fault.happen(cluster))?,
    }
    faults::nothing_is_left_over(cluster, &repository)?;
    backends::play(workspace, cluster)
}

/// Installs Bowline as `docs/kubernetes.md` says, and waits until every pod is ready.
fn install(workspace: &Workspace, cluster: &ControlPlane, volume: &Path) -> anyhow::Result<()> {
    fs::create_dir(volume).context("making a volume")?;
    chown(volume, Some(USER), Some(USER)).context("giving the volume to the control role")?;
    cluster.apply("", &persistent_volume(volume), &[])?;
    let manifest = workspace.root.join("deploy/install.yaml").display().to_string();
    cluster.kubectl(&["apply", "--server-side", "--filename", &manifest])?;
    for object in ROLES {
        cluster.kubectl(&["rollout", "status", object, "--namespace", SYSTEM, "--timeout=180s"])?;
    }
    Ok(())
}

/// A cluster from packages provisions no volumes, so the control role gets this one.
fn persistent_volume(folder: &Path) -> String {
    json!({
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": "bowline-control"},
        "spec": {
            "capacity": {"storage": "10Gi"},
            "accessModes": ["ReadWriteOnce"],
            "persistentVolumeReclaimPolicy": "Retain",
            "hostPath": {"path": folder, "type": "Directory"},
        },
    })
    .to_string()
}

/// Makes the namespace of a team: its registry, its provider, and the law for its prompts.
fn namespace(cluster: &ControlPlane, repository: &Repository) -> anyhow::Result<()> {
    for file in ["namespace.yaml", "registry.yaml", "simulator.yaml"] {
        cluster.example(file)?;
    }
    let key = format!("--from-file=cosign.pub={}", repository.public_key("ci").display());
    desk(cluster, &["create", "secret", "generic", "cosign", &key])?;
    for deployment in ["deployment/registry", "deployment/simulator"] {
        desk(cluster, &["rollout", "status", deployment, "--timeout=60s"])?;
    }
    for file in ["backend.yaml", "bundle.yaml"] {
        cluster.example(file)?;
    }
    Ok(())
}

/// Calls kubectl in the namespace of the story.
fn desk(cluster: &ControlPlane, arguments: &[&str]) -> anyhow::Result<String> {
    cluster.kubectl(&[&["--namespace", NAMESPACE], arguments].concat())
}

/// Prints what one looks at when something failed. What cannot be asked is left out.
fn explain(cluster: &ControlPlane) {
    let ask = |arguments: &[&str]| {
        let said = cluster.kubectl(arguments).unwrap_or_else(|error| format!("{error:#}"));
        eprintln!("\n$ kubectl {}\n{said}", arguments.join(" "));
        said
    };
    ask(&["get", "pods,bowline,pvc", "--all-namespaces", "--output=wide"]);
    ask(&["get", "promptbundles,promptrollouts", "--namespace", NAMESPACE, "--output=yaml"]);
    ask(&["get", "events", "--all-namespaces", "--sort-by=.lastTimestamp"]);
    for namespace in [SYSTEM, NAMESPACE] {
        let pods = cluster.kubectl(&["get", "pods", "--namespace", namespace, "--output=name"]).unwrap_or_default();
        for pod in pods.lines() {
            ask(&["logs", pod, "--namespace", namespace, TAIL]);
        }
    }
}
