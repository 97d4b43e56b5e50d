use std::convert::Infallible;
use std::net::SocketAddr;

use bowline_testkit::ManualClock;
use bowline_types::{Arm, ErrorKind, Timestamp};
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::metrics::v1::Metric;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value as Number;
use prost::Message as _;
use tokio::net::TcpListener;
use tokio::time::timeout;
use tokio_util::task::TaskTracker;

use super::*;
use crate::testing::record;

const PATIENCE: Duration = Duration::from_secs(20);

/// What a collector received: path, API key, body.
type Received = (String, Option<String>, Bytes);

/// A collector that answers with what `answer` makes of the number of the request.
async fn collector(
    answer: impl Fn(usize) -> Response<Full<Bytes>> + Send + Sync + 'static,
) -> (SocketAddr, mpsc::UnboundedReceiver<Received>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (sender, receiver) = mpsc::unbounded_channel();
    let answer = Arc::new(answer);
    let requests = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let tasks = TaskTracker::new();
    let connections = tasks.clone();
    tasks.spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (answer, sender, requests) = (Arc::clone(&answer), sender.clone(), Arc::clone(&requests));
            let service = service_fn(move |request: Request<Incoming>| {
                let (answer, sender, requests) = (Arc::clone(&answer), sender.clone(), Arc::clone(&requests));
                async move {
                    let path = request.uri().path().to_owned();
                    let key = request.headers().get("x-api-key").map(|key| key.to_str().unwrap().to_owned());
                    let body = request.into_body().collect().await.unwrap().to_bytes();
                    let number = requests.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                    // The test may be over.
                    let _sent = sender.send((path, key, body));
                    Ok::<_, Infallible>(answer(number))
                }
            });
            connections.spawn(async move {
                let _closed =
                    hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
            });
        }
    });
    (address, receiver)
}

fn status(code: u16) -> Response<Full<Bytes>> {
    Response::builder().status(code).body(Full::default()).unwrap()
}

fn options(address: SocketAddr) -> OtlpOptions {
    let instance = InstanceId::generate(Timestamp::from_micros(1_790_000_000_000_000));
    let mut options = OtlpOptions::new(format!("http://{address}/otlp/").parse().unwrap(), instance);
    options.linger = Duration::from_millis(5);
    options.timeout = Duration::from_secs(5);
    options
}

fn count(metrics: &Metrics, signal: &str, result: &str) -> u64 {
    let name = format!("bowline_otlp_exports_total{{signal=\"{signal}\",result=\"{result}\"}} ");
    let page = metrics.encode();
    page.lines().find_map(|line| line.strip_prefix(&name)).map_or(0, |value| value.parse().unwrap())
}

async fn eventually(condition: impl Fn() -> bool) {
    let waited = timeout(PATIENCE, async {
        while !condition() {
            tokio::task::yield_now().await;
        }
    });
    waited.await.expect("the condition did not come true in time");
}

fn attributes(attributes: &[KeyValue]) -> Vec<String> {
    let show = |value: &Value| match value {
        Value::StringValue(text) => text.clone(),
        Value::ArrayValue(array) => {
            format!("{:?}", array.values.iter().map(|each| each.value.clone()).collect::<Vec<_>>())
        }
        Value::IntValue(integer) => integer.to_string(),
        Value::DoubleValue(number) => format!("{number:?}"),
        other => format!("{other:?}"),
    };
    let shown = attributes.iter().map(|each| {
        let value = each.value.as_ref().and_then(|value| value.value.as_ref()).unwrap();
        let value =
            if each.key.ends_with(".id") && each.key.starts_with("bowline.") { "…".to_owned() } else { show(value) };
        format!("{} = {value}", each.key)
    });
    shown.collect()
}

