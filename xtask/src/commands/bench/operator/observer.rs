//! What somebody who watches the API server sees, and when.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use anyhow::Context as _;

use super::ControlPlane;
use crate::stopwatch::Stopwatch;

/// `kubectl get --watch`; ends with this.
pub(super) struct Observer {
    process: Child,
    lines: Receiver<(Duration, String)>,
    stopwatch: Stopwatch,
}

// === impl Observer ===

impl Observer {
    /// Watches the objects of a kind in every namespace. `line` is the template of a line, in kubectl's JSONPath.
    pub(super) fn start(cluster: &ControlPlane, kind: &str, line: &str) -> anyhow::Result<Self> {
        let mut command = cluster.command();
        // In one piece, as of a list in pieces kubectl shows no object before it watches.
        command.args(["get", kind, "--all-namespaces", "--watch", "--chunk-size=0", "--output"]);
        command.arg(format!(r#"jsonpath={line}{{"\n"}}"#));
        let mut process = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().context("starting kubectl")?;
        let output = process.stdout.take().context("the output is a pipe")?;
        let stopwatch = Stopwatch::start();
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if sender.send((stopwatch.elapsed(), line)).is_err() {
                    return;
                }
            }
        });
        Ok(Self { process, lines, stopwatch })
    }

    /// Returns the time, as the lines have it.
    pub(super) fn now(&self) -> Duration {
        self.stopwatch.elapsed()
    }

    /// Takes lines, each with the time at which it came, until one of them is what is waited for.
    pub(super) fn until<T>(
        &self,
        what: &str,
        mut look: impl FnMut(Duration, &str) -> anyhow::Result<Option<T>>,
    ) -> anyhow::Result<T> {
        let end = self.now() + super::PATIENCE;
        loop {
            match self.lines.recv_timeout(end.saturating_sub(self.now())) {
                Ok((at, line)) => {
                    if let Some(found) = look(at, &line)? {
                        return Ok(found);
                    }
                }
                Err(RecvTimeoutError::Timeout) => {
                    anyhow::bail!("{what}: not after {} s", super::PATIENCE.as_secs())
                }
                Err(RecvTimeoutError::Disconnected) => anyhow::bail!("{what}: `kubectl get --watch` has ended"),
            }
        }
    }
}

impl Drop for Observer {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}
