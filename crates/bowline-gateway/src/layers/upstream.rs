//! The calls upstream: retry, fallback, circuit and deadline, until the first content byte. After it the answer belongs to the client
//! and nothing is tried again.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use bowline_chat::{Response, StreamDecoder, StreamEvent};
use bowline_providers::WireRequest;
use bowline_types::ErrorKind;
use bytes::Bytes;
use http::StatusCode;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Incoming;
use tokio::time::{Instant, timeout_at};
use tracing::{debug, error};

use crate::exchange::{Exchange, Upstream};
use crate::gateway::Shared;
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
        let refusal = match attempt(gateway, exchange, route, rendered).await {
            Ok(answer) => {
                route.circuit.succeeded();
                return Ok(answer);
            }
            Err(refusal) => refusal,
        };
        if counts_for_circuit(refusal.kind) {
            route.circuit.failed(gateway.uptime());
        }
        let next = next_admitted(gateway, routes, index + 1);
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
        return Err(route.spec.decode_error(head.status.as_u16(), &head.headers, &bytes).into());
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
