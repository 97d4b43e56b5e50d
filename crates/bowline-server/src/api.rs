use std::sync::Arc;
use std::time::Duration;

use axum::extract::{FromRef, Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post, put};
use axum::{Json, Router, middleware};
use bowline_canary::Preview;
use bowline_store::{
    EnvironmentRecord, InferenceFilter, InferenceRecord, LIST_ROWS_MAX, ObservationRecord, RolloutRecord, SummaryRow,
    VersionRecord,
};
use bowline_telemetry::{METRICS_CONTENT_TYPE, Metrics};
use bowline_types::{EnvironmentName, InferenceId, KeyId, ProjectName, PromptName};
use serde::Deserialize;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

pub(crate) mod extract;
mod scrape;

pub(crate) use extract::Path;
use extract::{Body, Query};

use crate::auth::{AdminTokens, HostRule, check_host, check_token};
use crate::backup::Backup;
use crate::console;
use crate::control::Control;
use crate::error::{Error, Result};
use crate::wire::{
    ActionRequest, BackupRequest, ChangesView, EnvironmentRequest, EnvironmentView, ErrorBody, ErrorDetail,
    InferenceView, KeyList, KeyRequest, KeyRevoked, LogPage, PlanRequest, ProjectList, ReleaseRequest, ReleaseResponse,
    ReplayView, RollbackRequest, RollbackResponse, RolloutView, SubjectResponse,
};

/// Rows of a list, unless the query says otherwise.
const LIST_ROWS_DEFAULT: u32 = 100;

/// The largest body of a request: a release of a large project.
const BODY_BYTES_MAX: usize = 64 * 1024 * 1024;

/// What the API and the console are served with.
#[derive(Clone, Debug)]
pub struct ServerOptions {
    /// The admin tokens.
    pub tokens: AdminTokens,
    /// The hosts that are ours.
    pub host: HostRule,
    /// How the store is copied; `None` where it cannot be.
    pub backup: Option<Backup>,
    /// Ends the waits of those who ask for changes, so that they do not hold up the end of the process.
    pub shutdown: CancellationToken,
}

/// What handlers share.
#[derive(Clone)]
pub(crate) struct Server {
    pub(crate) control: Control,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) tokens: AdminTokens,
    pub(crate) host: Arc<HostRule>,
    pub(crate) backup: Option<Backup>,
    pub(crate) shutdown: CancellationToken,
}

/// What those who watch are answered from.
#[derive(Clone)]
struct Probe {
    control: Control,
    metrics: Arc<Metrics>,
}

/// How long `/healthz` waits for the store: less than whoever asks waits for it.
const HEALTH_WAIT: Duration = Duration::from_secs(1);

/// Returns the routes of the control API, the console, `/metrics`, `/healthz` and `/readyz`.
///
/// The API needs the admin token. The console is read-only, shows names, digests and rates but no content of prompts or answers,
/// and is bound to loopback by default, so it needs none.
pub fn router(control: Control, metrics: Arc<Metrics>, options: ServerOptions) -> Router {
    let server = Server::new(control, metrics, options);
    let routes = Router::new()
        .nest("/api/v1", api(&server))
        .route("/metrics", get(metrics_text))
        .route("/healthz", get(healthy))
        .route("/readyz", get(ready))
        .merge(console::routes());
    finished(routes, server)
}

/// Returns the routes of the control API and `/healthz`, for a listener that other machines reach: nothing else there is answered without the
/// admin token.
pub fn api_router(control: Control, metrics: Arc<Metrics>, options: ServerOptions) -> Router {
    let server = Server::new(control, metrics, options);
    finished(Router::new().nest("/api/v1", api(&server)).route("/healthz", get(alive)), server)
}

/// Returns `/metrics`, `/healthz` and `/readyz` of a control role, for those who watch it: the kubelet calls by the address of a pod, and sends no
/// token.
pub fn probe_router(control: Control, metrics: Arc<Metrics>) -> Router {
    Router::new()
        .route("/metrics", get(metrics_text))
        .route("/healthz", get(healthy))
        .route("/readyz", get(ready))
        .fallback(unknown_route)
        .with_state(Probe { control, metrics })
}

