//! The control API over HTTP: who may ask, and what is answered to what cannot be done.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use bowline_server::wire::{
    ActionRequest, EnvironmentView, ErrorBody, KeyList, KeyRequest, KeyResponse, LogPage, ProjectList, ReleaseResponse,
    RolloutView,
};
use bowline_server::{AdminToken, Client, ClientError, HostRule, ServerOptions, router};
use bowline_store::{InferenceRecord, RolloutRecord};
use bowline_telemetry::Metrics;
use http::{Request, StatusCode, header};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use crate::console_look::serve;
use crate::world::{World, classify, prod, project, release_prompt, release_request};

pub(crate) const HOST: &str = "127.0.0.1:7081";
pub(crate) const TOKEN: &str = "bwa_test";

/// Every route without the admin token. Read-only, and without content of prompts or answers.
const OPEN: [&str; 12] = [
    "/",
    "/assets/console.css",
    "/assets/console.js",
    "/assets/icon.svg",
    "/environments/{project}/{environment}",
    "/environments/{project}/{environment}/live",
    "/healthz",
    "/live",
    "/metrics",
    "/readyz",
    "/rollouts/{project}/{number}",
    "/rollouts/{project}/{number}/live",
];

pub(crate) fn options(host: HostRule) -> ServerOptions {
    let tokens = AdminToken::new(TOKEN).into();
    ServerOptions { tokens, host, backup: None, shutdown: CancellationToken::new() }
}

pub(crate) fn routes(world: &World) -> Router {
    let metrics = Arc::new(Metrics::new(world.clock.clone()));
    router(world.control.clone(), metrics, options(HostRule::new(HOST.parse().unwrap(), [])))
}

pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: http::HeaderMap,
    pub(crate) text: String,
}

pub(crate) async fn ask(router: &Router, request: Request<Body>) -> Answer {
    let response = router.clone().oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let text = String::from_utf8(body.collect().await.unwrap().to_bytes().into()).unwrap();
    Answer { status: parts.status, headers: parts.headers, text }
}

pub(crate) async fn get(router: &Router, path: &str) -> Answer {
    ask(router, Request::get(path).header(header::HOST, HOST).body(Body::empty()).unwrap()).await
}

async fn send(router: &Router, method: &str, path: &str, body: impl Into<Body>) -> Answer {
    let request = Request::builder().method(method).uri(path).header(header::HOST, HOST);
    let request = request.header(header::AUTHORIZATION, format!("Bearer {TOKEN}"));
    ask(router, request.header(header::CONTENT_TYPE, "application/json").body(body.into()).unwrap()).await
}

/// The routes of the sources, with their methods: `get /rollouts`.
fn declared(source: &str) -> BTreeSet<(String, String)> {
    let mut found = BTreeSet::new();
    for part in source.split(".route(").skip(1) {
        let (path, rest) = part.trim_start().strip_prefix('"').unwrap().split_once('"').unwrap();
        let handlers = rest.split_once(';').map_or(rest, |(handlers, _)| handlers);
        for method in ["get", "post", "put", "delete"] {
            if handlers.contains(&format!("{method}(")) {
                found.insert((method.to_uppercase(), path.to_owned()));
            }
        }
    }
    found
}

fn concrete(path: &str) -> String {
    let filled = path.replace("{project}", "desk").replace("{environment}", "prod").replace("{number}", "1");
    let filled = filled.replace("{version}", "sha256:00").replace("{*prompt}", "support/classify");
    filled.replace("{id}", "key_0198f3d2a1b47c0e8f00112233445566")
}

/// A new route fails here until someone decides whether it needs the token.
#[tokio::test]
async fn only_these_routes_need_no_token() {
    let mut world = World::new().await;
    world.release("v1", 0.9).await;
    world.release("v2", 0.9).await;
    let router = routes(&world);
    let mut all = declared(include_str!("../../src/api.rs"));
    all.extend(declared(include_str!("../../src/console.rs")));
    assert!(all.len() > 30, "{all:#?}");
    let mut open = BTreeSet::new();
    for (method, path) in &all {
        let mut refused = 0;
        let places = [
            path.clone(),
            format!("/api/v1{path}"),
            format!("/api/v1/projects/{{project}}{}", path.trim_end_matches('/')),
        ];
        for place in &places {
            let request = Request::builder().method(method.as_str()).uri(concrete(place)).header(header::HOST, HOST);
            let answer = ask(&router, request.body(Body::empty()).unwrap()).await;
            refused += u32::from(answer.status == StatusCode::UNAUTHORIZED);
            if answer.status.is_success() {
                assert_eq!(method, "GET", "{place} changes something without a token");
                open.insert(place.clone());
            }
        }
        assert!(refused >= 1, "{method} {path} is nowhere");
    }
    assert_eq!(open, OPEN.iter().map(|path| (*path).to_owned()).collect());
}

