//! The internal API over HTTP: who may ask, what waits for what, and that one version of difference works both ways.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use bowline_registry::Snapshot;
use bowline_server::wire::{ErrorBody, News, RecordsRequest, SecretView};
use bowline_server::{GatewayAuth, GatewayTokens, InternalOptions, internal_router};
use bowline_store::{InferenceFilter, SCHEMA_VERSION};
use bowline_telemetry::Metrics;
use bowline_types::{Clock, Digest, TokenSecret};
use http::{Request, StatusCode, header};
use http_body_util::BodyExt;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use crate::api::{ask, routes};
use crate::world::World;

const TOKEN: &str = "bwg_test";
/// Every route of the internal API, with its method.
const ROUTES: [(&str, &str); 4] = [
    ("GET", "/internal/v1/news?schema=1"),
    ("POST", "/internal/v1/records"),
    ("GET", "/internal/v1/secret"),
    ("GET", "/internal/v1/snapshot?schema=1"),
];

pub(crate) fn internal(world: &World, auth: GatewayAuth) -> Router {
    let metrics = Arc::new(Metrics::new(world.clock.clone()));
    let (token_secret, shutdown) = (TokenSecret::generate().unwrap(), CancellationToken::new());
    internal_router(world.control.clone(), InternalOptions { auth, token_secret, metrics, shutdown })
}

fn with_token(world: &World) -> Router {
    internal(world, GatewayAuth::Tokens(GatewayTokens::new(&format!("{TOKEN}\nbwg_next\n")).unwrap()))
}

fn request(method: &str, path: &str, token: &str) -> Request<Body> {
    let request = Request::builder().method(method).uri(path).header(header::AUTHORIZATION, format!("Bearer {token}"));
    request.header(header::CONTENT_TYPE, "application/json").body(Body::from("{}")).unwrap()
}

async fn news(router: &Router, query: &str) -> News {
    let answer = ask(router, request("GET", &format!("/internal/v1/news?{query}"), TOKEN)).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
    serde_json::from_str(&answer.text).unwrap()
}

async fn records(router: &Router, body: String) -> (StatusCode, String) {
    let request = Request::post("/internal/v1/records").header(header::AUTHORIZATION, format!("Bearer {TOKEN}"));
    let request = request.header(header::CONTENT_TYPE, "application/json").body(Body::from(body)).unwrap();
    let answer = ask(router, request).await;
    (answer.status, answer.text)
}

#[tokio::test]
async fn gateways_prove_who_they_are_and_may_nothing_else() {
    let world = World::new().await;
    let (internal, admin) = (with_token(&world), routes(&world));
    let declared: BTreeSet<_> = include_str!("../../src/internal.rs").split(".route(\"/").skip(1).collect();
    assert_eq!(
        declared.len() - 1,
        ROUTES.len(),
        "a new route of the internal API belongs into the list (`/healthz` is open)"
    );
    for (method, path) in ROUTES {
        for token in ["", "bwg_tes", "bwg_test2", "bwa_test"] {
            let answer = ask(&internal, request(method, path, token)).await;
            assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{token} {path}");
            let body: ErrorBody = serde_json::from_str(&answer.text).unwrap();
            assert!(body.error.message.contains("\nhint: ") && body.error.message.contains("gateway.token"));
        }
        // Two tokens at a time, so that one can be replaced without a gap.
        for token in [TOKEN, "bwg_next"] {
            let answer = internal.clone().oneshot(request(method, path, token)).await.unwrap().status();
            assert!(answer.is_success(), "{token} {path} {answer}");
        }
    }
    // What the token of gateways opens is here alone, and what is there is not here.
    for path in ["/api/v1/projects", "/api/v1/projects/desk/keys", "/internal/v1/news?schema=1"] {
        let mut asked = request("GET", path, TOKEN);
        asked.headers_mut().insert(header::HOST, "127.0.0.1:7081".parse().unwrap());
        let answer = ask(&admin, asked).await.status;
        assert!([StatusCode::UNAUTHORIZED, StatusCode::NOT_FOUND].contains(&answer), "{path} {answer}");
        if path.starts_with("/api") {
            assert_eq!(ask(&internal, request("GET", path, TOKEN)).await.status, StatusCode::NOT_FOUND, "{path}");
        }
    }
    assert_eq!(ask(&internal, Request::get("/healthz").body(Body::empty()).unwrap()).await.text, "ok\n");
}

