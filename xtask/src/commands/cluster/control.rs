//! How the control plane is started.

use super::component::Component;
use super::layout::Layout;
use super::node;
use super::state::{Ports, State};

/// The addresses of Services.
pub(super) const SERVICES: &str = "10.96.0.0/16";
/// Every name that the API server has: on this machine, for pods, and as a Service.
pub(super) const API_NAMES: [&str; 7] = [
    "127.0.0.1",
    node::ADDRESS,
    "10.96.0.1",
    "localhost",
    "kubernetes",
    "kubernetes.default.svc",
    "kubernetes.default.svc.cluster.local",
];
/// The port of the API server of a cluster with a node, on the bridge.
const API_PORT: u16 = 6443;

/// Returns where the API server listens: the node's address where there is one, because pods cannot call 127.0.0.1.
pub(super) fn api_address(state: &State) -> (&'static str, u16) {
    if state.node { (node::ADDRESS, API_PORT) } else { ("127.0.0.1", state.ports.api) }
}

/// Returns the URL of the API server.
pub(super) fn api_url(state: &State) -> String {
    let (host, port) = api_address(state);
    format!("https://{host}:{port}")
}

/// Returns the arguments of a component of the control plane.
pub(super) fn arguments(component: Component, layout: &Layout, state: &State) -> Vec<String> {
    match component {
        Component::Etcd => etcd(layout, &state.ports),
        Component::ApiServer => api_server(layout, state),
        Component::ControllerManager => controller_manager(layout, &state.ports),
        Component::Scheduler => scheduler(layout, &state.ports),
        Component::Containerd | Component::Kubelet | Component::Proxy | Component::Dns => Vec::new(),
    }
}

fn etcd(layout: &Layout, ports: &Ports) -> Vec<String> {
    let (client, peer) =
        (format!("https://127.0.0.1:{}", ports.etcd), format!("https://127.0.0.1:{}", ports.etcd_peer));
    let authority = layout.text("pki/etcd-ca.crt");
    let (certificate, key) = (layout.text("pki/etcd.crt"), layout.text("pki/etcd.key"));
    vec![
        format!("--data-dir={}", layout.text("etcd")),
        // Nothing in it outlives the machine, so it need not survive a power cut.
        "--unsafe-no-fsync".to_owned(),
        format!("--listen-client-urls={client}"),
        format!("--advertise-client-urls={client}"),
        format!("--listen-peer-urls={peer}"),
        format!("--initial-advertise-peer-urls={peer}"),
        format!("--initial-cluster=default={peer}"),
        format!("--listen-metrics-urls=http://127.0.0.1:{}", ports.etcd_health),
        "--client-cert-auth".to_owned(),
        format!("--trusted-ca-file={authority}"),
        format!("--cert-file={certificate}"),
        format!("--key-file={key}"),
        "--peer-client-cert-auth".to_owned(),
        format!("--peer-trusted-ca-file={authority}"),
        format!("--peer-cert-file={certificate}"),
        format!("--peer-key-file={key}"),
    ]
}

fn api_server(layout: &Layout, state: &State) -> Vec<String> {
    let (host, port) = api_address(state);
    let pki = |name: &str| layout.text(&format!("pki/{name}"));
    let mut arguments = vec![
        format!("--bind-address={host}"),
        format!("--secure-port={port}"),
        format!("--advertise-address={host}"),
        format!("--tls-cert-file={}", pki("apiserver.crt")),
        format!("--tls-private-key-file={}", pki("apiserver.key")),
        format!("--client-ca-file={}", pki("ca.crt")),
        format!("--etcd-servers=https://127.0.0.1:{}", state.ports.etcd),
        format!("--etcd-cafile={}", pki("etcd-ca.crt")),
        format!("--etcd-certfile={}", pki("etcd-client.crt")),
        format!("--etcd-keyfile={}", pki("etcd-client.key")),
        "--service-account-issuer=https://kubernetes.default.svc".to_owned(),
        format!("--service-account-key-file={}", pki("accounts.pub")),
        format!("--service-account-signing-key-file={}", pki("accounts.key")),
        format!("--service-cluster-ip-range={SERVICES}"),
        "--authorization-mode=Node,RBAC".to_owned(),
        "--enable-admission-plugins=NodeRestriction".to_owned(),
        "--allow-privileged=true".to_owned(),
        // API servers of others behind this one, such as one for external metrics.
        format!("--requestheader-client-ca-file={}", pki("front-ca.crt")),
        "--requestheader-allowed-names=front-proxy-client".to_owned(),
        "--requestheader-username-headers=X-Remote-User".to_owned(),
        "--requestheader-group-headers=X-Remote-Group".to_owned(),
        "--requestheader-extra-headers-prefix=X-Remote-Extra-".to_owned(),
        format!("--proxy-client-cert-file={}", pki("front.crt")),
        format!("--proxy-client-key-file={}", pki("front.key")),
    ];
    if state.node {
        arguments.extend([
            format!("--kubelet-client-certificate={}", pki("admin.crt")),
            format!("--kubelet-client-key={}", pki("admin.key")),
            format!("--kubelet-certificate-authority={}", pki("ca.crt")),
            "--kubelet-preferred-address-types=InternalIP".to_owned(),
        ]);
    } else {
        // An endpoint may not be on loopback, and nobody is there to use it.
        arguments.push("--endpoint-reconciler-type=none".to_owned());
    }
    arguments
}

