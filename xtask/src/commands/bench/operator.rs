use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use bowline_testkit::RegistryProgram;

use crate::commands::Outcome;
use crate::commands::test::control_plane::{self, ControlPlane};
use crate::go::REGISTRY;
use crate::machine::Machine;
use crate::process;
use crate::stopwatch::{Stopwatch, Took};
use crate::workspace::Workspace;

mod changes;
mod cluster;
mod figures;
mod http;
mod observer;
mod phases;
mod role;
mod seed;

use figures::{Figures, Times};

/// How much to measure.
#[derive(clap::Args)]
pub(in crate::commands) struct Options {
    /// Projects, each with a namespace and a PromptBundle.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=99))]
    projects: u32,
    /// Prompts of each project; each has a rollout that runs.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
    prompts: u32,
    /// Versions of each prompt.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(2..=20))]
    versions: u32,
    /// How often something is changed, to see how long its status takes.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..))]
    samples: u32,
    /// How long the operator is watched while nothing happens, in seconds.
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..))]
    idle: u64,
    /// The program to measure [default: it is built]
    #[arg(long, value_name = "FILE")]
    bowline: Option<PathBuf>,
}

/// Rows of an environment's pointer log that the operator looks through at once.
const LOG_ROWS_MAX: u32 = 1_000;
/// The most memory that the operator may hold at once, in bytes.
const MEMORY_BYTES_MAX: u64 = 150_000_000;
/// The longest time from a changed spec to its status, at the 99th percentile.
const STATUS_MAX: Duration = Duration::from_secs(1);
/// How long anything may take that is waited for.
const PATIENCE: Duration = Duration::from_secs(300);

/// What is measured in.
struct Bench<'a> {
    options: &'a Options,
    cluster: &'a ControlPlane,
    /// Where everything beside the cluster lies.
    folder: &'a Path,
    bowline: PathBuf,
    registry: RegistryProgram,
    deploy: PathBuf,
}

/// Lets a real operator project a full control role to a real API server, and fails where a target is missed.
pub(super) fn run(workspace: &Workspace, options: &Options) -> anyhow::Result<Outcome> {
    let stopwatch = Stopwatch::start();
    anyhow::ensure!(
        options.prompts.saturating_mul(options.versions) <= LOG_ROWS_MAX,
        "an operator that meets a project finds no more than its newest {LOG_ROWS_MAX} versions in the pointer log\nhint: more `--projects`"
    );
    let (bowline, profile) = match &options.bowline {
        Some(bowline) => (std::path::absolute(bowline)?, "a program that was given"),
        None => {
            let arguments = ["build", "--quiet", "--profile", "quick-release", "--package", "bowline", "--locked"];
            anyhow::ensure!(process::run(&mut workspace.cargo(&arguments))?, "the build failed");
            (workspace.target.join("quick-release/bowline"), "quick-release profile")
        }
    };
    let registry = RegistryProgram::start(&REGISTRY.build(workspace)?).context("starting a registry")?;
    // Beside the build, not in memory: what is synced must reach a disk.
    let folder = tempfile::tempdir_in(&workspace.target)?;
    let mut figures = None;
    let outcome = control_plane::with(workspace, |cluster| {
        let deploy = workspace.root.join("deploy");
        let bench = Bench { options, cluster, folder: folder.path(), bowline, registry, deploy };
        figures = Some(phases::measure(&bench)?);
        Ok(())
    })?;
    let Some(figures) = figures else { return Ok(outcome) };
    let Options { projects, prompts, versions, .. } = options;
    println!("{}", Machine::read(profile)?);
    println!("`cargo xtask bench operator --projects {projects} --prompts {prompts} --versions {versions}`\n");
    print!("{figures}");
    let missed = missed(&figures);
    missed.iter().for_each(|missed| println!("MISSED: {missed}"));
    eprintln!("the bench took {}", Took(stopwatch.elapsed()));
    Ok(Outcome::of(missed.is_empty()))
}

/// Returns the targets that were missed.
fn missed(figures: &Figures) -> Vec<String> {
    let mut missed = Vec::new();
    for (when, bytes) in figures.peaks() {
        if bytes > MEMORY_BYTES_MAX {
            let (held, most) = (figures::megabytes(bytes), figures::megabytes(MEMORY_BYTES_MAX));
            missed.push(format!("{when} the operator held {held}, which is more than {most}"));
        }
    }
    for (what, times) in [("one at a time", &figures.spec_single), ("all at once", &figures.spec_together)] {
        let p99 = Times::percentile(times, 99);
        if p99 > STATUS_MAX {
            missed.push(format!("from spec to status, {what}: {} ms at p99", p99.as_millis()));
        }
    }
    missed
}

// === impl Bench ===

impl Bench<'_> {
    /// Returns the number of PromptVersions that there are to be.
    const fn versions(&self) -> u64 {
        self.rollouts() * self.options.versions as u64
    }

    /// Returns the number of PromptRollouts that there are to be.
    const fn rollouts(&self) -> u64 {
        self.options.projects as u64 * self.options.prompts as u64
    }
}

/// Does a part of the bench, and says how long it took.
fn phase<T>(what: &str, work: impl FnOnce() -> anyhow::Result<T>) -> anyhow::Result<(T, Duration)> {
    let stopwatch = Stopwatch::start();
    let done = work().with_context(|| what.to_owned())?;
    let took = stopwatch.elapsed();
    eprintln!("{what}: {}", Took(took));
    Ok((done, took))
}
