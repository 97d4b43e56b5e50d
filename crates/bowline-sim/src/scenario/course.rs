use std::time::Duration;

use super::{Fault, FaultKind, Scenario, Wait};
use crate::random::Seed;

/// No draw waits longer.
const WAIT_MAX: Duration = Duration::from_secs(600);

/// What one call meets.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Course {
    /// From the request to the first byte.
    pub(crate) first_byte: Duration,
    /// What goes wrong.
    pub(crate) fault: Option<Fault>,
    /// Draws where in the answer it goes wrong.
    pub(crate) at: u64,
}

// === impl Course ===

impl Course {
    /// Returns whether a fault of this kind strikes.
    pub(crate) fn meets(&self, kind: FaultKind) -> bool {
        self.fault.is_some_and(|fault| fault.kind == kind)
    }
}

// === impl Scenario ===

impl Scenario {
    /// Returns what call `number` meets.
    pub(crate) fn course(&self, number: u64) -> Course {
        let draw = |what: &str| Seed::new(self.seed).text(what).number(number);
        let fault = self.fault(draw("fault").uniform());
        let mut first_byte = self.latency.first_byte.draw(draw("first byte"));
        if let Some(fault) = fault.filter(|fault| fault.kind == FaultKind::SlowFirstByte) {
            first_byte += fault.wait().unwrap_or_default();
        }
        Course { first_byte: first_byte.min(WAIT_MAX), fault, at: draw("where").bits() }
    }

    /// Lays the rates end to end on the interval from 0 to 1, and returns the one at `point`.
    fn fault(&self, point: f64) -> Option<Fault> {
        let mut end = 0.0;
        self.faults.iter().copied().find(|fault| {
            end += fault.rate;
            point < end
        })
    }

    /// Returns how long the model writes `tokens`.
    pub(crate) fn writing(&self, tokens: u64) -> Duration {
        let tokens = u32::try_from(tokens).unwrap_or(u32::MAX);
        let Some(per_second) = self.latency.tokens_per_second else { return Duration::ZERO };
        bounded(f64::from(tokens) / per_second)
    }
}

// === impl Fault ===

impl Fault {
    /// Returns the wait, or that of the kind.
    pub(crate) fn wait(&self) -> Option<Duration> {
        self.wait.or_else(|| self.kind.wait_default())
    }
}

// === impl Wait ===

impl Wait {
    fn draw(&self, seed: Seed) -> Duration {
        match *self {
            Self::Constant(wait) => wait,
            Self::Uniform(low, high) => low + high.saturating_sub(low).mul_f64(seed.uniform()),
            Self::LogNormal { median, sigma } => bounded(median.as_secs_f64() * (sigma * seed.normal()).exp()),
        }
    }
}

fn bounded(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).map_or(WAIT_MAX, |wait| wait.min(WAIT_MAX))
}
