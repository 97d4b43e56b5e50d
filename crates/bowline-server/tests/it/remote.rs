//! The control API for other machines: over TLS, with a certificate that is renewed and tokens that are replaced, and without the console.

use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use axum::Router;
use bowline_server::{
    AdminToken, AdminTokens, Client, ClientError, ClientOptions, ClientTls, HostRule, ServerOptions, ServerTls,
    TlsFiles, TlsListener, TokenSource, api_router, probe_router,
};
use bowline_telemetry::Metrics;
use bowline_types::Secret;
use http::{StatusCode, header};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::api::{TOKEN, ask, get, options};
use crate::faulty::{Fault, FaultyStore, Moment};
use crate::links::Certificates;
use crate::world::{World, project};

fn api(world: &World, tokens: AdminTokens) -> Router {
    let metrics = Arc::new(Metrics::new(world.clock.clone()));
    api_router(world.control.clone(), metrics, ServerOptions { tokens, ..options(HostRule::any()) })
}

/// Serves the control API with TLS; ends with the set.
async fn serve(router: Router, tls: ServerTls) -> (JoinSet<()>, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (listener, mut tasks) = (TlsListener::new(listener, tls).unwrap(), JoinSet::new());
    tasks.spawn(async move { axum::serve(listener, router).await.unwrap() });
    (tasks, address)
}

fn constant(token: &str) -> TokenSource {
    AdminToken::new(token).source()
}

fn client(address: String, token: TokenSource, tls: Option<ClientTls>) -> Client {
    Client::remote(ClientOptions { address, token, tls }, project()).unwrap()
}

async fn asks(client: &Client) -> Result<Value, ClientError> {
    client.get("/keys").await
}

#[tokio::test]
async fn a_client_trusts_the_authority_that_it_was_given_and_no_other() {
    let mut world = World::new().await;
    world.release("v1", 0.9).await;
    let (ours, theirs) = (Certificates::new("ours"), Certificates::new("theirs"));
    let (_tasks, address) = serve(api(&world, AdminToken::new(TOKEN).into()), ours.server(None)).await;
    let at = |scheme: &str| format!("{scheme}://{address}");
    let trusting = client(at("https"), constant(TOKEN), Some(ours.client(false)));
    asks(&trusting).await.unwrap();
    assert!(
        matches!(asks(&trusting.of("other".parse().unwrap())).await, Ok(keys) if keys["keys"] == serde_json::json!([]))
    );
    let wrong = client(at("https"), constant("bwa_other"), Some(ours.client(false)));
    assert!(matches!(asks(&wrong).await, Err(ClientError::Refused { status: 401, .. })));
    let nobody = client(at("https"), Arc::new(|| None), Some(ours.client(false)));
    assert!(matches!(asks(&nobody).await, Err(ClientError::Token)));
    for (what, stranger) in [
        ("another authority", client(at("https"), constant(TOKEN), Some(theirs.client(false)))),
        ("the public authorities", client(at("https"), constant(TOKEN), None)),
        ("plain HTTP", client(at("http"), constant(TOKEN), None)),
        ("plain HTTP, as no scheme says", client(address.to_string(), constant(TOKEN), None)),
    ] {
        let error = asks(&stranger).await.unwrap_err();
        assert!(matches!(error, ClientError::Unreachable { .. }), "{what}: {error}");
    }
}

#[tokio::test]
async fn certificates_and_tokens_are_replaced_without_a_restart() {
    let world = World::new().await;
    let certificates = Certificates::new("ours");
    let (tls, tokens) = (certificates.server(None), AdminTokens::new("bwa_1").unwrap());
    let (_tasks, address) = serve(api(&world, tokens.clone()), tls.clone()).await;
    let held = Arc::new(Mutex::new("bwa_1"));
    let source = Arc::clone(&held);
    let token: TokenSource = Arc::new(move || Some(Secret::new((*source.lock().unwrap()).to_owned())));
    // A file of its own, as that of the server changes with the certificates.
    let authorities = certificates.path("trusted.pem");
    std::fs::copy(certificates.path("ca.pem"), &authorities).unwrap();
    let files = TlsFiles { identity: None, authorities: Some(authorities.clone()) };
    let client = client(format!("https://{address}/"), token, Some(ClientTls::load(files).unwrap()));
    asks(&client).await.unwrap();

    assert_eq!(tokens.replace("bwa_1\nbwa_2\n"), Ok(true));
    asks(&client).await.unwrap();
    *held.lock().unwrap() = "bwa_2";
    asks(&client).await.unwrap();
    assert_eq!(tokens.replace("bwa_2\n"), Ok(true));
    asks(&client).await.unwrap();
    *held.lock().unwrap() = "bwa_1";
    assert!(matches!(asks(&client).await, Err(ClientError::Refused { status: 401, .. })));
    *held.lock().unwrap() = "bwa_2";

    certificates.issue("server");
    assert!(tls.reload().unwrap());
    assert!(!client.reload().unwrap(), "its own files are the same");
    asks(&client).await.unwrap();
    // Another authority takes over: new connections of the client are made with it.
    let next = Certificates::new("next");
    std::fs::copy(next.path("ca.pem"), &authorities).unwrap();
    assert!(client.reload().unwrap());
    assert!(matches!(asks(&client).await, Err(ClientError::Unreachable { .. })));
}

