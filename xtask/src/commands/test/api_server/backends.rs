//! What the operator makes of a ModelBackend that serves, for each class of accelerators, as the API server takes it.

use std::collections::BTreeMap;
use std::fs;

use anyhow::Context as _;
use serde_json::Value;

use super::super::control_plane::ControlPlane;
use super::super::definitions::SCALED_OBJECT;
use super::{DRY, NAMESPACE, OPERATOR};
use crate::workspace::Workspace;

/// Where the tests of `bowline-operator` keep what it renders.
const MANIFESTS: &str = "crates/bowline-operator/manifests";
/// The kinds that must be among them, so that none is forgotten.
const KINDS: [&str; 6] = [
    "Deployment",
    "HorizontalPodAutoscaler",
    "PersistentVolumeClaim",
    "ResourceClaimTemplate",
    "ScaledObject",
    "Service",
];

/// Shows the golden manifests to the API server as the operator does, strictly; nothing is kept. It must have nothing to warn of, which is how it
/// says that it would refuse the pods of a Deployment.
pub(super) fn check(workspace: &Workspace, cluster: &ControlPlane) -> anyhow::Result<()> {
    SCALED_OBJECT.apply(workspace, cluster)?;
    let restricted = ["enforce", "warn"].map(|mode| format!("pod-security.kubernetes.io/{mode}=restricted"));
    cluster.kubectl(&["label", "namespace", NAMESPACE, &restricted[0], &restricted[1]])?;
    let user = format!("--as={OPERATOR}");
    let take = |text: &str| cluster.applied(text, &[&DRY[..], &[&user]].concat());
    let mut kinds: BTreeMap<String, usize> = BTreeMap::new();
    let manifests = manifests(workspace)?;
    for (name, list) in &manifests {
        let said = take(&list.to_string()).with_context(|| format!("the API server refuses {name}"))?;
        let warnings: Vec<_> = said.lines().filter(|line| line.starts_with("Warning")).collect();
        anyhow::ensure!(warnings.is_empty(), "the API server warns of {name}: {}", warnings.join("; "));
        for object in list["items"].as_array().into_iter().flatten() {
            *kinds.entry(object["kind"].as_str().unwrap_or_default().to_owned()).or_default() += 1;
        }
    }
    anyhow::ensure!(kinds.keys().eq(KINDS), "{MANIFESTS} has objects of {kinds:?}, not of each of {KINDS:?}");
    // It would have found a slip of the pen.
    for (name, list) in &manifests {
        let wrong = list.to_string().replace("\"spec\":{", "\"spec\":{\"slip\":1,");
        anyhow::ensure!(take(&wrong).is_err(), "the API server takes a field that there is not, in {name}");
    }
    println!("{} manifests of model servers, taken in a strict dry run: {kinds:?}", manifests.len());
    Ok(())
}

/// Returns the golden manifests by the names of their files.
fn manifests(workspace: &Workspace) -> anyhow::Result<Vec<(String, Value)>> {
    let folder = workspace.root.join(MANIFESTS);
    let mut manifests = Vec::new();
    for entry in fs::read_dir(&folder).with_context(|| format!("reading {MANIFESTS}"))? {
        let path = entry?.path();
        let name = path.display().to_string();
        let text = fs::read_to_string(&path).with_context(|| format!("reading {name}"))?;
        // What stands before the second line of dashes is about the test.
        let manifest = text.splitn(3, "---\n").nth(2).with_context(|| format!("{name} is no snapshot"))?;
        manifests.push((name.clone(), serde_json::from_str(manifest).with_context(|| format!("reading {name}"))?));
    }
    manifests.sort_by(|(one, _), (other, _)| one.cmp(other));
    Ok(manifests)
}
