use bowline_types::Check;

use super::*;
use crate::testing::{at, digest, empty, prompt, provenance, told};

fn release(letter: &str) -> Release {
    let version = VersionRecord { digest: digest(letter), content: serde_json::Value::Null };
    let prompt = PromptRelease {
        name: prompt(),
        version,
        success: SuccessContract::default(),
        policy: Policy::Guarded(Box::default()),
        baseline: Some(BaselineRate { pass: 9, total: 10 }),
    };
    Release {
        actor: "ada".to_owned(),
        provenance: provenance(),
        source: Source::Cli,
        source_declared: Source::Cli,
        protected: true,
        retry: false,
        bundle: None,
        fence: None,
        prompts: vec![prompt],
    }
}

fn direct(mut release: Release) -> Release {
    release.prompts[0].policy = Policy::Direct;
    release
}

/// Checks the status, and all writes but the version and its registration, which always come first.
fn check(state: &EnvironmentState, release: &Release, expected: &ReleaseStatus, writes: &[&str]) {
    let (found, results) = release.plan(state, at(60)).unwrap();
    assert_eq!(
        results,
        [ReleaseResult { prompt: prompt(), version: release.prompts[0].version.digest, status: expected.clone() }]
    );
    let told = told(&found);
    assert!(told[0].starts_with("version ") && told[1].starts_with("registration "), "{told:#?}");
    assert_eq!(told[2..], *writes);
}

fn refused(state: &EnvironmentState, release: &Release, expected: &str) {
    let error = release.plan(state, at(60)).unwrap_err().to_string();
    assert!(error.starts_with(expected) && error.contains("\nhint: "), "{error}");
}

#[test]
fn a_first_version_is_live_at_once() {
    let writes = ["pointer ->a", "log Moved ->a by ada: direct, commit 8c1f2e0"];
    check(&empty(), &release("a"), &ReleaseStatus::Moved { from: None }, &writes);
}

#[test]
fn the_live_version_changes_nothing() {
    check(&empty().live("a"), &release("a"), &ReleaseStatus::Unchanged, &[]);
}

#[test]
fn a_new_success_contract_is_taken_over() {
    let mut release = release("a");
    release.prompts[0].success = SuccessContract(vec![Check::NotRefusal]);
    check(&empty().live("a"), &release, &ReleaseStatus::Unchanged, &["pointer a>a"]);
}

#[test]
fn a_change_is_a_rollout_where_it_is_guarded() {
    let started = ReleaseStatus::Started { number: 7, stable: digest("a"), superseded: None };
    let writes = [
        "rollout 7 running stage 0 revision new>1",
        "log RolloutStarted a>b by ada: rollout 7 started: guarded, commit 8c1f2e0",
    ];
    check(&empty().live("a"), &release("b"), &started, &writes);

    let moved = ReleaseStatus::Moved { from: Some(digest("a")) };
    let writes = ["pointer a>b", "log Moved a>b by ada: direct, commit 8c1f2e0"];
    check(&empty().live("a"), &direct(release("b")), &moved, &writes);
}

#[test]
fn a_rollout_takes_its_bets_from_the_record_of_the_live_version() {
    let (writes, _) = release("b").plan(&empty().live("a"), at(60)).unwrap();
    let design = writes.iter().find_map(|write| match write {
        Write::RolloutPut { rollout, .. } => Some(rollout.design.clone()),
        _ => None,
    });
    let expected = Design::new(Plan::default(), Some(BaselineRate { pass: 9, total: 10 })).unwrap();
    assert_eq!(design, Some(serde_json::to_value(expected).unwrap()));
}

#[test]
fn a_candidate_that_is_tried_goes_on() {
    for state in [RolloutState::Running, RolloutState::Held] {
        let state = empty().live("a").trying("b", state);
        check(&state, &release("b"), &ReleaseStatus::InRollout { number: 6 }, &[]);
    }
}

#[test]
fn a_newer_candidate_supersedes() {
    let state = empty().live("a").trying("b", RolloutState::Running);
    let ended = [
        "rollout 6 superseded stage 0 revision 3>4".to_owned(),
        format!("log Superseded b>a by ada: superseded by {}, commit 8c1f2e0", digest("c").short()),
    ];
    let started = ReleaseStatus::Started { number: 7, stable: digest("a"), superseded: Some(6) };
    let writes = [
        &ended[0],
        &ended[1],
        "rollout 7 running stage 0 revision new>1",
        "log RolloutStarted a>c by ada: rollout 7 started: guarded, commit 8c1f2e0",
    ];
    check(&state, &release("c"), &started, &writes);

    let moved = ReleaseStatus::Moved { from: Some(digest("a")) };
    let writes = [&ended[0], &ended[1], "pointer a>c", "log Moved a>c by ada: direct, commit 8c1f2e0"];
    check(&state, &direct(release("c")), &moved, &writes);
}

#[test]
fn the_live_version_withdraws_a_candidate() {
    let state = empty().live("a").trying("b", RolloutState::Held);
    let row = format!("log Superseded b>a by ada: superseded by {}, commit 8c1f2e0", digest("a").short());
    let writes = ["rollout 6 superseded stage 0 revision 3>4", &row];
    check(&state, &release("a"), &ReleaseStatus::Withdrawn { number: 6 }, &writes);
}

