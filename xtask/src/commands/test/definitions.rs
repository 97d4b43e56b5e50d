//! Kinds that others bring, as their published modules define them: an API server that has them is strict about objects of these kinds too.

use std::path::PathBuf;

use anyhow::Context as _;

use super::control_plane::{ControlPlane, until};
use crate::go;
use crate::workspace::Workspace;

/// Where the modules are required. Nothing of them is built.
const FOLDER: &str = "tests/go/definitions";

/// The definition of a kind in a module of Go.
#[derive(Clone, Copy, Debug)]
pub(super) struct Definition {
    module: &'static str,
    file: &'static str,
    /// What `kubectl get` calls the kind.
    resource: &'static str,
}

/// What scales on more than Kubernetes does.
pub(super) const SCALED_OBJECT: Definition = Definition {
    module: "github.com/kedacore/keda/v2",
    file: "config/crd/bases/keda.sh_scaledobjects.yaml",
    resource: "scaledobjects.keda.sh",
};

/// What Argo CD keeps in a cluster.
pub(super) const APPLICATION: Definition = Definition {
    module: "github.com/argoproj/argo-cd/v3",
    file: "manifests/crds/application-crd.yaml",
    resource: "applications.argoproj.io",
};

/// Where Flux reads from.
pub(super) const GIT_REPOSITORY: Definition = Definition {
    module: "github.com/fluxcd/source-controller",
    file: "config/crd/bases/source.toolkit.fluxcd.io_gitrepositories.yaml",
    resource: "gitrepositories.source.toolkit.fluxcd.io",
};

/// What Flux keeps in a cluster.
pub(super) const KUSTOMIZATION: Definition = Definition {
    module: "github.com/fluxcd/kustomize-controller",
    file: "config/crd/bases/kustomize.toolkit.fluxcd.io_kustomizations.yaml",
    resource: "kustomizations.kustomize.toolkit.fluxcd.io",
};

/// What a Pipeline of Tekton is made of.
pub(super) const TASK: Definition = Definition {
    module: "github.com/tektoncd/pipeline",
    file: "config/300-crds/300-task.yaml",
    resource: "tasks.tekton.dev",
};

/// What a Workflow of Argo refers to. The module has it once without fields, for those whose API server takes no larger one, and once with them.
pub(super) const WORKFLOW_TEMPLATE: Definition = Definition {
    module: "github.com/argoproj/argo-workflows/v3",
    file: "manifests/base/crds/full/argoproj.io_workflowtemplates.yaml",
    resource: "workflowtemplates.argoproj.io",
};

/// The way from outside, by the Gateway API.
pub(super) const HTTP_ROUTE: Definition = Definition {
    module: "sigs.k8s.io/gateway-api",
    file: "config/crd/standard/gateway.networking.k8s.io_httproutes.yaml",
    resource: "httproutes.gateway.networking.k8s.io",
};

/// What a Prometheus evaluates.
pub(super) const PROMETHEUS_RULE: Definition = Definition {
    module: "github.com/prometheus-operator/prometheus-operator",
    file: "example/prometheus-operator-crd/monitoring.coreos.com_prometheusrules.yaml",
    resource: "prometheusrules.monitoring.coreos.com",
};

/// What a Prometheus reads metrics of.
pub(super) const SERVICE_MONITOR: Definition = Definition {
    module: "github.com/prometheus-operator/prometheus-operator",
    file: "example/prometheus-operator-crd/monitoring.coreos.com_servicemonitors.yaml",
    resource: "servicemonitors.monitoring.coreos.com",
};

// === impl Definition ===

impl Definition {
    /// Gives the API server the kind, and waits until it serves it.
    pub(super) fn apply(self, workspace: &Workspace, cluster: &ControlPlane) -> anyhow::Result<()> {
        let file = self.path(workspace)?.display().to_string();
        // Published with fields that say nothing, such as a status; strictness is for what is ours.
        cluster.kubectl(&["apply", "--server-side", "--filename", &file])?;
        until(&format!("{} are served", self.resource), || Ok(cluster.kubectl(&["get", self.resource]).is_ok()))
    }

    fn path(self, workspace: &Workspace) -> anyhow::Result<PathBuf> {
        let path = go::module(workspace, FOLDER, self.module)?.join(self.file);
        let found = path.is_file().then_some(path);
        found.with_context(|| format!("{} has no file {}", self.module, self.file))
    }
}
