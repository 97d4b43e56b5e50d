use std::fmt;

use serde::{Deserialize, Serialize};

/// A process of the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Component {
    /// The store of the API server.
    Etcd,
    /// The API server.
    ApiServer,
    /// The controllers: garbage collection, Deployments, Jobs, namespaces.
    ControllerManager,
    /// Gives pods to nodes.
    Scheduler,
    /// Runs containers.
    Containerd,
    /// Runs the pods of the node.
    Kubelet,
    /// Makes Services reachable.
    Proxy,
    /// Answers names of Services.
    Dns,
}

// === impl Component ===

impl Component {
    /// The control plane, in the order of starting.
    pub(super) const CONTROL: [Self; 4] = [Self::Etcd, Self::ApiServer, Self::ControllerManager, Self::Scheduler];
    /// The node, in the order of starting.
    pub(super) const NODE: [Self; 4] = [Self::Containerd, Self::Kubelet, Self::Proxy, Self::Dns];

    /// Returns the components of a cluster, in the order of starting.
    pub(super) fn of(node: bool) -> Vec<Self> {
        let nodes: &[Self] = if node { &Self::NODE } else { &[] };
        [&Self::CONTROL, nodes].concat()
    }

    /// Returns the name of its program, which its log has too.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Etcd => "etcd",
            Self::ApiServer => "kube-apiserver",
            Self::ControllerManager => "kube-controller-manager",
            Self::Scheduler => "kube-scheduler",
            Self::Containerd => "containerd",
            Self::Kubelet => "kubelet",
            Self::Proxy => "kube-proxy",
            Self::Dns => "coredns",
        }
    }
}

impl fmt::Display for Component {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
