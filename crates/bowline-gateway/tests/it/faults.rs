use std::time::Duration;

use bowline_gateway::GatewayOptions;
use bowline_types::ErrorKind;
use bytes::Bytes;
use http::Method;
use http_body_util::BodyExt;
use serde_json::{Value, json};

use crate::support::{Answer, Reply, Server, SnapshotBuilder, Upstream, sse, until, version};

fn answer(text: &str) -> Value {
    json!({"id": "c", "object": "chat.completion", "created": 1, "model": "u",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}})
}

fn chunk(text: &str) -> Value {
    json!({"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "u",
        "choices": [{"index": 0, "delta": {"content": text}, "finish_reason": null}]})
}

fn failure(message: &str) -> Value {
    json!({"error": {"message": message, "type": "server_error", "code": null}})
}

fn question(stream: bool) -> Value {
    json!({"model": "m", "messages": [{"role": "user", "content": "Hi"}], "stream": stream})
}

async fn server(replies: impl IntoIterator<Item = Reply>) -> (Server, Upstream) {
    let upstream = Upstream::start(replies).await;
    (Server::start(SnapshotBuilder::new().model("m", "openai", &upstream.url)).await, upstream)
}

fn error(answer: &Answer, field: &str) -> Value {
    answer.json()["error"][field].clone()
}

#[tokio::test]
async fn a_failure_before_the_first_byte_is_tried_again() {
    for stream in [false, true] {
        let good = if stream { Reply::stream(sse(&[chunk("Hello.")])) } else { Reply::json(&answer("Hello.")) };
        let broken = Reply::stream(["data: {\"error\":{\"message\":\"overloaded\"}}\n\n"]);
        let first = if stream { broken } else { Reply::error(503, &failure("overloaded")) };
        let (server, upstream) = server([first, Reply::error(500, &failure("oops")), good]).await;
        let got = server.chat(question(stream)).await;
        assert!(got.status == 200 && got.text().contains("Hello."), "{}", got.text());
        assert_eq!(upstream.seen().len(), 3);
        let record = &server.sink.wait(1).await[0];
        assert_eq!((record.attempts, record.error, record.fallback), (3, None, false));
    }
}

#[tokio::test]
async fn attempts_are_bounded_and_the_last_error_is_told() {
    let (server, upstream) = server([Reply::error(503, &failure("overloaded"))]).await;
    let got = server.chat(question(false)).await;
    assert_eq!((got.status, error(&got, "code")), (503, json!("upstream_unavailable")));
    assert_eq!(error(&got, "message"), json!("overloaded"));
    assert_eq!(upstream.seen().len(), 3);
    let record = &server.sink.wait(1).await[0];
    assert_eq!((record.status, record.error, record.attempts), (503, Some(ErrorKind::UpstreamUnavailable), 3));
}

#[tokio::test]
async fn what_the_provider_refuses_is_not_tried_again() {
    let (server, upstream) =
        server([Reply::error(400, &json!({"error": {"message": "bad", "type": "invalid_request_error"}}))]).await;
    let got = server.chat(question(false)).await;
    assert_eq!((got.status, error(&got, "code")), (400, json!("upstream_rejected")));
    assert_eq!(upstream.seen().len(), 1);
}

#[tokio::test]
async fn credentials_of_ours_are_never_shown() {
    let (server, _upstream) = server([Reply::error(401, &failure("bad key upstream-secret"))]).await;
    let got = server.chat(question(false)).await;
    assert_eq!((got.status, error(&got, "code")), (502, json!("upstream_auth")));
    assert!(!got.text().contains("upstream-secret"), "{}", got.text());
}

#[tokio::test]
async fn a_missing_credential_is_told_before_any_call() {
    let upstream = Upstream::start([Reply::json(&answer("Hello."))]).await;
    let server =
        Server::start(SnapshotBuilder::new().model("m", "openai", &upstream.url).without_credential("m")).await;
    let got = server.chat(question(false)).await;
    assert_eq!((got.status, error(&got, "code")), (502, json!("credential_missing")));
    assert!(upstream.seen().is_empty());
}

#[tokio::test]
async fn retry_after_is_honoured() {
    let limited = || Reply::error(429, &json!({"error": {"message": "slow down", "type": "rate_limit_error"}}));
    let (server, upstream) = server([limited().header("retry-after", "1"), Reply::json(&answer("Hello."))]).await;
    let started = tokio::time::Instant::now();
    assert_eq!(server.chat(question(false)).await.status, 200);
    assert!(started.elapsed() >= Duration::from_secs(1), "it came again after {:?}", started.elapsed());
    assert_eq!(upstream.seen().len(), 2);
    // Longer than a client can bear: it is told how long.
    upstream.script([limited().header("retry-after", "30")]);
    let got = server.chat(question(false)).await;
    assert_eq!((got.status, got.header("retry-after")), (429, "30"));
    assert_eq!(upstream.seen().len(), 3);
}