/// The first span and all metrics that a service sends for the records of `fill`.
async fn exported(fill: impl FnOnce(&OtlpHandle)) -> (ExportTraceServiceRequest, ExportMetricsServiceRequest, Metrics) {
    let (address, mut received) = collector(|_| status(200)).await;
    let clock = Arc::new(ManualClock::default());
    let metrics = Metrics::new(clock.clone());
    let mut options = options(address);
    options.headers.push((HeaderName::from_static("x-api-key"), Secret::new("hidden".to_owned())));
    assert!(!format!("{options:?}").contains("hidden"));
    let (handle, service) = options.build(clock, &metrics).unwrap();
    fill(&handle);
    let shutdown = CancellationToken::new();
    shutdown.cancel();
    timeout(PATIENCE, service.run(shutdown)).await.unwrap();
    let (mut spans, mut sums) = (None, None);
    while let Ok((path, key, body)) = received.try_recv() {
        assert_eq!(key.as_deref(), Some("hidden"));
        match path.as_str() {
            "/otlp/v1/traces" => spans = Some(ExportTraceServiceRequest::decode(body).unwrap()),
            "/otlp/v1/metrics" => sums = Some(ExportMetricsServiceRequest::decode(body).unwrap()),
            other => panic!("{other}"),
        }
    }
    (spans.unwrap_or_default(), sums.unwrap_or_default(), metrics)
}

fn spans(request: ExportTraceServiceRequest) -> Vec<Span> {
    request.resource_spans.into_iter().flat_map(|each| each.scope_spans).flat_map(|each| each.spans).collect()
}

#[tokio::test]
async fn a_span_has_the_names_of_the_conventions() {
    let context =
        TraceContext::parse("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", Some("vendor=1")).unwrap();
    let call = record();
    let (request, _, metrics) = exported(|handle| handle.record(&call, Some(&context))).await;
    let resource = request.resource_spans[0].resource.clone().unwrap();
    assert!(attributes(&resource.attributes).contains(&"service.name = bowline".to_owned()));
    assert_eq!(request.resource_spans[0].scope_spans[0].scope.as_ref().unwrap().name, "bowline");
    let all = spans(request);
    let [span] = all.as_slice() else { panic!("{all:?}") };
    assert_eq!(span.name, "chat gemini-2.5-flash");
    assert_eq!(span.kind, 3, "CLIENT");
    assert_eq!(span.trace_id, 0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736_u128.to_be_bytes());
    assert_eq!(span.parent_span_id, 0x00f0_67aa_0ba9_02b7_u64.to_be_bytes());
    assert_eq!(span.span_id, call.id.uuid().as_bytes()[8..]);
    assert_eq!(span.trace_state, "vendor=1");
    assert_eq!(span.flags, 0x301, "sampled, and the parent is remote");
    assert_eq!(span.end_time_unix_nano - span.start_time_unix_nano, 1_250_000_000);
    assert_eq!(span.status, None);
    assert!(!format!("{span:?}").contains("jane"), "the unit names a person");
    insta::assert_snapshot!(attributes(&span.attributes).join("\n"));
    assert_eq!(count(&metrics, "spans", "exported"), 1);
}

#[tokio::test]
async fn failed_calls_and_unsampled_traces() {
    let mut failed = record();
    failed.error = Some(ErrorKind::UpstreamTimeout);
    failed.checks.insert("schema".to_owned(), bowline_types::CheckResult::Fail);
    let unsampled = TraceContext::parse("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00", None).unwrap();
    let (request, sums, _) = exported(|handle| {
        handle.record(&failed, None);
        handle.record(&record(), Some(&unsampled));
    })
    .await;
    let all = spans(request);
    let [span] = all.as_slice() else { panic!("{all:?}") };
    assert_eq!(span.trace_id, failed.id.uuid().as_bytes());
    assert_eq!(span.parent_span_id, Vec::<u8>::new());
    assert_eq!(span.status.as_ref().map(|status| status.code), Some(2), "ERROR");
    let attributes = attributes(&span.attributes);
    assert!(attributes.contains(&"error.type = upstream_timeout".to_owned()), "{attributes:?}");
    assert!(attributes.iter().any(|each| each.starts_with("bowline.checks.failed") && each.contains("schema")));
    assert_eq!(sum(&metric(&sums, "bowline.inferences")), 2.0);
}

