//! What is told of a run while it goes on: one line that is written over on a terminal, else a line now and then.

use std::io::{IsTerminal, Write};
use std::sync::atomic::{AtomicUsize, Ordering};

use bowline_types::Usd;
use tokio::time::{Duration, Instant};

use crate::output::note;
use crate::wording::age;

/// How often a terminal is told.
const TERMINAL_INTERVAL: Duration = Duration::from_millis(100);
/// How often a log is told.
const LOG_INTERVAL: Duration = Duration::from_secs(10);

/// How far a run is.
pub(crate) struct Progress {
    total: usize,
    started: Instant,
    /// What was done before this process began.
    resumed: usize,
    done: AtomicUsize,
    passed: AtomicUsize,
    errored: AtomicUsize,
    terminal: bool,
}

// === impl Progress ===

impl Progress {
    /// Returns the progress of a run of `total` calls, of which `resumed` were made earlier.
    pub(crate) fn new(total: usize, resumed: usize) -> Self {
        let (passed, errored) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let terminal = std::io::stderr().is_terminal();
        Self { total, started: Instant::now(), resumed, done: AtomicUsize::new(resumed), passed, errored, terminal }
    }

    /// Counts a call that was graded.
    pub(crate) fn count(&self, passed: bool, errored: bool) {
        self.done.fetch_add(1, Ordering::Relaxed);
        self.passed.fetch_add(usize::from(passed), Ordering::Relaxed);
        self.errored.fetch_add(usize::from(errored), Ordering::Relaxed);
    }

    /// Returns how many calls were graded, those of earlier processes included.
    pub(crate) fn done(&self) -> usize {
        self.done.load(Ordering::Relaxed)
    }

    /// Tells how far it is, again and again.
    pub(crate) async fn tell(&self, spent: impl Fn() -> Usd) {
        let mut interval = tokio::time::interval(if self.terminal { TERMINAL_INTERVAL } else { LOG_INTERVAL });
        // The first tick comes at once, and there is nothing to say yet.
        interval.tick().await;
        loop {
            interval.tick().await;
            let line = self.line(spent(), self.started.elapsed());
            if self.terminal { write_over(&line) } else { note(line) }
        }
    }

    /// Takes the line away.
    pub(crate) fn clear(&self) {
        if self.terminal {
            write_over("");
        }
    }

    fn line(&self, spent: Usd, elapsed: Duration) -> String {
        let (done, passed) = (self.done(), self.passed.load(Ordering::Relaxed));
        let errored = self.errored.load(Ordering::Relaxed);
        let now = done - self.resumed;
        let mut parts = vec![format!("{done} of {} calls", self.total), format!("{passed} passed")];
        if errored > 0 {
            parts.push(format!("{errored} without a result"));
        }
        parts.push(format!("${spent}"));
        if now > 0 && done < self.total {
            let each = elapsed.as_secs_f64() / f64::from(u32::try_from(now).unwrap_or(u32::MAX));
            let left = f64::from(u32::try_from(self.total - done).unwrap_or(u32::MAX));
            let left = Duration::try_from_secs_f64(each * left).unwrap_or_default();
            parts.push(format!("{} left", age(left)));
        }
        parts.join(", ")
    }
}

fn write_over(line: &str) {
    let mut err = std::io::stderr().lock();
    // A terminal that went away is no failure.
    drop(write!(err, "\r\u{1b}[K{line}").and_then(|()| err.flush()));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_line_says_how_far_it_is() {
        let progress = Progress::new(100, 10);
        (0..30).for_each(|number| progress.count(number % 3 > 0, number == 0));
        let line = progress.line("0.0123".parse().unwrap(), Duration::from_secs(60));
        assert_eq!(line, "40 of 100 calls, 20 passed, 1 without a result, $0.0123, 2m 0s left");
    }
}
