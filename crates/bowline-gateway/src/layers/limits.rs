//! How much at once: a bound on calls in flight, so that a burst is refused at the door instead of failing everyone inside.

use std::sync::Arc;

use bowline_types::ErrorKind;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::refusal::Refusal;

/// A place among the calls in flight; given back when dropped.
pub(crate) type Permit = OwnedSemaphorePermit;

/// Takes a place among the calls in flight.
///
/// # Errors
/// All places are taken.
pub(crate) fn admit(in_flight: &Arc<Semaphore>) -> Result<Permit, Refusal> {
    Arc::clone(in_flight).try_acquire_owned().map_err(|_| {
        let hint = "hint: try again after `Retry-After`; another gateway takes more at once";
        let message = format!("too many calls are in flight\n{hint}");
        Refusal {
            retry_after: Some(std::time::Duration::from_secs(1)),
            ..Refusal::new(ErrorKind::RateLimited, message)
        }
    })
}
