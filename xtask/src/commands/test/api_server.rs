use anyhow::Context as _;
use serde_json::{Value, json};

use super::control_plane::{self, ControlPlane};
use crate::commands::Outcome;
use crate::workspace::Workspace;

mod access;
mod backends;
mod projections;
mod rules;

/// The operator, as the API server knows it.
const OPERATOR: &str = "system:serviceaccount:bowline-system:bowline-operator";
/// Where the tests are.
const NAMESPACE: &str = "desk";
/// Nothing is kept of what is applied with this.
const DRY: [&str; 1] = ["--dry-run=server"];

/// Gives the kinds, their policies and roles to a real API server, and looks at what it takes and what it refuses, and how it says so.
pub(super) fn run(workspace: &Workspace) -> anyhow::Result<Outcome> {
    let deploy = |name: &str| workspace.root.join("deploy").join(name).display().to_string();
    let page = workspace.text("docs/kinds.md".as_ref())?;
    control_plane::with(workspace, |cluster| {
        install(cluster, &deploy)?;
        examples(cluster, &page)?;
        rules::check(cluster).context("the rules of the kinds")?;
        projections::check(cluster).context("what becomes of projections")?;
        access::check(cluster).context("who may do what")?;
        backends::check(workspace, cluster).context("the objects of model servers")?;
        explained(cluster)?;
        again(cluster, &deploy("crds")).context("a definition that is deleted and applied again")?;
        // The policies let a namespace go with everything in it.
        cluster.kubectl(&["delete", "namespace", NAMESPACE, "--timeout=60s"])?;
        Ok(())
    })
}

fn install(cluster: &ControlPlane, deploy: &dyn Fn(&str) -> String) -> anyhow::Result<()> {
    for namespace in ["bowline-system", NAMESPACE] {
        cluster.kubectl(&["create", "namespace", namespace])?;
    }
    let apply = |name: &str, more: &[&str]| {
        let file = deploy(name);
        let arguments = ["apply", "--server-side", "--validate=strict", "--filename", &file];
        cluster.kubectl(&[&arguments, more].concat()).with_context(|| format!("applying deploy/{name}"))
    };
    apply("crds", &DRY)?;
    apply("crds", &[])?;
    established(cluster)?;
    for name in ["rbac.yaml", "rbac-namespaced.yaml", "admission.yaml"] {
        apply(name, &DRY)?;
        apply(name, &[])?;
    }
    for policy in ["bowline-projections", "bowline-levers"] {
        control_plane::until(&format!("the policy {policy} is checked"), || {
            let read = cluster.kubectl(&["get", "validatingadmissionpolicy", policy, "--output=json"])?;
            let policy: Value = serde_json::from_str(&read)?;
            let warnings = &policy["status"]["typeChecking"]["expressionWarnings"];
            anyhow::ensure!(warnings.is_null(), "the API server warns of expressions: {warnings}");
            Ok(policy["status"]["observedGeneration"] == policy["metadata"]["generation"])
        })?;
    }
    Ok(())
}

/// Waits until the API server serves every kind. `kubectl wait` gives up on a definition that has no status yet.
fn established(cluster: &ControlPlane) -> anyhow::Result<()> {
    control_plane::until("the kinds are served", || {
        let read: Value = serde_json::from_str(&cluster.kubectl(&["get", "crd", "--output=json"])?)?;
        let kinds = read["items"].as_array().map(Vec::as_slice).unwrap_or_default();
        let is_served = |kind: &Value| {
            let conditions = kind["status"]["conditions"].as_array().map(Vec::as_slice).unwrap_or_default();
            conditions.iter().any(|condition| condition["type"] == "Established" && condition["status"] == "True")
        };
        Ok(!kinds.is_empty() && kinds.iter().all(is_served))
    })
}