#[tokio::test]
async fn a_fallback_answers_and_is_recorded() {
    let (bad, good) = (
        Upstream::start([Reply::error(529, &failure("overloaded"))]).await,
        Upstream::start([Reply::json(&answer("Hello."))]).await,
    );
    let snapshot = SnapshotBuilder::new()
        .model("m", "openai", &bad.url)
        .model("other", "openai", &good.url)
        .fallback("m", "other");
    let server = Server::start(snapshot).await;
    assert_eq!(server.chat(question(false)).await.status, 200);
    let record = &server.sink.wait(1).await[0];
    assert_eq!((record.attempts, record.fallback), (2, true));
    assert_eq!(record.provider.as_ref().map(ToString::to_string).as_deref(), Some("other"));
    // Five failures in a row open the circuit: the bad one is left alone.
    for _ in 0..4 {
        server.chat(question(false)).await;
    }
    let before = bad.seen().len();
    assert_eq!(server.chat(question(false)).await.status, 200);
    assert_eq!((before, bad.seen().len()), (5, 5));
}

#[tokio::test]
async fn a_stream_that_breaks_ends_with_an_error_in_the_dialect_of_the_client() {
    let content = format!("data: {}\n\n", chunk("Hel"));
    let inside = format!("data: {}\n\n", failure("the model fell over"));
    for (reply, message) in [
        (Reply::stream([content.clone()]).broken(), "broke off"),
        (Reply::stream([content.clone()]), ""),
        (Reply::stream([content.clone(), inside]), "the model fell over"),
    ] {
        let (server, upstream) = server([reply]).await;
        let got = server.chat(question(true)).await;
        let events = got.events();
        assert_eq!(got.status, 200);
        assert!(events[0].contains("Hel"), "{events:?}");
        if !message.is_empty() {
            let error: Value = serde_json::from_str(events.last().unwrap()).unwrap();
            assert!(error["error"]["message"].as_str().unwrap().contains(message), "{error}");
        }
        assert!(!events.contains(&"[DONE]".to_owned()), "{events:?}");
        assert_eq!(upstream.seen().len(), 1, "nothing is tried again after the first content");
        let record = &server.sink.wait(1).await[0];
        assert!(record.error.is_some(), "{message}");
    }
}

#[tokio::test]
async fn answers_that_are_no_answers_are_told() {
    for reply in [Reply::json(&json!({"unexpected": 1})), Reply::stream(["data: nonsense\n\n"])] {
        let (server, _upstream) = server([reply]).await;
        let got = server.chat(question(false)).await;
        assert_eq!((got.status, error(&got, "code")), (502, json!("upstream_invalid")), "{}", got.text());
    }
}

#[tokio::test]
async fn a_deadline_ends_every_wait() {
    let slow = Reply::json(&answer("late")).after(Duration::from_secs(60));
    for (reply, stream) in
        [(slow.clone(), false), (slow, true), (Reply::stream([format!("data: {}\n\n", chunk("Hel"))]).endless(), true)]
    {
        let upstream = Upstream::start([reply]).await;
        let snapshot =
            SnapshotBuilder::new().model("m", "openai", &upstream.url).timeout("m", Duration::from_millis(150));
        let options = GatewayOptions { attempts_max: 1, ..GatewayOptions::default() };
        let server = Server::start_with(snapshot, options).await;
        let got = server.chat(question(stream)).await;
        assert!(got.text().contains("upstream_timeout"), "{}", got.text());
        assert_eq!(server.sink.wait(1).await[0].error, Some(ErrorKind::UpstreamTimeout));
    }
}

#[tokio::test]
async fn nobody_listening_is_told() {
    let server = Server::start(SnapshotBuilder::new().model("m", "openai", "http://127.0.0.1:9")).await;
    let got = server.chat(question(false)).await;
    assert_eq!((got.status, error(&got, "code")), (503, json!("upstream_unavailable")));
}

#[tokio::test]
async fn a_client_that_leaves_is_recorded() {
    let pieces: Vec<String> = (0..2_000).map(|_| format!("data: {}\n\n", chunk("word "))).collect();
    let (server, _upstream) = server([Reply::stream(pieces)]).await;
    let body = Bytes::from(question(true).to_string());
    let mut response = server.open(Method::POST, "/v1/chat/completions", body, &[]).await;
    response.body_mut().frame().await.unwrap().unwrap();
    drop(response);
    let record = &server.sink.wait(1).await[0];
    assert_eq!((record.status, record.finish.as_deref()), (200, None));
}