fn api(server: &Server) -> Router<Server> {
    let project = Router::new()
        .route("/", put(project_put))
        .route("/changes", get(change_wait))
        .route("/releases", post(release))
        .route("/plan", post(plan_preview))
        .route("/environments", get(environment_list).post(environment_create))
        .route("/environments/{environment}/delete", post(environment_remove))
        .route("/environments/{environment}/log", get(log_list))
        .route("/environments/{environment}/summary", get(summary_list))
        .route("/environments/{environment}/rollback", post(rollback))
        .route("/environments/{environment}/freeze", post(freeze))
        .route("/versions/{version}/{*prompt}", get(version_fetch))
        .route("/rollouts", get(rollout_list))
        .route("/rollouts/{number}", get(rollout_view))
        .route("/rollouts/{number}/observations", get(observation_list))
        .route("/rollouts/{number}/replay", get(rollout_replay))
        .route("/rollouts/{number}/promote", post(rollout_promote))
        .route("/rollouts/{number}/abort", post(rollout_abort))
        .route("/keys", get(key_list).post(key_create))
        .route("/keys/{id}", delete(key_revoke))
        .route("/inferences", get(inference_list))
        .route("/inferences/{id}", get(inference_view))
        .route("/backup", post(store_copy));
    Router::new()
        .route("/projects", get(project_list))
        .nest("/projects/{project}", project)
        .fallback(unknown_route)
        .method_not_allowed_fallback(wrong_method)
        .layer(middleware::from_fn_with_state(server.clone(), check_token))
}

fn finished(routes: Router<Server>, server: Server) -> Router {
    routes
        .fallback(unknown_route)
        .layer(axum::extract::DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(middleware::from_fn_with_state(server.clone(), check_host))
        .with_state(server)
}

// === impl Server ===

impl Server {
    fn new(control: Control, metrics: Arc<Metrics>, options: ServerOptions) -> Self {
        let ServerOptions { tokens, host, backup, shutdown } = options;
        Self { control, metrics, tokens, host: Arc::new(host), backup, shutdown }
    }
}

impl FromRef<Server> for Probe {
    fn from_ref(server: &Server) -> Self {
        Self { control: server.control.clone(), metrics: Arc::clone(&server.metrics) }
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let spec = self.kind().spec();
        let body = ErrorBody { error: ErrorDetail { code: spec.code.to_owned(), message: self.message() } };
        let status = StatusCode::from_u16(spec.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        (status, Json(body)).into_response()
    }
}

// === handlers ===

async fn unknown_route(request: Request) -> Error {
    let name = format!("{} {}", request.method(), request.uri().path());
    Error::NotFound { noun: "route", name, hint: "the control API lives under /api/v1; docs/api.md lists it" }
}

async fn wrong_method(request: Request) -> Error {
    Error::MethodNotAllowed(request.method().to_string())
}

async fn metrics_text(State(probe): State<Probe>) -> Result<Response> {
    let rollouts = scrape::rollouts(&probe.control).await?;
    probe.metrics.rollouts_set(rollouts);
    Ok(([(header::CONTENT_TYPE, METRICS_CONTENT_TYPE)], probe.metrics.encode()).into_response())
}

/// The process lives: all that somebody without a token learns on a listener for other machines.
async fn alive() -> &'static str {
    "ok\n"
}

/// Healthy unless only another start can help; a store that is busy, full or not to be read recovers without one, and a start would not make it faster.
async fn healthy(State(probe): State<Probe>) -> Result<&'static str> {
    match tokio::time::timeout(HEALTH_WAIT, probe.control.answers()).await {
        Ok(Err(error @ Error::Store(bowline_store::Error::Poisoned))) => Err(error),
        _ => Ok("ok\n"),
    }
}

/// Ready once the store answers.
async fn ready(State(probe): State<Probe>) -> Result<&'static str> {
    probe.control.answers().await.map(|()| "ready\n")
}

