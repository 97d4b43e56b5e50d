//! A stream whose provider starts: where that takes longer than a moment the answer begins with comments, which every client of server-sent
//! events passes over, so that nobody on the way takes it for dead. Its status is told by then; what goes wrong later stands in the stream.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Response, StatusCode};
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::{Body, Last, STREAM_PIECES_MAX, answered, build, fail, headers, passage, pump};
use crate::exchange::Exchange;
use crate::gateway::Shared;
use crate::layers::limits::Permit;
use crate::layers::record::record;
use crate::layers::resolve::Target;
use crate::layers::translate::Rendered;
use crate::layers::upstream::{self, Answer};
use crate::live::Route;
use crate::refusal::Refusal;
use crate::transcript::Transcript;

/// What a client gets while it waits: a comment.
///
/// Source: <https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream>, read 2026-11-25.
const COMMENT: Bytes = Bytes::from_static(b": waiting\n\n");

/// A call that has come to an answer, with all that it took along.
struct Called {
    exchange: Exchange,
    rendered: Rendered,
    answer: Result<Answer, Refusal>,
}

/// Answers a call for a stream of which a route may have to start.
pub(super) async fn respond(
    gateway: &Arc<Shared>,
    permit: Permit,
    mut exchange: Exchange,
    target: &Target,
    rendered: Rendered,
) -> Response<Body> {
    let (held, gone) = (CancellationToken::new(), exchange.gone.clone());
    exchange.held = Some(held.clone());
    let (headers, capture) = (headers(gateway, &exchange, &rendered.notes), target.capture);
    let mut call = Box::pin(call(Arc::clone(gateway), exchange, Arc::clone(&target.routes), rendered));
    let interval = gateway.options.hold_keep_alive;
    let patience = async {
        held.cancelled().await;
        sleep(interval).await;
    };
    tokio::select! {
        Called { exchange, rendered, answer } = &mut call => {
            return answered(gateway, permit, exchange, target, rendered, answer).await;
        }
        () = patience => {}
    }
    let (client, receiver) = mpsc::channel(STREAM_PIECES_MAX);
    let shared = Arc::clone(gateway);
    gateway.tasks.spawn(async move {
        let called = kept_alive(call, &client, &gone, interval).await;
        let (exchange, last) = carry(&shared, called, &client).await;
        record(&shared, exchange, capture).await;
        if let Some(Last { slot, piece }) = last {
            slot.send(piece);
        }
        drop(permit);
    });
    build(StatusCode::OK, headers, "text/event-stream", Body::Stream(receiver))
}

async fn call(gateway: Arc<Shared>, mut exchange: Exchange, routes: Arc<[Route]>, rendered: Rendered) -> Called {
    let answer = upstream::call(&gateway, &mut exchange, &routes, &rendered).await;
    Called { exchange, rendered, answer }
}

/// Waits for the answer of a call, and tells the client that it does. A client that leaves ends the waiting.
async fn kept_alive(
    mut call: impl Future<Output = Called> + Unpin,
    client: &mpsc::Sender<Bytes>,
    gone: &CancellationToken,
    interval: Duration,
) -> Called {
    // At once too: the head of an answer without a body is held back by many a proxy.
    let mut ticks = tokio::time::interval(interval);
    loop {
        tokio::select! {
            called = &mut call => return called,
            () = client.closed(), if !gone.is_cancelled() => gone.cancel(),
            // Who has not read the last one needs no other.
            _ = ticks.tick() => drop(client.try_send(COMMENT)),
        }
    }
}

/// Carries what came of a call to a client whose answer has begun.
async fn carry<'a>(gateway: &Shared, called: Called, client: &'a mpsc::Sender<Bytes>) -> (Exchange, Option<Last<'a>>) {
    let Called { mut exchange, rendered, answer } = called;
    exchange.outcome.status = StatusCode::OK.as_u16();
    let refusal = match answer {
        Ok(Answer::Stream(stream)) => {
            let passage = passage(&mut exchange, &stream, rendered.request.include_usage);
            return pump(gateway, exchange, *stream, passage, client).await;
        }
        Ok(Answer::Whole(_)) => {
            Refusal::new(bowline_types::ErrorKind::Internal, "a whole answer came where a stream was asked for")
        }
        Err(refusal) => refusal,
    };
    let mut transcript = Transcript::new(gateway.options.check_text_bytes_max);
    let piece = fail(&mut transcript, &refusal);
    transcript.write(&mut exchange);
    let slot = timeout(gateway.options.client_timeout, client.reserve()).await.ok().and_then(Result::ok);
    (exchange, slot.map(|slot| Last { slot, piece }))
}
