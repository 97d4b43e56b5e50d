use std::fmt;
use std::time::{Duration, Instant};

/// Measures how long something took.
#[derive(Clone, Copy)]
pub(crate) struct Stopwatch(Instant);

/// A duration as people read it: `0.4 s`, `12 s`, `3 min 05 s`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Took(pub(crate) Duration);

// === impl Stopwatch ===

impl Stopwatch {
    /// Starts.
    #[expect(clippy::disallowed_methods, reason = "chores measure real time")]
    pub(crate) fn start() -> Self {
        Self(Instant::now())
    }

    /// Returns the time since the start.
    pub(crate) fn elapsed(self) -> Duration {
        self.0.elapsed()
    }
}

// === impl Took ===

impl fmt::Display for Took {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs();
        let text = match seconds {
            0..10 => format!("{:.1} s", self.0.as_secs_f64()),
            10..60 => format!("{seconds} s"),
            _ => format!("{} min {:02} s", seconds / 60, seconds % 60),
        };
        f.pad(&text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_readable() {
        let check = |millis, expected: &str| assert_eq!(Took(Duration::from_millis(millis)).to_string(), expected);
        check(40, "0.0 s");
        check(1_440, "1.4 s");
        check(59_999, "59 s");
        check(185_000, "3 min 05 s");
    }
}
