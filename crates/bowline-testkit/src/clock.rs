use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use bowline_types::{Clock, Timestamp};

/// A clock that stands still until a test moves it. Starts at 2026-09-21T14:13:20Z.
#[derive(Debug)]
pub struct ManualClock(AtomicI64);

// === impl ManualClock ===

impl ManualClock {
    /// Moves the clock forward.
    pub fn advance(&self, duration: Duration) {
        let later = self.now().after(duration);
        self.0.store(later.as_micros(), Ordering::SeqCst);
    }
}

impl Default for ManualClock {
    fn default() -> Self {
        Self(AtomicI64::new(1_790_000_000_000_000))
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.0.load(Ordering::SeqCst))
    }
}