#[tokio::test]
async fn tokens_must_be_right() {
    let world = World::new().await;
    let router = routes(&world);
    for value in ["", "Bearer", "Bearer ", "Bearer bwa_tes", "Bearer bwa_test2", "Basic bwa_test", "bwa_test"] {
        for path in ["/api/v1/projects", "/api/v1/nothing", "/api/v1/projects/desk/keys"] {
            let request = Request::get(path).header(header::HOST, HOST).header(header::AUTHORIZATION, value);
            let answer = ask(&router, request.body(Body::empty()).unwrap()).await;
            assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{value} {path}");
            let body: ErrorBody = serde_json::from_str(&answer.text).unwrap();
            assert!(body.error.code == "unauthenticated" && body.error.message.contains("\nhint: "));
        }
    }
    assert_eq!(send(&router, "GET", "/api/v1/projects", "").await.status, StatusCode::OK);
}

#[tokio::test]
async fn other_hosts_are_refused_everywhere() {
    let world = World::new().await;
    let router = routes(&world);
    for path in ["/", "/live", "/metrics", "/healthz", "/assets/console.js", "/api/v1/projects", "/nothing"] {
        for host in ["evil.example:7081", "127.0.0.1.evil.example:7081", ""] {
            let request = Request::get(path).header(header::HOST, host);
            let request = request.header(header::AUTHORIZATION, format!("Bearer {TOKEN}"));
            let answer = ask(&router, request.body(Body::empty()).unwrap()).await;
            assert_eq!(answer.status, StatusCode::FORBIDDEN, "{path} {host}");
        }
        let answer = ask(&router, Request::get(path).body(Body::empty()).unwrap()).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{path} without a host");
    }
}

#[tokio::test]
async fn what_cannot_be_done_is_said_in_one_form() {
    let mut world = World::new().await;
    world.release("v1", 0.9).await;
    let router = routes(&world);
    let api = "/api/v1/projects/desk";
    let check = async |method: &str, path: &str, body: String, status: u16, code: &str, message: &str| {
        let answer = send(&router, method, path, body).await;
        let found: ErrorBody = serde_json::from_str(&answer.text).unwrap();
        assert_eq!((answer.status.as_u16(), found.error.code.as_str()), (status, code), "{path}: {}", answer.text);
        assert!(found.error.message.contains(message), "{path}: {}", found.error.message);
    };
    let none = String::new;
    check("GET", "/api/v1/nothing", none(), 404, "not_found", "there is no route `GET /").await;
    check("GET", "/nothing", none(), 404, "not_found", "there is no route `GET /nothing`").await;
    check("DELETE", &format!("{api}/rollouts"), none(), 400, "invalid_request", "does not take DELETE").await;
    check("GET", "/api/v1/projects/other/environments", none(), 404, "not_found", "there is no project `other`").await;
    check("GET", "/api/v1/projects/Other/environments", none(), 400, "invalid_request", "`Other` is not a name").await;
    check("GET", &format!("{api}/rollouts/9"), none(), 404, "not_found", "there is no rollout `9`").await;
    check("GET", &format!("{api}/rollouts/x"), none(), 400, "invalid_request", "").await;
    check("GET", &format!("{api}/environments/prd/log"), none(), 404, "not_found", "did you mean `prod`?").await;
    check("GET", &format!("{api}/environments/prod/log?limit=x"), none(), 400, "invalid_request", "limit").await;
    check("POST", &format!("{api}/releases"), "{".to_owned(), 400, "invalid_request", "").await;
    check("POST", &format!("{api}/releases"), "{}".to_owned(), 400, "invalid_request", "missing field").await;
    let freeze = format!("{api}/environments/prod/freeze");
    let unknown = json!({ "actor": "a", "why": "b", "force": true }).to_string();
    check("POST", &freeze, unknown, 400, "invalid_request", "unknown field `force`").await;
    let rollback = json!({ "prompt": "support/classify", "actor": "a", "why": "b" }).to_string();
    check("POST", &format!("{api}/environments/prod/rollback"), rollback, 409, "conflict", "no earlier version").await;
    let missing = json!({ "prompt": "nothing", "actor": "a", "why": "b" }).to_string();
    check("POST", &format!("{api}/environments/prod/rollback"), missing, 404, "not_found", "serves no prompt").await;
    let key = "key_0198f3d2a1b47c0e8f00112233445566";
    check("DELETE", &format!("{api}/keys/{key}"), none(), 404, "not_found", "there is no key").await;
    check("DELETE", &format!("{api}/keys/bwl_x"), none(), 400, "invalid_request", "").await;
    let large = "x".repeat(64 * 1024 * 1024 + 1);
    check("POST", &format!("{api}/releases"), large, 413, "too_large", "larger than 67108864 bytes").await;
}

