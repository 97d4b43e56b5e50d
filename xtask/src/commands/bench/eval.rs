mod bowline;
mod promptfoo;
mod suite;

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::Context as _;

use self::suite::Assertions;
use crate::commands::Outcome;
use crate::machine::Machine;
use crate::process;
use crate::workspace::Workspace;

/// How much to measure.
#[derive(clap::Args)]
pub(in crate::commands) struct Options {
    /// Cases that both tools are given.
    #[arg(long, default_value_t = 2_000, value_parser = clap::value_parser!(u32).range(1..))]
    cases: u32,
    /// Cases of the large run.
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(1..))]
    many: u32,
    /// Measures without promptfoo, which is a large download the first time.
    #[arg(long)]
    alone: bool,
}

/// Cases per second that Bowline must reach.
const RATE_MIN: f64 = 2_000.0;
/// The most memory that a run may take: 60 MB, in MiB.
const MEMORY_MIB_MAX: f64 = 60e6 / 1_048_576.0;
/// The longest start.
const START_MAX: Duration = Duration::from_millis(200);
/// Runs of one case, whose median is the start.
const STARTS: usize = 9;

/// A tool's run of a suite.
struct Run {
    took: Duration,
    /// The most memory that it held at once, in MiB.
    memory_mib: f64,
}

/// The simulated provider; ends with the bench.
struct Simulator {
    process: Child,
    address: String,
}

/// Measures `bowline test` against the simulator without latency, and promptfoo on the same cases; fails where a target is missed or a
/// verdict differs.
pub(super) fn run(workspace: &Workspace, options: &Options) -> anyhow::Result<Outcome> {
    anyhow::ensure!(
        process::run(&mut workspace.cargo(&["build", "--quiet", "--release", "--package", "bowline"]))?,
        "the build failed"
    );
    let binary = workspace.target.join("release/bowline");
    let simulator = Simulator::start(&binary)?;
    // Beside the build, not in memory: results must reach a disk.
    let folder = tempfile::tempdir_in(&workspace.target)?;
    println!(
        "{}\n`cargo xtask bench eval --cases {} --many {}`\n",
        Machine::read("release profile")?,
        options.cases,
        options.many
    );
    println!("| what | cases | took | cases per second | peak memory |\n|---|---|---|---|---|");
    let tickets = workspace.text(Path::new("examples/support-desk/data/tickets.jsonl"))?;
    let project = |name: &str, cases, assertions| {
        suite::write(&folder.path().join(name), &tickets, (cases, assertions), &simulator.address)
    };

    let mut starts = Vec::new();
    let one = project("one", 1, Assertions::Shared)?;
    for _ in 0..STARTS {
        starts.push(bowline::run(&binary, &one)?.took);
    }
    starts.sort_unstable();
    let start = starts.get(STARTS / 2).copied().unwrap_or_default();
    let same = project("same", options.cases, Assertions::Shared)?;
    let ours = bowline::run(&binary, &same)?;
    row("bowline test", options.cases, &ours);
    let many = bowline::run(&binary, &project("many", options.many, Assertions::Shared)?)?;
    row("bowline test", options.many, &many);
    let own = bowline::run(&binary, &project("own", options.many, Assertions::Own)?)?;
    row("bowline test, each with an assertion of its own", options.many, &own);

    let mut missed = Vec::new();
    if !options.alone {
        let theirs = promptfoo::run(&same, &simulator.address, &folder.path().join("promptfoo"))?;
        row("promptfoo", options.cases, &theirs);
        let (ours, theirs) = (bowline::verdicts(&same)?, promptfoo::verdicts(&same)?);
        missed.extend(differences(&ours, &theirs));
        let passed = ours.iter().filter(|verdict| verdict.pass).count();
        println!("\nVerdicts of both on the same cases: {passed} of {} pass; {} differ", ours.len(), missed.len());
    }
    println!("Start, one case from the process to its exit, median of {STARTS}: {} ms", start.as_millis());
    for (cases, run) in [(options.cases, &ours), (options.many, &many), (options.many, &own)] {
        if run.rate(cases) < RATE_MIN {
            missed.push(format!("{:.0} cases per second are less than {RATE_MIN:.0}", run.rate(cases)));
        }
        if run.memory_mib > MEMORY_MIB_MAX {
            missed.push(format!("{:.1} MiB are more than {MEMORY_MIB_MAX:.1}", run.memory_mib));
        }
    }
    if start > START_MAX {
        missed.push(format!("a start of {} ms is longer than {} ms", start.as_millis(), START_MAX.as_millis()));
    }
    missed.iter().for_each(|missed| println!("MISSED: {missed}"));
    Ok(Outcome::of(missed.is_empty()))
}

