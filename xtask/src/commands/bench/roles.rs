use crate::commands::Outcome;
use crate::machine::Machine;
use crate::process;
use crate::workspace::Workspace;

/// How much to measure.
#[derive(clap::Args)]
pub(in crate::commands) struct Options {
    /// How often the pointer is moved.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..))]
    moves: u32,
}

/// Runs the test that moves a pointer under three gateways, often, with processes as fast as they are released.
pub(super) fn run(workspace: &Workspace, options: &Options) -> anyhow::Result<Outcome> {
    let moves = options.moves.to_string();
    println!("{}\n`cargo xtask bench roles --moves {moves}`\n", Machine::read("quick-release profile")?);
    let mut test =
        workspace.cargo(&["test", "--profile", "quick-release", "--package", "bowline", "--test", "it", "--locked"]);
    test.args(["--", "--nocapture", "roles::a_pointer_move"]).env("BOWLINE_MOVES", moves);
    Ok(Outcome::of(process::run(&mut test)?))
}