fn metric(request: &ExportMetricsServiceRequest, name: &str) -> Metric {
    let mut metrics =
        request.resource_metrics.iter().flat_map(|each| &each.scope_metrics).flat_map(|each| &each.metrics);
    metrics.find(|metric| metric.name == name).unwrap_or_else(|| panic!("no {name}")).clone()
}

fn sum(metric: &Metric) -> f64 {
    let Some(Data::Sum(sum)) = &metric.data else { panic!("{metric:?}") };
    assert!(sum.is_monotonic && sum.aggregation_temporality == 2);
    sum.data_points.iter().map(|point| if let Some(Number::AsDouble(value)) = point.value { value } else { 0.0 }).sum()
}

#[tokio::test]
async fn metrics_have_the_names_units_and_buckets_of_the_conventions() {
    let mut candidate = record();
    candidate.arm = Some(Arm::Candidate);
    let (_, request, metrics) = exported(|handle| {
        handle.record(&record(), None);
        handle.record(&record(), None);
        handle.record(&candidate, None);
    })
    .await;
    let tokens = metric(&request, "gen_ai.client.token.usage");
    assert_eq!(tokens.unit, "{token}");
    let Some(Data::Histogram(histogram)) = &tokens.data else { panic!() };
    assert_eq!(histogram.aggregation_temporality, 2, "cumulative");
    assert_eq!(histogram.data_points.len(), 4);
    let point = &histogram.data_points[0];
    assert_eq!(point.explicit_bounds, names::TOKEN_BUCKETS);
    assert_eq!(point.bucket_counts.len(), names::TOKEN_BUCKETS.len() + 1);
    let expected = [
        "gen_ai.operation.name = chat",
        "gen_ai.provider.name = gcp.gemini",
        "gen_ai.request.model = gemini-2.5-flash",
        "gen_ai.token.type = input",
        "bowline.project = demo",
        "bowline.environment = prod",
        "gen_ai.prompt.name = support/answer",
        "bowline.prompt.version = sha256:197c7c60ef8a8470a38d1a9212bdfde9cfe6fd4be910825fe6ac7880ac765d16",
        "bowline.rollout.arm = candidate",
    ];
    assert_eq!(attributes(&point.attributes), expected);

    let duration = metric(&request, "gen_ai.client.operation.duration");
    assert_eq!(duration.unit, "s");
    let Some(Data::Histogram(histogram)) = &duration.data else { panic!() };
    let stable = histogram.data_points.iter().find(|point| point.count == 2).unwrap();
    assert_eq!((stable.sum, stable.bucket_counts[7]), (Some(2.5), 2), "1.25 s is in the bucket up to 1.28 s");
    assert_eq!(metric(&request, "gen_ai.client.operation.time_to_first_chunk").unit, "s");
    assert!((sum(&metric(&request, "bowline.cost.usd")) - 0.001_569).abs() < 1e-9);
    assert_eq!(count(&metrics, "metrics", "exported"), 1);
}

#[tokio::test]
async fn a_busy_collector_is_tried_again() {
    let (address, mut received) = collector(|number| status(if number == 0 { 503 } else { 200 })).await;
    let clock = Arc::new(ManualClock::default());
    let metrics = Metrics::new(clock.clone());
    let (handle, service) = options(address).build(clock, &metrics).unwrap();
    handle.record(&record(), None);
    let shutdown = CancellationToken::new();
    tokio::join!(service.spans.run(shutdown.clone()), async {
        eventually(|| count(&metrics, "spans", "exported") == 1).await;
        shutdown.cancel();
    });
    assert_eq!(received.recv().await.unwrap().2, received.recv().await.unwrap().2, "the same spans twice");
}

