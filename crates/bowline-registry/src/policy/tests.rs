use serde_json::{Value, json};

use super::*;

/// 2026-11-25T08:00:00Z.
const NOW: Timestamp = Timestamp::from_micros(1_795_593_600_000_000);
const HOUR: Duration = Duration::from_secs(3_600);

fn digest(text: &str) -> Digest {
    Digest::of(text.as_bytes())
}

fn predicate() -> Value {
    json!({
        "schema_version": 2,
        "finished_at": "2026-11-25T06:00:00Z",
        "environment": "prod",
        "gate": true,
        "compared_with": { "answer": digest("before") },
        "commit": "0123456",
        "dirty": false,
        "versions": { "answer": digest("answer") },
        "suites": [{ "name": "evals/support.yaml", "digest": digest("suite"), "verdict": "pass", "cases": 30, "passed": 29 }],
        "simulated": false,
        "verdict": "pass",
        "more": "is for people",
    })
}

fn report(change: impl FnOnce(&mut Value)) -> Report {
    let mut predicate = predicate();
    change(&mut predicate);
    Report::read(&predicate).unwrap()
}

fn policy() -> Policy {
    let signers = vec!["file:keys/ci.pub".to_owned(), "file:keys/lead.pub".to_owned()];
    Policy {
        signers,
        suites: vec!["support".to_owned()],
        report_age_max: Some(HOUR * 24),
        gates: vec![environment("prod")],
        clean: true,
        simulated: false,
    }
}

fn environment(name: &str) -> EnvironmentName {
    name.parse().unwrap()
}

fn evidence(reports: Vec<Report>) -> Evidence {
    let held = |name: &str, suite: Option<&str>| Held {
        name: name.to_owned(),
        digest: digest(name),
        suite: suite.map(str::to_owned),
    };
    let versions = vec![held("answer", Some("evals/support.yaml")), held("brief", None)];
    Evidence { signers: vec![0, 1], strangers: 0, reports, versions, suites: BTreeMap::new() }
}

/// Checks which lines of the policy fail, and why.
fn check(evidence: &Evidence, expected: &[&str]) {
    let lines = policy().evaluate(evidence, NOW);
    assert!(lines.iter().all(|line| line.held == line.hint.is_none()), "what fails says what to do: {lines:?}");
    let failed: Vec<_> =
        lines.iter().filter(|line| !line.held).map(|line| format!("{}: {}", line.what, line.why)).collect();
    assert_eq!(failed, expected);
}

#[test]
fn every_line_is_held_against_the_evidence() {
    check(&evidence(vec![report(|_| {})]), &[]);
    let unsigned = Evidence { signers: vec![0], ..evidence(vec![report(|_| {})]) };
    check(&unsigned, &["signed by file:keys/lead.pub: no signature by it"]);
    let strange = "signed by file:keys/lead.pub: no signature by it; what is signed there is signed by a key that the policy does not name";
    check(&Evidence { strangers: 1, ..unsigned }, &[strange]);
    check(&evidence(vec![]), &["suite support passed: no report that a signer of this policy signed"]);
    let failed = report(|report| report["suites"][0]["verdict"] = json!("failed"));
    check(&evidence(vec![failed]), &["suite support passed: it failed: 29 of 30 cases passed"]);
    let suite = |text| BTreeMap::from([("evals/support.yaml".to_owned(), digest(text))]);
    check(&Evidence { suites: suite("suite"), ..evidence(vec![report(|_| {})]) }, &[]);
    let other = Evidence { suites: suite("an easier one"), ..evidence(vec![report(|_| {})]) };
    check(&other, &["suite support passed: the report is of another text of this suite than the bundle has"]);
    let undecided = report(|report| report["suites"][0]["verdict"] = json!("inconclusive"));
    check(&evidence(vec![undecided]), &["suite support passed: it could not decide: 29 of 30 cases passed"]);
    let old = report(|report| report["finished_at"] = json!("2026-11-24T07:59:59Z"));
    check(&evidence(vec![old]), &["report of suite support at most 1d old: it is of 2026-11-24T07:59:59Z"]);
    let ahead = report(|report| report["finished_at"] = json!("2026-11-25T08:05:01Z"));
    let why = "it says to be of 2026-11-25T08:05:01Z, which is in the future";
    check(&evidence(vec![ahead]), &[&format!("report of suite support at most 1d old: {why}")]);
    let simulated = report(|report| report["simulated"] = json!(true));
    check(
        &evidence(vec![simulated]),
        &["suite support ran against real providers: its answers came from the simulator"],
    );
}

