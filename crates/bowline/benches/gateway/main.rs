//! What the gateway costs: added latency and CPU per call against a direct call to the simulator and against a bare reverse proxy.
//! All are processes of their own, and are measured in turns within the same run; see `docs/benchmarks.md`.

mod process;
mod project;
mod proxy;
mod report;
mod rounds;

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::{Parser, Subcommand};

use crate::process::{Process, Usage};
use crate::project::Project;
use crate::rounds::{Level, Rounds};

/// How often the start is measured.
const STARTS: usize = 10;
/// How long a gateway rests before its idle memory is read.
const IDLE: Duration = Duration::from_secs(2);

#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    /// Rounds; each measures everything once.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Calls of a measurement that sends the next call when one ends.
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u64).range(1..))]
    calls: u64,
    /// Calls per second of a measurement with a rate.
    #[arg(long, default_value_t = 200.0)]
    rate: f64,
    /// Cargo says so when it runs a bench.
    #[arg(long, hide = true)]
    bench: bool,
}

#[derive(Subcommand)]
enum Command {
    /// Serves as the bare reverse proxy.
    #[command(hide = true)]
    Proxy { upstream: SocketAddr },
}

/// How soon a gateway serves, and what it needs then.
struct Start {
    /// From the start of the process to the first 200 of `/readyz`.
    times: Vec<Duration>,
    idle: Usage,
}

#[tokio::main(flavor = "multi_thread")]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    match arguments.command {
        Some(Command::Proxy { upstream }) => proxy::serve(upstream).await,
        None => bench(&arguments).await,
    }
}

async fn bench(arguments: &Arguments) -> Result<()> {
    let project = Project::create()?;
    let start = start(&project).await?;
    let simulator = project.simulator();
    let proxy = Process::proxy(project.folder(), simulator.address()?)?;
    let up = project.up().await?;
    let targets = project.targets(&up, proxy).await?;
    let one = NonZeroUsize::MIN;
    let sixteen = one.saturating_add(15);
    let levels = vec![
        Level { concurrency: one, rate: None, calls: arguments.calls },
        Level { concurrency: sixteen, rate: None, calls: arguments.calls },
        // Calls that find every connection taken wait, and their wait counts.
        Level { concurrency: sixteen, rate: Some(arguments.rate), calls: arguments.calls },
    ];
    let mut rounds = Rounds::new(targets, levels);
    rounds.run(arguments.rounds).await?;
    let kept = up.kept(rounds.calls_of_gateway()).await?;
    ensure!(rounds.failed().is_empty(), "calls were lost: {:?}", rounds.failed());
    report::print(&rounds, &start, &kept, up.process.usage()?).context("the report could not be written")
}

/// Starts a gateway over a store that is there, again and again.
async fn start(project: &Project) -> Result<Start> {
    let mut times = Vec::new();
    for _ in 1..STARTS {
        let (time, process) = project.start()?;
        times.push(time);
        process.terminate()?;
    }
    let (time, process) = project.start()?;
    times.push(time);
    tokio::time::sleep(IDLE).await;
    let idle = process.usage()?;
    process.terminate()?;
    Ok(Start { times, idle })
}
