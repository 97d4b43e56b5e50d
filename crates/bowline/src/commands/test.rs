use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use bowline_eval::{Format as ReportFormat, OnInconclusive, Policy, Report, Verdict, exit_code};
use bowline_prompt::{OnInconclusive as DeclaredInconclusive, Project};
use bowline_registry::overlay;
use bowline_store::Provenance;
use bowline_types::EnvironmentName;

use super::{connected, live};
use crate::cli::{self, Global};
use crate::eval::{About, Effort, Live, Plan, Ran, Results, Session, Stopped, prompts};
use crate::failure::{Failure, Result};
use crate::findings;
use crate::output::{Format, note, piece};
use crate::project::{self, FolderSource, Loaded};
use crate::style::Style;
use crate::suites::{self, Suites};
use crate::wording::{count, quoted};
use crate::workspace::Workspace;

/// A case failed.
const EXIT_FAILED: u8 = 100;
/// The environment that is served from the working tree.
const DEV: &str = "dev";

/// Runs suites, and decides as the gate does where it is asked for.
///
/// # Errors
/// The project or a suite has errors, or the run did not come to its end.
pub(crate) async fn run(global: &Global, test: &cli::Test) -> Result<ExitCode> {
    refuse_resumed(test)?;
    let mut loaded = project::load(global.dir.as_deref())?;
    temporary(global, &mut loaded, test.env.as_ref()).await?;
    let project = loaded.project()?;
    let environment = environment(project, test)?;
    // Before the run, since it may take long and its reports may be written into the tree.
    let provenance = provenance(&loaded);
    let suites = read(&loaded, test)?;
    let live = if test.gate { live(global, &environment, &suites).await? } else { Live::new() };
    let workspace = Workspace::open(&loaded.folder)?;
    let session = Session::new(&loaded, &environment, test, &live, suites.read)?;
    let (ran, effort) = Box::pin(session.run(workspace.folder())).await?;
    note(effort_line(&effort));
    let ran = whole(ran, &session.plan, &effort, test)?;
    let results = Results::new(&session, &ran.journal);
    let policy = policy(project, &environment, test);
    let compared = test.gate.then(|| environment.clone());
    let is_real = test.gate && project.is_real(&environment);
    let report = results.report(About { environment: compared, provenance, policy, is_real })?;
    for file in &test.reports {
        write(file, &report, &results)?;
    }
    match global.output {
        Format::Text => piece(&report.terminal(results.cases())),
        Format::Json => {
            let mut out = std::io::stdout().lock();
            // `head` and the like close the pipe when they have enough.
            drop(ReportFormat::Json.write(&report, results.cases(), &mut out).and_then(|()| out.flush()));
        }
    }
    results.check()?;
    if test.gate {
        uncompared(&environment, &report, &live).for_each(note);
    }
    let code = code(test, &report);
    if code == EXIT_FAILED && matches!(report.verdict(), Verdict::Pass) {
        note("some cases failed; `bowline test --gate` decides by the thresholds of the suites and by what is live");
    }
    Ok(ExitCode::from(code))
}

/// Refuses to attest a run that was begun before: what is signed are answers that were given now, not what lay in a folder of the checkout.
fn refuse_resumed(test: &cli::Test) -> Result<()> {
    if !test.resume || !test.is_attested() {
        return Ok(());
    }
    let hint = "hint: leave out `--resume`, or the report `attestation`";
    Err(Failure::user(format!("a run that goes on with an earlier one is not attested\n{hint}")))
}

/// Returns what the gate had nothing to compare with, and why.
fn uncompared<'a>(
    environment: &'a EnvironmentName,
    report: &'a Report,
    live: &'a Live,
) -> impl Iterator<Item = String> + 'a {
    report.versions.iter().filter(|version| version.stable.is_none()).map(move |version| {
        let prompt = &version.prompt;
        let why = if live.contains_key(prompt) { "this version is live in" } else { "no version of it is live in" };
        format!("{prompt} was compared with nothing: {why} `{environment}`")
    })
}

/// Returns what the gate decides by: the policy of the environment, and what was typed before it.
fn policy(project: &Project, environment: &EnvironmentName, test: &cli::Test) -> Policy {
    let declared = project.environments.get(environment).map(|environment| environment.gate).unwrap_or_default();
    let on_inconclusive = match (test.on_inconclusive, declared.on_inconclusive) {
        (Some(cli::OnInconclusive::Fail), _) | (None, DeclaredInconclusive::Fail) => OnInconclusive::Fail,
        (Some(cli::OnInconclusive::Warn), _) | (None, DeclaredInconclusive::Warn) => OnInconclusive::Warn,
    };
    Policy { alpha: declared.alpha, margin: declared.margin, on_inconclusive, ..Policy::default() }
}

/// Adds the temporary environments to those of the project file, where one is named that the file does not declare: only control knows them.
async fn temporary(global: &Global, loaded: &mut Loaded, named: Option<&EnvironmentName>) -> Result<()> {
    let Some(project) = loaded.report.project.as_mut() else { return Ok(()) };
    if named.is_none_or(|named| project.environments.contains_key(named)) {
        return Ok(());
    }
    let records = connected(global, async |connection| live::records(&connection.client).await).await?;
    overlay(project, &records);
    Ok(())
}

