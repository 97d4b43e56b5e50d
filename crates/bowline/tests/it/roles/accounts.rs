//! A gateway that asks an API server of Kubernetes whose tokens are.

use std::fs;

use axum::Router;
use axum::http::{StatusCode, Uri};
use axum::routing::post;
use bowline_server::wire::SubjectResponse;
use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt as _, Full};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::cluster::{Cluster, PATIENCE, Role};

const APP: &str = "system:serviceaccount:shop:app";
/// `{"sub":"system:serviceaccount:shop:app"}`.
const CLAIMS: &str = "eyJzdWIiOiJzeXN0ZW06c2VydmljZWFjY291bnQ6c2hvcDphcHAifQ";

/// Vouches for tokens with a good signature and the audience `bowline`.
async fn review(uri: Uri, body: Bytes) -> (StatusCode, [(&'static str, &'static str); 1], String) {
    assert_eq!(uri.path(), "/apis/authentication.k8s.io/v1/tokenreviews");
    let mut review: Value = serde_json::from_slice(&body).unwrap();
    let is_good = review["spec"]["token"].as_str().unwrap().ends_with(".good");
    let audiences = review["spec"]["audiences"].clone();
    review["status"] = match is_good && audiences == json!(["bowline"]) {
        true => json!({ "authenticated": true, "audiences": audiences, "user": { "username": APP } }),
        false => json!({ "authenticated": false, "error": "invalid bearer token" }),
    };
    (StatusCode::CREATED, [("content-type", "application/json")], review.to_string())
}

async fn status(cluster: &Cluster, gateway: &Role, signature: &str) -> (u16, String) {
    let uri = format!("http://{}/v1/chat/completions", gateway.address("gateway"));
    let request = Request::post(uri).header("authorization", format!("Bearer e30.{CLAIMS}.{signature}"));
    let body = json!({ "model": "prompt:hello" }).to_string();
    let answer = cluster.pool.request(request.body(Full::from(body)).unwrap()).await.unwrap();
    let status = answer.status().as_u16();
    (status, String::from_utf8(answer.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_of_a_service_account_is_a_key_where_the_api_server_says_so() {
    let cluster = Cluster::start(&[]).await;
    let (listener, mut serving) = (TcpListener::bind("127.0.0.1:0").await.unwrap(), JoinSet::new());
    let kubeconfig = cluster.folder.path().join("kubeconfig");
    let server = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "test",
        "clusters": [{ "name": "test", "cluster": { "server": format!("http://{}", listener.local_addr().unwrap()) } }],
        "contexts": [{ "name": "test", "context": { "cluster": "test", "user": "test" } }],
        "users": [{ "name": "test", "user": {} }],
    });
    fs::write(&kubeconfig, server.to_string()).unwrap();
    serving.spawn(async move { axum::serve(listener, Router::new().fallback(post(review))).await.unwrap() });

    let control = format!("http://{}", cluster.control_addresses.1);
    let token = format!("file:{}", cluster.folder.path().join("control/gateway.token").display());
    let arguments = [
        ["--roles", "gateway"],
        ["--control", &control],
        ["--token", &token],
        ["--listen", "127.0.0.1:0"],
        ["--admin-listen", "127.0.0.1:0"],
        ["--kubernetes-audience", "bowline"],
    ];
    let arguments = arguments.as_flattened();
    let kubernetes = ("KUBECONFIG", kubeconfig.to_str().unwrap());
    let data = cluster.folder.path().join("gateway");
    let gateway = Role::start_with(&cluster.project, &data, arguments, Some(kubernetes)).wait().await;
    cluster.ready(&gateway).await;

    assert_eq!(status(&cluster, &gateway, "good").await.0, 401, "the account has no key");
    let request = json!({ "name": "app", "environment": "prod", "subject": APP });
    let made: SubjectResponse = cluster.client.post("/keys", &request).await.unwrap();
    let deadline = Instant::now() + PATIENCE;
    while status(&cluster, &gateway, "good").await.0 != 200 {
        assert!(Instant::now() < deadline, "{:?}\n{}", status(&cluster, &gateway, "good").await, gateway.log());
    }
    let (refused, said) = status(&cluster, &gateway, "bad").await;
    assert!(refused == 401 && said.contains("no valid token of a service account"), "{said}");
    // Nobody answers any more: who passed passes on, and nobody else does.
    serving.shutdown().await;
    assert_eq!(status(&cluster, &gateway, "good").await.0, 200);
    let (refused, said) = status(&cluster, &gateway, "also.good").await;
    assert_eq!(refused, 401, "it has not the form of a token: {said}");
    let (refused, said) = status(&cluster, &gateway, "other-good").await;
    assert!(refused == 503 && said.contains("token_unreviewed"), "{said}");
    cluster.client.delete::<Value>(&format!("/keys/{}", made.record.id)).await.unwrap();
    let deadline = Instant::now() + PATIENCE;
    while status(&cluster, &gateway, "good").await.0 != 401 {
        assert!(Instant::now() < deadline, "a key that was revoked opens something");
    }
    assert!(!gateway.log().contains(CLAIMS), "tokens are not logged");
    assert!(gateway.stop().await);

    let missing = ("KUBECONFIG", "/not/there");
    let mut command = cluster.project.command(&[&["serve", "--data", "none"], arguments].concat());
    let output = command.env(missing.0, missing.1).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && said.contains("there is no way to a Kubernetes API server"), "{said}");
}