async fn project_list(State(server): State<Server>) -> Result<Json<ProjectList>> {
    Ok(Json(ProjectList { projects: server.control.project_list().await? }))
}

async fn project_put(
    State(server): State<Server>,
    Path(project): Path<ProjectName>,
    Body(config): Body<Value>,
) -> Result<Json<ProjectList>> {
    server.control.project_put(&project, config).await?;
    Ok(Json(ProjectList { projects: vec![project] }))
}

#[derive(Deserialize)]
struct ChangesQuery {
    after: Option<u64>,
    #[serde(default)]
    wait: u64,
}

async fn change_wait(
    State(server): State<Server>,
    Path(project): Path<ProjectName>,
    Query(query): Query<ChangesQuery>,
) -> Result<Json<ChangesView>> {
    let ChangesQuery { after, wait } = query;
    tokio::select! {
        at = server.control.changes(&project, after, Duration::from_secs(wait)) => Ok(Json(ChangesView { at: at? })),
        // The answer to one whose wait is cut short is that nothing has changed.
        () = server.shutdown.cancelled() => Ok(Json(ChangesView { at: after.unwrap_or_default() })),
    }
}

async fn release(
    State(server): State<Server>,
    Path(project): Path<ProjectName>,
    Body(request): Body<ReleaseRequest>,
) -> Result<Json<ReleaseResponse>> {
    server.control.release(&project, request).await.map(Json)
}

async fn plan_preview(
    State(server): State<Server>,
    Path(project): Path<ProjectName>,
    Body(request): Body<PlanRequest>,
) -> Result<Json<Preview>> {
    server.control.plan_preview(&project, request).await.map(Json)
}

async fn environment_list(
    State(server): State<Server>,
    Path(project): Path<ProjectName>,
) -> Result<Json<Vec<EnvironmentView>>> {
    server.control.environment_list(&project).await.map(Json)
}

#[derive(Deserialize)]
struct LogQuery {
    prompt: Option<PromptName>,
    before: Option<u64>,
    limit: Option<u32>,
}

async fn log_list(
    State(server): State<Server>,
    Path((project, environment)): Path<(ProjectName, EnvironmentName)>,
    Query(query): Query<LogQuery>,
) -> Result<Json<LogPage>> {
    let limit = query.limit.unwrap_or(LIST_ROWS_DEFAULT).min(LIST_ROWS_MAX);
    let rows = server.control.log_list(&project, &environment, query.prompt, query.before, limit).await?;
    Ok(Json(LogPage { rows }))
}

async fn summary_list(
    State(server): State<Server>,
    Path((project, environment)): Path<(ProjectName, EnvironmentName)>,
) -> Result<Json<Vec<SummaryRow>>> {
    server.control.summary_list(&project, &environment).await.map(Json)
}

async fn rollback(
    State(server): State<Server>,
    Path((project, environment)): Path<(ProjectName, EnvironmentName)>,
    Body(request): Body<RollbackRequest>,
) -> Result<Json<RollbackResponse>> {
    server.control.rollback(&project, &environment, request).await.map(Json)
}

async fn environment_create(
    State(server): State<Server>,
    Path(project): Path<ProjectName>,
    Body(request): Body<EnvironmentRequest>,
) -> Result<Json<EnvironmentRecord>> {
    server.control.environment_create(&project, request).await.map(Json)
}

async fn environment_remove(
    State(server): State<Server>,
    Path((project, environment)): Path<(ProjectName, EnvironmentName)>,
    Body(request): Body<ActionRequest>,
) -> Result<StatusCode> {
    server.control.environment_remove(&project, &environment, request).await.map(|()| StatusCode::NO_CONTENT)
}

async fn freeze(
    State(server): State<Server>,
    Path((project, environment)): Path<(ProjectName, EnvironmentName)>,
    Body(request): Body<ActionRequest>,
) -> Result<StatusCode> {
    server.control.freeze(&project, &environment, request).await.map(|()| StatusCode::NO_CONTENT)
}

