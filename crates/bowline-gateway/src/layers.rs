//! The layers of the request path, in order. Each says why it stands where it stands.

pub(crate) mod accept;
pub(crate) mod decode;
pub(crate) mod hold;
pub(crate) mod identify;
pub(crate) mod limits;
pub(crate) mod record;
pub(crate) mod render;
pub(crate) mod resolve;
pub(crate) mod respond;
pub(crate) mod translate;
pub(crate) mod upstream;

use std::sync::Arc;

use bowline_registry::SnapshotKey;
use bytes::Bytes;
use http::{Request, Response};

use crate::gateway::Shared;
use crate::layers::accept::{Accepted, Arrival};
use crate::layers::limits::Permit;
use crate::layers::respond::Body;
use crate::live::Live;
use crate::refusal::Refusal;

/// A call whose body is in memory.
pub(crate) struct Entered {
    /// What it is served from, to its end.
    pub(crate) live: Arc<Live>,
    pub(crate) key: Arc<SnapshotKey>,
    /// Its place among the calls in flight.
    pub(crate) permit: Permit,
    pub(crate) accepted: Accepted,
}

/// What stands before every call that has a body, of at most `bytes_max`.
///
/// # Errors
/// As the layers say.
pub(crate) async fn enter<B>(gateway: &Shared, bytes_max: usize, request: Request<B>) -> Result<Entered, Refusal>
where
    B: http_body::Body<Data = Bytes>,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let arrival = Arrival::now(gateway.clock.as_ref());
    let live = gateway.live_full();
    // Who calls: a stranger costs a hash and a look-up, and no body is read for them. Nobody is asked but whose a token is.
    let key = identify::identify(gateway, &live, request.headers()).await?;
    // How many at once, before a body is held in memory.
    let permit = limits::admit(&gateway.in_flight)?;
    // The body, whole and bounded.
    let accepted = accept::accept(bytes_max, gateway.options.client_timeout, arrival, request).await?;
    Ok(Entered { live, key, permit, accepted })
}

/// Answers one chat call.
pub(crate) async fn chat<B>(gateway: &Arc<Shared>, request: Request<B>) -> Response<Body>
where
    B: http_body::Body<Data = Bytes>,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    run(gateway, request).await.unwrap_or_else(|refusal| respond::refuse(&refusal, None))
}

async fn run<B>(gateway: &Arc<Shared>, request: Request<B>) -> Result<Response<Body>, Refusal>
where
    B: http_body::Body<Data = Bytes>,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let Entered { live, key, permit, accepted } = enter(gateway, gateway.options.request_bytes_max, request).await?;
    // What the client means; errors are in its dialect from here on.
    let call = decode::decode(&accepted)?;
    // Reference to environment, arm and version, or alias to routes. From here on there is something to record.
    let (mut exchange, target) = resolve::resolve(&live, key, &accepted, &call)?;
    if target.lease_expired {
        gateway.lease_expired(&live);
    }
    // Variables into messages; a failure counts for the arm, as a version may be broken for the applications there are.
    let rendered = match render::render(&target, exchange.prompt.as_ref(), call) {
        Ok(rendered) => rendered,
        Err(refusal) => return Ok(record::refused(gateway, exchange, target.capture, &refusal).await),
    };
    record::capture_input(&mut exchange, target.capture, &rendered);
    // Translate and call upstream until the first content byte; then decode, encode, settle and record.
    Ok(respond::respond(gateway, permit, exchange, &target, rendered).await)
}
