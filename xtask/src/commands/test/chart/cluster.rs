use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;
use serde_json::Value;

use super::super::control_plane::ControlPlane;
use super::super::definitions::{
    APPLICATION, Definition, GIT_REPOSITORY, HTTP_ROUTE, KUSTOMIZATION, PROMETHEUS_RULE, SERVICE_MONITOR, TASK,
    WORKFLOW_TEMPLATE,
};
use super::{Rendering, schemas};
use crate::go::Package;
use crate::helm::{Helm, KINDS, Line, NAMESPACE, ROLES};
use crate::process;
use crate::workspace::Workspace;

const KUBECONFORM: Package<'static> = Package {
    folder: "tests/go/kubeconform",
    path: "github.com/yannh/kubeconform/cmd/kubeconform",
    program: "kubeconform",
    values: &[],
};
/// Kinds that others bring, which the schemas of an API server alone do not have.
const FOREIGN: [&str; 3] = ["HTTPRoute", "PrometheusRule", "ServiceMonitor"];
/// Kinds that others bring, and some of ours are of.
const DEFINITIONS: [Definition; 8] =
    [APPLICATION, GIT_REPOSITORY, HTTP_ROUTE, KUSTOMIZATION, PROMETHEUS_RULE, SERVICE_MONITOR, TASK, WORKFLOW_TEMPLATE];
/// Files for pipelines and for GitOps, with a word that is in no definition when it is misspelt.
const AUTOMATION: [(&str, &str); 4] = [
    ("deploy/argo-workflows/bowline.yaml", "script:"),
    ("deploy/argocd/desk.yaml", "repoURL:"),
    ("deploy/flux/desk.yaml", "path:"),
    ("deploy/tekton/bowline.yaml", "steps:"),
];
const OVERLAYS: [&str; 4] = ["aks", "eks", "gke", "onprem"];
const DRY: [&str; 1] = ["--dry-run=server"];

/// Gives everything that is rendered to kubeconform and to a real API server, and installs the charts.
pub(super) fn check(workspace: &Workspace, cluster: &ControlPlane, renderings: &[Rendering]) -> anyhow::Result<()> {
    for namespace in [NAMESPACE, "argocd", "desk", "flux-system", "search"] {
        cluster.kubectl(&["create", "namespace", namespace])?;
        let level = "pod-security.kubernetes.io/enforce=restricted";
        cluster.kubectl(&["label", "namespace", namespace, level, "pod-security.kubernetes.io/warn=restricted"])?;
    }
    conform(workspace, cluster, renderings).context("kubeconform")?;
    // Of what is installed, the kinds stay.
    install(workspace, cluster).context("installing with Helm")?;
    for definition in DEFINITIONS {
        definition.apply(workspace, cluster)?;
    }
    automation(workspace, cluster)?;
    for rendering in renderings {
        taken(cluster, &rendering.name, &rendering.text)?;
    }
    for path in OVERLAYS.map(|name| format!("deploy/overlays/{name}")).iter().chain([&"deploy/base".to_owned()]) {
        let folder = workspace.root.join(path);
        taken(cluster, path, &cluster.kubectl(&["kustomize", &folder.display().to_string()])?)?;
    }
    Ok(())
}

/// Holds files for what others bring against the definitions of their kinds, fields and all.
fn automation(workspace: &Workspace, cluster: &ControlPlane) -> anyhow::Result<()> {
    for (path, word) in AUTOMATION {
        let text = workspace.text(Path::new(path))?;
        taken(cluster, path, &text)?;
        // It would have found a slip of the pen.
        let wrong = text.replacen(word, &word.replace(':', "s:"), 1);
        anyhow::ensure!(cluster.applied(&wrong, &DRY).is_err(), "the API server takes `{word}` misspelt, in {path}");
    }
    println!("taken as their own modules define them: {}", AUTOMATION.map(|(path, _)| path).join(", "));
    Ok(())
}

/// Checks that the API server takes a manifest in a strict dry run, and has nothing to warn of: that is how it says that a pod of a Deployment
/// would be refused later.
fn taken(cluster: &ControlPlane, name: &str, manifest: &str) -> anyhow::Result<()> {
    let said = cluster.applied(manifest, &DRY).with_context(|| format!("the API server refuses {name}"))?;
    let warnings: Vec<_> = said.lines().filter(|line| line.starts_with("Warning")).collect();
    anyhow::ensure!(warnings.is_empty(), "the API server warns of {name}: {}", warnings.join("; "));
    Ok(())
}

