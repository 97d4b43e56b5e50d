//! The clock of a gateway: that of its machine, set by the control role's. A rollout is judged by when its calls were made, on
//! whichever gateway, so all of them must mean the same time.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use bowline_types::{Clock, Timestamp};
use tracing::warn;

/// Differences of clocks that nobody needs to hear of.
const DIFFERENCE_TOLD: Duration = Duration::from_secs(2);
/// Differences that are left: less than what a network makes of them.
const DIFFERENCE_LEFT: Duration = Duration::from_millis(2);

/// A clock that follows another one from afar. Cheap to read.
pub(super) struct ControlClock {
    own: Arc<dyn Clock>,
    /// What is added to the own clock, in microseconds.
    offset_us: AtomicI64,
}

/// One look at the other clock.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reading {
    /// What it showed.
    pub(super) now: Timestamp,
    /// How long the question and the answer were on their way, by the own uptime.
    pub(super) on_the_way: Duration,
}

// === impl ControlClock ===

impl ControlClock {
    pub(super) fn new(own: Arc<dyn Clock>) -> Self {
        Self { own, offset_us: AtomicI64::new(0) }
    }

    /// Follows the other clock, as well as the way between allows: the answer may have been on it for any part of the time.
    pub(super) fn follow(&self, reading: Reading) {
        let middle = reading.now.after(reading.on_the_way / 2);
        let offset = middle.as_micros().saturating_sub(self.own.now().as_micros());
        let before = self.offset_us.load(Ordering::Relaxed);
        let difference = Duration::from_micros(offset.abs_diff(before));
        if difference <= reading.on_the_way / 2 + DIFFERENCE_LEFT {
            return;
        }
        self.offset_us.store(offset, Ordering::Relaxed);
        if difference >= DIFFERENCE_TOLD {
            let seconds = offset / 1_000_000;
            warn!(seconds, "this machine's clock is not that of the control role, which is followed");
        }
    }
}

impl Clock for ControlClock {
    fn now(&self) -> Timestamp {
        let now = self.own.now().as_micros();
        Timestamp::from_micros(now.saturating_add(self.offset_us.load(Ordering::Relaxed)))
    }

    fn uptime(&self) -> Duration {
        self.own.uptime()
    }
}

#[cfg(test)]
mod tests {
    use bowline_testkit::ManualClock;

    use super::*;

    #[test]
    fn it_shows_the_time_of_the_other_one() {
        let own = Arc::new(ManualClock::default());
        let other = own.now();
        let clock = ControlClock::new(Arc::clone(&own) as _);
        own.set_ahead(Duration::from_secs(7_200));
        clock.follow(Reading { now: other, on_the_way: Duration::from_millis(10) });
        assert_eq!(clock.now(), other.after(Duration::from_millis(5)));
        // What the way may have made of it is no reason to jump.
        clock.follow(Reading { now: other, on_the_way: Duration::from_millis(8) });
        assert_eq!(clock.now(), other.after(Duration::from_millis(5)));
        own.set_back(Duration::from_secs(60));
        clock.follow(Reading { now: other, on_the_way: Duration::ZERO });
        assert_eq!(clock.now(), other);
        own.advance(Duration::from_secs(3));
        assert_eq!((clock.now(), clock.uptime()), (other.after(Duration::from_secs(3)), own.uptime()));
    }
}
