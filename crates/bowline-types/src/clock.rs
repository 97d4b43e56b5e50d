use std::fmt;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

/// A point in time: microseconds since 1970-01-01T00:00:00Z, as a JSON number.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, Default)]
#[serde(transparent)]
pub struct Timestamp(i64);

/// Where the time comes from; tests own one that they move by hand.
pub trait Clock: Send + Sync + 'static {
    /// Returns the present.
    fn now(&self) -> Timestamp;

    /// Returns the time since a moment of this clock that stays the same: it never goes back, and setting the clock of the machine
    /// does not move it. What may last for so long and no longer, such as a lease, is measured by it.
    fn uptime(&self) -> Duration;
}

/// The clock of the machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

/// The moment that the uptime of [`SystemClock`] counts from: the first time that anybody asks. It never changes.
#[expect(clippy::disallowed_methods, reason = "this is the clock that everybody else is handed")]
static ORIGIN: LazyLock<Instant> = LazyLock::new(Instant::now);

// === impl Timestamp ===

impl Timestamp {
    /// Returns the point `micros` microseconds after 1970.
    #[must_use]
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// Returns the microseconds since 1970.
    #[must_use]
    pub const fn as_micros(self) -> i64 {
        self.0
    }

    /// Returns the time `duration` later, at most the end of time.
    #[must_use]
    pub fn after(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)))
    }

    /// Returns the time `duration` earlier, at least the beginning of time.
    #[must_use]
    pub fn before(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)))
    }

    /// Returns how long after `earlier` this is; zero where it is not.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

impl fmt::Display for Timestamp {
    /// Writes RFC 3339 in UTC with the precision given (`{:.3}`), else to the second.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_microsecond(self.0) {
            Ok(time) => write!(f, "{time:.*}", f.precision().unwrap_or(0)),
            Err(_) => write!(f, "{}us", self.0),
        }
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:.6}")
    }
}

// === impl SystemClock ===

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp(jiff::Timestamp::now().as_microsecond())
    }

    fn uptime(&self) -> Duration {
        ORIGIN.elapsed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_print_in_utc() {
        let time = Timestamp::from_micros(1_790_000_000_123_456);
        assert_eq!(time.to_string(), "2026-09-21T14:13:20Z");
        assert_eq!(format!("{time:.3}"), "2026-09-21T14:13:20.123Z");
    }

    #[test]
    fn arithmetic_saturates() {
        let time = Timestamp::from_micros(5);
        assert_eq!(time.since(Timestamp::from_micros(9)), Duration::ZERO);
        assert_eq!(time.after(Duration::MAX), Timestamp::from_micros(i64::MAX));
        assert_eq!(time.after(Duration::from_millis(1)).since(time), Duration::from_millis(1));
    }
}
