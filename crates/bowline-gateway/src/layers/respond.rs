//! The answer in the client's dialect: passed through where the provider speaks it too, else encoded; and what the answer says, for
//! the record.

mod waiting;

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bowline_chat::openai_chat::{Envelope, StreamEncoder, encode_error, encode_response};
use bowline_chat::splice::UsageFilter;
use bowline_chat::{Dialect, StreamEvent, UpstreamError};
use bowline_types::{ErrorKind, InferenceToken};
use bytes::Bytes;
use http::header::{self, HeaderName, HeaderValue};
use http::{HeaderMap, Response, StatusCode};
use http_body::Frame;
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::exchange::Exchange;
use crate::facts::Facts;
use crate::gateway::Shared;
use crate::layers::limits::Permit;
use crate::layers::record::{record, refused, settle};
use crate::layers::resolve::Target;
use crate::layers::translate::Rendered;
use crate::layers::upstream::{self, Answer, Streamed, Whole};
use crate::refusal::Refusal;
use crate::transcript::Transcript;

/// Pieces of a stream that wait for a slow client; then the provider is read no further.
const STREAM_PIECES_MAX: usize = 32;

/// Says that a unit of a rollout was served stable for want of a judge.
pub(crate) const LEASE_NOTE: &str = "candidate: left out, as the control role has not renewed its lease";

/// The body of an answer.
pub(crate) enum Body {
    /// A whole one.
    Whole(Option<Bytes>),
    /// One that comes piece by piece.
    Stream(mpsc::Receiver<Bytes>),
}

/// How the bytes of a stream reach the client.
enum Passage {
    /// As they are, event by event; holds the beginning of the next one.
    Unchanged(Vec<u8>),
    /// As they are, without the usage that the client did not ask for.
    Filtered(UsageFilter),
    /// From another dialect.
    Encoded(Box<StreamEncoder>),
}

/// The end of a stream: the client gets it once the call is recorded.
struct Last<'a> {
    /// Its place in the channel, so that whether the client was there is known before.
    slot: mpsc::Permit<'a, Bytes>,
    piece: Bytes,
}

/// Answers a call: whole, as a stream, or with an error.
pub(crate) async fn respond(
    gateway: &Arc<Shared>,
    permit: Permit,
    mut exchange: Exchange,
    target: &Target,
    mut rendered: Rendered,
) -> Response<Body> {
    if target.lease_expired {
        rendered.notes.push(LEASE_NOTE.to_owned());
    }
    if rendered.request.stream && target.routes.iter().any(|route| route.starts) {
        return waiting::respond(gateway, permit, exchange, target, rendered).await;
    }
    let answer = upstream::call(gateway, &mut exchange, &target.routes, &rendered).await;
    answered(gateway, permit, exchange, target, rendered, answer).await
}

async fn answered(
    gateway: &Arc<Shared>,
    permit: Permit,
    exchange: Exchange,
    target: &Target,
    rendered: Rendered,
    answer: Result<Answer, Refusal>,
) -> Response<Body> {
    match answer {
        Err(refusal) => refused(gateway, exchange, target.capture, &refusal).await,
        Ok(Answer::Whole(answer)) => whole(gateway, exchange, target, rendered.notes, *answer).await,
        Ok(Answer::Stream(stream)) => {
            let include_usage = rendered.request.include_usage;
            streamed(gateway, permit, exchange, target, rendered.notes, include_usage, *stream)
        }
    }
}

async fn whole(
    gateway: &Arc<Shared>,
    mut exchange: Exchange,
    target: &Target,
    mut notes: Vec<String>,
    answer: Whole,
) -> Response<Body> {
    let Whole { bytes, response, route, notes: of_route } = answer;
    notes.extend(of_route);
    let transcript = Transcript::of_response(&response, gateway.options.check_text_bytes_max);
    let body = if route.spec.dialect == Dialect::OpenAiChat {
        Ok(bytes)
    } else {
        encode_response(&response, &envelope(&exchange)).map(|value| Bytes::from(value.to_string()))
    };
    let body = match body {
        Ok(body) => body,
        Err(error) => {
            transcript.write(&mut exchange);
            settle(&mut exchange, &route);
            return refused(gateway, exchange, target.capture, &error.into()).await;
        }
    };
    transcript.write(&mut exchange);
    if route.spec.dialect != Dialect::OpenAiChat {
        exchange.outcome.answer_id = Some(envelope(&exchange).id);
    }
    settle(&mut exchange, &route);
    exchange.outcome.status = 200;
    exchange.outcome.first_byte_us = Some(exchange.elapsed_us());
    let mut response =
        build(StatusCode::OK, headers(gateway, &exchange, &notes), "application/json", Body::Whole(Some(body)));
    response.extensions_mut().insert(Facts::of(&exchange));
    record(gateway, exchange, target.capture).await;
    response
}

