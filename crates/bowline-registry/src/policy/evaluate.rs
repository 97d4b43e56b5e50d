use bowline_types::{Timestamp, format_duration};

use super::report::{Verdict, is_called};
use super::{Evidence, Held, Line, Policy, Report, ReportSuite};

/// Returns every line of a policy with whether it holds.
pub(super) fn lines(policy: &Policy, evidence: &Evidence, now: Timestamp) -> Vec<Line> {
    let mut lines = Vec::new();
    for (index, signer) in policy.signers.iter().enumerate() {
        let held = evidence.signers.contains(&index);
        let why = if held { "its signature holds" } else { "no signature by it" };
        lines.push(Line { what: format!("signed by {signer}"), held, why: why.to_owned() });
    }
    for suite in &policy.suites {
        lines.extend(suite_lines(policy, evidence, suite, now));
    }
    lines
}

/// The lines of one suite: that it passed and, of the report that says so, its age and where its answers came from.
fn suite_lines(policy: &Policy, evidence: &Evidence, name: &str, now: Timestamp) -> Vec<Line> {
    let reports = evidence.reports.iter().filter(|report| is_of(report, name, &evidence.versions));
    let with = reports.filter_map(|report| Some((report, report.suites.iter().find(|suite| suite.is(name))?)));
    // The newest one counts: a suite that failed since is not made good by an older report.
    let newest = with.max_by_key(|(report, _)| report.finished_at);
    let what = format!("suite {name} passed");
    let Some((report, suite)) = newest else {
        let why = match evidence.reports.len() {
            0 => "no report that a signer of this policy signed".to_owned(),
            1 => "the report is not of these versions, or has no such suite".to_owned(),
            count => format!("none of {count} reports is of these versions and has that suite"),
        };
        return vec![Line { what, held: false, why }];
    };
    if evidence.suites.get(&suite.name).is_some_and(|held| *held != suite.digest) {
        let why = "the report is of another text of this suite than the bundle has".to_owned();
        return vec![Line { what, held: false, why }];
    }
    let mut lines = vec![passed(what, suite)];
    if let Some(age_max) = policy.report_age_max {
        lines.push(age(name, report, age_max, now));
    }
    if !policy.simulated {
        let (held, why) = if report.simulated {
            (false, "its answers came from the simulator")
        } else {
            (true, "no answer was simulated")
        };
        lines.push(Line { what: format!("suite {name} ran against real providers"), held, why: why.to_owned() });
    }
    lines
}

fn passed(what: String, suite: &ReportSuite) -> Line {
    let share = format!("{} of {} cases passed", suite.passed, suite.cases);
    match suite.verdict {
        Verdict::Pass => Line { what, held: true, why: share },
        Verdict::Failed => Line { what, held: false, why: format!("it failed: {share}") },
        Verdict::Inconclusive => Line { what, held: false, why: format!("it could not decide: {share}") },
    }
}

fn age(name: &str, report: &Report, age_max: std::time::Duration, now: Timestamp) -> Line {
    let what = format!("report of suite {name} at most {} old", format_duration(age_max));
    let at = report.finished_at;
    // A clock that is ahead a little is no fraud; one that is ahead further makes a report live longer than it may.
    if at.since(now) > CLOCKS_APART_MAX {
        return Line { what, held: false, why: format!("it says to be of {at}, which is in the future") };
    }
    let held = now.since(at) <= age_max;
    Line { what, held, why: format!("it is of {at}") }
}

/// How far the clocks of two machines may be apart.
const CLOCKS_APART_MAX: std::time::Duration = std::time::Duration::from_secs(300);

/// Returns whether a report says something about a suite of these versions: every prompt that names the suite was tested as it is, at least one
/// prompt was, and none in another version.
fn is_of(report: &Report, suite: &str, versions: &[Held]) -> bool {
    let tested = |version: &Held| report.versions.get(&version.name).map(|tested| *tested == version.digest);
    let names_it = |version: &Held| version.suite.as_deref().is_some_and(|path| is_called(path, suite));
    versions.iter().any(|version| tested(version) == Some(true))
        && versions.iter().all(|version| tested(version).unwrap_or(!names_it(version)))
}
