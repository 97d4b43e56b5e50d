//! The body of a request, read whole and bounded: a reference to a prompt may stand at its end.

use bowline_types::{Clock, ErrorKind, Timestamp};
use bytes::Bytes;
use http::{HeaderMap, Request};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use tokio::time::{Duration, Instant, timeout};
use tokio_util::sync::CancellationToken;

use crate::refusal::Refusal;

/// The longest unit that an application may name, in bytes.
pub(crate) const UNIT_BYTES_MAX: usize = 256;

/// When a request arrived, on every clock.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arrival {
    pub(crate) at: Timestamp,
    /// The same on the clock that nobody sets, which leases end by.
    pub(crate) uptime: Duration,
    pub(crate) instant: Instant,
}

/// A request that is in memory.
pub(crate) struct Accepted {
    pub(crate) arrival: Arrival,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    /// Cancelled when the client leaves before its answer begins.
    pub(crate) gone: CancellationToken,
}

/// Tells the layers that the client of a request has left, as an extension of the request.
#[derive(Clone, Debug, Default)]
pub(crate) struct Gone(pub(crate) CancellationToken);

/// Reads the body of a request, at most `bytes_max` of it, for at most as long as `within`.
///
/// # Errors
/// The body is longer or too slow, or the client went away.
pub(crate) async fn accept<B>(
    bytes_max: usize,
    within: Duration,
    arrival: Arrival,
    request: Request<B>,
) -> Result<Accepted, Refusal>
where
    B: http_body::Body<Data = Bytes>,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let (mut head, body) = request.into_parts();
    let Gone(gone) = head.extensions.remove().unwrap_or_default();
    let collected = timeout(within, Limited::new(body, bytes_max).collect()).await.map_err(|_| {
        let message = "the body did not arrive in time\nhint: send it without pauses";
        Refusal::new(ErrorKind::InvalidRequest, message)
    })?;
    let collected = collected.map_err(|error| {
        if error.is::<LengthLimitError>() {
            let message = format!("the body is larger than {bytes_max} bytes\nhint: send less, or media by URL");
            return Refusal::new(ErrorKind::TooLarge, message);
        }
        Refusal::new(ErrorKind::InvalidRequest, format!("the body could not be read: {error}"))
    })?;
    Ok(Accepted { arrival, headers: head.headers, body: collected.to_bytes(), gone })
}

// === impl Arrival ===

impl Arrival {
    /// Returns the present.
    pub(crate) fn now(clock: &dyn Clock) -> Self {
        Self { at: clock.now(), uptime: clock.uptime(), instant: Instant::now() }
    }
}

// === impl Accepted ===

impl Accepted {
    /// Returns the unit that the application names in `x-bowline-unit`.
    ///
    /// # Errors
    /// The header is no text, empty or too long.
    pub(crate) fn unit(&self) -> Result<Option<&str>, Refusal> {
        let Some(value) = self.headers.get("x-bowline-unit") else { return Ok(None) };
        let unit =
            std::str::from_utf8(value.as_bytes()).ok().filter(|unit| !unit.is_empty() && unit.len() <= UNIT_BYTES_MAX);
        unit.map(Some).ok_or_else(|| {
            let message = format!("the header `x-bowline-unit` must be a text of 1 to {UNIT_BYTES_MAX} bytes");
            Refusal::new(ErrorKind::InvalidRequest, message).parameter("x-bowline-unit")
        })
    }

    /// Returns a header that is text.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}