/// Holds renderings against the schemas of the very API server that is to take them.
fn conform(workspace: &Workspace, cluster: &ControlPlane, renderings: &[Rendering]) -> anyhow::Result<()> {
    let kubeconform = KUBECONFORM.build(workspace)?;
    let folder = tempfile::tempdir().context("making a folder for schemas")?;
    let description = cluster.kubectl(&["get", "--raw", "/openapi/v2"])?;
    let count = schemas::write(&serde_json::from_str(&description)?, folder.path())?;
    let location = folder.path().join("{{.ResourceKind}}-{{.Group}}-{{.ResourceAPIVersion}}.json");
    let call = |files: &[PathBuf]| {
        let mut command = Command::new(&kubeconform);
        command.args(["-strict", "-summary", "-skip", &FOREIGN.join(","), "-schema-location"]).arg(&location);
        let output = command.args(files).output().context("starting kubeconform")?;
        // What it finds is on its standard output.
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        anyhow::ensure!(output.status.success(), "{said}");
        anyhow::Ok(said)
    };
    let mut files = Vec::new();
    for rendering in renderings {
        let file = folder.path().join(&rendering.name).with_extension("yaml");
        fs::write(&file, &rendering.text).with_context(|| format!("writing {}", file.display()))?;
        files.push(file);
    }
    print!("{count} kinds of the API server; {}", call(&files)?);
    // It would have found something.
    let wrong = folder.path().join("wrong.yaml");
    let text =
        renderings.iter().map(|rendering| rendering.text.replace("replicas: 2", "replica: 2")).collect::<String>();
    fs::write(&wrong, text).context("writing a wrong manifest")?;
    anyhow::ensure!(call(&[wrong]).is_err(), "kubeconform takes a field that there is not");
    Ok(())
}

/// Installs the charts as docs/install.md says, with both lines of Helm, changes values, and uninstalls them.
fn install(workspace: &Workspace, cluster: &ControlPlane) -> anyhow::Result<()> {
    let kubeconfig = cluster.folder.join("kubeconfig").display().to_string();
    for line in Line::ALL {
        let helm = Helm::build(workspace, line)?;
        let call = |arguments: &[&str]| {
            let more = ["--namespace", NAMESPACE, "--kubeconfig", &kubeconfig];
            process::output(helm.command().args(arguments).args(more))
        };
        call(&["install", "bowline-crds", KINDS])?;
        let said = call(&["install", "bowline", ROLES])?;
        anyhow::ensure!(said.contains("http://bowline-gateway.bowline-system.svc/v1"), "{helm} shows no notes: {said}");
        anyhow::ensure!(!said.contains("The kinds are missing"), "{helm} does not see the kinds: {said}");
        call(&["upgrade", "bowline", ROLES, "--set=gateway.replicas=3,logLevel=debug"])?;
        let read = ["get", "deployment", "bowline-gateway", "--namespace", NAMESPACE, "--output=json"];
        let gateway: Value = serde_json::from_str(&cluster.kubectl(&read)?)?;
        anyhow::ensure!(gateway["spec"]["replicas"] == 3, "{helm} upgrades to {}", gateway["spec"]["replicas"]);
        call(&["rollback", "bowline", "1"])?;
        call(&["uninstall", "bowline"])?;
        let left = cluster.kubectl(&["get", "all,networkpolicies,pdb", "--namespace", NAMESPACE, "--output=name"])?;
        let left: Vec<_> = left.lines().filter(|name| !name.starts_with("pod/")).collect();
        anyhow::ensure!(left.is_empty(), "{helm} leaves {left:?}");
        call(&["uninstall", "bowline-crds"])?;
        let kept = cluster.kubectl(&["get", "crd", "--output=name"])?;
        anyhow::ensure!(kept.lines().count() == 5, "with `keep`, the kinds that stay are {kept}");
        // The next one takes them over.
    }
    println!("installed, upgraded, rolled back and uninstalled by helm 3 and helm 4");
    Ok(())
}
