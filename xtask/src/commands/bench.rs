use super::Outcome;
use crate::machine::Machine;
use crate::process;
use crate::workspace::Workspace;

mod canary;
mod eval;
mod gateway;
mod operator;
mod roles;

/// What to measure.
#[derive(clap::Subcommand)]
pub(super) enum Bench {
    /// The gateway: added latency and CPU per call, beside a bare proxy; start-up time and memory.
    Gateway(gateway::Options),
    /// The canary engine: observations per second, error rates, and units until a verdict.
    Canary(canary::Options),
    /// Roles apart: how long it takes until a pointer move has reached three gateways.
    Roles(roles::Options),
    /// The operator: memory, requests and times, with 10,000 PromptVersions and 1,000 PromptRollouts on a real API server.
    Operator(operator::Options),
    /// Suites: cases per second, memory and start of `bowline test`, beside promptfoo on the same cases.
    Eval(eval::Options),
    /// The embedded store: rows and commits per second.
    Store,
}

/// Measures, and prints the figures as Markdown.
pub(super) fn run(workspace: &Workspace, bench: &Bench) -> anyhow::Result<Outcome> {
    match bench {
        Bench::Gateway(options) => gateway::run(workspace, options),
        Bench::Canary(options) => canary::run(options),
        Bench::Roles(options) => roles::run(workspace, options),
        Bench::Operator(options) => operator::run(workspace, options),
        Bench::Eval(options) => eval::run(workspace, options),
        Bench::Store => store(workspace),
    }
}

fn store(workspace: &Workspace) -> anyhow::Result<Outcome> {
    // Beside the build, not in memory: what is synced must reach a disk.
    let folder = tempfile::tempdir_in(&workspace.target)?;
    let arguments = ["run", "--release", "--package", "bowline-store-sqlite", "--example", "throughput", "--"];
    println!("{}\n`cargo xtask bench store`\n", Machine::read("release profile")?);
    Ok(Outcome::of(process::run(workspace.cargo(&arguments).arg(folder.path()))?))
}
