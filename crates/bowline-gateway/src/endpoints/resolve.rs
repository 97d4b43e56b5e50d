use std::sync::Arc;

use bowline_chat::ModelRef;
use bowline_chat::openai_chat::encode_request;
use bowline_types::ErrorKind;
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use serde_json::json;

use super::json as answer;
use crate::gateway::Shared;
use crate::layers::respond::{self, Body, headers};
use crate::layers::{Entered, decode, enter, record, render, resolve as resolution};
use crate::recorder::Finished;
use crate::refusal::Refusal;

/// Answers what a chat call would send upstream, for an application that keeps its own client: the body of the call as OpenAI takes
/// it, the version, the arm and the inference id. The application judges the call by feedback under that id.
///
/// # Errors
/// As a chat call; the body must name a prompt.
pub(super) async fn resolve<B>(gateway: &Arc<Shared>, request: Request<B>) -> Result<Response<Body>, Refusal>
where
    B: http_body::Body<Data = Bytes>,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let Entered { live, key, permit: _permit, accepted } =
        enter(gateway, gateway.options.request_bytes_max, request).await?;
    let call = decode::decode(&accepted)?;
    if matches!(call.model, ModelRef::Alias(_)) {
        let message = "only a prompt can be resolved\nhint: `model: \"prompt:NAME\"`";
        return Err(Refusal::new(ErrorKind::InvalidRequest, message).parameter("model"));
    }
    let (mut exchange, target) = resolution::resolve(&live, key, &accepted, &call)?;
    let left_out = target.lease_expired.then(|| respond::LEASE_NOTE.to_owned());
    if target.lease_expired {
        gateway.lease_expired(&live);
    }
    let mut rendered = match render::render(&target, exchange.prompt.as_ref(), call) {
        Ok(rendered) => rendered,
        Err(refusal) => return Ok(record::refused(gateway, exchange, target.capture, &refusal).await),
    };
    let route = target.routes.first();
    let model = route.map_or_else(|| exchange.model.to_string(), |route| route.model.clone());
    let mut notes = Vec::new();
    let body = match encode_request(&rendered.request, &model, &mut notes) {
        Ok(body) => body,
        Err(error) => return Ok(record::refused(gateway, exchange, target.capture, &error.into()).await),
    };
    rendered.notes.extend(left_out);
    rendered.notes.extend(notes.iter().map(|note| format!("{}: {}", note.parameter, note.change)));
    exchange.outcome.status = 200;
    let headers = headers(gateway, &exchange, &rendered.notes);
    let value = json!({
        "inference": headers.get("x-bowline-inference").and_then(|value| value.to_str().ok()),
        "prompt": exchange.prompt,
        "environment": exchange.environment,
        "version": exchange.version,
        "arm": exchange.arm.as_ref().map(|assigned| assigned.arm),
        "provider": route.map(|route| route.spec.kind),
        "model": model,
        "request": body,
    });
    gateway.recorder.record(Finished::new(exchange, target.capture, true)).await;
    Ok(answer(StatusCode::OK, headers, &value))
}