#[tokio::test]
async fn what_a_collector_rejects_is_counted() {
    let partial = ExportTracePartialSuccess { rejected_spans: 2, error_message: "too old".to_owned() };
    let body = Bytes::from(ExportTraceServiceResponse { partial_success: Some(partial) }.encode_to_vec());
    let (address, _received) = collector(move |number| match number {
        0 => Response::new(Full::new(body.clone())),
        _ => status(StatusCode::BAD_REQUEST.as_u16()),
    })
    .await;
    let clock = Arc::new(ManualClock::default());
    let metrics = Metrics::new(clock.clone());
    let mut options = options(address);
    options.batch_spans_max = 3;
    let (handle, service) = options.build(clock, &metrics).unwrap();
    for _ in 0..4 {
        handle.record(&record(), None);
    }
    let shutdown = CancellationToken::new();
    shutdown.cancel();
    timeout(PATIENCE, service.spans.run(shutdown)).await.unwrap();
    assert_eq!((count(&metrics, "spans", "exported"), count(&metrics, "spans", "failed")), (1, 3));
}

#[tokio::test]
async fn a_collector_that_is_down_costs_only_spans() {
    // A port that nobody listens on: bound, then closed.
    let address = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let clock = Arc::new(ManualClock::default());
    let metrics = Metrics::new(clock.clone());
    let mut options = options(address);
    options.queue_spans_max = 10;
    options.timeout = Duration::from_millis(300);
    let (handle, service) = options.build(clock, &metrics).unwrap();
    // Nobody sends yet: what exceeds the queue is dropped at once, without waiting.
    for _ in 0..25 {
        handle.record(&record(), None);
    }
    assert_eq!(count(&metrics, "spans", "dropped"), 15);
    let shutdown = CancellationToken::new();
    shutdown.cancel();
    timeout(PATIENCE, service.run(shutdown)).await.expect("shutting down must not hang");
    assert_eq!((count(&metrics, "spans", "exported"), count(&metrics, "spans", "failed")), (0, 10));
    assert_eq!(count(&metrics, "metrics", "failed"), 1);
    handle.record(&record(), None);
    assert_eq!(count(&metrics, "spans", "dropped"), 16, "after the end");
}

#[tokio::test]
async fn a_collector_that_never_answers_holds_nobody() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let clock = Arc::new(ManualClock::default());
    let metrics = Metrics::new(clock.clone());
    let mut options = options(address);
    options.timeout = Duration::from_millis(300);
    options.batch_spans_max = 2;
    let (handle, service) = options.build(clock, &metrics).unwrap();
    for _ in 0..6 {
        handle.record(&record(), None);
    }
    let shutdown = CancellationToken::new();
    shutdown.cancel();
    timeout(PATIENCE, service.run(shutdown)).await.expect("shutting down must not hang");
    let lost = count(&metrics, "spans", "failed") + count(&metrics, "spans", "dropped");
    assert_eq!((lost, count(&metrics, "spans", "exported")), (6, 0));
    drop(listener);
}

#[test]
fn options_that_cannot_work_are_refused() {
    let clock = Arc::new(ManualClock::default());
    let metrics = Metrics::new(clock.clone());
    let instance = InstanceId::generate(Timestamp::from_micros(0));
    for endpoint in ["/v1/traces", "ftp://127.0.0.1/", "localhost:4318"] {
        let options = OtlpOptions::new(endpoint.parse().unwrap(), instance);
        assert!(matches!(options.build(clock.clone(), &metrics), Err(OtlpBuildError::Endpoint { .. })), "{endpoint}");
    }
    let mut options = OtlpOptions::new("http://127.0.0.1:4318".parse().unwrap(), instance);
    options.headers.push((HeaderName::from_static("x-api-key"), Secret::new("line\nbreak".to_owned())));
    assert!(matches!(options.build(clock, &metrics), Err(OtlpBuildError::Header { .. })));
}
