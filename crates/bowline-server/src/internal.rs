//! The internal API: what gateways on other machines ask of the control role. It stands on a listener of its own, so that whoever may
//! deliver records cannot even reach what releases a prompt.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use bowline_registry::Snapshot;
use bowline_store::SCHEMA_VERSION;
use bowline_telemetry::Metrics;
use bowline_types::{Timestamp, TokenSecret};
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::api::extract::{Body, Query};
use crate::auth::GatewayTokens;
use crate::control::Control;
use crate::error::{Error, Result};
use crate::wire::{News, NewsQuery, RecordsRequest, SecretView, SnapshotQuery};

mod publication;

use publication::{Publication, Publications};

/// The largest body of a delivery; a gateway sends a few MiB at once, and one record alone where it is larger.
const RECORDS_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Deliveries that are read and committed at the same time; further ones wait, and their gateways with them.
const DELIVERIES_MAX: usize = 16;

/// How long a delivery may take, from its first byte to its commit: as long as a gateway waits for the answer. A gateway that is gone without
/// a word must not keep the turn of another one.
const DELIVERY_TIMEOUT: Duration = Duration::from_secs(60);

/// How gateways prove that they are ours.
#[derive(Clone, Debug)]
pub enum GatewayAuth {
    /// A bearer token.
    Tokens(GatewayTokens),
    /// Whoever reaches the listener has: it asks for a client certificate.
    Certificate,
}

/// What the internal API is served with.
pub struct InternalOptions {
    /// How gateways prove that they are ours.
    pub auth: GatewayAuth,
    /// The secret under the MAC of inference ids.
    pub token_secret: TokenSecret,
    /// The metrics of the process.
    pub metrics: Arc<Metrics>,
    /// Ends the waits of those who ask for news, so that they do not hold up the end of the process.
    pub shutdown: CancellationToken,
}

/// What handlers share.
#[derive(Clone)]
struct Internal {
    control: Control,
    publications: Arc<Publications>,
    auth: GatewayAuth,
    token_secret: TokenSecret,
    metrics: Arc<Metrics>,
    shutdown: CancellationToken,
    deliveries: Arc<Semaphore>,
}

/// Returns the routes of the internal API, and `/healthz`.
pub fn internal_router(control: Control, options: InternalOptions) -> Router {
    let InternalOptions { auth, token_secret, metrics, shutdown } = options;
    let publications = Arc::new(Publications::default());
    let deliveries = Arc::new(Semaphore::new(DELIVERIES_MAX));
    let internal = Internal { control, publications, auth, token_secret, metrics, shutdown, deliveries };
    let api = Router::new()
        .route("/news", get(news))
        .route("/snapshot", get(snapshot))
        .route("/secret", get(secret))
        .route("/records", post(records).layer(middleware::from_fn_with_state(internal.clone(), admit)))
        .fallback(unknown_route)
        .layer(middleware::from_fn_with_state(internal.clone(), check_gateway));
    Router::new()
        .nest("/internal/v1", api)
        .route("/healthz", get(|| async { "ok\n" }))
        .fallback(unknown_route)
        .layer(axum::extract::DefaultBodyLimit::max(RECORDS_BYTES_MAX))
        .with_state(internal)
}

async fn check_gateway(State(internal): State<Internal>, request: Request, next: Next) -> Response {
    match &internal.auth {
        GatewayAuth::Tokens(tokens) if !tokens.match_any(request.headers()) => {
            Error::GatewayUnauthenticated.into_response()
        }
        GatewayAuth::Tokens(_) | GatewayAuth::Certificate => next.run(request).await,
    }
}

/// Waits for a turn before the body of a delivery is read.
async fn admit(State(internal): State<Internal>, request: Request, next: Next) -> Response {
    // The semaphore is never closed.
    let _permit = internal.deliveries.acquire().await.ok();
    let delivered = tokio::time::timeout(DELIVERY_TIMEOUT, next.run(request)).await;
    delivered.unwrap_or_else(|_| Error::DeliverySlow(DELIVERY_TIMEOUT.as_secs()).into_response())
}