fn streamed(
    gateway: &Arc<Shared>,
    permit: Permit,
    mut exchange: Exchange,
    target: &Target,
    mut notes: Vec<String>,
    include_usage: bool,
    stream: Streamed,
) -> Response<Body> {
    notes.extend(stream.notes.iter().cloned());
    exchange.outcome.status = 200;
    let headers = headers(gateway, &exchange, &notes);
    let passage = passage(&mut exchange, &stream, include_usage);
    let (sender, receiver) = mpsc::channel(STREAM_PIECES_MAX);
    let (shared, capture) = (Arc::clone(gateway), target.capture);
    // A task of its own, so that the record is made however the client leaves.
    gateway.tasks.spawn(async move {
        let (exchange, last) = pump(&shared, exchange, stream, passage, &sender).await;
        record(&shared, exchange, capture).await;
        if let Some(Last { slot, piece }) = last {
            slot.send(piece);
        }
        drop(permit);
    });
    build(StatusCode::OK, headers, "text/event-stream", Body::Stream(receiver))
}

/// Returns how the bytes of a stream reach the client.
fn passage(exchange: &mut Exchange, stream: &Streamed, include_usage: bool) -> Passage {
    match (stream.route.spec.dialect, include_usage) {
        (Dialect::OpenAiChat, true) => Passage::Unchanged(Vec::new()),
        (Dialect::OpenAiChat, false) => Passage::Filtered(UsageFilter::default()),
        (Dialect::AnthropicMessages | Dialect::Gemini, _) => {
            exchange.outcome.answer_id = Some(envelope(exchange).id);
            Passage::Encoded(Box::new(StreamEncoder::new(envelope(exchange), include_usage)))
        }
    }
}

/// Carries a stream to the client but for its last piece, and returns what it said.
async fn pump<'a>(
    gateway: &Shared,
    mut exchange: Exchange,
    mut stream: Streamed,
    mut passage: Passage,
    client: &'a mpsc::Sender<Bytes>,
) -> (Exchange, Option<Last<'a>>) {
    let patience = gateway.options.client_timeout;
    let mut transcript = Transcript::new(gateway.options.check_text_bytes_max);
    let (mut bytes, mut events) = (std::mem::take(&mut stream.bytes), std::mem::take(&mut stream.events));
    let last = loop {
        events.iter().for_each(|event| transcript.read(event));
        let is_cut_off = stream.body.is_none() && !transcript.is_over();
        let piece = match passage.carry(&bytes, &events, transcript.is_over()) {
            Ok(piece) if is_cut_off => {
                let message = "the provider's stream ended before the answer did";
                let refusal = Refusal::new(ErrorKind::UpstreamUnavailable, message);
                [piece, fail(&mut transcript, &refusal)].concat().into()
            }
            Ok(piece) => piece,
            Err(refusal) => fail(&mut transcript, &refusal),
        };
        if transcript.is_over() {
            break piece;
        }
        if !piece.is_empty() {
            // Gone, or too slow to be waited for: what it got says nothing about the answer.
            if !matches!(timeout(patience, client.send(piece)).await, Ok(Ok(()))) {
                exchange.outcome.abandoned = true;
                break Bytes::new();
            }
            first_byte(&mut exchange, &transcript);
        }
        match upstream::next(&mut stream).await {
            Ok(Some(piece)) => {
                events = stream.decoder.push(&piece);
                bytes = vec![piece];
            }
            Ok(None) => {
                events = stream.decoder.finish();
                bytes = Vec::new();
                stream.body = None;
            }
            Err(refusal) => break fail(&mut transcript, &refusal),
        }
    };
    let mut slot = None;
    if !last.is_empty() {
        slot = timeout(patience, client.reserve()).await.ok().and_then(Result::ok);
        // An error is the provider's, whoever is there to be told.
        exchange.outcome.abandoned = slot.is_none() && !transcript.has_failed();
    }
    if slot.is_some() {
        first_byte(&mut exchange, &transcript);
    }
    transcript.write(&mut exchange);
    settle(&mut exchange, &stream.route);
    (exchange, slot.map(|slot| Last { slot, piece: last }))
}

/// Notes when the first content reached the client.
fn first_byte(exchange: &mut Exchange, transcript: &Transcript) {
    if exchange.outcome.first_byte_us.is_none() && transcript.has_content() {
        exchange.outcome.first_byte_us = Some(exchange.elapsed_us());
    }
}

/// Ends a stream: returns an error in the client's dialect.
fn fail(transcript: &mut Transcript, refusal: &Refusal) -> Bytes {
    let error = UpstreamError {
        kind: refusal.kind,
        status: None,
        code: Some(refusal.code_str().to_owned()),
        message: refusal.message.clone(),
        retry_after: None,
    };
    transcript.read(&StreamEvent::Error(error));
    let mut piece = b"data: ".to_vec();
    piece.extend(encode_error(refusal.kind, &refusal.message, None, Some(refusal.code_str())));
    piece.extend_from_slice(b"\n\n");
    piece.into()
}

// === impl Passage ===

