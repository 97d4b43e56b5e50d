//! Answers over a journal: each ends after its record is there, within bounds.

use std::time::Duration;

use bowline_gateway::{GatewayOptions, RecorderOptions};
use bowline_types::InferenceToken;
use bytes::Bytes;
use http::Method;
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::support::{Answer, MemorySink, Reply, Server, SnapshotBuilder, Upstream, sse, until, version};

/// How long a test looks whether something does not happen.
const MOMENT: Duration = Duration::from_millis(100);
/// Longer than any test takes: an answer that waits for so long was not to wait.
const FOR_EVER: Duration = Duration::from_secs(600);

fn chunk(text: &str, finish: Option<&str>) -> Value {
    json!({"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "u",
        "choices": [{"index": 0, "delta": {"content": text}, "finish_reason": finish}]})
}

fn whole() -> Reply {
    Reply::json(&json!({"id": "chatcmpl-7", "object": "chat.completion", "created": 1, "model": "u",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "fine"}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}}))
}

async fn server(reply: Reply, answer_wait_max: Duration) -> (Server, Upstream) {
    let upstream = Upstream::start([reply]).await;
    let snapshot = SnapshotBuilder::new().model("m", "openai", &upstream.url).prompt(
        "p",
        &version("m", "openai", "{{history}}", json!({})),
        json!(["complete"]),
    );
    let recorder = RecorderOptions { answer_wait_max, ..RecorderOptions::default() };
    let options = GatewayOptions { recorder, ..GatewayOptions::default() };
    (Server::start_over(snapshot, options, MemorySink::journal()).await, upstream)
}

fn ask(stream: bool) -> Value {
    json!({"model": "prompt:p", "messages": [{"role": "user", "content": "Hi"}], "stream": stream})
}

/// Asserts that the record of an answer is there.
fn recorded(server: &Server, answer: &Answer) {
    let token: InferenceToken = answer.header("x-bowline-inference").parse().unwrap();
    let records = server.sink.records();
    assert!(records.iter().any(|record| record.id == token.inference), "{} is not recorded", answer.text());
}

fn ahead(server: &Server) -> String {
    let page = server.metrics.encode();
    page.lines().find_map(|line| line.strip_prefix("bowline_answers_ahead_of_record_total ")).unwrap().to_owned()
}

/// Answers of every kind, good and bad.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_ends_after_its_record_is_there() {
    let embedded =
        json!({"object": "list", "model": "e", "data": [], "usage": {"prompt_tokens": 1, "total_tokens": 1}});
    let broken_off = Reply::stream([format!("data: {}\n\n", chunk("half", None))]);
    for (path, body, reply, status) in [
        ("/v1/chat/completions", ask(false), whole(), 200),
        ("/v1/chat/completions", ask(true), Reply::stream(sse(&[chunk("fine", Some("stop"))])), 200),
        ("/v1/chat/completions", ask(true), broken_off, 200),
        ("/v1/chat/completions", ask(false), Reply::error(400, &json!({"error": {"message": "no"}})), 400),
        ("/v1/embeddings", json!({"model": "m", "input": "a"}), Reply::json(&embedded), 200),
        ("/v1/resolve", ask(false), whole(), 200),
    ] {
        let (server, _upstream) = server(reply, FOR_EVER).await;
        server.sink.stall();
        let mut send = Box::pin(server.send(Method::POST, path, body.to_string(), &[]));
        assert!(timeout(MOMENT, &mut send).await.is_err(), "{path} {body} ended without its record");
        assert_eq!(server.sink.records(), []);
        server.sink.release();
        let answer = send.as_mut().await;
        drop(send);
        assert_eq!(answer.status, status, "{}", answer.text());
        recorded(&server, &answer);
        assert_eq!(ahead(&server), "0");
        server.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_waits_with_its_last_piece_alone() {
    let pieces = sse(&[chunk("word ", None), chunk("by ", None), chunk("word", Some("stop"))]);
    let (server, _upstream) = server(Reply::stream(pieces), FOR_EVER).await;
    server.sink.stall();
    let mut response = server.open(Method::POST, "/v1/chat/completions", Bytes::from(ask(true).to_string()), &[]).await;
    let mut got = String::new();
    while let Ok(frame) = timeout(MOMENT, response.body_mut().frame()).await {
        got += std::str::from_utf8(frame.unwrap().unwrap().data_ref().unwrap()).unwrap();
    }
    assert!(got.contains("by ") && !got.contains("[DONE]"), "{got}");
    server.sink.release();
    let rest = response.into_body().collect().await.unwrap().to_bytes();
    assert!(rest.ends_with(b"[DONE]\n\n"), "{rest:?}");
    assert_eq!(server.sink.records().len(), 1);
    server.stop().await;
}

/// Answers that come at once share an append, and each has its record.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_at_once_have_a_record_each() {
    let (server, _upstream) = server(whole(), FOR_EVER).await;
    let answers = futures_util::future::join_all((0..64).map(|_| async {
        let answer = server.chat(ask(false)).await;
        recorded(&server, &answer);
    }));
    answers.await;
    assert_eq!((server.sink.records().len(), ahead(&server)), (64, "0".to_owned()));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_waits_no_longer_than_it_may() {
    let (server, _upstream) = server(whole(), Duration::from_millis(5)).await;
    server.sink.stall();
    assert_eq!(server.chat(ask(false)).await.status, 200);
    assert_eq!((server.sink.records().len(), ahead(&server)), (0, "1".to_owned()));
    server.sink.release();
    server.sink.wait(1).await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_journal_that_fails_keeps_no_answer() {
    let (server, _upstream) = server(whole(), FOR_EVER).await;
    server.sink.fail(true);
    for _ in 0..20 {
        assert_eq!(server.chat(ask(false)).await.status, 200);
    }
    assert_eq!(ahead(&server), "20");
    server.sink.fail(false);
    server.sink.wait(20).await;
    until(|| server.handle.recorder().waiting == 0).await;
    // Answers wait again.
    let answer = server.chat(ask(false)).await;
    recorded(&server, &answer);
    assert_eq!((ahead(&server), server.handle.recorder().lost.len()), ("20".to_owned(), 0));
    server.stop().await;
}

/// What has no room is lost and counted, and its answer goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_queue_keeps_no_answer() {
    let upstream = Upstream::start([whole()]).await;
    let recorder = RecorderOptions { queue_bytes_max: 0, answer_wait_max: FOR_EVER, ..RecorderOptions::default() };
    let snapshot = SnapshotBuilder::new().model("m", "openai", &upstream.url);
    let options = GatewayOptions { recorder, ..GatewayOptions::default() };
    let server = Server::start_over(snapshot, options, MemorySink::journal()).await;
    let body = json!({"model": "m", "messages": [{"role": "user", "content": "Hi"}]});
    assert_eq!(server.chat(body).await.status, 200);
    assert_eq!((server.handle.recorder().lost[&None], ahead(&server)), (1, "0".to_owned()));
    server.stop().await;
}
