//! What a gateway stands on while it serves: leases, the age of its snapshot, and secrets that are rotated.

use std::collections::BTreeMap;
use std::time::Duration;

use bowline_gateway::{GatewayOptions, Renewal};
use bowline_types::{Clock, RolloutId};
use http::Method;
use serde_json::{Value, json};

use crate::support::{Reply, Server, SnapshotBuilder, Upstream, version};

const LEASE: Duration = Duration::from_secs(300);

async fn upstream() -> Upstream {
    let answer = json!({"id": "chatcmpl-7", "object": "chat.completion", "created": 1, "model": "u",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "a"}, "finish_reason": "stop"}]});
    Upstream::start([Reply::json(&answer)]).await
}

/// A prompt with a rollout whose candidate half of the units get, for as long as [`LEASE`].
fn snapshot(upstream: &Upstream) -> SnapshotBuilder {
    let [stable, candidate] = ["Sort.", "Sort it."].map(|body| version("m", "openai", body, json!({})));
    let builder = SnapshotBuilder::new().model("m", "openai", &upstream.url).prompt("sort", &stable, json!([]));
    builder.rollout("sort", &candidate, "50%", LEASE)
}

fn rollout(builder: &SnapshotBuilder) -> RolloutId {
    let snapshot = builder.clone().build();
    let project = snapshot.projects.values().next().unwrap();
    let mut prompts = project.environments.values().flat_map(|environment| environment.prompts.values());
    prompts.find_map(|prompt| prompt.rollout.as_ref()).unwrap().id
}

fn ask() -> Value {
    json!({"model": "prompt:sort"})
}

/// Calls for some units and says whether any of them got the candidate.
async fn serves_candidate(server: &Server) -> bool {
    let mut found = false;
    for unit in 0..12 {
        let answer = server.chat_as(&format!("u{unit}"), ask()).await;
        assert_eq!(answer.status, 200);
        found |= answer.header("x-bowline-arm") == "candidate";
    }
    found
}

#[tokio::test]
async fn whoever_sets_the_clock_moves_no_lease() {
    let upstream = upstream().await;
    let server = Server::start(snapshot(&upstream)).await;
    let day = Duration::from_secs(86_400);
    server.clock.set_ahead(day);
    assert!(serves_candidate(&server).await, "a clock that is ahead ended a lease");
    server.clock.advance(LEASE - Duration::from_secs(1));
    assert!(serves_candidate(&server).await, "the lease ended too early");
    server.clock.set_back(day);
    server.clock.advance(Duration::from_secs(2));
    assert!(!serves_candidate(&server).await, "a clock that is behind made a lease longer");
}

#[tokio::test]
async fn a_lease_is_renewed_without_another_snapshot() {
    let upstream = upstream().await;
    let builder = snapshot(&upstream);
    let leases = BTreeMap::from([(rollout(&builder), LEASE * 2)]);
    let server = Server::start(builder).await;
    server.clock.advance(LEASE + Duration::from_secs(1));
    assert!(!serves_candidate(&server).await);
    server.handle.renew(&Renewal { confirmed: server.clock.uptime(), leases });
    assert!(serves_candidate(&server).await);
    // A word that came late takes nothing back.
    server.handle.renew(&Renewal::default());
    assert!(serves_candidate(&server).await);
    server.clock.advance(LEASE);
    assert!(!serves_candidate(&server).await);
}

#[tokio::test]
async fn keys_are_refused_once_nobody_has_confirmed_them_for_too_long() {
    let upstream = upstream().await;
    let options = GatewayOptions { snapshot_age_max: Some(Duration::from_secs(60)), ..GatewayOptions::default() };
    let server = Server::start_with(snapshot(&upstream), options).await;
    let ready = async || server.send(Method::GET, "/readyz", String::new(), &[]).await;
    server.clock.advance(Duration::from_secs(60));
    assert_eq!(server.chat(ask()).await.status, 200);
    assert!(ready().await.text().starts_with("ready\n"));
    server.clock.advance(Duration::from_secs(1));
    let refused = server.chat(ask()).await;
    assert_eq!((refused.status, &refused.json()["error"]["code"]), (503, &json!("snapshot_too_old")));
    assert_eq!(ready().await.status, 503);
    server.handle.renew(&Renewal { confirmed: server.clock.uptime(), ..Renewal::default() });
    assert_eq!(server.chat(ask()).await.status, 200);
    assert_eq!(ready().await.status, 200);
    assert!(server.metrics.encode().contains("\nbowline_snapshot_age_seconds 0.0\n"));
}

#[tokio::test]
async fn a_rotated_secret_takes_effect_while_it_serves() {
    let upstream = upstream().await;
    let options = GatewayOptions { secrets_interval: Duration::from_millis(5), ..GatewayOptions::default() };
    let server = Server::start_with(snapshot(&upstream), options).await;
    let sent = async || {
        assert_eq!(server.chat(ask()).await.status, 200);
        upstream.seen().last().unwrap().headers["authorization"].to_str().unwrap().to_owned()
    };
    assert_eq!(sent().await, "Bearer upstream-secret");
    server.secrets.rotate("another-secret");
    let mut last = String::new();
    for _ in 0..1_000 {
        last = sent().await;
        if last == "Bearer another-secret" {
            break;
        }
    }
    assert_eq!(last, "Bearer another-secret");
    // Nothing else has changed: the rollout goes on.
    assert!(serves_candidate(&server).await);
}
