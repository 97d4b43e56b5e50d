//! The routes of the gateway, one file each beside the chat call.

mod embeddings;
mod feedback;
mod models;
mod resolve;

use std::sync::Arc;

use bowline_types::ErrorKind;
use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use serde_json::Value;

use crate::gateway::Shared;
use crate::layers;
use crate::layers::respond::{Body, build, refuse};
use crate::refusal::Refusal;

/// Answers one request.
pub(crate) async fn route<B>(gateway: Arc<Shared>, request: Request<B>) -> Response<Body>
where
    B: http_body::Body<Data = Bytes>,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let answer = match (request.method(), request.uri().path()) {
        (&Method::POST, "/v1/chat/completions") => return layers::chat(&gateway, request).await,
        (&Method::POST, "/v1/embeddings") => embeddings::embeddings(&gateway, request).await,
        (&Method::POST, "/v1/resolve") => resolve::resolve(&gateway, request).await,
        (&Method::POST, "/v1/feedback") => feedback::feedback(&gateway, request).await,
        (&Method::GET, "/v1/models") => models::list(&gateway, request.headers()).await,
        (&Method::GET, "/healthz") => return text("ok\n"),
        (&Method::GET, "/readyz") => ready(&gateway),
        (method, path) => Err(unknown(method, path)),
    };
    answer.unwrap_or_else(|refusal| refuse(&refusal, None))
}

/// Returns the answer to a request whose task was lost.
pub(crate) fn broken() -> Response<Body> {
    let message = "the request could not be finished\nhint: this is a bug of Bowline; please report it with the log";
    refuse(&Refusal::new(ErrorKind::Internal, message), None)
}

/// Returns a JSON answer.
fn json(status: StatusCode, headers: HeaderMap, value: &Value) -> Response<Body> {
    build(status, headers, "application/json", Body::Whole(Some(value.to_string().into())))
}

fn text(text: impl Into<Bytes>) -> Response<Body> {
    build(StatusCode::OK, HeaderMap::new(), "text/plain; charset=utf-8", Body::Whole(Some(text.into())))
}

fn ready(gateway: &Shared) -> Result<Response<Body>, Refusal> {
    if let Some(reason) = gateway.unready() {
        return Err(Refusal::new(ErrorKind::Unavailable, reason));
    }
    Ok(text(format!("ready\nsnapshot {} confirmed {} s ago\n", gateway.live_full().age.epoch, gateway.age().as_secs())))
}

fn unknown(method: &Method, path: &str) -> Refusal {
    let hint = "hint: Bowline serves POST /v1/chat/completions, /v1/embeddings, /v1/resolve and /v1/feedback, and GET /v1/models";
    Refusal::new(ErrorKind::NotFound, format!("there is no {method} {path}\n{hint}")).code("unknown_url")
}