/// What a tool found of a case.
struct Verdict {
    pass: bool,
    output: String,
}

/// Returns where two lists of verdicts, case by case, differ.
fn differences(ours: &[Verdict], theirs: &[Verdict]) -> Vec<String> {
    if ours.len() != theirs.len() {
        return vec![format!("{} verdicts against {}", ours.len(), theirs.len())];
    }
    let pairs = ours.iter().zip(theirs).enumerate();
    let differs = pairs.filter(|(_, (ours, theirs))| ours.pass != theirs.pass || ours.output != theirs.output);
    differs
        .map(|(case, (ours, theirs))| {
            let said =
                |verdict: &Verdict| format!("{} on {:?}", if verdict.pass { "pass" } else { "fail" }, verdict.output);
            format!("case {case}: bowline says {}, promptfoo {}", said(ours), said(theirs))
        })
        .collect()
}

fn row(what: &str, cases: u32, run: &Run) {
    let (took, rate) = (run.took.as_secs_f64(), run.rate(cases));
    println!("| {what} | {cases} | {took:.2} s | {rate:.0} | {:.1} MiB |", run.memory_mib);
}

// === impl Run ===

impl Run {
    fn rate(&self, cases: u32) -> f64 {
        f64::from(cases) / self.took.as_secs_f64()
    }

    /// Runs a command to its end and watches its memory. `codes` are those that say that it did its work.
    fn of(command: &mut Command, codes: &[i32]) -> anyhow::Result<Self> {
        let stopwatch = crate::stopwatch::Stopwatch::start();
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn()?;
        let mut stderr = child.stderr.take().context("it has no standard error")?;
        let said = std::thread::spawn(move || std::io::read_to_string(&mut stderr).unwrap_or_default());
        let mut memory_mib = 0.0;
        let status = loop {
            // The high-water mark only grows, so the last look is the one that counts.
            memory_mib = memory(child.id()).unwrap_or(memory_mib);
            if let Some(status) = child.try_wait()? {
                break status;
            }
            std::thread::sleep(Duration::from_millis(2));
        };
        let took = stopwatch.elapsed();
        let said = said.join().unwrap_or_default();
        let done = status.code().is_some_and(|code| codes.contains(&code));
        anyhow::ensure!(done, "{:?} ended with {status}: {said}", command.get_program());
        Ok(Self { took, memory_mib })
    }
}

/// Returns the most memory that a process has held, in MiB; `None` where it is gone.
fn memory(process: u32) -> Option<f64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let kib = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?.trim().strip_suffix(" kB")?;
    Some(f64::from(kib.trim().parse::<u32>().ok()?) / 1024.0)
}

// === impl Simulator ===

impl Simulator {
    fn start(binary: &Path) -> anyhow::Result<Self> {
        let mut command = Command::new(binary);
        command.args(["sim", "--listen", "127.0.0.1:0"]).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut process = command.spawn().context("starting the simulator")?;
        let mut line = String::new();
        BufReader::new(process.stdout.take().context("the simulator has no output")?).read_line(&mut line)?;
        let address = line.trim().strip_prefix("simulator ").context("the simulator did not say where it is")?;
        Ok(Self { address: address.to_owned(), process })
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(pass: bool, output: &str) -> Verdict {
        Verdict { pass, output: output.to_owned() }
    }

    #[test]
    fn every_difference_is_told() {
        let check = |ours: &[(bool, &str)], theirs: &[(bool, &str)], expected: usize| {
            let of = |verdicts: &[(bool, &str)]| {
                verdicts.iter().map(|(pass, output)| verdict(*pass, output)).collect::<Vec<_>>()
            };
            assert_eq!(differences(&of(ours), &of(theirs)).len(), expected);
        };
        check(&[(true, "a"), (false, "b")], &[(true, "a"), (false, "b")], 0);
        check(&[(true, "a"), (false, "b")], &[(false, "a"), (false, "c")], 2);
        check(&[(true, "a")], &[], 1);
    }
}