#[tokio::test]
async fn releases_are_checked() {
    let world = World::new().await;
    let router = routes(&world);
    let check = async |change: fn(&mut Value), status: u16, message: &str| {
        let mut body = serde_json::to_value(release_request(vec![release_prompt(&classify(), "v1")])).unwrap();
        change(&mut body);
        let answer = send(&router, "POST", "/api/v1/projects/desk/releases", body.to_string()).await;
        assert!(
            answer.status.as_u16() == status && answer.text.contains(message),
            "{}: {}",
            answer.status,
            answer.text
        );
    };
    check(|body| body["prompts"][0]["content"]["body"] = json!("v2"), 400, "hashes to sha256:").await;
    check(|body| body["prompts"][0]["content"]["colour"] = json!(1), 400, "unknown field `colour`").await;
    check(|body| body["config"]["project"] = json!("other"), 400, "is of project `other`, not of `desk`").await;
    check(|body| body["environment"] = json!("prd"), 404, "did you mean `prod`?").await;
    check(|body| body["provenance"]["dirty"] = json!(true), 409, "uncommitted changes").await;
    check(|body| body["source"] = json!("bundle"), 409, "takes its versions from `cli`").await;
    let of_bundle = |body: &mut Value| {
        body["config"]["environments"]["prod"]["source"] = json!("bundle");
        body["source"] = json!("bundle");
    };
    check(of_bundle, 400, "names the digest of the bundle").await;
    check(|body| body["bundle"] = body["prompts"][0]["digest"].clone(), 400, "and no other release does").await;
    let twice = |body: &mut Value| {
        let prompt = body["prompts"][0].clone();
        body["prompts"].as_array_mut().unwrap().push(prompt);
    };
    check(twice, 400, "holds prompt `support/classify` twice").await;
    assert!(world.control.project_list().await.unwrap().is_empty(), "a refused release leaves nothing");
    check(|_| {}, 200, "moved").await;
}

fn told(what: &str, result: Result<Value, ClientError>) -> String {
    match result {
        Ok(value) => format!("{what}: {value}"),
        Err(ClientError::Refused { status, code, message }) => format!("{what}: {status} {code} {message}"),
        Err(error) => panic!("{what}: {error}"),
    }
}

/// All that the command line reads, told as text.
async fn reads(client: &Client) -> Vec<String> {
    let mut all = Vec::new();
    for path in [
        "/environments",
        "/environments/prod/log?limit=2",
        "/environments/prod/summary",
        "/rollouts?active=true",
        "/rollouts/1",
        "/rollouts/2",
        "/rollouts/1/observations?from=3",
        "/rollouts/1/replay",
        "/keys",
        "/inferences?limit=2",
        "/inferences",
    ] {
        all.push(told(path, client.get(path).await));
    }
    let preview = json!({ "environment": "prod", "prompt": "support/classify" });
    all.push(told("plan", client.post("/plan", &preview).await));
    all
}

/// Changes that leave things as they were, told as text.
async fn changes(client: &Client) -> Vec<String> {
    let freeze = ActionRequest { actor: "ada".to_owned(), why: "test".to_owned(), off: false };
    let lift = ActionRequest { off: true, ..freeze.clone() };
    vec![
        told("no key", client.delete("/keys/key_0198f3d2a1b47c0e8f00112233445566").await),
        told("freeze", client.post("/environments/prod/freeze", &freeze).await),
        told("frozen", client.post("/rollouts/1/promote", &freeze).await),
        told("unfreeze", client.post("/environments/prod/freeze", &lift).await),
    ]
}

