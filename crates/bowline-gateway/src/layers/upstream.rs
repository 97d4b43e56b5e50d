//! The calls upstream: retry, fallback, circuit and deadline, until the first content byte. After it the answer belongs to the client
//! and nothing is tried again.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use bowline_chat::{Response, StreamDecoder, StreamEvent};
use bowline_providers::WireRequest;
use bowline_telemetry::UnderWay;
use bowline_types::ErrorKind;
use bytes::Bytes;
use http::StatusCode;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Incoming;
use tokio::time::{Instant, timeout_at};
use tracing::{debug, error};

use crate::exchange::{Exchange, Upstream};
use crate::gateway::Shared;
use crate::layers::hold::Hold;
use crate::layers::translate::{Rendered, translate};
use crate::live::{Credential, Route};
use crate::refusal::Refusal;
use crate::transport::Destination;

/// The largest error body that is read.
const ERROR_BYTES_MAX: usize = 256 * 1024;
/// The most bytes of a stream that are held back while no content has come.
const PREFACE_BYTES_MAX: usize = 1024 * 1024;
/// The wait before the first retry of the same route, where the provider asks for none; it doubles.
const RETRY_WAIT: Duration = Duration::from_millis(100);
/// Bytes of a request that make about one token.
const BYTES_PER_TOKEN: usize = 4;
/// Tokens of an answer where the call does not say how many there may be.
const OUTPUT_TOKENS: u64 = 1_024;
/// The most tokens that are believed of an answer: one call must not count as a thousand.
const OUTPUT_TOKENS_MAX: u64 = 131_072;
/// With this header a server, or what stands before it, says that it starts and has not taken the call.
const STARTING: &str = "x-bowline-starting";
/// Failures in a row that open a circuit.
const CIRCUIT_FAILURES: u32 = 5;
/// How long a circuit stays open before one call may try again.
const CIRCUIT_OPEN: Duration = Duration::from_secs(5);

/// An answer whose first content byte is here.
pub(crate) enum Answer {
    /// A whole answer.
    Whole(Box<Whole>),
    /// The beginning of a stream.
    Stream(Box<Streamed>),
}

/// A whole answer.
pub(crate) struct Whole {
    pub(crate) bytes: Bytes,
    pub(crate) response: Response,
    pub(crate) route: Route,
    pub(crate) notes: Vec<String>,
}

/// A stream, up to and including its first content.
pub(crate) struct Streamed {
    /// The bytes so far.
    pub(crate) bytes: Vec<Bytes>,
    /// What they say.
    pub(crate) events: Vec<StreamEvent>,
    pub(crate) decoder: StreamDecoder,
    /// The rest; `None` where the stream is over already.
    pub(crate) body: Option<Incoming>,
    /// Until when the next bytes must be here.
    pub(crate) deadline: Instant,
    pub(crate) route: Route,
    pub(crate) notes: Vec<String>,
    /// Held until the answer ends.
    pub(crate) under_way: Option<UnderWay>,
}

/// Keeps calls away from a route that fails, as long as there is another one.
#[derive(Debug, Default)]
pub(crate) struct Circuit {
    failures: AtomicU32,
    /// Microseconds of the process clock until which it is open.
    open_until_us: AtomicU64,
}

