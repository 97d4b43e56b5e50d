//! How the node is started, and what it is told in files.

use serde_json::json;

use super::component::Component;
use super::layout::Layout;
use super::state::State;

/// The name of the node.
pub(super) const NAME: &str = "bowline";
/// The bridge of the pods; it belongs to the cluster whose state folder is its alias.
pub(super) const BRIDGE: &str = "bowline0";
/// The address of the node, on the bridge. With an address on loopback logs, exec and port-forward find no way to the kubelet.
pub(super) const ADDRESS: &str = "10.244.0.1";
/// The addresses of pods.
pub(super) const PODS: &str = "10.244.0.0/24";
/// The address of the DNS as a Service.
pub(super) const DNS_SERVICE: &str = "10.96.0.10";
/// The name of the network of pods; its rules and remains have it.
pub(super) const NETWORK: &str = "bowline-cluster";
/// The image that holds the namespaces of a pod.
pub(super) const PAUSE_IMAGE: &str = "localhost/bowline-cluster/pause:1";

/// Where Debian, and where most others, have the plugins of pod networks.
pub(super) const CNI_FOLDERS: [&str; 2] = ["/usr/lib/cni", "/opt/cni/bin"];

/// Returns the arguments of a component of the node.
pub(super) fn arguments(component: Component, layout: &Layout) -> Vec<String> {
    let configuration = |name: &str| layout.text(&format!("configuration/{name}"));
    match component {
        Component::Containerd => vec!["--config".to_owned(), configuration("containerd.toml")],
        Component::Kubelet => vec![
            format!("--config={}", configuration("kubelet.json")),
            format!("--kubeconfig={}", layout.text("kubeconfigs/kubelet")),
            format!("--hostname-override={NAME}"),
            format!("--root-dir={}", layout.text("kubelet")),
            format!("--cert-dir={}", layout.text("kubelet/pki")),
            format!("--node-ip={ADDRESS}"),
        ],
        Component::Proxy => {
            vec![format!("--config={}", configuration("proxy.json")), format!("--hostname-override={NAME}")]
        }
        Component::Dns => vec!["-conf".to_owned(), configuration("Corefile")],
        Component::Etcd | Component::ApiServer | Component::ControllerManager | Component::Scheduler => Vec::new(),
    }
}

/// Writes the configuration of the node.
pub(super) fn configure(layout: &Layout, state: &State, cni_folder: &str) -> anyhow::Result<()> {
    for folder in ["containerd", "cni", "kubelet", "pods"] {
        layout.make(folder)?;
    }
    layout.write("configuration/containerd.toml", &containerd(layout, cni_folder))?;
    layout.write("cni/10-bowline.conflist", &serde_json::to_string_pretty(&network(layout))?)?;
    layout.write("configuration/kubelet.json", &serde_json::to_string_pretty(&kubelet(layout, state))?)?;
    layout.write("configuration/proxy.json", &serde_json::to_string_pretty(&proxy(layout, state))?)?;
    layout.write("configuration/Corefile", &corefile(layout, state))?;
    // Names that pods ask without the cluster's own DNS settings: not this machine's resolver, which may be on its loopback.
    layout.write("configuration/resolv.conf", &format!("nameserver {ADDRESS}\n"))
}

fn containerd(layout: &Layout, cni_folder: &str) -> String {
    let (root, run, cni) = (layout.text("containerd/root"), layout.text("containerd/run"), layout.text("cni"));
    let socket = layout.containerd_socket();
    // Without CAP_SYS_RESOURCE a score cannot be lowered; network namespaces below the state folder go with it.
    format!(
        r#"version = 2
root = "{root}"
state = "{run}"
[grpc]
  address = "{socket}"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{PAUSE_IMAGE}"
  restrict_oom_score_adj = true
  netns_mounts_under_state_dir = true
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        Root = "{run}/runc"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{cni_folder}"
    conf_dir = "{cni}"
[plugins."io.containerd.internal.v1.opt"]
  path = "{root}/opt"
"#,
        socket = socket.display(),
    )
}

