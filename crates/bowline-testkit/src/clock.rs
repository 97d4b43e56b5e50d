use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use bowline_types::{Clock, Timestamp};

/// When a [`ManualClock`] starts: 2026-09-21T14:13:20Z.
const START: Timestamp = Timestamp::from_micros(1_790_000_000_000_000);

/// A clock that stands still until a test moves it. Starts at 2026-09-21T14:13:20Z.
#[derive(Debug, Default)]
pub struct ManualClock {
    elapsed_micros: AtomicI64,
    skew_micros: AtomicI64,
}

// === impl ManualClock ===

impl ManualClock {
    /// Moves the clock forward.
    pub fn advance(&self, duration: Duration) {
        self.elapsed_micros.fetch_add(micros(duration), Ordering::SeqCst);
    }

    /// Sets the clock ahead, as whoever sets the clock of a machine does: the present changes, and no time has gone by.
    pub fn set_ahead(&self, duration: Duration) {
        self.skew_micros.store(micros(duration), Ordering::SeqCst);
    }

    /// Sets the clock back in the same way.
    pub fn set_back(&self, duration: Duration) {
        self.skew_micros.store(-micros(duration), Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        let moved = self.elapsed_micros.load(Ordering::SeqCst) + self.skew_micros.load(Ordering::SeqCst);
        Timestamp::from_micros(START.as_micros() + moved)
    }

    fn uptime(&self) -> Duration {
        Duration::from_micros(self.elapsed_micros.load(Ordering::SeqCst).unsigned_abs())
    }
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}
