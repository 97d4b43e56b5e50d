use std::collections::BTreeSet;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bowline_sim::{Calls, Case, Feedback, Limit, Load, LoadError, PromptCalls, Report};
use bowline_types::{Arm, Secret};
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::support::{calls, start};

fn body(stream: bool) -> Calls {
    Calls::Body(Bytes::from(calls(stream)[0].body.to_string()))
}

fn load(gateway: String, calls: Calls, limit: Limit) -> Load {
    let concurrency = NonZeroUsize::new(4).unwrap();
    Load { gateway, key: None, calls, concurrency, rate: None, limit, seed: 1, timeout: Duration::from_secs(10) }
}

fn count(calls: u64) -> Limit {
    Limit { calls: Some(calls), duration: None }
}

async fn run(load: Load) -> Report {
    load.run(CancellationToken::new(), |_| {}).await.unwrap()
}

#[tokio::test]
async fn whole_answers_are_counted_and_timed() {
    let simulator = start("latency: { first_byte: 2ms }").await;
    for stream in [false, true] {
        let report = run(load(format!("http://{}", simulator.address), body(stream), count(50))).await;
        assert_eq!((report.sent, report.ok, report.judged), (50, 50, 0), "{report:?}");
        assert!(report.errors.is_empty() && report.by_version.is_empty(), "{report:?}");
        let Report { latency, first_byte, duration, .. } = report;
        assert!(
            first_byte.p50 >= Duration::from_millis(2) && first_byte.p50 <= latency.max,
            "{latency:?} {first_byte:?}"
        );
        assert!(latency.p50 <= latency.p90 && latency.p90 <= latency.p99 && latency.p99 <= latency.max, "{latency:?}");
        assert!(duration >= latency.max);
    }
}

#[tokio::test]
async fn failures_are_counted_by_code() {
    for (kind, code, stream) in [
        ("rate_limited", "rate_limit_exceeded", false),
        ("server_error", "server_error", true),
        ("stream_error", "server_error", true),
        ("stream_cut", "cut_off", true),
        ("stream_cut", "cut_off", false),
        ("malformed_json", "invalid", false),
    ] {
        let simulator = start(&format!("faults: [{{ kind: {kind}, rate: 1 }}]")).await;
        let report = run(load(format!("http://{}", simulator.address), body(stream), count(12))).await;
        assert_eq!((report.sent, report.ok), (12, 0), "{kind}: {report:?}");
        assert_eq!(report.errors.into_iter().collect::<Vec<_>>(), [(code.to_owned(), 12)], "{kind} {stream}");
    }
    let simulator = start("latency: { first_byte: 10m }").await;
    let slow = load(format!("http://{}", simulator.address), body(false), count(4));
    let report = run(Load { timeout: Duration::from_millis(50), ..slow }).await;
    assert_eq!(report.errors.into_iter().collect::<Vec<_>>(), [("timeout".to_owned(), 4)]);
    // A port that was free a moment ago.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let nobody = listener.local_addr().unwrap();
    drop(listener);
    let report = run(load(format!("http://{nobody}"), body(false), count(4))).await;
    assert_eq!(report.errors.into_iter().collect::<Vec<_>>(), [("connect".to_owned(), 4)]);
}

#[tokio::test]
async fn it_ends_by_time_and_when_told() {
    let simulator = start("").await;
    let gateway = format!("http://{}", simulator.address);
    let limit = Limit { calls: None, duration: Some(Duration::from_millis(300)) };
    let report = run(Load { rate: Some(100.0), ..load(gateway.clone(), body(false), limit) }).await;
    assert!(report.sent == 30 && report.duration >= Duration::from_millis(290), "{report:?}");
    let stop = CancellationToken::new();
    let progress = |report: &Report| {
        if report.ok > 0 {
            stop.cancel();
        }
    };
    let report = load(gateway, body(false), Limit::default()).run(stop.clone(), progress).await.unwrap();
    assert!(report.ok > 0 && report.sent == report.ok, "{report:?}");
}

#[tokio::test]
async fn senseless_loads_are_refused() {
    let refused = async |load: Load| load.run(CancellationToken::new(), |_| {}).await.unwrap_err();
    let local = || load("http://127.0.0.1:1".to_owned(), body(false), count(1));
    let gateway = Load { gateway: "http://192.0.2.1:80".to_owned(), ..local() };
    assert!(matches!(refused(gateway).await, LoadError::Gateway { .. }));
    assert!(matches!(refused(Load { rate: Some(0.0), ..local() }).await, LoadError::Rate { .. }));
    let key = bowline_types::Secret::new("a\nb".to_owned());
    assert!(matches!(refused(Load { key: Some(key), ..local() }).await, LoadError::Key));
    let prompt = PromptCalls {
        model: "prompt:a".to_owned(),
        variable: "text".to_owned(),
        cases: [].into(),
        stream: false,
        fields: Vec::new(),
        feedback: None,
    };
    assert!(matches!(refused(Load { calls: Calls::Prompt(prompt), ..local() }).await, LoadError::NoCases));
}