/// Applies the examples of the documentation, and applies them again, which must change nothing.
fn examples(cluster: &ControlPlane, page: &str) -> anyhow::Result<()> {
    let blocks = page.split("```yaml\n").skip(1).filter_map(|block| block.split("```").next());
    let mut count = 0;
    for example in blocks {
        cluster.apply("", example, &DRY)?;
        cluster.apply("", example, &[])?;
        cluster.apply("", example, &[])?;
        count += 1;
    }
    anyhow::ensure!(count >= 5, "docs/kinds.md has {count} examples");
    let generations = cluster.kubectl(&[
        "get",
        "promptbundles,modelbackends",
        "--namespace",
        NAMESPACE,
        "--output=jsonpath={.items[*].metadata.generation}",
    ])?;
    let generations: Vec<_> = generations.split(' ').collect();
    anyhow::ensure!(generations == vec!["1"; count], "applied twice, the examples are of generation {generations:?}");
    // What speaks `/scale` speaks to a ModelBackend.
    let target = ["modelbackend/small", "--namespace", NAMESPACE];
    cluster.kubectl(&[&["scale", "--replicas=2"], &target[..]].concat())?;
    let replicas = cluster.kubectl(&[&["get", "--output=jsonpath={.spec.serve.replicas}"], &target[..]].concat())?;
    anyhow::ensure!(replicas == "2", "scaled to 2, the ModelBackend asks for {replicas}");
    Ok(())
}

/// Looks at what `kubectl explain` tells people.
fn explained(cluster: &ControlPlane) -> anyhow::Result<()> {
    for (field, text) in [
        ("promptbundle.spec.verification.insecureUnsigned", "anybody who can push then releases"),
        ("promptbundle.spec.keys.secretName", "OPENAI_API_KEY"),
        ("modelbackend.spec.serve.accelerator", "as the chart's values name it"),
        ("prompt", "Written by the operator"),
        ("promptversion.spec.commit", "The commit of that bundle"),
        ("promptrollout.status.eRollback", "it is rolled back"),
    ] {
        let said = cluster.kubectl(&["explain", field])?;
        let words: Vec<_> = said.split_whitespace().collect();
        anyhow::ensure!(words.join(" ").contains(text), "`kubectl explain {field}` does not say {text:?}: {said}");
    }
    Ok(())
}

/// Deletes a definition, and with it its objects; what is applied again takes objects as before.
fn again(cluster: &ControlPlane, definitions: &str) -> anyhow::Result<()> {
    let rollout = rollout().to_string();
    cluster.apply(OPERATOR, &rollout, &[])?;
    cluster.kind_delete("promptrollouts.bowline.dev")?;
    cluster.kubectl(&["apply", "--server-side", "--filename", definitions])?;
    established(cluster)?;
    let left = cluster.kubectl(&["get", "promptrollouts", "--all-namespaces", "--output=name"])?;
    anyhow::ensure!(left.is_empty(), "after its definition was deleted there is {left}");
    // The API server serves a definition a moment after it is established.
    control_plane::until("a PromptRollout is taken again", || Ok(cluster.apply(OPERATOR, &rollout, &[]).is_ok()))?;
    Ok(())
}

fn digest(of: &str) -> String {
    format!("sha256:{}", of.repeat(64))
}

fn object(kind: &str, name: &str, spec: &Value) -> Value {
    json!({
        "apiVersion": "bowline.dev/v1alpha1",
        "kind": kind,
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": spec,
    })
}

fn prompt() -> Value {
    object("Prompt", "support.answer", &json!({"project": "desk", "prompt": "support/answer"}))
}

fn version() -> Value {
    let spec = json!({"project": "desk", "prompt": "support/answer", "digest": digest("a"), "bundle": digest("b"), "commit": "3f9a"});
    object("PromptVersion", "support.answer-aaaaaaaaaaaa", &spec)
}

fn rollout() -> Value {
    let spec = json!({
        "project": "desk",
        "prompt": "support/answer",
        "environment": "prod",
        "number": 7,
        "stable": digest("a"),
        "candidate": digest("b"),
        "stages": ["10%", "50%"],
    });
    object("PromptRollout", "support.answer-prod-7", &spec)
}
