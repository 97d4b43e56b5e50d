//! Keys of applications in Secrets.

use std::time::Duration;

use serde_json::{Value, json};

use crate::server::Server;
use crate::world::{DESK, World, events};

fn with_key() -> Value {
    json!({ "spec": { "keys": [{ "secretName": "app-key", "environment": "prod", "rotateAfter": "1d" }] } })
}

/// The ids of the keys at the control role that work.
async fn working(world: &World) -> Vec<String> {
    let keys: Value = world.client.get("/keys").await.unwrap();
    let working = keys["keys"].as_array().unwrap().iter().filter(|key| key["revoked_at"].is_null());
    working.map(|key| key["id"].as_str().unwrap().to_owned()).collect()
}

fn key_id(server: &Server) -> Option<String> {
    let secret = server.get("secrets", DESK, "app-key")?;
    Some(secret["metadata"]["annotations"]["bowline.dev/key-id"].as_str()?.to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_written_rotated_and_revoked() {
    let world = World::new().await;
    world.push("Answer.");
    world.apply("main", &with_key());
    let operator = world.operator("a");
    let first = world.until("the key", key_id).await;
    let secret = world.server.get("secrets", DESK, "app-key").unwrap();
    // base64 of `bwl_` and of `http`.
    assert!(secret["data"]["OPENAI_API_KEY"].as_str().unwrap().starts_with("YndsX"), "a key of an application");
    assert!(secret["data"]["OPENAI_BASE_URL"].as_str().unwrap().starts_with("aHR0c"), "an address");
    let listed = world.until("the status", |server| {
        let bundle = server.get("promptbundles", DESK, "main")?;
        bundle["status"]["keys"].as_array().filter(|keys| !keys.is_empty()).cloned()
    });
    assert_eq!(listed.await[0]["id"], first);
    assert_eq!(working(&world).await, std::slice::from_ref(&first));

    world.clock.advance(Duration::from_secs(86_400));
    let second = world.until("another key", |server| key_id(server).filter(|id| *id != first)).await;
    assert_eq!(working(&world).await.len(), 2, "the first works for an hour on");
    assert!(events(&world.server, "PromptBundle").iter().any(|(reason, _)| reason == "KeyRotated"));
    world.clock.advance(Duration::from_secs(3_600));
    world
        .until("the end of the first", |server| {
            let bundle = server.get("promptbundles", DESK, "main")?;
            (bundle["status"]["keys"][0]["id"] == second && bundle["status"]["keys"][0]["previous"].is_null())
                .then_some(())
        })
        .await;
    assert_eq!(working(&world).await, [second]);

    world.server.delete("promptbundles", DESK, "main");
    world
        .until("the end of the bundle", |server| server.get("promptbundles", DESK, "main").is_none().then_some(()))
        .await;
    assert_eq!(working(&world).await, [] as [String; 0], "what was handed out is taken back");
    operator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_of_somebody_else_is_left_alone() {
    let world = World::new().await;
    world.push("Answer.");
    let own = json!({ "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "app-key", "namespace": DESK }, "data": { "mine": "bWluZQ==" } });
    world.server.put("secrets", own);
    let before = world.server.get("secrets", DESK, "app-key");
    world.apply("main", &with_key());
    let operator = world.operator("a");
    let message = world.until_condition("main", "Stalled", "True", "SecretTaken").await;
    assert!(message.contains("`app-key`"), "{message}");
    assert_eq!(world.server.get("secrets", DESK, "app-key"), before);
    assert_eq!(working(&world).await, [] as [String; 0]);
    operator.stop().await;
}
