use std::fmt;
use std::time::Duration;

use super::role::Usage;

/// What was measured.
pub(super) struct Figures {
    /// PromptVersions and PromptRollouts that there were.
    pub(super) objects: (u64, u64),
    /// The operator before there is anything to do.
    pub(super) start: Usage,
    /// From the PromptBundles being there until everything is projected.
    pub(super) projected: Duration,
    /// Requests to the API server until then.
    pub(super) projected_requests: u64,
    /// The operator then.
    pub(super) full: Usage,
    /// How long it was watched while nothing happened.
    pub(super) idle: Duration,
    /// Requests meanwhile.
    pub(super) idle_requests: u64,
    /// The time of a processor that it used meanwhile.
    pub(super) idle_cpu: Duration,
    /// The same of the control role.
    pub(super) idle_control_cpu: Duration,
    /// The operator at the end of that.
    pub(super) steady: Usage,
    /// From the start of another operator until it knows everything.
    pub(super) relisted: Duration,
    /// That operator then.
    pub(super) relist: Usage,
    /// From the restart of the API server until a changed spec has its status.
    pub(super) again: Duration,
    /// That operator then.
    pub(super) relist_again: Usage,
    /// From spec to status, one change at a time.
    pub(super) spec_single: Times,
    /// The same, all bundles changed by one command.
    pub(super) spec_together: Times,
    /// Reconciles while that went on.
    pub(super) reconciles: u64,
    /// How long it took.
    pub(super) together: Duration,
    /// The time of a processor that the operator used for it.
    pub(super) together_cpu: Duration,
    /// From the call that ends a rollout to the status of its object.
    pub(super) rollout_end: Times,
    /// That operator at the end.
    pub(super) end: Usage,
}

/// How long something took each time.
#[derive(Default)]
pub(super) struct Times(pub(super) Vec<Duration>);

// === impl Figures ===

impl Figures {
    /// Returns the most memory of each of the two operators, in bytes.
    pub(super) fn peaks(&self) -> [(&'static str, u64); 2] {
        [("from the start on", self.steady.peak), ("from a restart on", self.end.peak)]
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (versions, rollouts) = self.objects;
        writeln!(f, "{versions} PromptVersions, {rollouts} PromptRollouts that run\n")?;
        writeln!(f, "| the operator | resident | most until then |\n|---|---|---|")?;
        for (when, usage) in [
            ("started, nothing to do", self.start),
            ("everything projected for the first time", self.full),
            ("steady", self.steady),
            ("restarted, everything listed", self.relist),
            ("the API server restarted", self.relist_again),
            ("after all changes", self.end),
        ] {
            writeln!(f, "| {when} | {} | {} |", megabytes(usage.resident), megabytes(usage.peak))?;
        }
        let rate = |count: u64, took: Duration| count as f64 / took.as_secs_f64();
        let seconds = |took: Duration| format!("{:.1} s", took.as_secs_f64());
        writeln!(f, "\n| what | |\n|---|---|")?;
        writeln!(
            f,
            "| everything projected for the first time | {}, {} requests, {:.0} per second |",
            seconds(self.projected),
            self.projected_requests,
            rate(self.projected_requests, self.projected)
        )?;
        writeln!(f, "| known again after a restart of the operator | {} |", seconds(self.relisted))?;
        writeln!(f, "| a change has its status, from a kill of the API server on | {} |", seconds(self.again))?;
        writeln!(f, "| idle, requests per minute | {:.0} |", rate(self.idle_requests, self.idle) * 60.0)?;
        let share = |cpu: Duration| 100.0 * cpu.as_secs_f64() / self.idle.as_secs_f64();
        writeln!(f, "| idle, of one core | {:.2} % |", share(self.idle_cpu))?;
        writeln!(f, "| the control role meanwhile, of one core | {:.2} % |", share(self.idle_control_cpu))?;
        writeln!(f, "| spec → status, one at a time | {} |", self.spec_single)?;
        writeln!(f, "| spec → status, all bundles at once | {} |", self.spec_together)?;
        writeln!(
            f,
            "| reconciles meanwhile | {:.0} per second, {:.0} per second of a processor |",
            rate(self.reconciles, self.together),
            rate(self.reconciles, self.together_cpu)
        )?;
        writeln!(f, "| a rollout ends at the control role → status | {} |", self.rollout_end)?;
        writeln!(f)
    }
}

// === impl Times ===

impl Times {
    /// Returns the time that so many in a hundred did not exceed.
    pub(super) fn percentile(&self, hundredth: usize) -> Duration {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        let rank = (sorted.len() * hundredth).div_ceil(100).max(1);
        sorted.get(rank - 1).copied().unwrap_or_default()
    }
}

impl fmt::Display for Times {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = |hundredth| self.percentile(hundredth).as_millis();
        write!(f, "p50 {} ms, p99 {} ms, most {} ms, of {}", at(50), at(99), at(100), self.0.len())
    }
}

/// Returns bytes as people read them.
pub(super) fn megabytes(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_a_time_that_was_measured() {
        let times = Times((1..=200).rev().map(Duration::from_millis).collect());
        let check = |hundredth, expected| assert_eq!(times.percentile(hundredth), Duration::from_millis(expected));
        check(50, 100);
        check(99, 198);
        check(100, 200);
        assert_eq!(Times(vec![Duration::from_secs(3)]).percentile(50), Duration::from_secs(3));
        assert_eq!(Times::default().percentile(99), Duration::ZERO);
    }
}
