use std::collections::BTreeSet;
use std::path::Path;

use anyhow::Context as _;
use serde_json::Value;

use super::control_plane;
use crate::commands::{Outcome, generate};
use crate::helm::{Helm, KINDS, Line, ROLES};
use crate::workspace::Workspace;

mod alerts;
mod argocd;
mod cluster;
mod metrics;
mod schemas;

/// The sets of values that charts are rendered with beside the defaults; they lie in the folder `ci` of the chart.
const SETS: [&str; 3] = ["everything", "namespaced", "existing"];
/// Values that the schema must refuse, and what it must name.
const REFUSED: [(&str, &str); 6] = [
    ("gateway.replica=3", "replica"),
    ("gateway.replicas=many", "/gateway/replicas"),
    ("control.persistence.size=10", "/control/persistence/size"),
    ("image.digest=sha256:1234", "/image/digest"),
    ("accelerators.gpu.count=1", "/accelerators/gpu"),
    ("monitoring.rules=on", "/monitoring/rules"),
];

/// A chart that is rendered with a set of values.
struct Rendering {
    name: String,
    text: String,
    documents: Vec<Value>,
}

/// Renders the charts with both lines of Helm, and gives what comes of it, the overlays and the scripts to those who have to take them.
pub(super) fn run(workspace: &Workspace) -> anyhow::Result<Outcome> {
    if crate::environment::program(&["go"]).is_none() {
        return Ok(Outcome::NotRun("needs Go, to build Helm and Kubernetes from their published modules".to_owned()));
    }
    argocd::check(workspace).context("the scripts for Argo CD")?;
    let renderings = renderings(workspace)?;
    metrics::check(workspace).context("the metrics of alerts and of the dashboard")?;
    alerts::check(workspace).context("the queries of alerts and of the dashboard")?;
    flags(workspace, &renderings).context("the options that pods are started with")?;
    keda(&renderings)?;
    if generate::run(workspace, &generate::Options::check_install())? == Outcome::Failed {
        eprintln!("hint: `cargo xtask gen --install`");
        return Ok(Outcome::Failed);
    }
    control_plane::with(workspace, |cluster| cluster::check(workspace, cluster, &renderings))
}

/// Returns what both charts come to with every set of values, after both lines of Helm agreed on it.
fn renderings(workspace: &Workspace) -> anyhow::Result<Vec<Rendering>> {
    let [three, four] = Line::ALL;
    let (three, four) = (Helm::build(workspace, three)?, Helm::build(workspace, four)?);
    let mut renderings = vec![rendering(&three, &four, KINDS, "kinds", &[])?];
    renderings.push(rendering(&three, &four, ROLES, "default", &[])?);
    for set in SETS {
        let file = format!("{ROLES}/ci/{set}.yaml");
        renderings.push(rendering(&three, &four, ROLES, set, &["--values", &file])?);
    }
    for helm in [&three, &four] {
        for (value, expected) in REFUSED {
            let said = helm.refused(ROLES, &["--set", value])?;
            anyhow::ensure!(said.contains(expected), "{helm} refuses `{value}` without naming {expected}: {said}");
        }
    }
    println!("{} renderings, the same by helm 3 and helm 4", renderings.len());
    Ok(renderings)
}

fn rendering(three: &Helm, four: &Helm, chart: &str, name: &str, options: &[&str]) -> anyhow::Result<Rendering> {
    for helm in [three, four] {
        helm.lint(chart, options).with_context(|| format!("{helm}, {chart}, {name}"))?;
    }
    let text = four.template(chart, options)?;
    let documents = read(&text)?;
    let mut others = read(&three.template(chart, options)?)?;
    // The lines order some kinds differently.
    let mut sorted = documents.clone();
    for list in [&mut sorted, &mut others] {
        list.sort_by_key(Value::to_string);
    }
    anyhow::ensure!(sorted == others, "{name}: helm 3 and helm 4 render different objects");
    Ok(Rendering { name: name.to_owned(), text, documents })
}

fn read(text: &str) -> anyhow::Result<Vec<Value>> {
    let documents: Vec<Value> = serde_saphyr::from_multiple(text).context("reading what Helm rendered")?;
    Ok(documents.into_iter().filter(|document| !document.is_null()).collect())
}

/// Checks that there is what the operator tells KEDA to read: where KEDA is, nobody else scales.
fn keda(renderings: &[Rendering]) -> anyhow::Result<()> {
    for rendering in renderings.iter().filter(|rendering| rendering.name != "kinds") {
        let mut services = rendering.documents.iter().filter(|document| document["kind"] == "Service");
        let is_there = services.any(|service| service["metadata"]["name"] == "bowline-gateway-admin");
        anyhow::ensure!(is_there, "{}: KEDA is told to read bowline-gateway-admin, which is not there", rendering.name);
    }
    Ok(())
}

/// Checks that `bowline serve` has every option that a pod is started with: no pod would start otherwise.
fn flags(workspace: &Workspace, renderings: &[Rendering]) -> anyhow::Result<()> {
    let reference = workspace.text(Path::new("docs/cli.md"))?;
    let serve = reference.split("\n## ").find(|section| section.starts_with("bowline serve\n"));
    let serve = serve.context("docs/cli.md describes `bowline serve`")?;
    let known: BTreeSet<&str> = serve.split([' ', '\n', ',']).filter(|word| word.starts_with("--")).collect();
    let mut used = BTreeSet::new();
    for document in renderings.iter().flat_map(|rendering| &rendering.documents) {
        for container in document["spec"]["template"]["spec"]["containers"].as_array().into_iter().flatten() {
            let arguments = container["args"].as_array().into_iter().flatten().filter_map(Value::as_str);
            used.extend(arguments.filter(|argument| argument.starts_with("--")).filter_map(|it| it.split('=').next()));
        }
    }
    let unknown: Vec<_> = used.difference(&known).collect();
    anyhow::ensure!(unknown.is_empty(), "`bowline serve` has no {unknown:?}");
    anyhow::ensure!(used.len() > 10, "only {used:?} were found in what is rendered");
    println!("{} options of `bowline serve` in pods, all known", used.len());
    Ok(())
}
