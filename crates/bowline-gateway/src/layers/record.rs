//! The record of a call: what it cost, and what becomes of it.

use std::sync::Arc;

use bowline_chat::openai_chat::encode_messages;
use bowline_registry::ContentCapture;
use bowline_types::Timestamp;
use http::Response;

use crate::exchange::Exchange;
use crate::gateway::Shared;
use crate::layers::respond::{self, Body};
use crate::layers::translate::Rendered;
use crate::live::Route;
use crate::recorder::Finished;
use crate::refusal::Refusal;

/// Settles what a call cost, at the price of the day it was made.
pub(crate) fn settle(exchange: &mut Exchange, route: &Route) {
    let at: Timestamp = exchange.started_at;
    let cost = route.price.and_then(|price| price.cost(at, &exchange.outcome.usage));
    exchange.outcome.cost = cost.map(|cost| cost.total);
}

/// Keeps what goes upstream, where the project captures content.
pub(crate) fn capture_input(exchange: &mut Exchange, capture: ContentCapture, rendered: &Rendered) {
    if capture == ContentCapture::Off {
        return;
    }
    // What another dialect cannot express fails the call itself, with a better message.
    let messages = encode_messages(&rendered.request.messages, &mut Vec::new()).unwrap_or_default();
    exchange.outcome.input = serde_json::to_string(&messages).ok();
}

/// Hands a finished call to the recorder; its answer may end when this returns.
pub(crate) async fn record(gateway: &Shared, exchange: Exchange, capture: ContentCapture) {
    gateway.recorder.record(Finished::new(exchange, capture, false)).await;
}

/// Answers with an error and records it: it counts for the arm that was assigned.
pub(crate) async fn refused(
    gateway: &Arc<Shared>,
    mut exchange: Exchange,
    capture: ContentCapture,
    refusal: &Refusal,
) -> Response<Body> {
    exchange.outcome.status = refusal.kind.spec().status;
    exchange.outcome.error = Some(refusal.kind);
    let response = respond::refuse(refusal, Some((gateway, &exchange)));
    record(gateway, exchange, capture).await;
    response
}
