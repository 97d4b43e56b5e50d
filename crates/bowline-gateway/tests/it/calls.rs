//! Calls of the process that the gateway runs in: every layer, and no socket between.

use std::time::Duration;

use bowline_gateway::Facts;
use bytes::Bytes;
use http::Request;
use serde_json::{Value, json};

use crate::support::{Reply, Server, SnapshotBuilder, Upstream, version};

fn answer() -> Reply {
    let value = json!({"id": "chatcmpl-7", "object": "chat.completion", "created": 1, "model": "u",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "fine"}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 12, "completion_tokens": 3, "total_tokens": 15}});
    Reply::json(&value).header("x-bowline-simulated", "1")
}

fn request(server: &Server, body: &Value) -> Request<Bytes> {
    let request = Request::post("/v1/chat/completions").header("authorization", format!("Bearer {}", server.key));
    request.body(Bytes::from(body.to_string())).unwrap()
}

#[tokio::test]
async fn a_call_without_a_socket_goes_through_every_layer() {
    let upstream = Upstream::start([answer()]).await;
    let stable = version("m", "openai", "Say {{word}}.", json!({}));
    let snapshot = SnapshotBuilder::new().model("m", "openai", &upstream.url).prompt("p", &stable, json!(["complete"]));
    let server = Server::start(snapshot).await;
    let body = json!({"model": "prompt:p", "messages": [], "variables": {"word": "fine"}});
    let over_socket = server.chat(body.clone()).await;
    let got = server.handle.call(request(&server, &body)).await;
    assert_eq!((got.status().as_u16(), got.body()), (200, &over_socket.body));
    assert_eq!(got.headers()["x-bowline-version"], stable.digest().to_string());
    let facts = got.extensions().get::<Facts>().unwrap();
    assert_eq!((facts.usage.input, facts.finish.as_deref(), facts.simulated), (Some(12), Some("stop"), true));
    assert_eq!((facts.fallback, &facts.error), (false, &None));
    assert!(facts.duration > Duration::ZERO);
    let records = server.sink.wait(2).await;
    assert_eq!(records[0].checks, records[1].checks, "it is recorded like any other");
    let sent = upstream.seen();
    assert_eq!(sent[0].json(), sent[1].json());
}

#[tokio::test]
async fn a_refusal_says_what_it_is_and_how_long_to_wait() {
    let limited = Reply::error(429, &json!({"error": {"message": "slow down", "type": "rate_limit_error"}}));
    let upstream = Upstream::start([limited.header("retry-after", "30")]).await;
    let server = Server::start(SnapshotBuilder::new().model("m", "openai", &upstream.url)).await;
    let body = json!({"model": "m", "messages": [{"role": "user", "content": "hi"}]});
    let got = server.handle.call(request(&server, &body)).await;
    let facts = got.extensions().get::<Facts>().unwrap();
    assert_eq!(got.status(), 429);
    assert_eq!(facts.retry_after, Some(Duration::from_secs(30)));
    assert_eq!(facts.error.as_ref().map(|(kind, _)| *kind), Some(bowline_types::ErrorKind::UpstreamRateLimited));
    let stranger = server.handle.call(Request::post("/v1/chat/completions").body(Bytes::new()).unwrap()).await;
    let facts = stranger.extensions().get::<Facts>().unwrap();
    assert_eq!(facts.error.as_ref().map(|(kind, _)| *kind), Some(bowline_types::ErrorKind::Unauthenticated));
}

#[tokio::test]
async fn embeddings_pass_with_record_and_cost() {
    let vectors = json!({"object": "list", "model": "text-embedding-3-small",
        "data": [{"object": "embedding", "index": 0, "embedding": [0.5, -0.25]}],
        "usage": {"prompt_tokens": 1_000_000, "total_tokens": 1_000_000}});
    let upstream = Upstream::start([Reply::json(&vectors)]).await;
    let snapshot =
        SnapshotBuilder::new().model("m", "openai", &upstream.url).model("claude", "anthropic", &upstream.url);
    let server = Server::start(snapshot).await;
    let body = json!({"model": "m", "input": ["one"], "encoding_format": "float"});
    let got = server.send(http::Method::POST, "/v1/embeddings", body.to_string(), &[]).await;
    assert_eq!((got.status, got.json()), (200, vectors));
    let sent = upstream.seen();
    assert_eq!((sent[0].path.as_str(), &sent[0].json()["input"]), ("/v1/embeddings", &json!(["one"])));
    assert_ne!(sent[0].json()["model"], "m", "the provider's own name of the model is spliced in");
    let records = server.sink.wait(1).await;
    assert_eq!(
        (records[0].dialect.as_str(), records[0].usage.input, records[0].status),
        ("openai-embeddings", Some(1_000_000), 200)
    );

    let refused = |model: &str| json!({"model": model, "input": "one"}).to_string();
    let other = server.send(http::Method::POST, "/v1/embeddings", refused("claude"), &[]).await;
    assert_eq!((other.status, other.text().contains("gives no embeddings")), (400, true), "{}", other.text());
    let unknown = server.send(http::Method::POST, "/v1/embeddings", refused("n"), &[]).await;
    assert_eq!(unknown.status, 404);
    let stranger =
        server.send(http::Method::POST, "/v1/embeddings", refused("m"), &[("authorization", "Bearer x")]).await;
    assert_eq!(stranger.status, 401);
    assert_eq!(upstream.seen().len(), 1);
}