/// Calls upstream until an answer begins or nothing is left to try.
///
/// # Errors
/// The last failure.
pub(crate) async fn call(
    gateway: &Shared,
    exchange: &mut Exchange,
    routes: &[Route],
    rendered: &Rendered,
) -> Result<Answer, Refusal> {
    let attempts_max = gateway.options.attempts_max.max(1);
    let mut attempts = 0;
    let mut index = next_admitted(gateway, routes, 0).unwrap_or(0);
    let mut wait = RETRY_WAIT;
    loop {
        let route = routes.get(index).ok_or_else(no_route)?;
        attempts += 1;
        exchange.upstream = Some(Upstream {
            provider: route.provider.clone(),
            kind: route.spec.kind,
            model: route.model.clone(),
            attempts,
            fallback: index > 0,
            simulated: false,
        });
        let under_way = route.meter.called(tokens(exchange, rendered));
        let tried = attempt(gateway, exchange, route, rendered).await;
        let next = next_admitted(gateway, routes, index + 1);
        let tried = match tried {
            // Where another route can answer now, nobody waits; that this one was asked for is enough to start it.
            Err(refusal) if refusal.absent && route.starts && next.is_none() => {
                started(gateway, exchange, route, rendered).await?
            }
            tried => tried,
        };
        let refusal = match tried {
            Ok(answer) => {
                route.circuit.succeeded();
                return Ok(answer.under_way(under_way));
            }
            Err(refusal) => refusal,
        };
        drop(under_way);
        if counts_for_circuit(refusal.kind) {
            route.circuit.failed(gateway.uptime());
        }
        if attempts >= attempts_max || !is_worth_another(refusal.kind, next.is_some()) {
            return Err(refusal);
        }
        // Not the message: a provider's may quote the prompt.
        debug!(provider = %route.provider, error = refusal.kind.spec().code, attempts, "upstream call failed");
        if let Some(next) = next {
            index = next;
            continue;
        }
        // The same route again: after the wait the provider asks for, if the client can bear it.
        let asked = refusal.retry_after.unwrap_or(wait);
        if asked > gateway.options.retry_wait_max {
            return Err(refusal);
        }
        tokio::time::sleep(asked).await;
        wait *= 2;
    }
}

/// Waits until a provider that starts is there, and returns what came of the call then.
///
/// # Errors
/// The call may wait no longer, or not at all.
async fn started(
    gateway: &Shared,
    exchange: &mut Exchange,
    route: &Route,
    rendered: &Rendered,
) -> Result<Result<Answer, Refusal>, Refusal> {
    let hold = Hold::begin(gateway, exchange, route)?;
    loop {
        hold.pause(gateway, exchange, route).await?;
        match attempt(gateway, exchange, route, rendered).await {
            Err(refusal) if refusal.absent => {}
            tried => return Ok(tried),
        }
    }
}

/// Returns about how many tokens a call takes: four bytes of the request each, and as many of the answer as it allows.
fn tokens(exchange: &Exchange, rendered: &Rendered) -> u64 {
    let output = rendered.request.parameters.max_output_tokens.unwrap_or(OUTPUT_TOKENS);
    input_tokens(exchange).saturating_add(output.min(OUTPUT_TOKENS_MAX))
}

/// Returns about how many tokens the request of a call has.
pub(crate) fn input_tokens(exchange: &Exchange) -> u64 {
    u64::try_from(exchange.request_bytes / BYTES_PER_TOKEN).unwrap_or(u64::MAX)
}

pub(crate) fn no_route() -> Refusal {
    let message = "the model has no provider in this environment\nhint: see `models` and `providers` in bowline.yaml";
    Refusal::new(ErrorKind::Unavailable, message).code("no_route")
}

/// Returns the first route from `from` on whose circuit lets a call through.
fn next_admitted(gateway: &Shared, routes: &[Route], from: usize) -> Option<usize> {
    let now = gateway.uptime();
    let later = routes.iter().enumerate().skip(from);
    later.into_iter().find(|(_, route)| route.circuit.admits(now)).map(|(index, _)| index)
}

const fn counts_for_circuit(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::UpstreamUnavailable | ErrorKind::UpstreamTimeout | ErrorKind::UpstreamInvalid)
}

/// Another provider may accept what one refuses for its own reasons; the same one will not.
const fn is_worth_another(kind: ErrorKind, is_other: bool) -> bool {
    kind.spec().retryable || (is_other && matches!(kind, ErrorKind::UpstreamAuth))
}

