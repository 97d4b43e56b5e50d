//! ModelBackends: endpoints and credentials for gateways, model servers, and their way from and to zero.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::routing::get;
use axum::{Json, Router};
use bowline_operator::Accelerators;
use bowline_store::Store as _;
use bowline_types::{ProviderLoad, ProviderLoads};
use serde_json::{Value, json};

use crate::server::Server;
use crate::world::{DESK, World, condition, events};

const SYSTEM: &str = "bowline-system";

fn apply(world: &World, name: &str, spec: &Value) {
    let metadata = json!({ "name": name, "namespace": DESK });
    let backend =
        json!({ "apiVersion": "bowline.dev/v1alpha1", "kind": "ModelBackend", "metadata": metadata, "spec": spec });
    world.server.put("modelbackends", backend);
}

/// Waits until a condition of a backend has a status and a reason; returns its message.
async fn until(world: &World, name: &str, kind: &str, status: &str, reason: &str) -> String {
    let look = |server: &Server| {
        let backend = server.get("modelbackends", DESK, name)?;
        let found = condition(&backend, kind)?;
        (found["status"] == status && found["reason"] == reason).then(|| found["message"].as_str().unwrap().to_owned())
    };
    world.until(&format!("{kind}={status} {reason}"), look).await
}

/// The running configuration of the project.
async fn config(world: &World) -> Value {
    world.store.project_fetch(DESK.parse().unwrap()).await.unwrap().unwrap().config
}

fn secret(world: &World, name: &str, value: &str) {
    let data = json!({ "token": base64(value) });
    let metadata = json!({ "name": name, "namespace": DESK });
    world.server.put("secrets", json!({ "apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": data }));
}

fn base64(text: &str) -> String {
    serde_json::to_value(k8s_openapi::ByteString(text.as_bytes().to_vec())).unwrap().as_str().unwrap().to_owned()
}

fn gateway(world: &World, address: &str) {
    let labels = json!({ "app.kubernetes.io/name": "bowline", "app.kubernetes.io/component": "gateway" });
    let metadata = json!({ "name": "gateway-0", "namespace": SYSTEM, "labels": labels });
    let status = json!({ "phase": "Running", "podIP": address });
    world.server.put("pods", json!({ "apiVersion": "v1", "kind": "Pod", "metadata": metadata, "status": status }));
}

