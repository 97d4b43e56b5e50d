//! One file that installs everything: both charts, rendered.

use crate::helm::{Helm, KINDS, Line, NAMESPACE, ROLES};
use crate::workspace::Workspace;

/// Where it lies. `deploy/install.yaml` points here: kustomize reads nothing beside or above the folder of its file.
pub(super) const PATH: &str = "deploy/base/install.yaml";

const HEAD: &str = "\
# Bowline with the default values of its charts. Written by `cargo xtask gen --install`.
#   kubectl apply --server-side --filename install.yaml
apiVersion: v1
kind: Namespace
metadata:
  name: bowline-system
  labels:
    app.kubernetes.io/name: bowline
    pod-security.kubernetes.io/enforce: restricted
    pod-security.kubernetes.io/audit: restricted
    pod-security.kubernetes.io/warn: restricted
";

/// What is true of a release of Helm only, and where it rendered a document from.
const HELM_ONLY: [&str; 4] =
    ["# Source: ", "helm.sh/chart: ", "app.kubernetes.io/managed-by: Helm", "app.kubernetes.io/instance: bowline-crds"];

/// Renders the charts.
pub(super) fn manifest(workspace: &Workspace) -> anyhow::Result<String> {
    let helm = Helm::build(workspace, Line::Four)?;
    anyhow::ensure!(HEAD.contains(NAMESPACE), "the namespace is another one");
    let kinds = helm.template(KINDS, &["--set=keep=false"])?;
    let roles = helm.template(ROLES, &["--no-hooks"])?;
    Ok(clean(HEAD, &[&kinds, &roles]))
}

fn clean(head: &str, renderings: &[&str]) -> String {
    let mut text = head.to_owned();
    for line in renderings.iter().flat_map(|rendering| rendering.lines()) {
        if HELM_ONLY.iter().all(|prefix| !line.trim_start().starts_with(prefix)) {
            text.push_str(line.trim_end());
            text.push('\n');
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_says_that_helm_manages_it() {
        let rendering = "---\n# Source: bowline/templates/a.yaml\nmetadata:\n  labels:\n    app.kubernetes.io/name: bowline\n    \
                         app.kubernetes.io/managed-by: Helm\n    helm.sh/chart: bowline-0.1.0\n  name: a\n";
        let expected = "head\n---\nmetadata:\n  labels:\n    app.kubernetes.io/name: bowline\n  name: a\n";
        assert_eq!(clean("head\n", &[rendering]), expected);
    }
}