/// Deliveries have turns, and whoever dies in the middle of one gives it back.
#[tokio::test]
async fn a_delivery_that_does_not_end_is_ended() {
    let world = World::new().await;
    let router = with_token(&world);
    tokio::time::pause();
    let stuck = (0..40).map(|_| {
        let request = Request::post("/internal/v1/records").header(header::AUTHORIZATION, format!("Bearer {TOKEN}"));
        let body = Body::from_stream(futures_util::stream::pending::<std::io::Result<&[u8]>>());
        router.clone().oneshot(request.header(header::CONTENT_TYPE, "application/json").body(body).unwrap())
    });
    for answer in futures_util::future::join_all(stuck).await {
        assert_eq!(answer.unwrap().status(), StatusCode::SERVICE_UNAVAILABLE);
    }
    tokio::time::resume();
    assert_eq!(records(&router, "{}".to_owned()).await.0, StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn news_waits_for_another_snapshot_and_tells_leases_as_durations() {
    let mut world = World::new().await;
    world.release("v1", 0.9).await;
    let router = with_token(&world);
    let first = news(&router, "schema=1&wait_ms=30000").await;
    assert_eq!((first.digest, first.record_schema), (world.snapshot().digest().unwrap(), SCHEMA_VERSION));
    assert!(first.leases_us.is_empty() && first.now == world.clock.now());

    // Nothing changes: the answer comes after the wait.
    let known = format!("schema=1&known={}&wait_ms=", first.digest);
    let again = news(&router, &format!("{known}50")).await;
    assert_eq!(again.digest, first.digest);
    assert!(again.waited_us >= 50_000);

    // Something changes: it comes at once.
    let query = format!("{known}30000");
    let (changed, ()) = tokio::join!(news(&router, &query), async {
        tokio::time::sleep(Duration::from_millis(20)).await;
        world.release("v2", 0.9).await;
    });
    assert_ne!(changed.digest, first.digest);
    assert!(changed.waited_us < 10_000_000);
    let lease = Duration::from_micros(*changed.leases_us.values().next().unwrap());
    assert_eq!(lease, Duration::from_secs(300));
    // The control role's clock goes on, and nobody is told another time of day.
    world.clock.advance(Duration::from_secs(40));
    let later = news(&router, &format!("schema=1&known={}", changed.digest)).await;
    assert_eq!(later.leases_us.values().next(), Some(&260_000_000));
}

#[tokio::test]
async fn the_snapshot_comes_once_compressed_and_not_again() {
    let mut world = World::new().await;
    world.release("v1", 0.9).await;
    let router = with_token(&world);
    let response = router.clone().oneshot(request("GET", "/internal/v1/snapshot?schema=1", TOKEN)).await.unwrap();
    assert_eq!(response.headers()[header::CONTENT_ENCODING], "gzip");
    let tag = response.headers()[header::ETAG].clone();
    assert_eq!(tag, format!("\"{}\"", world.snapshot().digest().unwrap()));
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    let snapshot: Snapshot = serde_json::from_reader(flate2::read::GzDecoder::new(&bytes[..])).unwrap();
    assert_eq!(snapshot, *world.snapshot());

    let again = async |tag: &http::HeaderValue| {
        let mut asked = request("GET", "/internal/v1/snapshot?schema=1", TOKEN);
        asked.headers_mut().insert(header::IF_NONE_MATCH, tag.clone());
        router.clone().oneshot(asked).await.unwrap().status()
    };
    assert_eq!(again(&tag).await, StatusCode::NOT_MODIFIED);
    // A lease that is renewed is no change; a release is.
    world.clock.advance(Duration::from_secs(200));
    world.control.tick().await.unwrap();
    assert_eq!(again(&tag).await, StatusCode::NOT_MODIFIED);
    world.release("v2", 0.9).await;
    assert_eq!(again(&tag).await, StatusCode::OK);
}

#[tokio::test]
async fn a_secret_is_told_to_gateways_and_not_to_logs() {
    let world = World::new().await;
    let router = with_token(&world);
    let answer = ask(&router, request("GET", "/internal/v1/secret", TOKEN)).await;
    assert_eq!(answer.headers[header::CACHE_CONTROL], "no-store");
    let view: SecretView = serde_json::from_str(&answer.text).unwrap();
    assert!(TokenSecret::parse(&view.token_secret).is_some());
    assert!(!format!("{view:?}").contains(&view.token_secret));
}

#[tokio::test]
async fn records_come_twice_and_count_once() {
    let mut world = World::new().await;
    world.release("v1", 0.9).await;
    let router = with_token(&world);
    let request = RecordsRequest { inferences: vec![world.call(), world.call()], ..RecordsRequest::default() };
    for _ in 0..2 {
        let (status, text) = records(&router, serde_json::to_string(&request).unwrap()).await;
        assert_eq!(status, StatusCode::NO_CONTENT, "{text}");
    }
    let filter = InferenceFilter { limit: 10, ..InferenceFilter::default() };
    assert_eq!(world.store.inference_list(filter).await.unwrap().len(), 2);
}

/// What a gateway of schema 1 sends, as one wrote it, and what it is answered.
#[tokio::test]
async fn a_gateway_of_the_schema_before_is_understood() {
    let world = World::new().await;
    let router = with_token(&world);
    let recorded = include_str!("../../../bowline-gateway/tests/fixtures/schema-1/batch.json");
    let request: RecordsRequest = serde_json::from_str(recorded).unwrap();
    assert!(request.schema() == 1 && request.inferences.len() == 4 && !request.outcomes.is_empty());
    let (status, text) = records(&router, recorded.to_owned()).await;
    assert_eq!(status, StatusCode::NO_CONTENT, "{text}");
    for sent in &request.inferences {
        assert_eq!(world.store.inference_fetch(sent.id).await.unwrap().as_ref(), Some(sent));
    }
    for loss in &request.losses {
        assert_eq!(world.store.loss_list(loss.rollout).await.unwrap(), std::slice::from_ref(loss));
    }
    let snapshot = router.clone().oneshot(self::request("GET", "/internal/v1/snapshot?schema=1", TOKEN)).await.unwrap();
    let bytes = snapshot.into_body().collect().await.unwrap().to_bytes();
    let value: serde_json::Value = serde_json::from_reader(flate2::read::GzDecoder::new(&bytes[..])).unwrap();
    assert_eq!(value["schema_version"], 1);
}

/// A gateway one version ahead: it reads more than there is, and knows fields that nobody here does.
#[tokio::test]
async fn a_gateway_of_the_schema_after_is_served() {
    let mut world = World::new().await;
    world.release("v1", 0.9).await;
    let router = with_token(&world);
    let next = Snapshot::SCHEMA + 1;
    assert_eq!(
        news(&router, &format!("schema={next}&from_the_future=1")).await.digest,
        world.snapshot().digest().unwrap()
    );
    let answer = ask(&router, request("GET", "/internal/v1/secret", TOKEN)).await;
    assert_eq!(answer.status, StatusCode::OK);

    let call = world.call();
    let mut record = serde_json::to_value(&call).unwrap();
    record["from_the_future"] = "yes".into();
    let body = serde_json::json!({"inferences": [record], "losses": [], "more": 1});
    assert_eq!(records(&router, body.to_string()).await.0, StatusCode::NO_CONTENT);
    assert_eq!(world.store.inference_fetch(call.id).await.unwrap(), Some(call));

    // Records that it did not bring down to what this role reads stay with it, rather than be lost.
    let mut newer = body;
    newer["inferences"][0]["schema_version"] = (SCHEMA_VERSION + 1).into();
    let (status, text) = records(&router, newer.to_string()).await;
    assert_eq!(status, StatusCode::CONFLICT);
    assert!(text.contains("hint: upgrade the control role"), "{text}");
}

#[tokio::test]
async fn a_gateway_that_is_too_old_is_told_so() {
    let world = World::new().await;
    let router = with_token(&world);
    let oldest = Snapshot::SCHEMA_OLDEST;
    for path in ["news", "snapshot"] {
        let answer = ask(&router, request("GET", &format!("/internal/v1/{path}?schema={}", oldest - 1), TOKEN)).await;
        assert_eq!(answer.status, StatusCode::CONFLICT);
        assert!(answer.text.contains("hint: upgrade the gateway"), "{}", answer.text);
    }
}

/// A snapshot as a control role of schema 1 wrote it is read, digested and served by this one.
#[test]
fn a_snapshot_of_the_schema_before_is_read() {
    let recorded = include_bytes!("../../../bowline-registry/fixtures/schema-1/snapshot.json");
    let snapshot = Snapshot::from_json(recorded).unwrap();
    assert_eq!((snapshot.schema_version, snapshot.rollouts().count(), snapshot.versions.len()), (1, 1, 2));
    let digest = include_str!("../../../bowline-registry/fixtures/schema-1/digest.txt");
    assert_eq!(snapshot.digest().unwrap(), digest.trim().parse::<Digest>().unwrap(), "its identity is for ever");
    let newer =
        String::from_utf8(recorded.to_vec()).unwrap().replacen("\"schema_version\": 1", "\"schema_version\": 3", 1);
    assert!(Snapshot::from_json(newer.as_bytes()).unwrap_err().to_string().contains("has schema 3"));
}