/// Returns where the working tree stands; without Git, on no commit.
fn provenance(loaded: &Loaded) -> Provenance {
    let none = Provenance { commit: None, author: None, dirty: true };
    bowline_registry::provenance(&loaded.folder).unwrap_or(none)
}

/// Writes a report to a file, whole or not at all.
fn write(file: &cli::ReportFile, report: &Report, results: &Results<'_>) -> Result<()> {
    let cannot = || format!("could not write the report {}", file.path.display());
    let mut name = file.path.clone().into_os_string();
    name.push(".part");
    let part = PathBuf::from(name);
    let mut out = BufWriter::new(File::create(&part).with_context(cannot)?);
    file.format.write(report, results.cases(), &mut out).and_then(|()| out.flush()).with_context(cannot)?;
    results.check()?;
    std::fs::rename(&part, &file.path).with_context(cannot)?;
    Ok(())
}

/// Returns the exit code: that of the gate, else whether a call failed.
fn code(test: &cli::Test, report: &Report) -> u8 {
    if test.gate {
        let on_inconclusive = report.suites.first().map(|suite| suite.gate.policy.on_inconclusive).unwrap_or_default();
        return exit_code(report.suites.iter().map(|suite| &suite.gate.verdict), on_inconclusive);
    }
    let failed = report.suites.iter().any(|suite| suite.gate.candidate.calls_passed < suite.gate.candidate.calls);
    if failed { EXIT_FAILED } else { 0 }
}

/// Returns what the run did, in one line.
fn effort_line(effort: &Effort) -> String {
    let Effort { spent, calls, throttled, cached, silence: _ } = effort;
    let mut parts = vec![count(*calls, "call"), format!("${spent}")];
    if *cached > 0 {
        parts.push(format!("{} from the cache", count(*cached, "answer")));
    }
    if *throttled > 0 {
        parts.push(format!("{throttled} asked to be called later"));
    }
    parts.join(", ")
}

/// Returns a run that came to its end.
fn whole(ran: Ran, plan: &Plan, effort: &Effort, test: &cli::Test) -> Result<Ran> {
    if let (None, Some(silence)) = (&ran.stopped, &effort.silence) {
        return Err(Failure::user(silence.clone()));
    }
    let done = format!("{} of {} calls have a result", ran.journal.done(), plan.calls);
    match ran.stopped {
        None => Ok(ran),
        Some(Stopped::Budget) => {
            let budget = test.budget.unwrap_or_default();
            let hint = "hint: `--resume` goes on, with a `--budget` for the rest";
            Err(Failure::user(format!("the budget of ${budget} is used up: {done}, for ${}\n{hint}", effort.spent)))
        }
        Some(Stopped::Interrupted) => {
            Err(Failure::user(format!("the run was interrupted: {done}\nhint: `--resume` goes on")))
        }
        Some(Stopped::Failed(failure)) => {
            note(format!("{done}; `--resume` goes on"));
            Err(failure)
        }
    }
}

/// Returns the environment that is meant: the one named, else `dev`; for the gate, the one beside it.
fn environment(project: &Project, test: &cli::Test) -> Result<EnvironmentName> {
    if let Some(named) = &test.env {
        live::declared(project, named)?;
        return Ok(named.clone());
    }
    if !test.gate {
        return Ok(DEV.parse().map_err(anyhow::Error::from)?);
    }
    let mut others = project.environments.keys().filter(|name| name.as_str() != DEV);
    match (others.next(), others.next()) {
        (Some(only), None) => Ok(only.clone()),
        _ => {
            let names = quoted(project.environments.keys().map(EnvironmentName::as_str));
            let hint = format!("hint: `--env ENV` with one of {names}");
            Err(Failure::user(format!("which environment is the gate of?\n{hint}")))
        }
    }
}

/// Reads the suites that are meant; what is wrong in them is told.
fn read(loaded: &Loaded, test: &cli::Test) -> Result<Suites> {
    let files = if test.suites.is_empty() { suites::files(loaded)? } else { suites::named(loaded, &test.suites)? };
    if files.is_empty() {
        let hint = "hint: a suite is a YAML file in evals/; `--suite FILE` names another";
        return Err(Failure::user(format!("the project has no suites\n{hint}")));
    }
    let suites = suites::read(loaded, &files);
    let source = FolderSource::new(&loaded.folder);
    findings::rendered(&suites.diagnostics, &source, Style::of_stderr()).for_each(note);
    if findings::errors(&suites.diagnostics) > 0 {
        return Err(Failure::user("the suites have errors"));
    }
    Ok(suites)
}

/// Returns what is live of the prompts that are tested.
async fn live(global: &Global, environment: &EnvironmentName, suites: &Suites) -> Result<Live> {
    let tested: Vec<_> = prompts(&suites.read).collect();
    connected(global, async |connection| {
        let mut live = Live::new();
        for pointer in live::pointers(&connection.client, environment).await? {
            if tested.contains(&&pointer.prompt) {
                let found = live::version(&connection.client, &pointer.prompt, &pointer.version.hex()).await?;
                live.insert(pointer.prompt, found);
            }
        }
        Ok(live)
    })
    .await
}
