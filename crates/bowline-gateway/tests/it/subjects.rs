//! Callers with the token of a service account in place of a key.

use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use bowline_gateway::{Review, ReviewError, ReviewFuture, TokenReviewer};
use bowline_types::Secret;
use http::Method;
use serde_json::json;

use crate::support::{Answer, Reply, Server, SnapshotBuilder, Upstream};

const APP: &str = "system:serviceaccount:shop:app";

/// A cluster that vouches for what it has signed, while it is there.
struct Cluster(Mutex<Option<&'static str>>);

impl TokenReviewer for Cluster {
    fn review(&self, token: Secret) -> ReviewFuture<'_> {
        let reviewed = match *self.0.lock().unwrap() {
            None => Err(ReviewError("it is down".to_owned())),
            Some(signature) if token.expose().ends_with(signature) => Ok(Review::Authenticated(APP.to_owned())),
            Some(_) => Ok(Review::Refused),
        };
        Box::pin(async { reviewed })
    }
}

/// A token of an account with this signature.
fn token(account: &str, signature: &str) -> String {
    let claims = BASE64_URL_SAFE_NO_PAD.encode(json!({ "sub": account }).to_string());
    format!("e30.{claims}.{signature}")
}

fn answer() -> Reply {
    Reply::json(&json!({"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "u",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "fine"}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}}))
}

async fn call(server: &Server, bearer: &str) -> Answer {
    let body = json!({"model": "fast", "messages": [{"role": "user", "content": "hi"}]}).to_string();
    let header = format!("Bearer {bearer}");
    server.send(Method::POST, "/v1/chat/completions", body, &[("authorization", &header)]).await
}

#[tokio::test]
async fn a_service_account_with_a_key_is_served_and_judged_as_any_caller() {
    let upstream = Upstream::start([answer()]).await;
    let snapshot = || SnapshotBuilder::new().model("fast", "openai", &upstream.url).of_subject(APP);
    let cluster = Arc::new(Cluster(Mutex::new(Some("good"))));
    let server = Server::start_reviewed(snapshot(), Arc::clone(&cluster) as _).await;
    let answer = call(&server, &token(APP, "good")).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let inference = answer.header("x-bowline-inference").to_owned();
    let header = format!("Bearer {}", token(APP, "also-good"));
    let feedback = json!({"inference": inference, "name": "correct", "value": true}).to_string();
    let kept = server.send(Method::POST, "/v1/feedback", feedback, &[("authorization", &header)]).await;
    assert_eq!(kept.status, 200, "another token of the same account is the same key: {}", kept.text());
    let models = server.send(Method::GET, "/v1/models", "", &[("authorization", &header)]).await;
    assert_eq!(models.status, 200);

    for (what, bearer) in [
        ("forged", token(APP, "bad")),
        ("of an account without a key", token("system:serviceaccount:shop:other", "good")),
        ("no token", "e30.e30".to_owned()),
        ("the key that the record stands for", server.key.clone()),
    ] {
        let refused = call(&server, &bearer).await;
        assert_eq!((refused.status, &refused.json()["error"]["code"]), (401, &json!("invalid_api_key")), "{what}");
        assert!(!refused.text().contains(&bearer), "{what}");
    }

    // The key is revoked; that the token is good is still remembered, and opens nothing.
    server.publish(snapshot().revoked()).await;
    assert_eq!(call(&server, &token(APP, "good")).await.status, 401);
}

#[tokio::test]
async fn a_cluster_that_is_down_lets_nobody_pass() {
    let upstream = Upstream::start([answer()]).await;
    let snapshot = || SnapshotBuilder::new().model("fast", "openai", &upstream.url).of_subject(APP);
    let cluster = Arc::new(Cluster(Mutex::new(None)));
    let server = Server::start_reviewed(snapshot(), Arc::clone(&cluster) as _).await;
    let refused = call(&server, &token(APP, "good")).await;
    assert_eq!((refused.status, refused.header("retry-after")), (503, "1"), "{}", refused.text());
    assert_eq!(refused.json()["error"]["code"], "token_unreviewed");
    assert!(server.metrics.encode().contains("bowline_token_reviews_total{result=\"failed\"} 1"));
    // Whoever has a key has no part in it, and neither do strangers.
    assert_eq!(call(&server, &token("system:serviceaccount:shop:other", "good")).await.status, 401);

    // Without somebody to ask, a token is no key.
    let alone = Server::start(snapshot()).await;
    assert_eq!(call(&alone, &token(APP, "good")).await.status, 401);
}
