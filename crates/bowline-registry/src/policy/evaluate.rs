use std::time::Duration;

use bowline_types::{EnvironmentName, Timestamp, format_duration};

use super::report::{Verdict, is_called};
use super::{Evidence, Held, Line, Policy, Report, ReportSuite};

/// Returns every line of a policy with whether it holds.
pub(super) fn lines(policy: &Policy, evidence: &Evidence, now: Timestamp) -> Vec<Line> {
    let mut lines = Vec::new();
    for (index, signer) in policy.signers.iter().enumerate() {
        let what = format!("signed by {signer}");
        lines.push(if evidence.signers.contains(&index) {
            held(what, "its signature holds")
        } else {
            let why = match evidence.strangers {
                0 => "no signature by it",
                _ => "no signature by it; what is signed there is signed by a key that the policy does not name",
            };
            failed(what, why, "`bowline bundle push --key` signs, with the private key that belongs to it")
        });
    }
    for suite in &policy.suites {
        lines.extend(suite_lines(policy, evidence, suite, now));
    }
    lines
}

/// The lines of one suite: that it passed and, of the report that says so, whose gate it was, of what tree, its age, and where its answers came
/// from.
fn suite_lines(policy: &Policy, evidence: &Evidence, name: &str, now: Timestamp) -> Vec<Line> {
    let reports = evidence.reports.iter().filter(|report| is_of(report, name, &evidence.versions));
    let with = reports.filter_map(|report| Some((report, report.suites.iter().find(|suite| suite.is(name))?)));
    // The newest one counts: a suite that failed since is not made good by an older report. One of another gate, or of none, says nothing about
    // this one, and is looked at only where there is no other.
    let newest = with.max_by_key(|(report, _)| (counts(policy, report), report.finished_at));
    let what = format!("suite {name} passed");
    let Some((report, suite)) = newest else {
        let why = match evidence.reports.len() {
            0 => "no report that a signer of this policy signed".to_owned(),
            1 => "the report is not of these versions, or has no such suite".to_owned(),
            count => format!("none of {count} reports is of these versions and has that suite"),
        };
        return vec![failed(what, why, gate_again(policy))];
    };
    if evidence.suites.get(&suite.name).is_some_and(|held| *held != suite.digest) {
        let why = "the report is of another text of this suite than the bundle has";
        return vec![failed(what, why, gate_again(policy))];
    }
    let mut lines = vec![passed(policy, what, suite), gate(policy, name, report)];
    if policy.clean {
        lines.push(clean(policy, name, report));
    }
    if let Some(age_max) = policy.report_age_max {
        lines.push(age(policy, name, report, age_max, now));
    }
    if !policy.simulated {
        let what = format!("suite {name} ran against real providers");
        lines.push(if report.simulated {
            let hint = "run the gate without a simulator, where the keys of the providers are";
            failed(what, "its answers came from the simulator", hint)
        } else {
            held(what, "no answer was simulated")
        });
    }
    lines
}

/// Returns whether a report is one of a gate that the policy asks about.
fn counts(policy: &Policy, report: &Report) -> bool {
    let is_asked = |environment: &EnvironmentName| policy.gates.contains(environment);
    report.gate == Some(true) && (policy.gates.is_empty() || report.environment.as_ref().is_some_and(is_asked))
}

fn passed(policy: &Policy, what: String, suite: &ReportSuite) -> Line {
    let share = format!("{} of {} cases passed", suite.passed, suite.cases);
    match suite.verdict {
        Verdict::Pass => held(what, share),
        Verdict::Failed => {
            let hint = format!("`{}` shows which cases fail", command(policy));
            failed(what, format!("it failed: {share}"), hint)
        }
        Verdict::Inconclusive => {
            let hint =
                format!("run the whole suite, with the cases that the gate says it needs: `{}`", command(policy));
            failed(what, format!("it could not decide: {share}"), hint)
        }
    }
}

