//! While a provider starts: calls wait for it, a bounded number for a bounded time, and only where no other route is left. Nothing of the
//! answer has come then, so waiting repeats nothing. A client that goes away gives its place back.

use std::time::Duration;

use bowline_telemetry::Place;
use bowline_types::ErrorKind;
use tokio::time::{Instant, sleep};
use tracing::debug;

use crate::exchange::Exchange;
use crate::gateway::Shared;
use crate::live::Route;
use crate::refusal::Refusal;

/// How often a call that waits looks whether the provider is there.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);
/// When a client that was sent away may come again.
const RETRY_AFTER: Duration = Duration::from_secs(15);
/// The code of the error of those who could not wait, or not any longer.
const CODE: &str = "backend_starting";

/// A call that waits.
pub(crate) struct Hold {
    since: Instant,
    _place: Place,
}

// === impl Hold ===

impl Hold {
    /// Takes a place among the calls that wait for the provider of a route.
    ///
    /// # Errors
    /// All places are taken.
    pub(crate) fn begin(gateway: &Shared, exchange: &Exchange, route: &Route) -> Result<Self, Refusal> {
        let most = gateway.options.hold_max;
        let place = route.meter.hold(most).ok_or_else(|| {
            refusal(format!("provider `{}` starts, and {most} calls wait for it already", route.provider))
        })?;
        debug!(provider = %route.provider, "a call waits while the provider starts");
        if let Some(held) = &exchange.held {
            held.cancel();
        }
        Ok(Self { since: Instant::now(), _place: place })
    }

    /// Waits until it is worth looking again.
    ///
    /// # Errors
    /// It has waited for as long as it may, the gateway stops, or the client is gone.
    pub(crate) async fn pause(&self, gateway: &Shared, exchange: &mut Exchange, route: &Route) -> Result<(), Refusal> {
        let most = gateway.options.hold_time_max;
        let left = most.saturating_sub(self.since.elapsed());
        if left.is_zero() {
            let most = bowline_types::format_duration(most);
            return Err(refusal(format!("provider `{}` starts, and has not been there within {most}", route.provider)));
        }
        tokio::select! {
            () = sleep(LOOK_INTERVAL.min(left)) => Ok(()),
            () = gateway.draining.cancelled() => {
                Err(refusal(format!("this gateway stops, and provider `{}` has not started yet", route.provider)))
            }
            () = exchange.gone.cancelled() => {
                exchange.outcome.abandoned = true;
                Err(refusal(format!("the client went away while provider `{}` starts", route.provider)))
            }
        }
    }
}

fn refusal(what: String) -> Refusal {
    let message = format!("{what}\nhint: try again after `Retry-After`");
    Refusal { retry_after: Some(RETRY_AFTER), ..Refusal::new(ErrorKind::Unavailable, message).code(CODE) }
}