fn controller_manager(layout: &Layout, ports: &Ports) -> Vec<String> {
    let pki = |name: &str| layout.text(&format!("pki/{name}"));
    vec![
        format!("--kubeconfig={}", layout.text("kubeconfigs/controller-manager")),
        "--bind-address=127.0.0.1".to_owned(),
        format!("--secure-port={}", ports.controllers),
        format!("--tls-cert-file={}", pki("controller-manager.crt")),
        format!("--tls-private-key-file={}", pki("controller-manager.key")),
        "--leader-elect=false".to_owned(),
        "--use-service-account-credentials=true".to_owned(),
        format!("--service-account-private-key-file={}", pki("accounts.key")),
        format!("--root-ca-file={}", pki("ca.crt")),
        format!("--flex-volume-plugin-dir={}", layout.text("volume-plugins")),
        format!("--cluster-signing-cert-file={}", pki("ca.crt")),
        format!("--cluster-signing-key-file={}", pki("ca.key")),
    ]
}

fn scheduler(layout: &Layout, ports: &Ports) -> Vec<String> {
    vec![
        format!("--kubeconfig={}", layout.text("kubeconfigs/scheduler")),
        "--bind-address=127.0.0.1".to_owned(),
        format!("--secure-port={}", ports.scheduler),
        format!("--tls-cert-file={}", layout.text("pki/scheduler.crt")),
        format!("--tls-private-key-file={}", layout.text("pki/scheduler.key")),
        "--leader-elect=false".to_owned(),
    ]
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::path::PathBuf;

    use super::*;

    fn all(node: bool) -> anyhow::Result<Vec<String>> {
        let (layout, state) = (Layout::new(PathBuf::from("/state")), State::new(node)?);
        Ok(Component::CONTROL.iter().flat_map(|component| arguments(*component, &layout, &state)).collect())
    }

    #[test]
    fn nothing_listens_beyond_loopback_and_the_bridge() {
        for node in [false, true] {
            for argument in all(node).unwrap() {
                let listens =
                    ["--bind-address", "--listen-", "--advertise-"].iter().any(|flag| argument.starts_with(flag));
                let inside = argument.contains("127.0.0.1") || node && argument.contains(node::ADDRESS);
                assert!(!listens || inside, "{argument}");
                assert!(!argument.contains("0.0.0.0"), "{argument}");
            }
        }
    }

    #[test]
    fn every_file_is_in_the_state_folder() {
        for argument in all(true).unwrap() {
            let value = argument.split_once('=').map_or("", |(_, value)| value);
            assert!(!value.starts_with('/') || value.starts_with("/state/"), "{argument}");
        }
    }

    #[test]
    fn pods_reach_the_api_server_of_a_cluster_with_a_node() {
        let state = |node| State::new(node).unwrap();
        assert_eq!(api_url(&state(true)), "https://10.244.0.1:6443");
        assert!(api_url(&state(false)).starts_with("https://127.0.0.1:"));
        let has = |node, flag: &str| all(node).unwrap().iter().any(|argument| argument.starts_with(flag));
        assert!(has(true, "--kubelet-client-certificate=") && !has(true, "--endpoint-reconciler-type"));
        assert!(!has(false, "--kubelet-client-certificate=") && has(false, "--endpoint-reconciler-type=none"));
    }
}