#[tokio::test]
async fn bounds_hold() {
    let upstream = Upstream::start([Reply::json(&answer("Hello.")).after(Duration::from_millis(400))]).await;
    let snapshot = SnapshotBuilder::new().model("m", "openai", &upstream.url);
    let options = GatewayOptions { request_bytes_max: 1_000, in_flight_max: 1, ..GatewayOptions::default() };
    let server = Server::start_with(snapshot, options).await;
    let long = json!({"model": "m", "messages": [{"role": "user", "content": "x".repeat(2_000)}]});
    let got = server.chat(long).await;
    assert_eq!((got.status, error(&got, "code")), (413, json!("too_large")));
    let (first, second) = tokio::join!(server.chat(question(false)), async {
        until(|| !upstream.seen().is_empty()).await;
        server.chat(question(false)).await
    });
    assert_eq!((first.status, second.status), (200, 429));
    assert_eq!(second.header("retry-after"), "1");
}

#[tokio::test]
async fn shutdown_finishes_what_is_in_flight_and_delivers_its_record() {
    let (server, upstream) = server([Reply::json(&answer("Hello.")).after(Duration::from_millis(300))]).await;
    let call = server.open(Method::POST, "/v1/chat/completions", Bytes::from(question(false).to_string()), &[]);
    let mut call = Box::pin(call);
    tokio::select! {
        _ = &mut call => panic!("the upstream waits"),
        () = until(|| !upstream.seen().is_empty()) => {}
    }
    let client = async { call.await.status().as_u16() };
    let address = server.address.clone();
    let sink = std::sync::Arc::clone(&server.sink);
    // `call` borrows the server, so it is stopped through its parts.
    server.stop_begin();
    assert_eq!(client.await, 200);
    until(|| sink.records().len() == 1).await;
    until(|| std::net::TcpStream::connect(&address).is_err()).await;
}

#[tokio::test]
async fn calls_go_on_without_the_control_role() {
    let (mut server, _upstream) = server([Reply::json(&answer("Hello."))]).await;
    server.snapshots = None;
    server.sink.fail(true);
    for _ in 0..20 {
        assert_eq!(server.chat(question(false)).await.status, 200);
    }
    let feedback = json!({"inference": "c", "name": "correct", "value": true}).to_string();
    let got = server.send(Method::POST, "/v1/feedback", feedback, &[]).await;
    assert_eq!((got.status, error(&got, "code")), (503, json!("unavailable")), "what is not kept is not acknowledged");
    server.sink.fail(false);
    server.sink.wait(20).await;
}

#[tokio::test]
async fn an_error_is_never_glued_onto_half_an_event() {
    let half = format!("data: {}\n\ndata: {{\"choices\":[{{\"de", chunk("Hel"));
    for usage in [true, false] {
        let (server, _upstream) = server([Reply::stream([half.clone()]).broken()]).await;
        let mut body = question(true);
        body["stream_options"] = json!({"include_usage": usage});
        let events = server.chat(body).await.events();
        assert_eq!(events.len(), 2, "{events:?}");
        let error: Value = serde_json::from_str(&events[1]).unwrap();
        assert_eq!(error["error"]["code"], json!("upstream_unavailable"));
    }
}

#[tokio::test]
async fn a_stream_may_take_longer_than_the_silence_it_is_allowed() {
    let pieces: Vec<String> = (0..400).map(|_| format!("data: {}\n\n", chunk("word "))).collect();
    let upstream = Upstream::start([Reply::stream(pieces.into_iter().chain(sse(&[])))]).await;
    let snapshot = SnapshotBuilder::new().model("m", "openai", &upstream.url).timeout("m", Duration::from_millis(200));
    let server = Server::start(snapshot).await;
    let started = tokio::time::Instant::now();
    let got = server.chat(question(true)).await;
    assert!(started.elapsed() > Duration::from_millis(200), "the stream was too short to say anything");
    assert_eq!(got.events().last().map(String::as_str), Some("[DONE]"));
}

#[tokio::test]
async fn the_code_of_the_provider_reaches_the_application() {
    let refused =
        json!({"error": {"message": "too long", "type": "invalid_request_error", "code": "context_length_exceeded"}});
    let (server, _upstream) = server([Reply::error(400, &refused)]).await;
    assert_eq!(error(&server.chat(question(false)).await, "code"), json!("context_length_exceeded"));
}

#[tokio::test]
async fn a_prompt_falls_back_to_another_endpoint_of_the_same_identity() {
    let bad = Upstream::start([Reply::error(503, &failure("down"))]).await;
    let good = Upstream::start([Reply::json(&answer("Hello."))]).await;
    let mut fields = json!({});
    fields["model"] = json!({"alias": "m", "identities": [
        {"provider": "openai", "model": "upstream-model"}, {"provider": "openai", "model": "upstream-model"}]});
    let stable = version("m", "openai", "Hi", fields);
    let snapshot = SnapshotBuilder::new().model("m", "openai", &bad.url).model("other", "openai", &good.url);
    let server = Server::start(snapshot.fallback("m", "other").prompt("p", &stable, json!([]))).await;
    assert_eq!(server.chat(json!({"model": "prompt:p"})).await.status, 200);
    assert_eq!((bad.seen().len(), good.seen().len()), (1, 1));
}
