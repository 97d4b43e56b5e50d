//! Embeddings, for providers that speak OpenAI's form: the bytes pass through with the model spliced in place, with key, limits, record
//! and cost as for any other call. There is no translation to other providers, no retry and no fallback: vectors of two models cannot
//! be compared, so another one is never asked.

use std::sync::Arc;

use bowline_chat::openai_chat::ClientRequest;
use bowline_chat::{Dialect, ModelRef, splice};
use bowline_providers::WireRequest;
use bowline_types::{ErrorKind, ModelAlias};
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use serde::Deserialize;
use tokio::time::Instant;

use crate::exchange::{Exchange, Upstream};
use crate::facts::Facts;
use crate::gateway::Shared;
use crate::layers::hold::Hold;
use crate::layers::respond::{Body, build, headers};
use crate::layers::{Entered, enter, record, resolve, upstream};
use crate::live::Route;
use crate::refusal::Refusal;

/// Where embeddings are below the address of a provider.
const PATH: &str = "/embeddings";
/// What records call the form of these calls.
const DIALECT: &str = "openai-embeddings";

/// What is read of a request; the rest passes.
///
/// Source: <https://platform.openai.com/docs/api-reference/embeddings/create>, read 2026-11-25.
#[derive(Deserialize)]
struct Asked {
    model: String,
}

/// What is read of an answer.
#[derive(Deserialize)]
struct Answered {
    #[serde(default)]
    model: Option<String>,
    #[serde(default)]
    usage: Usage,
}

#[derive(Default, Deserialize)]
struct Usage {
    #[serde(default)]
    prompt_tokens: Option<u64>,
}

/// Answers a call for embeddings.
///
/// # Errors
/// Before the model is known; after it, failures are recorded.
pub(super) async fn embeddings<B>(gateway: &Arc<Shared>, request: Request<B>) -> Result<Response<Body>, Refusal>
where
    B: http_body::Body<Data = Bytes>,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let Entered { live, key, permit: _permit, accepted } =
        enter(gateway, gateway.options.request_bytes_max, request).await?;
    let call = ClientRequest {
        model: ModelRef::Alias(alias(&accepted.body)?),
        variables: None,
        request: bowline_chat::Request::default(),
    };
    let (mut exchange, target) = resolve::resolve(&live, key, &accepted, &call)?;
    exchange.dialect = DIALECT;
    let answer = match target.routes.first() {
        Some(route) => ask(gateway, &mut exchange, route, &accepted.body).await.map(|bytes| (route, bytes)),
        None => Err(upstream::no_route()),
    };
    let (route, bytes) = match answer {
        Ok(answer) => answer,
        Err(refusal) => return Ok(record::refused(gateway, exchange, target.capture, &refusal).await),
    };
    record::settle(&mut exchange, route);
    exchange.outcome.status = 200;
    exchange.outcome.first_byte_us = Some(exchange.elapsed_us());
    let headers = headers(gateway, &exchange, &[]);
    let mut response = build(StatusCode::OK, headers, "application/json", Body::Whole(Some(bytes)));
    response.extensions_mut().insert(Facts::of(&exchange));
    record::record(gateway, exchange, target.capture).await;
    Ok(response)
}

fn alias(body: &[u8]) -> Result<ModelAlias, Refusal> {
    let invalid =
        |reason: String| Refusal::new(ErrorKind::InvalidRequest, format!("the request cannot be read: {reason}"));
    let asked: Asked = serde_json::from_slice(body).map_err(|error| invalid(error.to_string()))?;
    asked.model.parse().map_err(|error: bowline_types::NameError| invalid(error.to_string()).parameter("model"))
}

/// Returns the answer to a call; where the provider starts, once it is there.
async fn sent(gateway: &Shared, exchange: &mut Exchange, route: &Route, body: &[u8]) -> Result<Bytes, Refusal> {
    let mut hold = None;
    loop {
        let wire = WireRequest { path: PATH.to_owned(), body: body.to_vec(), notes: Vec::new() };
        let deadline = Instant::now() + route.timeout;
        match upstream::open(gateway, exchange, route, wire, deadline).await {
            Err(refusal) if refusal.absent && route.starts => {}
            answer => return upstream::collect(gateway, route, answer?, deadline).await,
        }
        let begun = hold.take().map_or_else(|| Hold::begin(gateway, exchange, route), Ok)?;
        begun.pause(gateway, exchange, route).await?;
        hold = Some(begun);
    }
}

async fn ask(gateway: &Shared, exchange: &mut Exchange, route: &Route, body: &[u8]) -> Result<Bytes, Refusal> {
    if route.spec.dialect != Dialect::OpenAiChat {
        let hint = "hint: point the alias at a provider that speaks OpenAI's form";
        let message = format!("provider `{}` gives no embeddings in the form of OpenAI\n{hint}", route.provider);
        return Err(Refusal::new(ErrorKind::Unsupported, message).parameter("model"));
    }
    exchange.upstream = Some(Upstream {
        provider: route.provider.clone(),
        kind: route.spec.kind,
        model: route.model.clone(),
        attempts: 1,
        fallback: false,
        simulated: false,
    });
    let body = splice::request(body, splice::Edits { model: &route.model, include_usage: false })?;
    let _under_way = route.meter.called(upstream::input_tokens(exchange));
    let bytes = sent(gateway, exchange, route, &body).await?;
    let Answered { model, usage } = serde_json::from_slice(&bytes).map_err(|error| {
        Refusal::new(ErrorKind::UpstreamInvalid, format!("the provider's answer cannot be read: {error}"))
    })?;
    exchange.outcome.response_model = model;
    exchange.outcome.usage.input = usage.prompt_tokens;
    Ok(bytes)
}