/// That the report is one of the gate of the right environment, with what was live there.
fn gate(policy: &Policy, name: &str, report: &Report) -> Line {
    let of = policy.gates.iter().map(EnvironmentName::as_str).collect::<Vec<_>>().join(" or ");
    let what = if of.is_empty() {
        format!("suite {name} ran at a gate")
    } else {
        format!("suite {name} ran at the gate of {of}")
    };
    let Some(environment) = report.environment.as_ref().filter(|_| report.gate == Some(true)) else {
        let why = match report.gate {
            None => "the report is one of an older Bowline, which does not say so",
            Some(_) => "it ran without `--gate`, which proves no gate",
        };
        return failed(what, why, gate_again(policy));
    };
    if !counts(policy, report) {
        let own = policy.gates.first().map(|own| {
            format!(
                ", or say `environments.{own}.policy.report_env: {environment}` in bowline.yaml if that gate is enough"
            )
        });
        let hint = format!("{}{}", gate_again(policy), own.unwrap_or_default());
        return failed(what, format!("it ran at the gate of {environment}"), hint);
    }
    let compared: Vec<_> =
        report.compared_with.iter().map(|(prompt, version)| format!("{prompt} {}", version.short())).collect();
    held(
        what,
        match compared.as_slice() {
            [] => format!("at that of {environment}, where none of its prompts had another version"),
            some => format!("at that of {environment}, compared with {}", some.join(", ")),
        },
    )
}

fn clean(policy: &Policy, name: &str, report: &Report) -> Line {
    let what = format!("suite {name} ran on a clean tree");
    let why = match (report.dirty, &report.commit) {
        (Some(false), Some(commit)) => return held(what, format!("at commit {}", commit.get(..7).unwrap_or(commit))),
        (None, _) => "the report is one of an older Bowline, which does not say so",
        (Some(_), None) => "it ran on no commit",
        (Some(true), Some(_)) => "files differed from the commit",
    };
    failed(what, why, format!("commit, then {}", gate_again(policy)))
}

fn age(policy: &Policy, name: &str, report: &Report, age_max: Duration, now: Timestamp) -> Line {
    let what = format!("report of suite {name} at most {} old", format_duration(age_max));
    let at = report.finished_at;
    // A clock that is ahead a little is no fraud; one that is ahead further makes a report live longer than it may.
    if at.since(now) > CLOCKS_APART_MAX {
        let hint = "set the clock of the machine that runs the gate, or of this one";
        return failed(what, format!("it says to be of {at}, which is in the future"), hint);
    }
    let why = format!("it is of {at}");
    if now.since(at) <= age_max { held(what, why) } else { failed(what, why, gate_again(policy)) }
}

/// How far the clocks of two machines may be apart.
const CLOCKS_APART_MAX: Duration = Duration::from_secs(300);

fn command(policy: &Policy) -> String {
    let of = policy.gates.first().map_or_else(String::new, |environment| format!(" --env {environment}"));
    format!("bowline test --gate{of}")
}

/// What to do where there is no report that counts.
fn gate_again(policy: &Policy) -> String {
    let command = command(policy);
    format!("run `{command} --report attestation=FILE` on this commit and push the bundle with `--attest FILE`")
}

fn held(what: String, why: impl Into<String>) -> Line {
    Line { what, held: true, why: why.into(), hint: None }
}

fn failed(what: String, why: impl Into<String>, hint: impl Into<String>) -> Line {
    Line { what, held: false, why: why.into(), hint: Some(hint.into()) }
}

/// Returns whether a report says something about a suite of these versions: every prompt that names the suite was tested as it is, at least one
/// prompt was, and none in another version.
fn is_of(report: &Report, suite: &str, versions: &[Held]) -> bool {
    let tested = |version: &Held| report.versions.get(&version.name).map(|tested| *tested == version.digest);
    let names_it = |version: &Held| version.suite.as_deref().is_some_and(|path| is_called(path, suite));
    versions.iter().any(|version| tested(version) == Some(true))
        && versions.iter().all(|version| tested(version).unwrap_or(!names_it(version)))
}
