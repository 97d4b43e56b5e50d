use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bowline_types::Arm;
use tokio::time::Instant;

/// What came of a load, so far or in the end.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Report {
    /// Calls that ended.
    pub sent: u64,
    /// Calls whose answer came whole.
    pub ok: u64,
    /// The others, by the code of the gateway's error, or `connect`, `disconnected`, `cut_off`, `timeout`, `invalid` for an
    /// answer that cannot be read, `http_STATUS` for one without a code.
    pub errors: BTreeMap<String, u64>,
    /// Whole answers of calls with labels.
    pub judged: u64,
    /// Those that are right.
    pub correct: u64,
    /// Judgements that the gateway keeps.
    pub feedback_kept: u64,
    /// Judgements that it does not keep, by code.
    pub feedback_errors: BTreeMap<String, u64>,
    /// Whole answers by the version that the gateway names; those without one are not here.
    pub by_version: BTreeMap<String, Tally>,
    /// From the call to the end of its answer; only whole answers count.
    pub latency: Percentiles,
    /// From the call to the first byte of its body; only whole answers count.
    pub first_byte: Percentiles,
    /// Since the start.
    pub duration: Duration,
}

/// The answers of one version.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// The arm that the version had in the latest answer; `None` outside a rollout.
    pub arm: Option<Arm>,
    /// Whole answers.
    pub calls: u64,
    /// Those that are right.
    pub correct: u64,
}

/// A distribution of waits, to three digits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Percentiles {
    /// Half of the waits are at most this long.
    pub p50: Duration,
    /// 90 % are.
    pub p90: Duration,
    /// 99 % are.
    pub p99: Duration,
    /// The longest.
    pub max: Duration,
}

/// What the callers count together.
pub(super) struct Totals {
    started: Instant,
    counts: Mutex<Counts>,
}

/// A report in the making: the report without its percentiles, and what they come from.
#[derive(Default)]
struct Counts {
    report: Report,
    latency: Waits,
    first_byte: Waits,
}

/// Counts of waits in microseconds: up to 1024 one by one, above in 512 steps per doubling, so that a step is 0.2 % at most. An
/// hour fits; longer waits count as the longest step.
#[derive(Default)]
struct Waits {
    counts: Vec<u64>,
    count: u64,
    max: u32,
}

/// A whole answer.
pub(super) struct Whole {
    pub(super) latency: Duration,
    pub(super) first_byte: Duration,
    pub(super) version: Option<String>,
    pub(super) arm: Option<Arm>,
    /// Whether it is right; `None` where nobody knows.
    pub(super) correct: Option<bool>,
}

// === impl Totals ===

impl Totals {
    pub(super) fn new(started: Instant) -> Self {
        Self { started, counts: Mutex::default() }
    }

    /// Counts a whole answer.
    pub(super) fn whole(&self, whole: Whole) {
        let mut counts = self.lock();
        counts.latency.add(whole.latency);
        counts.first_byte.add(whole.first_byte);
        let report = &mut counts.report;
        let correct = u64::from(whole.correct == Some(true));
        report.sent += 1;
        report.ok += 1;
        report.judged += u64::from(whole.correct.is_some());
        report.correct += correct;
        if let Some(version) = whole.version {
            let tally = report.by_version.entry(version).or_default();
            tally.arm = whole.arm;
            tally.calls += 1;
            tally.correct += correct;
        }
    }

    /// Counts a call that failed.
    pub(super) fn failed(&self, code: String) {
        let mut counts = self.lock();
        counts.report.sent += 1;
        *counts.report.errors.entry(code).or_default() += 1;
    }

    /// Counts a judgement.
    pub(super) fn feedback(&self, kept: Result<(), String>) {
        let mut counts = self.lock();
        match kept {
            Ok(()) => counts.report.feedback_kept += 1,
            Err(code) => *counts.report.feedback_errors.entry(code).or_default() += 1,
        }
    }

    /// Returns the report so far.
    pub(super) fn report(&self) -> Report {
        let counts = self.lock();
        Report {
            latency: counts.latency.percentiles(),
            first_byte: counts.first_byte.percentiles(),
            duration: self.started.elapsed(),
            ..counts.report.clone()
        }
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Waits ===

impl Waits {
    /// Up to here every wait has a step of its own.
    const EXACT: u32 = 1024;
    /// The steps of each doubling above.
    const STEPS: u32 = 512;

    fn add(&mut self, wait: Duration) {
        let micros = u32::try_from(wait.as_micros()).unwrap_or(u32::MAX);
        let step = Self::step(micros) as usize;
        if self.counts.len() <= step {
            self.counts.resize(step + 1, 0);
        }
        self.counts[step] += 1;
        self.count += 1;
        self.max = self.max.max(micros);
    }

    const fn step(micros: u32) -> u32 {
        if micros < Self::EXACT {
            return micros;
        }
        let shift = micros.ilog2() - Self::STEPS.ilog2();
        Self::EXACT + (shift - 1) * Self::STEPS + (micros >> shift) - Self::STEPS
    }

    /// Returns the longest wait of a step.
    const fn longest(step: u32) -> u32 {
        if step < Self::EXACT {
            return step;
        }
        let above = step - Self::EXACT;
        let (shift, lead) = (above / Self::STEPS + 1, above % Self::STEPS + Self::STEPS);
        // The lead after the last one is out of range, but one less of it is not.
        (lead << shift) + ((1 << shift) - 1)
    }

    /// Returns the wait that `percent` of the waits do not exceed.
    fn percentile(&self, percent: u64) -> Duration {
        let rank = (self.count.saturating_mul(percent)).div_ceil(100).max(1);
        let mut seen = 0;
        let step = (0..).zip(&self.counts).find(|(_, count)| {
            seen += **count;
            seen >= rank
        });
        let micros = step.map_or(0, |(step, _)| Self::longest(step).min(self.max));
        Duration::from_micros(micros.into())
    }

    fn percentiles(&self) -> Percentiles {
        let max = Duration::from_micros(self.max.into());
        Percentiles { p50: self.percentile(50), p90: self.percentile(90), p99: self.percentile(99), max }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_hold_their_waits() {
        for micros in [0, 1, 1023, 1024, 1025, 2047, 2048, 2049, 4095, 4096, 1_000_003, u32::MAX - 1, u32::MAX] {
            let longest = Waits::longest(Waits::step(micros));
            assert!(longest >= micros, "{micros}");
            assert!(f64::from(longest - micros) <= f64::from(micros) / 512.0, "{micros}");
            assert_eq!(Waits::step(longest), Waits::step(micros), "{micros}");
            assert!(longest == u32::MAX || Waits::step(longest + 1) == Waits::step(micros) + 1, "{micros}");
        }
    }

    #[test]
    fn percentiles_are_those_of_the_waits() {
        let mut waits = Waits::default();
        assert_eq!(waits.percentiles(), Percentiles::default());
        for micros in 1..=1000 {
            waits.add(Duration::from_micros(micros));
        }
        let micros = Duration::from_micros;
        let expected = Percentiles { p50: micros(500), p90: micros(900), p99: micros(990), max: micros(1000) };
        assert_eq!(waits.percentiles(), expected);
        waits.add(Duration::from_secs(3));
        assert_eq!(waits.percentiles().max, Duration::from_secs(3));
        assert_eq!(waits.percentile(100), Duration::from_secs(3));
    }
}
