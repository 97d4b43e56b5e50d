//! Helm, in both lines that people use, and what the charts in `deploy/helm` are rendered to.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use anyhow::Context as _;

use crate::go::{self, Package};
use crate::process;
use crate::workspace::Workspace;

/// The chart of the kinds.
pub(crate) const KINDS: &str = "deploy/helm/bowline-crds";
/// The chart of the roles.
pub(crate) const ROLES: &str = "deploy/helm/bowline";
/// The namespace of an install that says nothing else.
pub(crate) const NAMESPACE: &str = "bowline-system";
/// Where the version of Kubernetes stands that charts are rendered for.
const KUBERNETES: &str = "tests/go/kubernetes/go.mod";

/// A line of Helm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Line {
    Three,
    Four,
}

/// A Helm.
pub(crate) struct Helm {
    line: Line,
    program: PathBuf,
    root: PathBuf,
    kubernetes: String,
}

// === impl Line ===

impl Line {
    pub(crate) const ALL: [Self; 2] = [Self::Three, Self::Four];

    const fn package(self) -> Package<'static> {
        let (folder, path, program) = match self {
            Self::Three => ("tests/go/helm3", "helm.sh/helm/v3/cmd/helm", "helm3"),
            Self::Four => ("tests/go/helm4", "helm.sh/helm/v4/cmd/helm", "helm4"),
        };
        Package { folder, path, program, values: &[] }
    }
}

// === impl Helm ===

impl Helm {
    /// Returns the Helm of a line, built if it is not in the cache.
    pub(crate) fn build(workspace: &Workspace, line: Line) -> anyhow::Result<Self> {
        let text = workspace.text(Path::new(KUBERNETES))?;
        let version = go::required(&text, "k8s.io/kubernetes");
        let kubernetes = version.with_context(|| format!("{KUBERNETES} does not require k8s.io/kubernetes"))?;
        let kubernetes = kubernetes.trim_start_matches('v').to_owned();
        Ok(Self { line, program: line.package().build(workspace)?, root: workspace.root.clone(), kubernetes })
    }

    /// Checks a chart with values; what is only recommended fails too.
    pub(crate) fn lint(&self, chart: &str, options: &[&str]) -> anyhow::Result<()> {
        let arguments = ["lint", "--strict", "--quiet", "--kube-version", &self.kubernetes, chart];
        process::output(self.command().args(arguments).args(options)).map(drop)
    }

    /// Renders a chart as the release `bowline` of the default namespace.
    pub(crate) fn template(&self, chart: &str, options: &[&str]) -> anyhow::Result<String> {
        process::output(&mut self.rendering(chart, options))
    }

    /// Renders a chart with values that it must refuse, and returns what is said.
    pub(crate) fn refused(&self, chart: &str, options: &[&str]) -> anyhow::Result<String> {
        let Output { status, stderr, .. } = self.rendering(chart, options).output().context("starting Helm")?;
        anyhow::ensure!(!status.success(), "{self} takes {options:?}");
        Ok(String::from_utf8_lossy(&stderr).into_owned())
    }

    /// Returns Helm, to be run at the root of the workspace, with nothing of the person's own settings.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.current_dir(&self.root).stdin(Stdio::null());
        for variable in ["HELM_NAMESPACE", "HELM_KUBECONTEXT", "HELM_PLUGINS", "KUBECONFIG"] {
            command.env_remove(variable);
        }
        command
    }

    fn rendering(&self, chart: &str, options: &[&str]) -> Command {
        let name = chart.rsplit('/').next().unwrap_or(chart);
        let mut command = self.command();
        command.args(["template", name, chart, "--namespace", NAMESPACE, "--kube-version", &self.kubernetes]);
        command.args(options);
        command
    }
}

impl fmt::Display for Helm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.line {
            Line::Three => "helm 3",
            Line::Four => "helm 4",
        })
    }
}
