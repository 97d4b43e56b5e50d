use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use bowline_sim::{Calls, Limit, Load, Report};
use bowline_types::Secret;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::process::Process;

/// How long a call may take.
const TIMEOUT: Duration = Duration::from_secs(10);
/// The share of the calls of a round that the round before the first one makes, which does not count.
const WARM_UP: u64 = 5;

/// A way to the simulator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Way {
    /// Without anything between.
    Direct,
    /// Through the bare reverse proxy.
    Proxy,
    /// Through the gateway, by the alias of a model: bytes pass.
    Alias,
    /// Through the gateway, by reference to a prompt: schema, render, assignment to an arm, checks.
    Prompt,
}

/// Where calls of a way go.
pub(crate) struct Target {
    pub(crate) way: Way,
    pub(crate) address: SocketAddr,
    pub(crate) key: Option<Secret>,
    /// The body.
    pub(crate) call: Value,
    /// What stands between and costs processor time; `None` for nothing.
    pub(crate) process: Option<Arc<Process>>,
}

/// How calls follow each other.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Level {
    /// Calls at once, at most.
    pub(crate) concurrency: NonZeroUsize,
    /// Calls per second; `None` sends the next when one ends.
    pub(crate) rate: Option<f64>,
    pub(crate) calls: u64,
}

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Cell {
    /// Whether answers are streamed.
    pub(crate) stream: bool,
    /// The place of the level.
    pub(crate) level: usize,
    pub(crate) way: Way,
}

/// One measurement.
pub(crate) struct Sample {
    pub(crate) report: Report,
    /// Processor time of what stands between.
    pub(crate) cpu: Duration,
}

/// Everything that was measured, by cell and round.
pub(crate) struct Rounds {
    pub(crate) targets: Vec<Target>,
    pub(crate) levels: Vec<Level>,
    pub(crate) samples: BTreeMap<Cell, Vec<Sample>>,
    /// Calls through the gateway, the warm-up included.
    calls_of_gateway: u64,
    failed: BTreeMap<String, u64>,
}

// === impl Way ===

impl Way {
    pub(crate) const ALL: [Self; 4] = [Self::Direct, Self::Proxy, Self::Alias, Self::Prompt];

    const fn is_gateway(self) -> bool {
        matches!(self, Self::Alias | Self::Prompt)
    }
}

// === impl Rounds ===

impl Rounds {
    pub(crate) const fn new(targets: Vec<Target>, levels: Vec<Level>) -> Self {
        Self { targets, levels, samples: BTreeMap::new(), calls_of_gateway: 0, failed: BTreeMap::new() }
    }

    /// Measures everything once per round. The ways to the simulator take turns, each round another one first, so that whatever
    /// else the machine does meets all of them.
    pub(crate) async fn run(&mut self, rounds: u32) -> Result<()> {
        for round in 0..=rounds {
            for stream in [false, true] {
                for level in 0..self.levels.len() {
                    for turn in 0..self.targets.len() {
                        let target = (turn + round as usize) % self.targets.len();
                        self.measure(target, level, stream, round).await?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Returns how many calls went through the gateway.
    pub(crate) const fn calls_of_gateway(&self) -> u64 {
        self.calls_of_gateway
    }

    /// Returns the calls without a whole answer, by code.
    pub(crate) const fn failed(&self) -> &BTreeMap<String, u64> {
        &self.failed
    }

    async fn measure(&mut self, target: usize, level: usize, stream: bool, round: u32) -> Result<()> {
        let is_warm_up = round == 0;
        let (target, speed) = (&self.targets[target], self.levels[level]);
        let mut call = target.call.clone();
        call["stream"] = Value::from(stream);
        let load = Load {
            gateway: format!("http://{}", target.address),
            key: target.key.clone(),
            calls: Calls::Body(call.to_string().into()),
            concurrency: speed.concurrency,
            rate: speed.rate,
            limit: Limit {
                calls: Some(if is_warm_up { speed.calls.div_ceil(WARM_UP) } else { speed.calls }),
                duration: None,
            },
            // Fresh units each time: those that came before are in the rollout already.
            seed: self.calls_of_gateway,
            timeout: TIMEOUT,
        };
        let before = rest(target.process.as_deref()).await?;
        let report = load.run(CancellationToken::new(), |_| {}).await?;
        // What follows a call, as its checks and its record, is part of its cost.
        let cpu = rest(target.process.as_deref()).await?.saturating_sub(before);
        if target.way.is_gateway() {
            self.calls_of_gateway += report.sent;
        }
        for (code, count) in &report.errors {
            *self.failed.entry(format!("{:?}: {code}", target.way)).or_default() += count;
        }
        if !is_warm_up {
            let cell = Cell { stream, level, way: target.way };
            self.samples.entry(cell).or_default().push(Sample { report, cpu });
        }
        Ok(())
    }
}

async fn rest(process: Option<&Process>) -> Result<Duration> {
    match process {
        Some(process) => process.rest().await,
        None => Ok(Duration::ZERO),
    }
}