#[test]
fn an_address_is_a_host_and_a_port() {
    let made = |address: &str| {
        let options = ClientOptions { address: address.to_owned(), token: constant(TOKEN), tls: None };
        Client::remote(options, project()).map(|_| ())
    };
    for address in ["127.0.0.1:7081", "http://127.0.0.1:7081", "https://bowline-control.bowline-system.svc:7084/"] {
        made(address).unwrap();
    }
    for none in ["", "https://", "ftp://a:1", "https://a:1/api", "https://a:1?x", "https://me@a:1", "a b:1"] {
        let error = made(none).unwrap_err();
        assert!(matches!(&error, ClientError::Address { address } if address == none), "{none}: {error}");
    }
}

#[tokio::test]
async fn other_machines_get_no_console_and_watchers_no_api() {
    let mut world = World::new().await;
    world.release("v1", 0.9).await;
    let router = api(&world, AdminToken::new(TOKEN).into());
    assert_eq!(get(&router, "/healthz").await.status, StatusCode::OK);
    for closed in ["/", "/metrics", "/readyz", "/assets/console.css", "/rollouts/desk/1", "/internal/v1/news"] {
        assert_eq!(get(&router, closed).await.status, StatusCode::NOT_FOUND, "{closed}");
    }
    assert_eq!(get(&router, "/api/v1/projects").await.status, StatusCode::UNAUTHORIZED);

    let probes = probe_router(world.control.clone(), Arc::new(Metrics::new(world.clock.clone())));
    for (open, text) in [("/healthz", "ok"), ("/readyz", "ready"), ("/metrics", "bowline_")] {
        // By the address of a pod, which the role does not know.
        let request = http::Request::get(open).header(header::HOST, "10.244.0.7:7083");
        let answer = ask(&probes, request.body(axum::body::Body::empty()).unwrap()).await;
        assert_eq!(answer.status, StatusCode::OK, "{open}");
        assert!(answer.text.contains(text), "{open}: {}", answer.text);
    }
    for closed in ["/", "/api/v1/projects", "/api/v1/projects/desk/keys"] {
        assert_eq!(get(&probes, closed).await.status, StatusCode::NOT_FOUND, "{closed}");
    }
}

#[tokio::test]
async fn a_control_role_is_ready_while_its_store_can_be_read_and_written() {
    let mut faulty = None;
    let world = World::over(|store| {
        let store = Arc::new(FaultyStore::new(store));
        faulty = Some(store.clone());
        store
    })
    .await;
    let faulty = faulty.unwrap();
    let probes = probe_router(world.control.clone(), Arc::new(Metrics::new(world.clock.clone())));
    assert_eq!(get(&probes, "/readyz").await.status, StatusCode::OK);
    // It can be read all the while.
    faulty.arm(Some(Fault { commit: 1, moment: Moment::Before }));
    let unready = get(&probes, "/readyz").await;
    assert_eq!(unready.status, StatusCode::SERVICE_UNAVAILABLE, "{}", unready.text);
    assert_eq!(get(&probes, "/healthz").await.status, StatusCode::OK);
    assert_eq!(get(&probes, "/readyz").await.status, StatusCode::OK, "it takes transactions again");
    // Only where nothing but another start helps, it is to be started again.
    faulty.arm(Some(Fault { commit: 1, moment: Moment::Sync }));
    let unhealthy = get(&probes, "/healthz").await;
    assert_eq!(unhealthy.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(unhealthy.text.contains("open the store again"), "{}", unhealthy.text);
    // A disk that is slow is not made faster by another start.
    faulty.arm(Some(Fault { commit: 1, moment: Moment::Never }));
    assert_eq!(get(&probes, "/healthz").await.status, StatusCode::OK);
    faulty.mute.store(true, Ordering::SeqCst);
    assert_eq!(get(&probes, "/readyz").await.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(get(&probes, "/healthz").await.status, StatusCode::OK);
}
