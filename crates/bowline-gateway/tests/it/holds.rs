//! Calls that wait while a provider starts.

use std::time::Duration;

use bowline_gateway::GatewayOptions;
use bowline_types::{ErrorKind, ProviderLoad};
use bytes::Bytes;
use http::Method;
use http_body_util::BodyExt;
use serde_json::{Value, json};

use crate::support::{Absent, Answer, Reply, Server, SnapshotBuilder, Upstream, sse, until};

fn answer(text: &str) -> Value {
    json!({"id": "c", "object": "chat.completion", "created": 1, "model": "u",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}})
}

fn chunk(text: &str) -> Value {
    json!({"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "u",
        "choices": [{"index": 0, "delta": {"content": text}, "finish_reason": null}]})
}

fn question(stream: bool) -> Value {
    json!({"model": "m", "messages": [{"role": "user", "content": "Hi"}], "stream": stream, "max_tokens": 500})
}

fn code(answer: &Answer) -> Value {
    answer.json()["error"]["code"].clone()
}

fn options() -> GatewayOptions {
    GatewayOptions { hold_keep_alive: Duration::from_millis(20), ..GatewayOptions::default() }
}

async fn server(url: &str, options: GatewayOptions) -> Server {
    Server::start_with(SnapshotBuilder::new().model("m", "openai", url).starts("m"), options).await
}

fn load(server: &Server) -> ProviderLoad {
    server.metrics.provider_loads()["shop"]["m"]
}

#[tokio::test]
async fn a_call_waits_until_its_provider_is_there() {
    let absent = Absent::new();
    let server = server(&absent.url, options()).await;
    let start = async {
        until(|| load(&server).held == 1).await;
        assert_eq!(load(&server).last_call_seconds, Some(0.0));
        assert!(load(&server).tokens_in_flight >= 500, "{:?}", load(&server));
        absent.start([Reply::json(&answer("Hello."))])
    };
    let (got, upstream) = tokio::join!(server.chat(question(false)), start);
    assert!(got.status == 200 && got.text().contains("Hello."), "{}", got.text());
    assert_eq!(upstream.seen().len(), 1);
    assert_eq!((load(&server).held, load(&server).tokens_in_flight), (0, 0));
    let records = server.sink.wait(1).await;
    assert_eq!(
        (records.len(), records[0].attempts, records[0].error),
        (1, 1, None),
        "one call, however long it waited"
    );
}

#[tokio::test]
async fn a_stream_hears_of_its_waiting() {
    let absent = Absent::new();
    let server = server(&absent.url, options()).await;
    let body = Bytes::from(question(true).to_string());
    let response = server.open(Method::POST, "/v1/chat/completions", body, &[]).await;
    assert_eq!((response.status().as_u16(), load(&server).held), (200, 1));
    let mut body = response.into_body();
    let first = body.frame().await.unwrap().unwrap().into_data().unwrap();
    assert_eq!(first, ": waiting\n\n");
    let _upstream = absent.start([Reply::stream(sse(&[chunk("Hel"), chunk("lo.")]))]);
    let rest = body.collect().await.unwrap().to_bytes();
    let rest = std::str::from_utf8(&rest).unwrap();
    assert!(rest.contains("Hel") && rest.ends_with("data: [DONE]\n\n"), "{rest}");
    let record = &server.sink.wait(1).await[0];
    assert_eq!((record.status, record.error, record.attempts), (200, None, 1));
    until(|| load(&server).tokens_in_flight == 0).await;
}

#[tokio::test]
async fn a_stream_that_waits_for_less_than_a_moment_is_as_any_other() {
    let absent = Absent::new();
    let server = server(&absent.url, GatewayOptions::default()).await;
    let start = async {
        until(|| load(&server).held == 1).await;
        absent.start([Reply::stream(sse(&[chunk("Hello.")])).header("x-bowline-simulated", "1")])
    };
    let (got, _upstream) = tokio::join!(server.chat(question(true)), start);
    assert_eq!((got.status, got.header("x-bowline-simulated"), got.streamed_text().as_str()), (200, "1", "Hello."));
    assert!(!got.text().contains("waiting"), "{}", got.text());
}

#[tokio::test]
async fn nobody_waits_for_ever() {
    let absent = Absent::new();
    let server = server(&absent.url, GatewayOptions { hold_time_max: Duration::from_millis(100), ..options() }).await;
    let got = server.chat(question(false)).await;
    assert_eq!((got.status, code(&got), got.header("retry-after")), (503, json!("backend_starting"), "15"));
    assert!(got.text().contains("has not been there within 100ms"), "{}", got.text());
    // A stream whose answer has begun ends with the error in it.
    let got = server.chat(question(true)).await;
    assert_eq!(got.status, 200);
    let events = got.events();
    let last: Value = serde_json::from_str(events.last().unwrap()).unwrap();
    assert_eq!(last["error"]["code"], json!("backend_starting"), "{events:?}");
    let records = server.sink.wait(2).await;
    assert!(records.iter().all(|record| record.error == Some(ErrorKind::Unavailable)));
    assert_eq!((records[0].status, records[1].status), (503, 200));
    assert_eq!((load(&server).held, load(&server).tokens_in_flight), (0, 0));
}