#[test]
fn a_report_counts_for_the_versions_that_it_tested() {
    let other = report(|report| report["versions"]["answer"] = json!(digest("another")));
    let why = "suite support passed: the report is not of these versions, or has no such suite";
    check(&evidence(vec![other]), &[why]);
    let nothing = report(|report| report["versions"] = json!({}));
    check(&evidence(vec![nothing]), &[why]);
    let elsewhere = report(|report| report["versions"] = json!({ "brief": digest("brief") }));
    check(&evidence(vec![elsewhere]), &[why]);
    let listed = report(|report| report["versions"] = json!([{ "prompt": "answer", "digest": digest("answer") }]));
    check(&evidence(vec![listed]), &[]);
}

#[test]
fn the_newest_report_counts() {
    let failed = report(|report| {
        report["finished_at"] = json!("2026-11-25T07:00:00Z");
        report["suites"][0]["verdict"] = json!("failed");
    });
    check(&evidence(vec![report(|_| {}), failed.clone()]), &["suite support passed: it failed: 29 of 30 cases passed"]);
    let again = report(|report| report["finished_at"] = json!("2026-11-25T07:30:00Z"));
    check(&evidence(vec![again, failed]), &[]);
}

#[test]
fn a_report_is_of_the_gate_of_an_environment() {
    let what = "suite support ran at the gate of prod";
    let without = report(|report| report["gate"] = json!(false));
    check(&evidence(vec![without]), &[&format!("{what}: it ran without `--gate`, which proves no gate")]);
    let nowhere = report(|report| report["environment"] = json!(null));
    check(&evidence(vec![nowhere]), &[&format!("{what}: it ran without `--gate`, which proves no gate")]);
    let staging = report(|report| {
        report["environment"] = json!("staging");
        report["finished_at"] = json!("2026-11-25T07:00:00Z");
    });
    check(&evidence(vec![staging.clone()]), &[&format!("{what}: it ran at the gate of staging")]);
    // A newer report of another gate hides no report of this one.
    check(&evidence(vec![report(|_| {}), staging.clone()]), &[]);

    let lines = |gates: &[&str], report: &Report| {
        let gates = gates.iter().copied().map(environment).collect();
        let lines = Policy { gates, ..policy() }.evaluate(&evidence(vec![report.clone()]), NOW);
        let line = lines.into_iter().find(|line| line.what.contains(" ran at ")).unwrap();
        assert!(line.held, "{line:?}");
        format!("{}: {}", line.what, line.why)
    };
    let before = digest("before").short();
    assert_eq!(
        lines(&["prod", "staging"], &staging),
        format!("suite support ran at the gate of prod or staging: at that of staging, compared with answer {before}")
    );
    let first = report(|report| report["compared_with"] = json!({}));
    assert_eq!(
        lines(&[], &first),
        "suite support ran at a gate: at that of prod, where none of its prompts had another version"
    );
}

#[test]
fn a_protected_environment_asks_for_a_clean_tree() {
    let what = "suite support ran on a clean tree";
    let dirty = report(|report| report["dirty"] = json!(true));
    check(&evidence(vec![dirty.clone()]), &[&format!("{what}: files differed from the commit")]);
    let nowhere = report(|report| {
        report["dirty"] = json!(true);
        report["commit"] = json!(null);
    });
    check(&evidence(vec![nowhere]), &[&format!("{what}: it ran on no commit")]);
    let open = Policy { clean: false, ..policy() }.evaluate(&evidence(vec![dirty]), NOW);
    assert!(open.iter().all(|line| line.held), "{open:?}");
}

/// What an older report does not say is not held to be so.
#[test]
fn a_report_of_the_schema_before_proves_what_it_says() {
    let old = report(|report| {
        report["schema_version"] = json!(1);
        for field in ["gate", "dirty"] {
            report.as_object_mut().unwrap().remove(field);
        }
    });
    let why = "the report is one of an older Bowline, which does not say so";
    let expected = ["suite support ran at the gate of prod", "suite support ran on a clean tree"];
    check(&evidence(vec![old]), &expected.map(|what| format!("{what}: {why}")).each_ref().map(String::as_str));
}

#[test]
fn a_policy_without_lines_asks_nothing() {
    assert_eq!(Policy::default().evaluate(&Evidence::default(), NOW), []);
    let simulated = Policy { simulated: true, ..policy() };
    let lines = simulated.evaluate(&evidence(vec![report(|report| report["simulated"] = json!(true))]), NOW);
    assert!(lines.iter().all(|line| line.held), "{lines:?}");
}

#[test]
fn what_is_no_report_is_refused() {
    for field in ["finished_at", "suites", "simulated", "verdict", "schema_version"] {
        let mut predicate = predicate();
        predicate.as_object_mut().unwrap().remove(field);
        assert!(Report::read(&predicate).is_err(), "{field}");
    }
    for (field, value) in
        [("finished_at", json!("yesterday")), ("schema_version", json!(3)), ("verdict", json!("good"))]
    {
        let mut predicate = predicate();
        predicate[field] = value;
        assert!(Report::read(&predicate).is_err(), "{field}");
    }
}