fn network(layout: &Layout) -> serde_json::Value {
    json!({
        "cniVersion": "0.4.0",
        "name": NETWORK,
        "plugins": [
            {
                "type": "bridge",
                "bridge": BRIDGE,
                "isGateway": true,
                "ipMasq": true,
                "hairpinMode": true,
                "ipam": {
                    "type": "host-local",
                    "dataDir": layout.text("cni/addresses"),
                    "ranges": [[{"subnet": PODS, "rangeStart": "10.244.0.10"}]],
                    "routes": [{"dst": "0.0.0.0/0"}],
                },
            },
            {"type": "portmap", "capabilities": {"portMappings": true}},
        ],
    })
}

/// Source of the fields: <https://kubernetes.io/docs/reference/config-api/kubelet-config.v1beta1/> (read 2026-11-25).
fn kubelet(layout: &Layout, state: &State) -> serde_json::Value {
    json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": ADDRESS,
        "healthzBindAddress": "127.0.0.1",
        "healthzPort": state.ports.kubelet_health,
        "readOnlyPort": 0,
        "authentication": {
            "anonymous": {"enabled": false},
            "webhook": {"enabled": true},
            "x509": {"clientCAFile": layout.text("pki/ca.crt")},
        },
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": layout.text("pki/kubelet.crt"),
        "tlsPrivateKeyFile": layout.text("pki/kubelet.key"),
        "containerRuntimeEndpoint": format!("unix://{}", layout.containerd_socket().display()),
        "clusterDNS": [DNS_SERVICE],
        "clusterDomain": "cluster.local",
        "resolvConf": layout.text("configuration/resolv.conf"),
        "podLogsDir": layout.text("pods"),
        "volumePluginDir": layout.text("volume-plugins"),
        // It shares the machine: nothing is reserved, and a disk that others have filled evicts no pod.
        "cgroupDriver": "cgroupfs",
        "cgroupsPerQOS": false,
        "enforceNodeAllocatable": [],
        // Nobody reads them: kube-proxy works with nftables.
        "makeIPTablesUtilChains": false,
        "failCgroupV1": false,
        "failSwapOn": false,
        "localStorageCapacityIsolation": false,
        "evictionHard": {"memory.available": "0%", "nodefs.available": "0%", "imagefs.available": "0%"},
    })
}

/// Source of the fields: <https://kubernetes.io/docs/reference/config-api/kube-proxy-config.v1alpha1/> (read 2026-11-25).
fn proxy(layout: &Layout, state: &State) -> serde_json::Value {
    json!({
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "nftables",
        "clientConnection": {"kubeconfig": layout.text("kubeconfigs/proxy")},
        "clusterCIDR": PODS,
        // The limits of the machine stay as they are.
        "conntrack": {"maxPerCore": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
        "healthzBindAddress": format!("127.0.0.1:{}", state.ports.proxy_health),
        "metricsBindAddress": format!("127.0.0.1:{}", state.ports.proxy_metrics),
    })
}

fn corefile(layout: &Layout, state: &State) -> String {
    let kubeconfig = layout.text("kubeconfigs/dns");
    format!(
        ".:53 {{\n  bind {ADDRESS}\n  errors\n  health 127.0.0.1:{}\n  kubernetes cluster.local in-addr.arpa {{\n    \
         kubeconfig {kubeconfig}\n    fallthrough in-addr.arpa\n  }}\n  cache 30\n  forward . /etc/resolv.conf\n}}\n",
        state.ports.dns_health
    )
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::path::PathBuf;

    use super::*;

    #[test]
    fn what_the_node_writes_is_in_the_state_folder() {
        let (layout, state) = (Layout::new(PathBuf::from("/state")), State::new(true).unwrap());
        let content =
            [kubelet(&layout, &state).to_string(), proxy(&layout, &state).to_string(), network(&layout).to_string()];
        for value in content.iter().flat_map(|content| content.split('"')) {
            let path = value.strip_prefix("unix://").unwrap_or(value);
            assert!(!path.starts_with('/') || path.starts_with("/state/"), "{value}");
        }
        let containerd = containerd(&layout, CNI_FOLDERS[0]);
        for value in containerd.split('"').filter(|value| value.starts_with('/')) {
            assert!(value.starts_with("/state/") || value == CNI_FOLDERS[0], "{value}");
        }
        for argument in Component::NODE.iter().flat_map(|component| arguments(*component, &layout)) {
            let value = argument.split_once('=').map_or(argument.as_str(), |(_, value)| value);
            assert!(!value.starts_with('/') || value.starts_with("/state/"), "{argument}");
        }
    }
}
