//! An autoscaler of Kubernetes that follows the tokens in flight, by a metrics adapter that reads what gateways show.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use anyhow::Context as _;
use serde_json::json;

use super::super::control_plane::{ControlPlane, until_within};
use super::backends::{BACKEND, Caller, call, is_at};
use super::{NAMESPACE, PATIENCE, SYSTEM, desk};
use crate::go::Package;
use crate::workspace::Workspace;

const ADAPTER: Package<'static> = Package { folder: "tests/go/adapter", path: ".", program: "adapter", values: &[] };
/// What the API server calls what the adapter serves.
const API_SERVICE: &str = "apiservice/v1beta1.external.metrics.k8s.io";
/// Applications that call all the while: what is in flight is looked at every 15 s only.
const CALLERS: usize = 8;

/// The adapter, a process of this machine; ends with this value.
struct Adapter {
    process: Child,
    port: u16,
}

/// Lets a ModelBackend have two pods, and calls until it has them.
pub(super) fn follow(workspace: &Workspace, cluster: &ControlPlane, caller: &Caller) -> anyhow::Result<()> {
    let node = "--output=jsonpath={.items[0].status.addresses[?(@.type==\"InternalIP\")].address}";
    let node = cluster.kubectl(&["get", "nodes", node])?;
    let selector = "--selector=app.kubernetes.io/component=gateway";
    let pods = "--output=jsonpath={.items[*].status.podIP}";
    let pods = cluster.kubectl(&["get", "pods", "--namespace", SYSTEM, selector, pods])?;
    let gateways: Vec<_> = pods.split_whitespace().map(|pod| format!("{pod}:7083")).collect();
    let adapter = Adapter::start(workspace, &node, &gateways)?;
    adapter.serve(cluster, &node)?;
    scale(cluster, json!({"max": 2, "tokensInFlight": 1}))?;
    let (calling, calls) = (Arc::new(AtomicBool::new(true)), Arc::new(AtomicU64::new(0)));
    let callers: Vec<_> = (0..CALLERS)
        .map(|_| {
            let (caller, calling, calls) = (caller.clone(), Arc::clone(&calling), Arc::clone(&calls));
            thread::spawn(move || {
                while calling.load(Ordering::Relaxed) {
                    let answer = call(&caller, false, None)?;
                    anyhow::ensure!(answer.status.contains("200"), "while pods come, a call is {}", answer.status);
                    calls.fetch_add(1, Ordering::Relaxed);
                }
                Ok(())
            })
        })
        .collect();
    let followed = is_at(cluster, "2").and_then(|()| {
        until_within(PATIENCE, "both pods are ready", || {
            let ready = desk(cluster, &["get", "deployment", "openai", "--output=jsonpath={.status.readyReplicas}"])?;
            Ok(ready == "2")
        })
    });
    calling.store(false, Ordering::Relaxed);
    for caller in callers {
        caller.join().map_err(|_| anyhow::anyhow!("a caller panicked"))??;
    }
    if followed.is_err() {
        let said = desk(cluster, &["describe", "horizontalpodautoscaler/openai"]);
        eprintln!("{}", said.unwrap_or_else(|error| error.to_string()));
    }
    followed?;
    println!("  {} calls meanwhile, none failed", calls.load(Ordering::Relaxed));
    // An API that nobody serves any more is in the way of whatever lists all of them.
    cluster.kubectl(&["delete", API_SERVICE])?;
    scale(cluster, json!({"max": 1}))?;
    is_at(cluster, "1")?;
    until_within(PATIENCE, "the autoscaler is gone", || {
        Ok(desk(cluster, &["get", "horizontalpodautoscalers", "--output=name"])?.is_empty())
    })
}

fn scale(cluster: &ControlPlane, scale: serde_json::Value) -> anyhow::Result<()> {
    let patch = json!({"spec": {"serve": {"scale": scale}}}).to_string();
    desk(cluster, &["patch", BACKEND, "--type=merge", "--patch", &patch]).map(drop)
}

// === impl Adapter ===

impl Adapter {
    fn start(workspace: &Workspace, address: &str, gateways: &[String]) -> anyhow::Result<Self> {
        let mut command = Command::new(ADAPTER.build(workspace)?);
        command.arg(format!("{address}:0")).args(gateways).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut adapter = Self { process: command.spawn().context("starting the adapter")?, port: 0 };
        let mut line = String::new();
        BufReader::new(adapter.process.stdout.take().context("the adapter has an output")?).read_line(&mut line)?;
        let port = line.trim().rsplit(':').next().and_then(|port| port.parse().ok());
        adapter.port = port.with_context(|| format!("the adapter says `{line}`"))?;
        Ok(adapter)
    }

    /// Tells the API server where the adapter is.
    fn serve(&self, cluster: &ControlPlane, address: &str) -> anyhow::Result<()> {
        let objects = [
            json!({
                "apiVersion": "v1",
                "kind": "Service",
                "metadata": {"name": "adapter", "namespace": NAMESPACE},
                "spec": {"ports": [{"port": 443, "targetPort": self.port}]},
            }),
            json!({
                "apiVersion": "discovery.k8s.io/v1",
                "kind": "EndpointSlice",
                "metadata": {
                    "name": "adapter",
                    "namespace": NAMESPACE,
                    "labels": {"kubernetes.io/service-name": "adapter"},
                },
                "addressType": "IPv4",
                "endpoints": [{"addresses": [address], "conditions": {"ready": true}}],
                "ports": [{"name": "", "port": self.port, "protocol": "TCP"}],
            }),
            json!({
                "apiVersion": "apiregistration.k8s.io/v1",
                "kind": "APIService",
                "metadata": {"name": "v1beta1.external.metrics.k8s.io"},
                "spec": {
                    "group": "external.metrics.k8s.io",
                    "version": "v1beta1",
                    "groupPriorityMinimum": 100,
                    "versionPriority": 100,
                    "insecureSkipTLSVerify": true,
                    "service": {"name": "adapter", "namespace": NAMESPACE},
                },
            }),
        ];
        for object in objects {
            cluster.applied(&object.to_string(), &[])?;
        }
        cluster.kubectl(&["wait", API_SERVICE, "--for=condition=Available", "--timeout=60s"]).map(drop)
    }
}

impl Drop for Adapter {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}
