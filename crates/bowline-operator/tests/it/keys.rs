//! Keys of applications: in Secrets, and of service accounts.

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

fn with_account(environment: &str) -> Value {
    json!({ "spec": { "serviceAccounts": [{ "name": "app", "environment": environment }] } })
}

/// The keys of service accounts that work: the id, the subject and the environment.
async fn admitted(world: &World) -> Vec<(String, String, String)> {
    let keys: Value = world.client.get("/keys").await.unwrap();
    let of_accounts = keys["keys"].as_array().unwrap().iter();
    let working = of_accounts.filter(|key| key["revoked_at"].is_null() && key["subject"].is_string());
    let text = |key: &Value, field: &str| key[field].as_str().unwrap().to_owned();
    working.map(|key| (text(key, "id"), text(key, "subject"), text(key, "environment"))).collect()
}

/// Waits until the status names a key of the account that is not `before`; returns its id.
async fn until_admitted(world: &World, bundle: &str, before: Option<&str>) -> String {
    let look = |server: &Server| {
        let status = server.get("promptbundles", DESK, bundle)?["status"]["serviceAccounts"].clone();
        let id = status[0]["id"].as_str()?.to_owned();
        (status[0]["name"] == "app" && Some(id.as_str()) != before).then_some(id)
    };
    world.until("a key of the account", look).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_account_has_a_key_and_no_secret() {
    let world = World::new().await;
    world.push("Answer.");
    world.apply("main", &with_account("prod"));
    let operator = world.operator("a");
    let first = until_admitted(&world, "main", None).await;
    let app = "system:serviceaccount:desk:app";
    assert_eq!(admitted(&world).await, [(first.clone(), app.to_owned(), "prod".to_owned())]);
    world.until_condition("main", "Ready", "True", "Released").await;
    assert!(world.server.all("secrets").iter().all(|secret| secret["metadata"]["namespace"] != DESK));

    world.apply("main", &with_account("staging"));
    let second = until_admitted(&world, "main", Some(&first)).await;
    assert_eq!(admitted(&world).await, [(second, app.to_owned(), "staging".to_owned())]);

    world.apply("main", &json!({ "spec": { "serviceAccounts": [] } }));
    world
        .until("the end of the key", |server| {
            let bundle = server.get("promptbundles", DESK, "main")?;
            let is_held = bundle["metadata"]["finalizers"].as_array().is_some_and(|held| !held.is_empty());
            (!is_held && bundle["status"]["serviceAccounts"] == json!([])).then_some(())
        })
        .await;
    assert_eq!(admitted(&world).await, [], "what was handed out is taken back");
    operator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_account_with_a_key_of_somebody_else_is_told_and_waits() {
    let world = World::new().await;
    world.push("Answer.");
    // A key in a Secret beside it is made all the same.
    world.apply("main", &with_key());
    let operator = world.operator("a");
    world.until("the key", key_id).await;
    let by_hand = json!({ "name": "app", "environment": "prod", "subject": "system:serviceaccount:desk:app" });
    let made: Value = world.client.post("/keys", &by_hand).await.unwrap();
    let id = made["record"]["id"].as_str().unwrap();
    let both = json!({ "spec": {
        "keys": [{ "secretName": "app-key", "environment": "staging", "rotateAfter": "1d" }],
        "serviceAccounts": [{ "name": "app", "environment": "prod" }, { "name": "other", "environment": "prod" }],
    } });
    world.apply("main", &both);
    let message = world.until_condition("main", "Stalled", "True", "ServiceAccountTaken").await;
    assert!(message.contains("service account `app`") && message.contains(id), "{message}");
    assert!(message.contains("`bowline key revoke`") && !message.contains('\n'), "{message}");
    let told = world.until("the other account", |server| {
        let status = server.get("promptbundles", DESK, "main")?["status"].clone();
        (status["serviceAccounts"][0]["name"] == "other").then_some(status)
    });
    assert_eq!(told.await["serviceAccounts"].as_array().unwrap().len(), 1);
    assert_eq!(admitted(&world).await.len(), 2, "that of the other account, and the one made by hand");
    assert!(events(&world.server, "PromptBundle").iter().any(|(reason, _)| reason == "ServiceAccountTaken"));

    world.client.delete::<Value>(&format!("/keys/{id}")).await.unwrap();
    world.until_condition("main", "Ready", "True", "Released").await;
    assert_eq!(admitted(&world).await.len(), 2);
    operator.stop().await;
}