/// A gateway that serves one version per arm, and keeps the feedback.
async fn fake_gateway(feedback: Arc<Mutex<Vec<Value>>>) -> SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let answer = move |request: Request<Incoming>| {
        let feedback = Arc::clone(&feedback);
        async move {
            let (head, body) = request.into_parts();
            assert_eq!(head.headers["authorization"], "Bearer bl_test");
            let body: Value = serde_json::from_slice(&body.collect().await.unwrap().to_bytes()).unwrap();
            if head.uri.path() == "/v1/feedback" {
                feedback.lock().unwrap().push(body);
                return Ok::<_, Infallible>(Response::new(Full::new(Bytes::from_static(b"{\"status\":\"kept\"}"))));
            }
            let unit = head.headers["x-bowline-unit"].to_str().unwrap().to_owned();
            let arm = if unit.ends_with(['0', '1', '2', '3']) { Arm::Candidate } else { Arm::Stable };
            let right = body["variables"]["ticket"] == "a refund" && arm == Arm::Stable;
            let text = json!({"category": if right { "billing" } else { "access" }, "urgency": "low"}).to_string();
            let answer = json!({"choices": [{"message": {"content": text}, "finish_reason": "stop"}]});
            let mut response = Response::new(Full::new(Bytes::from(answer.to_string())));
            let mut insert = |name: &'static str, value: &str| {
                response.headers_mut().insert(name, value.parse().unwrap());
            };
            insert("x-bowline-version", if arm == Arm::Stable { "sha256:1" } else { "sha256:2" });
            insert("x-bowline-arm", arm.as_str());
            insert("x-bowline-inference", &format!("inf_{unit}"));
            Ok(response)
        }
    };
    let tasks = TaskTracker::new();
    tasks.clone().spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let connection = hyper::server::conn::http1::Builder::new();
            tasks.spawn(connection.serve_connection(TokioIo::new(stream), service_fn(answer.clone())));
        }
    });
    address
}

#[tokio::test]
async fn answers_are_judged_by_version_and_reported() {
    let feedback = Arc::new(Mutex::new(Vec::new()));
    let gateway = fake_gateway(Arc::clone(&feedback)).await;
    let line = |id: &str, text: &str, category: &str| {
        json!({"id": id, "text": text, "category": category, "urgency": "high"}).to_string()
    };
    let cases =
        Case::read_all(&[line("1", "a refund", "billing"), line("2", "no login", "access")].join("\n")).unwrap();
    let calls = PromptCalls {
        model: "prompt:support/classify".to_owned(),
        variable: "ticket".to_owned(),
        cases: cases.into(),
        stream: false,
        fields: vec!["category".to_owned()],
        feedback: Some(Feedback { name: "correct".to_owned() }),
    };
    let prompt = |calls: PromptCalls, seed| Load {
        key: Some(Secret::new("bl_test".to_owned())),
        seed,
        ..load(format!("http://{gateway}"), Calls::Prompt(calls), count(200))
    };
    let report = run(prompt(calls.clone(), 1)).await;
    assert_eq!((report.ok, report.judged, report.feedback_kept), (200, 200, 200), "{report:?}");
    let [stable, candidate] = ["sha256:1", "sha256:2"].map(|version| report.by_version[version].clone());
    assert_eq!((stable.arm, candidate.arm), (Some(Arm::Stable), Some(Arm::Candidate)));
    assert_eq!((stable.calls + candidate.calls, stable.correct), (200, stable.calls));
    assert!(candidate.correct > 0 && candidate.correct < candidate.calls, "{candidate:?}");
    assert_eq!(report.correct, stable.correct + candidate.correct);
    let kept = std::mem::take(&mut *feedback.lock().unwrap());
    let right = kept.iter().filter(|body| body["value"] == true && body["name"] == "correct").count();
    assert_eq!(u64::try_from(right).unwrap(), report.correct);
    let units: BTreeSet<String> = kept.iter().map(|body| body["inference"].to_string()).collect();
    assert_eq!(units.len(), 200, "every call is a unit of its own");

    // The seed decides who comes with what.
    assert_eq!(run(prompt(calls.clone(), 1)).await.by_version, report.by_version);
    assert_ne!(run(prompt(calls.clone(), 2)).await.by_version, report.by_version);
    // Without fields every label counts, and the urgency is always wrong.
    assert_eq!(run(prompt(PromptCalls { fields: Vec::new(), ..calls }, 1)).await.correct, 0);
}
