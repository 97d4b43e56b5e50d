//! What a gateway that stands alone tells those who watch it. On a listener of its own: applications have no business there.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use axum::{Json, Router};
use bowline_gateway::Handle;
use bowline_telemetry::{METRICS_CONTENT_TYPE, Metrics};

#[derive(Clone)]
struct Admin {
    handle: Handle,
    metrics: Arc<Metrics>,
}

/// Returns the routes.
pub(super) fn router(handle: Handle, metrics: Arc<Metrics>) -> Router {
    let metrics_text = |State(admin): State<Admin>| async move {
        ([(header::CONTENT_TYPE, METRICS_CONTENT_TYPE)], admin.metrics.encode())
    };
    let backends = |State(admin): State<Admin>| async move { Json(admin.metrics.provider_loads()) };
    Router::new()
        .route("/metrics", get(metrics_text))
        // What the operator and KEDA scale model servers by.
        .route("/backends", get(backends))
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .with_state(Admin { handle, metrics })
}

async fn ready(State(admin): State<Admin>) -> impl IntoResponse {
    match admin.handle.unready() {
        Some(reason) => (StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n")),
        None => {
            let (epoch, age) = (admin.handle.snapshot().epoch, admin.handle.snapshot_age().as_secs());
            (StatusCode::OK, format!("ready\nsnapshot {epoch} confirmed {age} s ago\n"))
        }
    }
}
