//! Static stability: the store is closed and the control role is gone, in this process, while the gateway serves. No call fails; past
//! the lease only stable is served, and says so.

use std::sync::Arc;
use std::time::Duration;

use bowline_gateway::{Batch, Gateway, GatewayOptions, Parts, Secrets, Sink, SinkError, SinkFuture};
use bowline_prompt::{MemorySource, check};
use bowline_registry::Source;
use bowline_server::wire::{KeyRequest, ReleasePrompt, ReleaseRequest};
use bowline_server::{Control, ControlOptions};
use bowline_sim::Scenario;
use bowline_store::Provenance;
use bowline_store_sqlite::{Options, SqliteStore};
use bowline_telemetry::Metrics;
use bowline_types::{Clock, Secret, SecretRef, SystemClock, TokenSecret};
use bytes::Bytes;
use http::{HeaderMap, Request};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::up::{project, simulator};

/// How long a candidate may be served without news.
const LEASE: Duration = Duration::from_secs(2);
/// Units that call.
const UNITS: u32 = 40;

/// Takes what a gateway sends for as long as the control role is there.
struct ControlSink(Control);

/// Knows no secret.
struct NoSecrets;

impl Sink for ControlSink {
    fn deliver(&self, batch: Batch) -> SinkFuture<'_> {
        let Batch { inferences, outcomes, losses } = batch;
        let kept = self.0.records_append(inferences, outcomes, losses);
        Box::pin(async { kept.await.map_err(|error| SinkError::Unavailable(error.to_string())) })
    }
}

impl Secrets for NoSecrets {
    fn resolve(&self, _reference: &SecretRef) -> Option<Secret> {
        None
    }
}

/// The release of a project whose prompt says this.
fn release(simulator: &str, text: &str) -> ReleaseRequest {
    let mut source = MemorySource::new();
    let yaml = format!(
        "project: desk\nproviders:\n  openai: {{ kind: openai, base_url: \"{simulator}/v1\", identity: simulated }}\nmodels:\n  \
         fast: {{ provider: openai, model: m }}\nenvironments:\n  prod: {{ rollout: {{ stages: [\"50%\"] }} }}\n"
    );
    source.insert("bowline.yaml", yaml);
    source.insert("prompts/hello.prompt", format!("---\nmodel: fast\n---\n{text}\n"));
    let report = check(&source, &|_| Ok(()));
    assert!(!report.has_errors(), "{:?}", report.diagnostics);
    let prompts = report.prompts.iter().map(|prompt| ReleasePrompt {
        name: prompt.name.clone(),
        digest: prompt.digest,
        content: serde_json::to_value(&prompt.version).unwrap(),
        success: prompt.fields.success.clone(),
        plan: None,
    });
    ReleaseRequest {
        environment: "prod".parse().unwrap(),
        source: Source::Cli,
        actor: "Ada".to_owned(),
        provenance: Provenance { commit: None, author: None, dirty: true },
        config: serde_json::to_value(report.project.as_ref().unwrap()).unwrap(),
        retry: false,
        bundle: None,
        fence: None,
        prompts: prompts.collect(),
    }
}

/// Calls once per unit and returns the headers of the answers.
async fn calls(gateway: &str, key: &str) -> Vec<HeaderMap> {
    let client = Client::builder(TokioExecutor::new()).build_http();
    let mut answers = Vec::new();
    for unit in 0..UNITS {
        let request = Request::post(format!("http://{gateway}/v1/chat/completions"))
            .header("authorization", format!("Bearer {key}"))
            .header("x-bowline-unit", unit.to_string())
            .body(Full::new(Bytes::from(json!({"model": "prompt:hello"}).to_string())))
            .unwrap();
        let (head, body) = client.request(request).await.unwrap().into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        assert_eq!(head.status, 200, "{body:?}");
        answers.push(head.headers);
    }
    answers
}

fn arms(answers: &[HeaderMap], arm: &str) -> usize {
    answers.iter().filter(|headers| headers.get("x-bowline-arm").is_some_and(|found| found == arm)).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_go_on_when_control_and_store_are_gone() {
    let folder = tempfile::tempdir().unwrap();
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let store = Arc::new(SqliteStore::open(folder.path(), Options::default()).unwrap());
    let options = ControlOptions { lease: LEASE, ..ControlOptions::default() };
    let control = Control::start(Arc::clone(&store) as _, Arc::clone(&clock), options).await.unwrap();
    let address = simulator(Scenario::default()).await;
    control.release(&project(), release(&address, "Say hello.")).await.unwrap();
    control.release(&project(), release(&address, "Say hello to them.")).await.unwrap();
    let request = KeyRequest {
        name: "caller".to_owned(),
        environment: "prod".parse().unwrap(),
        environments: Vec::new(),
        versions: false,
        subject: None,
        replaces: None,
    };
    let key = control.key_create(&project(), request).await.unwrap().key;
    let gateway = Gateway::new(Parts {
        options: GatewayOptions::default(),
        snapshots: control.snapshots(),
        sink: Arc::new(ControlSink(control.clone())),
        secrets: Arc::new(NoSecrets),
        token_secret: TokenSecret::generate().unwrap(),
        clock: Arc::clone(&clock),
        metrics: Arc::new(Metrics::new(clock)),
        otlp: None,
        reviewer: None,
    });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let served = listener.local_addr().unwrap().to_string();
    let (handle, stop) = (gateway.handle(), CancellationToken::new());
    let mut running = JoinSet::new();
    running.spawn(gateway.run(listener, stop.clone()));

    // With control: the rollout runs, and leases are renewed.
    let control_stop = CancellationToken::new();
    let mut control_running = JoinSet::new();
    let (role, role_stop) = (control.clone(), control_stop.clone());
    control_running.spawn(async move { role.run(role_stop).await });
    tokio::time::sleep(LEASE + LEASE / 2).await;
    let answers = calls(&served, &key).await;
    assert!(arms(&answers, "stable") > 0 && arms(&answers, "candidate") > 0, "leases were not renewed");

    // Without: every call is served, and past the lease by stable alone.
    control_stop.cancel();
    while control_running.join_next().await.is_some() {}
    store.close().await;
    assert!(control.project_list().await.is_err(), "the store still answers");
    calls(&served, &key).await;
    tokio::time::sleep(LEASE).await;
    let answers = calls(&served, &key).await;
    assert_eq!(arms(&answers, "candidate"), 0);
    let told = answers.iter().filter(|headers| headers.get("x-bowline-note").is_some()).count();
    assert_eq!(told, answers.len(), "that the candidate was left out must be told");
    assert_eq!(handle.leases_expired(), u64::from(UNITS));
    // Records that nobody takes wait; none is lost while the queue has room.
    let status = handle.recorder();
    assert!(status.lost.is_empty() && status.waiting >= u64::from(UNITS), "{status:?}");
}