#[test]
fn a_quarantined_version_is_held_until_retry() {
    let state = empty().live("a").quarantining("b");
    let why = format!("{} held: quarantined since {} (worse)", digest("b").short(), at(1));
    let row = format!("log Refused a>a by ada: {why}");
    check(&state, &release("b"), &ReleaseStatus::Held { why: "worse".to_owned() }, &[&row]);

    let retry = Release { retry: true, ..release("b") };
    let started = ReleaseStatus::Started { number: 7, stable: digest("a"), superseded: None };
    let writes = [
        "quarantine lifted b",
        "log Retried a>b by ada: quarantine lifted by --retry",
        "rollout 7 running stage 0 revision new>1",
        "log RolloutStarted a>b by ada: rollout 7 started: guarded, commit 8c1f2e0",
    ];
    check(&state, &retry, &started, &writes);
}

#[test]
fn a_held_version_does_not_end_the_rollout_of_another() {
    let state = empty().live("a").trying("c", RolloutState::Running).quarantining("b");
    let (writes, _) = release("b").plan(&state, at(60)).unwrap();
    assert!(!told(&writes).iter().any(|line| line.starts_with("rollout")), "{:#?}", told(&writes));
}

#[test]
fn each_changed_prompt_has_a_rollout_of_its_own() {
    let mut state = empty().live("a");
    let other: PromptName = "billing/summary".parse().unwrap();
    let pointer = PointerRecord { prompt: other.clone(), ..state.pointers[&prompt()].clone() };
    state.pointers.insert(other.clone(), pointer);
    let mut release = release("b");
    release.prompts.push(PromptRelease { name: other, ..release.prompts[0].clone() });
    let (_, results) = release.plan(&state, at(60)).unwrap();
    let numbers = results.iter().map(|result| match result.status {
        ReleaseStatus::Started { number, .. } => number,
        _ => 0,
    });
    assert_eq!(numbers.collect::<Vec<_>>(), [7, 8]);
}

/// A release with the place of an origin's order.
fn fenced(letter: &str, holder: &str, revision: u64) -> Release {
    Release { fence: Some(Fence { holder: holder.to_owned(), revision }), ..direct(release(letter)) }
}

#[test]
fn a_release_does_not_overtake_a_later_one() {
    let seen = |state: EnvironmentState| EnvironmentState {
        fence: Some(Fence { holder: "uid-1".to_owned(), revision: 7 }),
        ..state
    };
    let passed = |state: &EnvironmentState, release: &Release, expected: Option<&str>| {
        let (writes, _) = release.plan(state, at(60)).unwrap();
        let told = told(&writes);
        let fence = told.iter().find(|line| line.starts_with("environment")).map(String::as_str);
        assert_eq!(fence, expected, "{told:#?}");
    };
    let (first, live) = (empty().live("a"), seen(empty().live("a")));
    passed(&first, &fenced("b", "uid-1", 0), Some("environment open fence uid-1 0"));
    passed(&live, &fenced("b", "uid-1", 8), Some("environment open fence uid-1 8"));
    // The answer to it was lost, and it is asked for again.
    passed(&live, &fenced("b", "uid-1", 7), None);
    // Another holder takes over, whatever its numbers are.
    passed(&live, &fenced("b", "uid-2", 1), Some("environment open fence uid-2 1"));
    // Where nothing keeps releases in order, what was seen stays.
    passed(&live, &direct(release("b")), None);
    refused(&live, &fenced("b", "uid-1", 6), "revision 6 of uid-1 came too late for `prod`, which has revision 7");
    // A freeze and what is there for a time only stay as they are.
    let (writes, _) = fenced("b", "uid-1", 8).plan(&live, at(60)).unwrap();
    let records = writes.iter().filter_map(|write| match write {
        Write::EnvironmentPut(record) => Some(record.clone()),
        _ => None,
    });
    let expected = EnvironmentState { fence: fenced("b", "uid-1", 8).fence, ..live }.record();
    assert_eq!(records.collect::<Vec<_>>(), [expected]);
}

#[test]
fn refusals_say_what_to_do() {
    let live = empty().live("a");
    let given = |change: fn(&mut Release)| {
        let mut release = release("b");
        change(&mut release);
        release
    };
    refused(&live.clone().frozen(), &release("b"), "`prod` is frozen by grace (holiday)");
    refused(&live, &given(|release| release.provenance.dirty = true), "the working tree has uncommitted changes");
    refused(&live, &given(|release| release.provenance.commit = None), "the project is not in a Git commit");
    let wrong = given(|release| release.source = Source::Worktree);
    refused(&live, &wrong, "environment `prod` takes its versions from `cli`, not from `worktree`");
    let plan = Plan { margin: 0.0, ..Plan::default() };
    let mut invalid = release("b");
    invalid.prompts[0].policy = Policy::Guarded(Box::new(plan));
    refused(&live, &invalid, "the rollout plan of `support/classify` is not valid: `margin` is 0");
}

#[test]
fn an_open_environment_takes_any_tree() {
    let mut release = Release { protected: false, ..direct(release("b")) };
    let moved = ReleaseStatus::Moved { from: Some(digest("a")) };
    release.provenance.dirty = true;
    let writes = ["pointer a>b", "log Moved a>b by ada: direct, commit 8c1f2e0 with changes"];
    check(&empty().live("a"), &release, &moved, &writes);
    release.provenance.commit = None;
    let writes = ["pointer a>b", "log Moved a>b by ada: direct, no commit"];
    check(&empty().live("a"), &release, &moved, &writes);
}