impl Passage {
    /// Returns the bytes for the client: of `bytes` where they pass through, of `events` where they are translated.
    fn carry(&mut self, bytes: &[Bytes], events: &[StreamEvent], over: bool) -> Result<Bytes, Refusal> {
        match self {
            Self::Unchanged(held) => Ok(whole_events(held, bytes, over)),
            Self::Filtered(filter) => {
                let mut out = Vec::new();
                for piece in bytes {
                    out.extend_from_slice(&filter.push(piece)?);
                }
                if over {
                    out.extend_from_slice(&filter.finish());
                }
                Ok(out.into())
            }
            Self::Encoded(encoder) => {
                let mut out = Vec::new();
                for event in events {
                    encoder.encode(event, &mut out)?;
                }
                Ok(out.into())
            }
        }
    }
}

/// Returns the events that `bytes` complete, and holds the rest back: an error must not be glued onto half an event. At the end of an
/// answer nothing is held.
fn whole_events(held: &mut Vec<u8>, bytes: &[Bytes], over: bool) -> Bytes {
    if let ([only], true) = (bytes, held.is_empty())
        && (over || ends_event(only))
    {
        return only.clone();
    }
    bytes.iter().for_each(|piece| held.extend_from_slice(piece));
    let end = if over {
        held.len()
    } else {
        (1..=held.len()).rev().find(|end| held.get(..*end).is_some_and(ends_event)).unwrap_or(0)
    };
    let rest = held.split_off(end);
    std::mem::replace(held, rest).into()
}

fn ends_event(bytes: impl AsRef<[u8]>) -> bool {
    let bytes = bytes.as_ref();
    bytes.ends_with(b"\n\n") || bytes.ends_with(b"\r\n\r\n")
}

// === impl Body ===

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match self.get_mut() {
            Self::Whole(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::Stream(receiver) => {
                receiver.poll_recv(context).map(|bytes| bytes.map(|bytes| Ok(Frame::data(bytes))))
            }
        }
    }

    fn size_hint(&self) -> http_body::SizeHint {
        match self {
            Self::Whole(bytes) => http_body::SizeHint::with_exact(
                bytes.as_ref().map_or(0, |bytes| u64::try_from(bytes.len()).unwrap_or(u64::MAX)),
            ),
            Self::Stream(_) => http_body::SizeHint::default(),
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Whole(None))
    }
}

/// Returns an error in the client's dialect, with the headers of its exchange where there is one.
pub(crate) fn refuse(refusal: &Refusal, of: Option<(&Shared, &Exchange)>) -> Response<Body> {
    let mut headers = of.map_or_else(HeaderMap::new, |(gateway, exchange)| headers(gateway, exchange, &[]));
    if let Some(wait) = refusal.retry_after {
        // Whole seconds, rounded up: a client that obeys must not come too early.
        let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    if refusal.kind == ErrorKind::Unauthenticated {
        headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    let status = StatusCode::from_u16(refusal.kind.spec().status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let body = encode_error(refusal.kind, &refusal.message, refusal.parameter.as_deref(), Some(refusal.code_str()));
    let mut response = build(status, headers, "application/json", Body::Whole(Some(body.into())));
    let facts = of.map_or_else(Facts::default, |(_, exchange)| Facts::of(exchange));
    response.extensions_mut().insert(facts.refused(refusal));
    response
}

/// Returns a response; every answer of the gateway is made here.
pub(crate) fn build(status: StatusCode, headers: HeaderMap, content_type: &'static str, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    if content_type == "text/event-stream" {
        response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    }
    response
}

/// Returns the headers that name the inference, its version, its arm, and what it cost where that is known already.
pub(crate) fn headers(gateway: &Shared, exchange: &Exchange, notes: &[String]) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(8);
    let token = InferenceToken::new(&gateway.token_secret.load(), exchange.id, exchange.key.id);
    insert(&mut headers, "x-bowline-inference", &token.to_string());
    if let Some(version) = exchange.version {
        insert(&mut headers, "x-bowline-version", &version.to_string());
    }
    if let Some(assigned) = &exchange.arm {
        headers.insert(HeaderName::from_static("x-bowline-arm"), HeaderValue::from_static(assigned.arm.as_str()));
    }
    if let Some(cost) = exchange.outcome.cost {
        insert(&mut headers, "x-bowline-cost-usd", &cost.to_string());
    }
    if exchange.upstream.as_ref().is_some_and(|upstream| upstream.simulated) {
        headers.insert(HeaderName::from_static("x-bowline-simulated"), HeaderValue::from_static("1"));
    }
    for note in notes {
        if let Ok(value) = HeaderValue::from_str(note) {
            headers.append(HeaderName::from_static("x-bowline-note"), value);
        }
    }
    headers
}

fn insert(headers: &mut HeaderMap, name: &'static str, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(HeaderName::from_static(name), value);
    }
}

/// Returns what a translated answer is called: its id follows from that of the inference.
fn envelope(exchange: &Exchange) -> Envelope {
    let upstream = exchange.upstream.as_ref().map(|upstream| upstream.model.clone());
    Envelope {
        id: format!("chatcmpl-{}", exchange.id.uuid().simple()),
        model: upstream.unwrap_or_else(|| exchange.model.to_string()),
        created: exchange.started_at.as_micros() / 1_000_000,
    }
}
