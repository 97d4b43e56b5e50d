use crate::commands::Outcome;
use crate::machine::Machine;
use crate::process;
use crate::workspace::Workspace;

/// How much to measure.
#[derive(clap::Args)]
pub(in crate::commands) struct Options {
    /// Rounds; each measures everything once, in turns.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Calls of each measurement.
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u64).range(1..))]
    calls: u64,
}

/// Runs the bench of the binary, which measures its real processes.
pub(super) fn run(workspace: &Workspace, options: &Options) -> anyhow::Result<Outcome> {
    let (rounds, calls) = (options.rounds.to_string(), options.calls.to_string());
    println!("{}\n`cargo xtask bench gateway --rounds {rounds} --calls {calls}`\n", Machine::read("release profile")?);
    let mut bench = workspace.cargo(&["bench", "--package", "bowline", "--bench", "gateway", "--"]);
    Ok(Outcome::of(process::run(bench.args(["--rounds", &rounds, "--calls", &calls]))?))
}