/// What the Deployment of a backend says of its pods, in place of the controllers of a cluster.
fn deployment_status(world: &World, name: &str, ready: i32) {
    let generation = world.server.get("deployments", DESK, name).unwrap()["metadata"]["generation"].clone();
    let status = json!({ "observedGeneration": generation, "readyReplicas": ready, "updatedReplicas": ready });
    world.server.merge("deployments", DESK, name, &json!({ "status": status }));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_and_its_credential_reach_gateways() {
    let world = World::new().await;
    gateway(&world, "127.0.0.1");
    secret(&world, "llm-key", "sk-one");
    let spec = json!({
        "provider": "openai", "endpoint": { "url": "https://llm.example/v1" },
        "apiKey": { "name": "llm-key", "key": "token" },
    });
    apply(&world, "llm", &spec);
    let operator = world.operator("a");
    until(&world, "llm", "Reconciling", "True", "WaitingForBundle").await;
    let digest = world.push("Answer.");
    world.apply("main", &json!({}));
    world.until_released("main", digest).await;
    // The release itself has it: no call ever goes elsewhere.
    let there = json!({ "base_url": "https://llm.example/v1", "api_key": "file:/etc/bowline/credentials/desk.llm" });
    for environment in ["staging", "prod"] {
        assert_eq!(config(&world).await["environments"][environment]["providers"]["openai"], there, "{environment}");
    }
    until(&world, "llm", "Ready", "True", "Configured").await;
    let kept = |server: &Server| server.get("secrets", SYSTEM, "bowline-credentials");
    assert_eq!(kept(&world.server).unwrap()["data"], json!({ "desk.llm": base64("sk-one") }));
    let nudged = |server: &Server| {
        server.get("pods", SYSTEM, "gateway-0")?["metadata"]["annotations"]["bowline.dev/credentials"]
            .as_str()
            .map(str::to_owned)
    };
    assert!(nudged(&world.server).is_some(), "kubelet looks at once");

    // A file that a person put there stays, and so does nothing of a backend that is gone.
    world.server.merge("secrets", SYSTEM, "bowline-credentials", &json!({ "data": { "own": base64("x") } }));
    world.server.delete("modelbackends", DESK, "llm");
    let gone = |server: &Server| (kept(server)?["data"] == json!({ "own": base64("x") })).then_some(());
    world.until("the end of the credential", gone).await;
    let mut restored = json!(null);
    for _ in 0..200 {
        restored = config(&world).await["environments"]["prod"]["providers"].clone();
        if restored["openai"].is_null() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(restored["openai"].is_null(), "the provider is where the project says: {restored}");
    operator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_somebody_must_do_is_said() {
    let world = World::new().await;
    world.push("Answer.");
    world.apply("main", &json!({}));
    let elsewhere = |provider: &str| json!({ "provider": provider, "endpoint": { "url": "https://llm.example/v1" } });
    apply(&world, "first", &elsewhere("openai"));
    apply(&world, "second", &elsewhere("openai"));
    apply(&world, "unknown", &elsewhere("gpt"));
    let mut keyed = elsewhere("other");
    keyed["apiKey"] = json!({ "name": "none", "key": "token" });
    apply(&world, "keyed", &keyed);
    let serve =
        json!({ "provider": "served", "serve": { "image": "x", "accelerator": "h200", "acceleratorCount": 1 } });
    apply(&world, "served", &serve);
    let metadata = json!({ "name": "taken", "namespace": DESK });
    world.server.put("services", json!({ "apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": {} }));
    apply(&world, "taken", &json!({ "provider": "taken", "serve": { "image": "x" } }));

    let operator = world.operator("a");
    until(&world, "first", "Ready", "True", "Configured").await;
    let message = until(&world, "second", "Stalled", "True", "ProviderTaken").await;
    assert!(message.contains("ModelBackend `first`"), "{message}");
    let message = until(&world, "unknown", "Stalled", "True", "ProviderUnknown").await;
    assert!(message.contains("has no provider `gpt`"), "{message}");
    let message = until(&world, "keyed", "Stalled", "True", "SecretMissing").await;
    assert!(message.contains("Secret `none`"), "{message}");
    let message = until(&world, "served", "Stalled", "True", "UnknownAccelerator").await;
    assert!(message.contains("no class `h200`"), "{message}");
    let message = until(&world, "taken", "Stalled", "True", "NameTaken").await;
    assert!(message.contains("Service `taken`"), "{message}");
    let told: Vec<_> = events(&world.server, "ModelBackend").into_iter().map(|(reason, _)| reason).collect();
    assert_eq!(told, ["BackendStalled"; 5]);
    assert_eq!(world.server.get("services", DESK, "taken").unwrap()["spec"], json!({}), "it is left alone");

    // The provider of one that goes is free.
    world.server.delete("modelbackends", DESK, "first");
    world.server.merge(
        "modelbackends",
        DESK,
        "second",
        &json!({ "spec": { "endpoint": { "url": "https://b.example/v1" } } }),
    );
    until(&world, "second", "Ready", "True", "Configured").await;
    operator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_server_is_made_watched_and_taken_away() {
    let mut world = World::new().await;
    world.backends.accelerators = Accelerators::parse("a.yaml", "l4: { resource: nvidia.com/gpu }").unwrap();
    world.push("Answer.");
    world.apply("main", &json!({}));
    let serve =
        json!({ "image": "sim:1", "accelerator": "l4", "acceleratorCount": 1, "scale": { "min": 1, "max": 3 } });
    apply(&world, "llm", &json!({ "provider": "openai", "serve": serve }));
    let operator = world.operator("a");
    until(&world, "llm", "Serving", "Unknown", "Starting").await;
    let deployment = world.server.get("deployments", DESK, "llm").unwrap();
    assert_eq!(deployment["spec"]["replicas"], 1);
    // An autoscaler reads it by `/scale`, which is an error where nobody has written it.
    let scale = |server: &Server| Some(server.get("modelbackends", DESK, "llm")?["spec"]["serve"]["replicas"].clone());
    assert_eq!(scale(&world.server), Some(json!(1)));
    assert_eq!(deployment["metadata"]["ownerReferences"][0]["kind"], "ModelBackend");
    let scaler = world.server.get("horizontalpodautoscalers", DESK, "llm").unwrap();
    assert_eq!(scaler["spec"]["scaleTargetRef"]["kind"], "ModelBackend");

    deployment_status(&world, "llm", 1);
    let message = until(&world, "llm", "Ready", "True", "Serving").await;
    assert!(message.contains("http://llm.desk.svc:8000/v1"), "{message}");
    let status = world.server.get("modelbackends", DESK, "llm").unwrap()["status"].clone();
    assert_eq!((&status["replicas"], &status["selector"]), (&json!(1), &json!("bowline.dev/backend=llm")));
    let provider = config(&world).await["environments"]["prod"]["providers"]["openai"].clone();
    assert_eq!(provider, json!({ "base_url": "http://llm.desk.svc:8000/v1", "starts": true }));

    // Whoever scales through `/scale` is heard, within the bounds.
    world.server.merge("modelbackends", DESK, "llm", &json!({ "spec": { "serve": { "replicas": 9 } } }));
    world
        .until("three pods", |server| {
            let is_scaled = server.get("deployments", DESK, "llm")?["spec"]["replicas"] == 3;
            // What follows the deployment is written too.
            let is_over = server.writes().last().is_some_and(|write| write == "PATCH modelbackends/llm status");
            (is_scaled && is_over).then_some(())
        })
        .await;
    let before = world.server.writes().len();
    deployment_status(&world, "llm", 3);
    world
        .until("three ready pods", |server| {
            let backend = server.get("modelbackends", DESK, "llm")?;
            (backend["status"]["replicas"] == 3).then_some(())
        })
        .await;
    let writes = world.server.writes();
    assert_eq!(writes[before..], ["PATCH modelbackends/llm status"], "what is as it should be is not written again");

    // Served by somebody else from now on.
    let endpoint = json!({ "spec": { "serve": null, "endpoint": { "url": "https://llm.example/v1" } } });
    world.server.merge("modelbackends", DESK, "llm", &endpoint);
    until(&world, "llm", "Ready", "True", "Configured").await;
    for kind in ["deployments", "services", "horizontalpodautoscalers"] {
        assert!(world.server.all(kind).is_empty(), "{kind}");
    }
    operator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_server_comes_when_it_is_called_and_goes_when_it_is_not() {
    let mut world = World::new().await;
    let load = Arc::new(Mutex::new(ProviderLoad::default()));
    let told = Arc::clone(&load);
    let answer = move || async move {
        let load = *told.lock().unwrap();
        Json(ProviderLoads::from([(DESK.parse().unwrap(), [("openai".parse().unwrap(), load)].into())]))
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    world.backends.gateway_admin_port = listener.local_addr().unwrap().port();
    let mut tasks = tokio::task::JoinSet::new();
    let router = Router::new().route("/backends", get(answer));
    tasks.spawn(async move { axum::serve(listener, router).await.unwrap() });
    gateway(&world, "127.0.0.1");
    world.push("Answer.");
    world.apply("main", &json!({}));
    let serve = json!({ "image": "sim:1", "scale": { "min": 0, "max": 1, "idleAfter": "4s" } });
    apply(&world, "llm", &json!({ "provider": "openai", "serve": serve }));
    let operator = world.operator("a");
    until(&world, "llm", "Ready", "True", "AtZero").await;
    let replicas = |server: &Server| server.get("deployments", DESK, "llm").unwrap()["spec"]["replicas"].clone();
    assert_eq!(replicas(&world.server), 0);

    *load.lock().unwrap() = ProviderLoad { held: 1, tokens_in_flight: 900, last_call_seconds: Some(0.5) };
    until(&world, "llm", "Serving", "Unknown", "Starting").await;
    assert_eq!(replicas(&world.server), 1);
    deployment_status(&world, "llm", 1);
    until(&world, "llm", "Ready", "True", "Serving").await;

    *load.lock().unwrap() = ProviderLoad { held: 0, tokens_in_flight: 0, last_call_seconds: Some(5.0) };
    world.clock.advance(Duration::from_secs(5));
    world.until("the end of the pod", |server| (replicas(server) == 0).then_some(())).await;
    deployment_status(&world, "llm", 0);
    until(&world, "llm", "Ready", "True", "AtZero").await;
    let told: Vec<_> = events(&world.server, "ModelBackend").into_iter().map(|(reason, _)| reason).collect();
    assert!(told.contains(&"Scaled".to_owned()), "{told:?}");
    operator.stop().await;
}
