use std::path::PathBuf;
use std::process::Command;

use anyhow::Context as _;

use super::{Outcome, conformance, generate, image, tidy, tour};
use crate::environment;
use crate::process;
use crate::stopwatch::{Stopwatch, Took};
use crate::workspace::Workspace;

mod api_server;
mod browser;
mod chart;
mod cluster;
pub(super) mod control_plane;
mod definitions;
mod deny;
pub(super) mod kubernetes;
mod python;
mod registries;

/// How much to run.
#[derive(clap::Args)]
pub(super) struct Options {
    /// Also what needs more than the Rust toolchain: cargo-deny, Python with the OpenAI SDK, a browser, Go with real registries,
    /// cosign and the API server of Kubernetes; and the tours of the documentation and the demo.
    #[arg(long)]
    full: bool,
    /// One step, by its name in the table at the end
    #[arg(long, value_name = "STEP", conflicts_with = "full")]
    only: Option<String>,
}

/// One step of the tests.
struct Step {
    name: &'static str,
    run: fn(&Workspace) -> anyhow::Result<Outcome>,
}

/// What became of a step.
struct Record {
    name: &'static str,
    outcome: Outcome,
    took: Option<Took>,
}

/// Needs the Rust toolchain alone.
const QUICK: [Step; 5] = [
    Step { name: "format", run: |workspace| cargo(workspace, &["fmt", "--all", "--check"]) },
    Step { name: "tidy", run: tidy::run },
    Step { name: "clippy", run: clippy },
    Step { name: "tests", run: |workspace| cargo(workspace, &["test", "--workspace", "--locked", "--no-fail-fast"]) },
    Step { name: "conformance", run: |workspace| conformance::run(workspace, &conformance::Options::default()) },
];

/// Sets up by itself what it needs besides.
const FULL: [Step; 12] = [
    Step { name: "dependencies", run: deny::run },
    Step { name: "documentation", run: documentation },
    Step { name: "build", run: build },
    Step { name: "command line", run: reference },
    Step { name: "python", run: |workspace| python::run(workspace, &bowline(workspace)) },
    Step { name: "registries", run: registries::run },
    Step { name: "tour", run: |workspace| tour::execute_all(workspace, &bowline(workspace)) },
    Step { name: "demo", run: demo },
    Step { name: "image", run: image::test },
    Step { name: "api server", run: api_server::run },
    Step { name: "chart", run: chart::run },
    Step { name: "kubernetes", run: kubernetes::run },
];

/// Runs when it is named only: it tries the chores that bring a cluster up, not the product.
const NAMED: [Step; 1] = [Step { name: "cluster", run: cluster::run }];

/// Runs the steps up to the first that fails, and prints what became of each.
pub(super) fn run(workspace: &Workspace, options: &Options) -> anyhow::Result<Outcome> {
    if let Some(name) = &options.only {
        let step = QUICK.iter().chain(&FULL).chain(&NAMED).find(|step| step.name == name);
        let names = steps().join(", ");
        let step = step.with_context(|| format!("there is no step `{name}`\nhint: {names}"))?;
        return Ok(print(&[step.record(workspace)]));
    }
    let (full, beyond) = FULL.split_at(if options.full { FULL.len() } else { 0 });
    let mut records: Vec<Record> = Vec::new();
    for step in QUICK.iter().chain(full) {
        let failed = records.iter().any(|record| record.outcome == Outcome::Failed);
        records.push(if failed { Record::not_run(step, "a step before it failed") } else { step.record(workspace) });
    }
    records.extend(beyond.iter().map(|step| Record::not_run(step, "needs `cargo xtask test --full`")));
    let named = |step: &Step| Record::not_run(step, &format!("needs `cargo xtask test --only {}`", step.name));
    records.extend(NAMED.iter().map(named));
    Ok(print(&records))
}

/// Returns the names of all steps.
pub(super) fn steps() -> Vec<&'static str> {
    QUICK.iter().chain(&FULL).chain(&NAMED).map(|step| step.name).collect()
}

/// Prints the table at the end.
fn print(records: &[Record]) -> Outcome {
    println!();
    for record in records {
        println!("{}", record.line());
    }
    Outcome::of(records.iter().all(|record| record.outcome != Outcome::Failed))
}

// === impl Step ===

impl Step {
    fn record(&self, workspace: &Workspace) -> Record {
        eprintln!("\n=== {} ===", self.name);
        let stopwatch = Stopwatch::start();
        let outcome = match (self.run)(workspace) {
            // On CI nobody reads that a step did not run.
            Ok(Outcome::NotRun(reason)) if environment::on_ci() => {
                eprintln!("error: cannot run: {reason}");
                Outcome::Failed
            }
            Ok(outcome) => outcome,
            Err(error) => {
                eprintln!("error: {error:#}");
                Outcome::Failed
            }
        };
        Record { name: self.name, outcome, took: Some(Took(stopwatch.elapsed())) }
    }
}

// === impl Record ===

impl Record {
    fn not_run(step: &Step, reason: &str) -> Self {
        Self { name: step.name, outcome: Outcome::NotRun(reason.to_owned()), took: None }
    }

    fn line(&self) -> String {
        let took = self.took.map_or_else(String::new, |took| took.to_string());
        let outcome = match &self.outcome {
            Outcome::Passed => "passed".to_owned(),
            Outcome::Failed => "FAILED".to_owned(),
            Outcome::NotRun(reason) => format!("not run: {reason}"),
        };
        format!("{:<14} {took:>12}  {outcome}", self.name)
    }
}

fn cargo(workspace: &Workspace, arguments: &[&str]) -> anyhow::Result<Outcome> {
    Ok(Outcome::of(process::run(&mut workspace.cargo(arguments))?))
}

fn clippy(workspace: &Workspace) -> anyhow::Result<Outcome> {
    cargo(workspace, &["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"])
}

fn documentation(workspace: &Workspace) -> anyhow::Result<Outcome> {
    let mut command = workspace.cargo(&["doc", "--workspace", "--no-deps", "--locked", "--document-private-items"]);
    // It is for those who write Bowline, so it may link to private items.
    command.env("RUSTDOCFLAGS", "-D warnings -A rustdoc::private-intra-doc-links");
    Ok(Outcome::of(process::run(&mut command)?))
}

/// Builds the binary once, fast enough for a demo and without the slow link of a release.
fn build(workspace: &Workspace) -> anyhow::Result<Outcome> {
    cargo(workspace, &["build", "--package", "bowline", "--profile", "quick-release", "--locked"])
}

/// Returns where `build` puts the binary.
fn bowline(workspace: &Workspace) -> PathBuf {
    workspace.target.join("quick-release/bowline")
}

fn reference(workspace: &Workspace) -> anyhow::Result<Outcome> {
    generate::run(workspace, &generate::Options::check(bowline(workspace)))
}

fn demo(workspace: &Workspace) -> anyhow::Result<Outcome> {
    let mut command = Command::new(bowline(workspace));
    Ok(Outcome::of(process::run(command.args(["demo", "--exit"]).current_dir(&workspace.root))?))
}