async fn version_fetch(
    State(server): State<Server>,
    Path((project, version, prompt)): Path<(ProjectName, String, PromptName)>,
) -> Result<Json<VersionRecord>> {
    server.control.version_fetch(&project, prompt, &version).await.map(Json)
}

#[derive(Deserialize)]
struct RolloutQuery {
    #[serde(default)]
    active: bool,
}

async fn rollout_list(
    State(server): State<Server>,
    Path(project): Path<ProjectName>,
    Query(query): Query<RolloutQuery>,
) -> Result<Json<Vec<RolloutRecord>>> {
    server.control.rollout_list(&project, query.active).await.map(Json)
}

async fn rollout_view(
    State(server): State<Server>,
    Path((project, number)): Path<(ProjectName, u64)>,
) -> Result<Json<RolloutView>> {
    server.control.rollout_view(&project, number).await.map(Json)
}

#[derive(Deserialize)]
struct ObservationQuery {
    #[serde(default)]
    from: u64,
}

async fn observation_list(
    State(server): State<Server>,
    Path((project, number)): Path<(ProjectName, u64)>,
    Query(query): Query<ObservationQuery>,
) -> Result<Json<Vec<ObservationRecord>>> {
    server.control.observation_list(&project, number, query.from).await.map(Json)
}

async fn rollout_replay(
    State(server): State<Server>,
    Path((project, number)): Path<(ProjectName, u64)>,
) -> Result<Json<ReplayView>> {
    server.control.rollout_replay(&project, number).await.map(Json)
}

async fn rollout_promote(
    State(server): State<Server>,
    Path((project, number)): Path<(ProjectName, u64)>,
    Body(request): Body<ActionRequest>,
) -> Result<Json<RolloutRecord>> {
    server.control.rollout_end(&project, number, true, request).await.map(Json)
}

async fn rollout_abort(
    State(server): State<Server>,
    Path((project, number)): Path<(ProjectName, u64)>,
    Body(request): Body<ActionRequest>,
) -> Result<Json<RolloutRecord>> {
    server.control.rollout_end(&project, number, false, request).await.map(Json)
}

async fn key_create(
    State(server): State<Server>,
    Path(project): Path<ProjectName>,
    Body(request): Body<KeyRequest>,
) -> Result<Response> {
    if let Some(subject) = request.subject.clone() {
        let record = server.control.subject_create(&project, request, &subject).await?;
        return Ok(Json(SubjectResponse { record }).into_response());
    }
    server.control.key_create(&project, request).await.map(|made| Json(made).into_response())
}

async fn key_list(State(server): State<Server>, Path(project): Path<ProjectName>) -> Result<Json<KeyList>> {
    Ok(Json(KeyList { keys: server.control.key_list(&project).await? }))
}

async fn key_revoke(
    State(server): State<Server>,
    Path((project, id)): Path<(ProjectName, KeyId)>,
) -> Result<Json<KeyRevoked>> {
    server.control.key_revoke(&project, id).await?;
    Ok(Json(KeyRevoked { id }))
}

async fn inference_list(
    State(server): State<Server>,
    Path(project): Path<ProjectName>,
    Query(mut filter): Query<InferenceFilter>,
) -> Result<Json<Vec<InferenceRecord>>> {
    if filter.limit == 0 {
        filter.limit = LIST_ROWS_DEFAULT;
    }
    server.control.inference_list(&project, filter).await.map(Json)
}

async fn inference_view(
    State(server): State<Server>,
    Path((project, id)): Path<(ProjectName, InferenceId)>,
) -> Result<Json<InferenceView>> {
    server.control.inference_view(&project, id).await.map(Json)
}

/// The store holds all projects; that the route names one is the price of one client for everything.
async fn store_copy(
    State(server): State<Server>,
    Path(_): Path<ProjectName>,
    Body(request): Body<BackupRequest>,
) -> Result<StatusCode> {
    let Some(backup) = &server.backup else {
        return Err(Error::Invalid("this control role cannot copy its store".to_owned()));
    };
    backup.copy(request.path).await.map(|()| StatusCode::NO_CONTENT).map_err(Error::Backup)
}