async fn attempt(
    gateway: &Shared,
    exchange: &mut Exchange,
    route: &Route,
    rendered: &Rendered,
) -> Result<Answer, Refusal> {
    let wire = translate(rendered, route)?;
    let notes = wire.notes.iter().map(|note| format!("{}: {}", note.parameter, note.change)).collect();
    let deadline = Instant::now() + route.timeout;
    let body = open(gateway, exchange, route, wire, deadline).await?;
    if rendered.request.stream {
        let stream = Streamed {
            bytes: Vec::new(),
            events: Vec::new(),
            decoder: route.spec.stream_decoder(),
            body: Some(body),
            deadline,
            route: route.clone(),
            notes,
            under_way: None,
        };
        return begin(stream).await.map(|stream| Answer::Stream(Box::new(stream)));
    }
    let bytes = collect(gateway, route, body, deadline).await?;
    let response = route.spec.decode_response(&bytes).map_err(|error| {
        let message = format!("the provider's answer cannot be read: {}", bowline_types::chain(&error));
        Refusal::new(ErrorKind::UpstreamInvalid, message)
    })?;
    Ok(Answer::Whole(Box::new(Whole { bytes, response, route: route.clone(), notes })))
}

/// Sends a call to a route, and returns the body of an answer that is none of an error.
///
/// # Errors
/// The credential is not there, the provider refuses or fails, or it is late.
pub(crate) async fn open(
    gateway: &Shared,
    exchange: &mut Exchange,
    route: &Route,
    wire: WireRequest,
    deadline: Instant,
) -> Result<Incoming, Refusal> {
    let api_key = match &route.credential {
        Credential::None => None,
        Credential::Key(key) => Some(key),
        Credential::Missing(reference) => {
            // Where the operator keeps credentials is no business of applications.
            error!(provider = %route.provider, %reference, "the credential of a provider is not there");
            let hint = "hint: whoever runs Bowline must set it; the log says which";
            let message = format!("the credential of provider `{}` is not there\n{hint}", route.provider);
            return Err(Refusal::new(ErrorKind::UpstreamAuth, message).code("credential_missing"));
        }
    };
    let destination = Destination { spec: route.spec, base_url: &route.base_url, api_key };
    let sent = timeout_at(deadline, gateway.transport.send(destination, wire)).await;
    let response = sent.map_err(|_| timed_out(route))??;
    let (head, body) = response.into_parts();
    if let Some(upstream) = &mut exchange.upstream {
        upstream.simulated = head.headers.contains_key("x-bowline-simulated");
    }
    if head.status != StatusCode::OK {
        let bytes = timeout_at(deadline, Limited::new(body, ERROR_BYTES_MAX).collect()).await;
        let bytes = bytes.ok().and_then(Result::ok).map(http_body_util::Collected::to_bytes).unwrap_or_default();
        let absent = head.status == StatusCode::SERVICE_UNAVAILABLE && head.headers.contains_key(STARTING);
        let error = route.spec.decode_error(head.status.as_u16(), &head.headers, &bytes);
        return Err(Refusal { absent, ..error.into() });
    }
    Ok(body)
}

/// Reads an answer whole, as much of it as is read at all.
///
/// # Errors
/// It is late, too large, or breaks off.
pub(crate) async fn collect(
    gateway: &Shared,
    route: &Route,
    body: Incoming,
    deadline: Instant,
) -> Result<Bytes, Refusal> {
    let collected = timeout_at(deadline, Limited::new(body, gateway.options.answer_bytes_max).collect()).await;
    let collected = collected.map_err(|_| timed_out(route))?.map_err(|error| {
        if error.is::<LengthLimitError>() {
            return Refusal::new(ErrorKind::UpstreamInvalid, "the provider's answer is larger than is read");
        }
        Refusal::new(ErrorKind::UpstreamUnavailable, format!("the provider's answer broke off: {error}"))
    })?;
    Ok(collected.to_bytes())
}