async fn unknown_route(request: Request) -> Error {
    let name = format!("{} {}", request.method(), request.uri().path());
    Error::NotFound { noun: "route", name, hint: "this is the internal API, for gateways; docs/roles.md has the ports" }
}

/// Answers at once where the gateway does not have the present snapshot, else when that changes or the wait is over.
async fn news(State(internal): State<Internal>, Query(query): Query<NewsQuery>) -> Result<Json<News>> {
    check_schema(query.schema)?;
    let _waits = internal.metrics.gateway_waits();
    let started = Instant::now();
    let deadline = started + Duration::from_millis(query.wait_ms.min(News::WAIT_MS_MAX));
    let mut snapshots = internal.control.snapshots();
    let publication = loop {
        let snapshot = Arc::clone(&snapshots.borrow_and_update());
        let publication = internal.publications.of(snapshot).await?;
        if query.known != Some(publication.digest) {
            break publication;
        }
        tokio::select! {
            () = internal.shutdown.cancelled() => break publication,
            () = tokio::time::sleep_until(deadline) => break publication,
            changed = snapshots.changed() => if changed.is_err() { break publication },
        }
    };
    let now = internal.control.now();
    let lease = |until: Timestamp| u64::try_from(until.since(now).as_micros()).unwrap_or(u64::MAX);
    let leases = publication.snapshot.rollouts().map(|rollout| (rollout.id, lease(rollout.lease_until)));
    Ok(Json(News {
        digest: publication.digest,
        epoch: publication.snapshot.epoch,
        now,
        waited_us: u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX),
        leases_us: leases.collect(),
        record_schema: SCHEMA_VERSION,
    }))
}

async fn snapshot(
    State(internal): State<Internal>,
    Query(query): Query<SnapshotQuery>,
    headers: HeaderMap,
) -> Result<Response> {
    check_schema(query.schema)?;
    let snapshot = Arc::clone(&internal.control.snapshots().borrow());
    let publication = internal.publications.of(snapshot).await?;
    let tag = tag(&publication);
    if headers.get(header::IF_NONE_MATCH).is_some_and(|known| Some(known) == tag.as_ref()) {
        return Ok(with_tag(StatusCode::NOT_MODIFIED.into_response(), tag));
    }
    let bytes = publication.gzip().await?;
    let kind = [(header::CONTENT_TYPE, "application/json"), (header::CONTENT_ENCODING, "gzip")];
    Ok(with_tag((kind, bytes).into_response(), tag))
}

async fn secret(State(internal): State<Internal>) -> Response {
    let view = SecretView { token_secret: internal.token_secret.expose() };
    ([(header::CACHE_CONTROL, "no-store")], Json(view)).into_response()
}

/// Keeps what a gateway delivers. Records of a newer Bowline are not refused for ever: the gateway keeps them until this role is newer too.
async fn records(State(internal): State<Internal>, Body(request): Body<RecordsRequest>) -> Result<StatusCode> {
    let found = request.schema();
    if found > SCHEMA_VERSION {
        return Err(Error::RecordsTooNew { found, supported: SCHEMA_VERSION });
    }
    let RecordsRequest { inferences, outcomes, losses } = request;
    internal.control.records_append(inferences, outcomes, losses).await.map(|()| StatusCode::NO_CONTENT)
}

fn check_schema(newest: u32) -> Result<u32> {
    let oldest = Snapshot::SCHEMA_OLDEST;
    Snapshot::schema_for(newest).ok_or(Error::GatewayTooOld { found: newest, oldest })
}

fn tag(publication: &Publication) -> Option<HeaderValue> {
    HeaderValue::from_str(&format!("\"{}\"", publication.digest)).ok()
}

fn with_tag(mut response: Response, tag: Option<HeaderValue>) -> Response {
    if let Some(tag) = tag {
        response.headers_mut().insert(header::ETAG, tag);
    }
    response
}
