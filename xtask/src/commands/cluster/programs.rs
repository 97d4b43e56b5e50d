use std::path::{Path, PathBuf};

use anyhow::Context as _;

use super::component::Component;
use crate::environment;
use crate::go::{self, Package};
use crate::workspace::Workspace;

const KUBERNETES: &str = "tests/go/kubernetes";
const COREDNS: &str = "tests/go/coredns";
const PAUSE: &str = "tests/go/pause";

/// The programs of a cluster.
#[derive(Clone, Debug)]
pub(super) struct Programs {
    components: Vec<(Component, PathBuf)>,
    /// The command line of Kubernetes.
    pub(super) kubectl: PathBuf,
    /// What holds the namespaces of a pod; only with a node.
    pub(super) pause: Option<PathBuf>,
}

// === impl Programs ===

impl Programs {
    /// Returns the programs of a cluster, built where they are not in the cache.
    pub(super) fn build(workspace: &Workspace, node: bool) -> anyhow::Result<Self> {
        let values = version_values(workspace)?;
        let mut components = Vec::new();
        for component in Component::of(node) {
            let program = match package(component) {
                Some((folder, path)) => {
                    Package { folder, path, program: component.name(), values: &values }.build(workspace)?
                }
                None => installed(component.name())?,
            };
            components.push((component, program));
        }
        let kubectl =
            Package { folder: KUBERNETES, path: "k8s.io/kubernetes/cmd/kubectl", program: "kubectl", values: &values };
        let pause = Package { folder: PAUSE, path: ".", program: "pause", values: &[] };
        Ok(Self {
            components,
            kubectl: kubectl.build(workspace)?,
            pause: if node { Some(pause.build(workspace)?) } else { None },
        })
    }

    /// Returns the program of a component.
    pub(super) fn of(&self, component: Component) -> anyhow::Result<&Path> {
        let found = self.components.iter().find(|(other, _)| *other == component);
        Ok(&found.with_context(|| format!("{component} is no part of this cluster"))?.1)
    }
}

/// Returns the folder and the package that a component is built from; `None` for one from a package of the system.
const fn package(component: Component) -> Option<(&'static str, &'static str)> {
    match component {
        Component::Etcd => Some((KUBERNETES, "go.etcd.io/etcd/server/v3")),
        Component::ApiServer => Some((KUBERNETES, "k8s.io/kubernetes/cmd/kube-apiserver")),
        Component::ControllerManager => Some((KUBERNETES, "k8s.io/kubernetes/cmd/kube-controller-manager")),
        Component::Scheduler => Some((KUBERNETES, "k8s.io/kubernetes/cmd/kube-scheduler")),
        Component::Kubelet => Some((KUBERNETES, "k8s.io/kubernetes/cmd/kubelet")),
        Component::Proxy => Some((KUBERNETES, "k8s.io/kubernetes/cmd/kube-proxy")),
        Component::Dns => Some((COREDNS, "github.com/coredns/coredns")),
        Component::Containerd => None,
    }
}

fn installed(name: &str) -> anyhow::Result<PathBuf> {
    environment::program(&[name]).with_context(|| format!("`{name}` is missing"))
}

/// Returns what stamps the version of Kubernetes into its programs; the version itself stands in `go.mod` alone.
fn version_values(workspace: &Workspace) -> anyhow::Result<[(&'static str, String); 3]> {
    let path = Path::new(KUBERNETES).join("go.mod");
    let text = workspace.text(&path)?;
    let version = go::required(&text, "k8s.io/kubernetes")
        .with_context(|| format!("{} does not require k8s.io/kubernetes", path.display()))?;
    let mut numbers = version.trim_start_matches('v').split('.');
    let mut next = || numbers.next().map(str::to_owned).with_context(|| format!("{version} is not a version"));
    let (major, minor) = (next()?, next()?);
    Ok([
        ("k8s.io/component-base/version.gitVersion", version.to_owned()),
        ("k8s.io/component-base/version.gitMajor", major),
        ("k8s.io/component-base/version.gitMinor", minor),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_that_of_go_mod() {
        let workspace = Workspace::read().unwrap();
        let [(_, version), (_, major), (_, minor)] = version_values(&workspace).unwrap();
        assert!(version.starts_with(&format!("v{major}.{minor}.")), "{version}");
    }

    #[test]
    fn every_package_is_a_tool_of_its_go_mod() {
        let workspace = Workspace::read().unwrap();
        for component in Component::of(true) {
            let Some((folder, path)) = package(component) else { continue };
            let text = workspace.text(&Path::new(folder).join("go.mod")).unwrap();
            let named = text.lines().any(|line| line.trim().trim_start_matches("tool ") == path);
            assert!(named, "{folder}/go.mod does not name {path}");
        }
    }
}