/// Reads a stream up to its first content, so that a failure before it can be tried again.
async fn begin(mut stream: Streamed) -> Result<Streamed, Refusal> {
    let mut held = 0;
    loop {
        let started = stream.events.len();
        match next(&mut stream).await? {
            Some(bytes) => {
                held += bytes.len();
                let events = stream.decoder.push(&bytes);
                stream.events.extend(events);
                stream.bytes.push(bytes);
            }
            None => {
                let events = stream.decoder.finish();
                stream.events.extend(events);
                stream.body = None;
            }
        }
        for event in stream.events.iter().skip(started) {
            match event {
                StreamEvent::Error(error) => return Err(error.clone().into()),
                StreamEvent::End => return Ok(stream),
                event if event.is_content() => return Ok(stream),
                _ => {}
            }
        }
        if stream.body.is_none() {
            return Err(Refusal::new(ErrorKind::UpstreamInvalid, "the provider's stream ended before any content"));
        }
        if held > PREFACE_BYTES_MAX {
            return Ok(stream);
        }
    }
}

/// Returns the next bytes of a stream, `None` at its end.
///
/// # Errors
/// The connection broke or the deadline passed.
pub(crate) async fn next(stream: &mut Streamed) -> Result<Option<Bytes>, Refusal> {
    let Some(body) = &mut stream.body else { return Ok(None) };
    loop {
        let frame = timeout_at(stream.deadline, body.frame()).await.map_err(|_| timed_out(&stream.route))?;
        match frame {
            None => return Ok(None),
            Some(Err(error)) => {
                let message = format!("the provider's stream broke off: {}", bowline_types::chain(&error));
                return Err(Refusal::new(ErrorKind::UpstreamUnavailable, message));
            }
            // Trailers say nothing that is used.
            Some(Ok(frame)) => {
                if let Ok(bytes) = frame.into_data() {
                    // A stream may take as long as it likes, but not fall silent.
                    stream.deadline = Instant::now() + stream.route.timeout;
                    return Ok(Some(bytes));
                }
            }
        }
    }
}

fn timed_out(route: &Route) -> Refusal {
    let limit = bowline_types::format_duration(route.timeout);
    let message = format!(
        "provider `{}` did not answer within {limit}\nhint: raise `timeout` of the target in bowline.yaml",
        route.provider
    );
    Refusal::new(ErrorKind::UpstreamTimeout, message)
}

// === impl Answer ===

impl Answer {
    /// Keeps the tokens of a call counted for as long as its answer goes on.
    fn under_way(mut self, under_way: UnderWay) -> Self {
        if let Self::Stream(stream) = &mut self {
            stream.under_way = Some(under_way);
        }
        self
    }
}

// === impl Circuit ===

impl Circuit {
    /// Returns whether a call may try the route. Of an open circuit whose time is over, one call may, and the others wait again.
    fn admits(&self, uptime: Duration) -> bool {
        let until = self.open_until_us.load(Ordering::Relaxed);
        if until == 0 {
            return true;
        }
        let again = micros(uptime + CIRCUIT_OPEN);
        micros(uptime) >= until
            && self.open_until_us.compare_exchange(until, again, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    fn succeeded(&self) {
        self.failures.store(0, Ordering::Relaxed);
        self.open_until_us.store(0, Ordering::Relaxed);
    }

    fn failed(&self, uptime: Duration) {
        if self.failures.fetch_add(1, Ordering::Relaxed) + 1 >= CIRCUIT_FAILURES {
            self.open_until_us.store(micros(uptime + CIRCUIT_OPEN), Ordering::Relaxed);
        }
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn circuits_open_after_failures_in_a_row_and_close_again() {
        let circuit = Circuit::default();
        let at = Duration::from_secs(100);
        for _ in 0..CIRCUIT_FAILURES - 1 {
            circuit.failed(at);
        }
        assert!(circuit.admits(at));
        circuit.succeeded();
        circuit.failed(at);
        assert!(circuit.admits(at), "a success in between starts the count again");
        (0..CIRCUIT_FAILURES).for_each(|_| circuit.failed(at));
        assert!(!circuit.admits(at));
        let later = at + CIRCUIT_OPEN;
        assert!(circuit.admits(later), "one call may try");
        assert!(!circuit.admits(later), "and only one");
        circuit.succeeded();
        assert!(circuit.admits(later) && circuit.admits(later));
    }
}
