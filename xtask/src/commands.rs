use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::environment;
use crate::workspace::Workspace;

mod bench;
mod chaos;
mod cluster;
mod conformance;
mod generate;
mod image;
mod test;
mod tidy;
mod tour;

/// Project chores.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Checks what the compiler does not: crate edges, sizes, documents, generated files.
    Tidy,
    /// Writes the generated files.
    Gen(generate::Options),
    /// Runs the corpora of recorded cases.
    Conformance(conformance::Options),
    /// Runs everything that must pass before a change lands.
    Test(test::Options),
    /// Executes the tours of README.md, or of another document.
    Tour(tour::Options),
    /// Builds Bowline's own container image, and runs it.
    Image(image::Options),
    /// Measures.
    #[command(subcommand)]
    Bench(bench::Bench),
    /// Kills it under traffic, many times, and lets it work among failures.
    Chaos(chaos::Options),
    /// Runs Kubernetes on this machine, without Docker.
    #[command(subcommand)]
    Cluster(cluster::Cluster),
}

/// How a chore ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// As it should.
    Passed,
    /// With findings, which are printed.
    Failed,
    /// It needs what is not here; why.
    NotRun(String),
}

/// Parses the command line and runs the chore.
pub(crate) fn run() -> anyhow::Result<Outcome> {
    let arguments = Arguments::parse();
    let workspace = Workspace::read()?;
    match arguments.command {
        Command::Tidy => tidy::run(&workspace),
        Command::Gen(options) => generate::run(&workspace, &options),
        Command::Conformance(options) => conformance::run(&workspace, &options),
        Command::Test(options) => test::run(&workspace, &options),
        Command::Tour(options) => tour::run(&workspace, &options),
        Command::Image(options) => image::run(&workspace, &options),
        Command::Bench(bench) => bench::run(&workspace, &bench),
        Command::Chaos(options) => chaos::run(&workspace, &options),
        Command::Cluster(cluster) => cluster::run(&workspace, &cluster),
    }
}

// === impl Outcome ===

impl Outcome {
    /// Returns the outcome of a check.
    pub(crate) const fn of(passed: bool) -> Self {
        if passed { Self::Passed } else { Self::Failed }
    }

    /// Returns the exit code. What could not run is a failure on CI, where nobody reads that it did not.
    pub(crate) fn exit_code(&self) -> ExitCode {
        match self {
            Self::Passed => ExitCode::SUCCESS,
            Self::Failed => ExitCode::FAILURE,
            Self::NotRun(reason) => {
                eprintln!("not run: {reason}");
                if environment::on_ci() { ExitCode::FAILURE } else { ExitCode::SUCCESS }
            }
        }
    }
}