#[tokio::test]
async fn places_are_bounded_and_a_client_that_leaves_gives_its_place_back() {
    let absent = Absent::new();
    let server = server(&absent.url, GatewayOptions { hold_max: 1, ..GatewayOptions::default() }).await;
    for stream in [false, true] {
        let leaving = tokio::time::timeout(Duration::from_millis(300), server.chat(question(stream)));
        let other = async {
            until(|| load(&server).held == 1).await;
            let got = server.chat(question(stream)).await;
            assert_eq!((got.status, code(&got), got.header("retry-after")), (503, json!("backend_starting"), "15"));
        };
        let (left, ()) = tokio::join!(leaving, other);
        assert!(left.is_err(), "it was still waiting when it left");
        until(|| load(&server).held == 0).await;
    }
    let records = server.sink.wait(4).await;
    assert!(records.iter().all(|record| record.status == 503), "{records:?}");
}

#[tokio::test]
async fn a_client_that_leaves_a_stream_that_has_begun_gives_its_place_back() {
    let absent = Absent::new();
    let server = server(&absent.url, options()).await;
    let body = Bytes::from(question(true).to_string());
    let response = server.open(Method::POST, "/v1/chat/completions", body, &[]).await;
    assert_eq!(load(&server).held, 1);
    drop(response);
    until(|| load(&server).held == 0).await;
    assert_eq!(server.sink.wait(1).await.len(), 1);
}

#[tokio::test]
async fn where_another_provider_can_answer_nobody_waits() {
    let (absent, good) = (Absent::new(), Upstream::start([Reply::json(&answer("Hello."))]).await);
    let snapshot = SnapshotBuilder::new()
        .model("m", "openai", &absent.url)
        .starts("m")
        .model("other", "openai", &good.url)
        .fallback("m", "other");
    let server = Server::start(snapshot).await;
    assert_eq!(server.chat(question(false)).await.status, 200);
    assert!(server.sink.wait(1).await[0].fallback);
    let load = load(&server);
    assert_eq!((load.held, load.last_call_seconds), (0, Some(0.0)), "that it was asked for is enough to start it");
}

#[tokio::test]
async fn a_server_may_say_itself_that_it_starts() {
    let loading = json!({"error": {"message": "loading the model", "type": "server_error", "code": null}});
    let starting = || Reply::error(503, &loading).header("x-bowline-starting", "1");
    let upstream = Upstream::start([starting(), starting(), Reply::json(&answer("Hello."))]).await;
    let server = server(&upstream.url, options()).await;
    assert_eq!(server.chat(question(false)).await.status, 200);
    assert_eq!(server.sink.wait(1).await[0].attempts, 1);
    // Any other failure is one as ever.
    upstream.script([Reply::error(503, &loading)]);
    let got = server.chat(question(false)).await;
    assert_eq!((got.status, code(&got)), (503, json!("upstream_unavailable")));
}

#[tokio::test]
async fn nobody_waits_for_a_provider_that_does_not_start() {
    let absent = Absent::new();
    let server = Server::start(SnapshotBuilder::new().model("m", "openai", &absent.url)).await;
    let got = server.chat(question(false)).await;
    assert_eq!((got.status, code(&got)), (503, json!("upstream_unavailable")));
}

#[tokio::test]
async fn a_gateway_that_stops_sends_those_away_who_wait() {
    let absent = Absent::new();
    let server = server(&absent.url, options()).await;
    let stop = async {
        until(|| load(&server).held == 1).await;
        server.stop_begin();
    };
    let (got, ()) = tokio::join!(server.chat(question(false)), stop);
    assert_eq!((got.status, code(&got)), (503, json!("backend_starting")));
}

#[tokio::test]
async fn embeddings_wait_too() {
    let absent = Absent::new();
    let server = server(&absent.url, options()).await;
    let start = async {
        until(|| load(&server).held == 1).await;
        let vectors =
            json!({"object": "list", "data": [], "model": "u", "usage": {"prompt_tokens": 1, "total_tokens": 1}});
        absent.start([Reply::json(&vectors)])
    };
    let body = json!({"model": "m", "input": "x"}).to_string();
    let (got, _upstream) = tokio::join!(server.send(Method::POST, "/v1/embeddings", body, &[]), start);
    assert_eq!((got.status, load(&server).held), (200, 0));
}
