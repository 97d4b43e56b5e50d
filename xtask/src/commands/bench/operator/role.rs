//! The roles as processes, and what the system says of them.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::Context as _;
use rustix::process::{Pid, Signal, kill_process};

use super::http;

/// The ticks of a second in `/proc/PID/stat`, which is the same on every Linux
/// (<https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html>, read 2026-11-25).
const TICKS_PER_SECOND: f64 = 100.0;
/// How much of a log is shown where its process failed.
const TAIL_LINES: usize = 20;

/// A role of Bowline in a process of its own; it ends with this.
pub(super) struct Role {
    process: Child,
    log: PathBuf,
    /// What it said at its start: the name of a listener and its address.
    said: Vec<(String, String)>,
}

/// What a process holds and has used.
#[derive(Clone, Copy, Debug)]
pub(super) struct Usage {
    /// Resident memory, in bytes.
    pub(super) resident: u64,
    /// The most that it has ever held.
    pub(super) peak: u64,
    /// The time of a processor that it has used.
    pub(super) cpu: Duration,
}

// === impl Role ===

impl Role {
    /// Starts `bowline serve` and returns once it has said that it listens at `listener`, which comes last.
    pub(super) fn start(command: &mut Command, log: &Path, listener: &str) -> anyhow::Result<Self> {
        let errors = File::create(log).with_context(|| format!("making {}", log.display()))?;
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(errors);
        let mut process = command.spawn().context("starting bowline")?;
        let output = process.stdout.take().context("the output is a pipe")?;
        let mut role = Self { process, log: log.to_owned(), said: Vec::new() };
        let mut lines = BufReader::new(output).lines();
        while !role.said.iter().any(|(name, _)| name == listener) {
            let Some(line) = lines.next() else {
                anyhow::bail!("bowline ended before it said where its {listener} is: {}", role.tail());
            };
            let line = line.context("reading what bowline says")?;
            let mut words = line.split_whitespace();
            if let (Some(name), Some(address)) = (words.next(), words.next()) {
                let address = address.trim_start_matches("http://").split('/').next().unwrap_or_default();
                role.said.push((name.to_owned(), address.to_owned()));
            }
        }
        // Whoever does not read a pipe stops its writer.
        std::thread::spawn(move || lines.map_while(Result::ok).for_each(drop));
        Ok(role)
    }

    /// Returns the address of a listener.
    pub(super) fn address(&self, listener: &str) -> anyhow::Result<&str> {
        let found = self.said.iter().find(|(name, _)| name == listener);
        found.map(|(_, address)| address.as_str()).with_context(|| format!("it has no listener `{listener}`"))
    }

    /// Asks for its metrics.
    pub(super) fn metrics(&self) -> anyhow::Result<Metrics> {
        let text = http::get(self.address("metrics")?, "/metrics");
        Ok(Metrics(text.with_context(|| format!("its log ends with {}", self.tail()))?))
    }

    /// Returns what it holds and has used.
    pub(super) fn usage(&self) -> anyhow::Result<Usage> {
        let read = |name: &str| {
            let path = format!("/proc/{}/{name}", self.process.id());
            fs::read_to_string(&path).with_context(|| format!("reading {path}: {}", self.tail()))
        };
        Usage::parse(&read("status")?, &read("stat")?).context("what /proc says of a process has another form")
    }

    /// Asks it to end, and waits until it has.
    pub(super) fn stop(mut self) -> anyhow::Result<()> {
        let id = i32::try_from(self.process.id()).ok().and_then(Pid::from_raw).context("it has a process")?;
        kill_process(id, Signal::TERM)?;
        let status = self.process.wait()?;
        anyhow::ensure!(status.success(), "bowline ended with {status}: {}", self.tail());
        Ok(())
    }

    fn tail(&self) -> String {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<_> = text.lines().rev().take(TAIL_LINES).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join("\n")
    }
}

impl Drop for Role {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

// === impl Usage ===

impl Usage {
    fn parse(status: &str, stat: &str) -> Option<Self> {
        let bytes = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
            Some(line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()? * 1024)
        };
        // The name of the program, in brackets, may have spaces.
        let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
        let (user, system): (u32, u32) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
        let cpu = Duration::from_secs_f64((f64::from(user) + f64::from(system)) / TICKS_PER_SECOND);
        Some(Self { resident: bytes("VmRSS")?, peak: bytes("VmHWM")?, cpu })
    }
}

/// Metrics in the text format of Prometheus.
pub(super) struct Metrics(pub(super) String);

// === impl Metrics ===

impl Metrics {
    /// Returns the sum of the series of a name that have a label; 0 where there is none.
    pub(super) fn sum(&self, name: &str, label: &str) -> u64 {
        let values = self.0.lines().filter_map(|line| {
            let (series, value) = line.rsplit_once(' ')?;
            let labels = series.strip_prefix(name)?;
            let is_it = labels.is_empty() && label.is_empty() || labels.starts_with('{') && labels.contains(label);
            is_it.then(|| value.parse::<f64>().ok())?
        });
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "counts are whole and not negative"
        )]
        let sum = values.sum::<f64>().max(0.0) as u64;
        sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_read() {
        let status = "Name:\tbowline\nVmHWM:\t   96004 kB\nVmRSS:\t   88000 kB\n";
        let stat = "42 (a (b) c) S 1 42 42 0 -1 4194304 9 0 0 0 150 50 0 0 20 0 5 0 1 2 3";
        let usage = Usage::parse(status, stat).unwrap();
        assert_eq!((usage.resident, usage.peak), (88_000 * 1024, 96_004 * 1024));
        assert_eq!(usage.cpu, Duration::from_secs(2));
    }

    #[test]
    fn series_are_added_up() {
        let metrics = Metrics(
            "# TYPE a_total counter\na_total{kind=\"P\"} 3\na_total{kind=\"Q\"} 4\na 9\nb{x=\"1\"} 1e3\n".into(),
        );
        assert_eq!(metrics.sum("a_total", "kind=\"P\""), 3);
        assert_eq!(metrics.sum("a_total", ""), 7);
        assert_eq!(metrics.sum("a", ""), 9);
        assert_eq!(metrics.sum("b", ""), 1_000);
        assert_eq!(metrics.sum("c", ""), 0);
    }
}