#[tokio::test]
async fn a_client_does_the_same_over_the_network_and_in_process() {
    let mut world = World::new().await;
    world.release("v1", 0.9).await;
    world.release("v2", 0.9).await;
    world.traffic(&classify(), 60).await;
    world.control.tick().await.unwrap();
    let token = || AdminToken::new(TOKEN);
    let here = Client::in_process(routes(&world), HOST.to_owned(), project(), token());
    let address = serve(&world).await;
    let there = Client::network(address.to_string(), project(), token());
    assert_eq!(reads(&here).await, reads(&there).await);
    assert_eq!(changes(&here).await, changes(&there).await);

    let wrong = Client::network(address.to_string(), project(), AdminToken::new("bwa_other"));
    let refused = wrong.get::<Value>("/rollouts").await.unwrap_err();
    assert!(matches!(refused, ClientError::Refused { status: 401, .. }), "{refused}");
    // The port of a listener that is gone.
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let nobody = Client::network(gone.to_string(), project(), token());
    let unreachable = nobody.get::<Value>("/rollouts").await.unwrap_err();
    assert!(matches!(unreachable, ClientError::Unreachable { .. }), "{unreachable}");
}

#[tokio::test]
async fn answers_read_back_as_what_they_are() {
    let mut world = World::new().await;
    world.release("v1", 0.9).await;
    let client = Client::in_process(routes(&world), HOST.to_owned(), project(), AdminToken::new(TOKEN));
    let request = release_request(vec![release_prompt(&classify(), "v2")]);
    let released: ReleaseResponse = client.post("/releases", &request).await.unwrap();
    assert_eq!(released.results.len(), 1);
    world.traffic(&classify(), 50).await;
    world.control.tick().await.unwrap();
    let views: Vec<EnvironmentView> = client.get("/environments").await.unwrap();
    assert_eq!(views.iter().map(|view| view.environment.as_str()).collect::<Vec<_>>(), ["dev", "prod"]);
    let log: LogPage = client.get("/environments/prod/log?prompt=support/classify").await.unwrap();
    assert_eq!(log.rows.len(), 2);
    let view: RolloutView = client.get("/rollouts/1").await.unwrap();
    assert_eq!(view.rollout, world.newest_rollout().await);
    assert_eq!(view.evidence, world.control.rollout_view(&project(), 1).await.unwrap().evidence);
    let inferences: Vec<InferenceRecord> = client.get("/inferences?limit=7&environment=prod").await.unwrap();
    assert_eq!(inferences.len(), 7);
    let request = KeyRequest {
        name: "app".to_owned(),
        environment: prod(),
        environments: vec![],
        versions: false,
        subject: None,
        replaces: None,
    };
    let made: KeyResponse = client.post("/keys", &request).await.unwrap();
    let list: KeyList = client.get("/keys").await.unwrap();
    assert_eq!(list.keys, [made.record]);
    let by = ActionRequest { actor: "ada".to_owned(), why: "enough".to_owned(), off: false };
    let ended: RolloutRecord = client.post("/rollouts/1/abort", &by).await.unwrap();
    assert_eq!(ended.why, "aborted by ada: enough");
    let put: ProjectList = client.put("", &request_config()).await.unwrap();
    assert_eq!(put.projects, [project()]);
}

fn request_config() -> Value {
    release_request(Vec::new()).config
}

#[tokio::test]
async fn metrics_tell_where_rollouts_stand() {
    let mut world = World::new().await;
    world.release("v1", 0.9).await;
    world.release("v2", 0.9).await;
    world.traffic(&classify(), 60).await;
    world.control.tick().await.unwrap();
    let router = routes(&world);
    let answer = get(&router, "/metrics").await;
    let kind = answer.headers[header::CONTENT_TYPE].to_str().unwrap();
    assert!(kind.starts_with("application/openmetrics-text"), "{kind}");
    let line =
        answer.text.lines().find(|line| line.starts_with("bowline_rollout_units") && line.contains("arm=\"stable\""));
    let units: f64 = line.unwrap().rsplit_once(' ').unwrap().1.parse().unwrap();
    let evidence = world.control.rollout_view(&project(), 1).await.unwrap().evidence;
    assert!(units > 0.0 && format!("{units}") == evidence.arms.stable.units.to_string(), "{line:?}");
    assert_eq!(get(&router, "/readyz").await.text, "ready\n");
    assert_eq!(get(&router, "/healthz").await.text, "ok\n");
}
