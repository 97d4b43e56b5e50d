use bowline_store::RolloutState;

use super::*;
use crate::testing::{at, digest, empty, moved, prompt, told};

fn request(to: Option<&str>) -> Rollback {
    Rollback { prompt: prompt(), to: to.map(str::to_owned), actor: "grace".to_owned(), why: "too slow".to_owned() }
}

/// A pointer that went from a to b to c; the newest row first, as the store lists them.
fn history() -> Vec<LogRow> {
    vec![moved(Some("b"), "c"), moved(Some("a"), "b"), moved(None, "a")]
}

fn check(state: &EnvironmentState, to: Option<&str>, history: &[LogRow], expected: &str, writes: &[&str]) {
    let (found, version) = rollback(state, &request(to), history, at(60)).unwrap();
    assert_eq!(version, digest(expected));
    assert_eq!(told(&found), writes);
}

fn refused(state: &EnvironmentState, to: Option<&str>, history: &[LogRow], expected: &str) {
    let error = rollback(state, &request(to), history, at(60)).unwrap_err().to_string();
    assert!(error.starts_with(expected) && error.contains("\nhint: "), "{error}");
}

fn went(from: &str, to: &str) -> Vec<String> {
    vec![
        format!("pointer {from}>{to}"),
        format!("quarantine {from}: rolled back: too slow"),
        format!("quarantine lifted {to}"),
        format!("log Moved {from}>{to} by grace: rolled back: too slow"),
    ]
}

fn lines(lines: &[String]) -> Vec<&str> {
    lines.iter().map(String::as_str).collect()
}

#[test]
fn the_version_before_is_live_again() {
    check(&empty().live("c"), None, &history(), "b", &lines(&went("c", "b")));
}

#[test]
fn a_frozen_environment_is_rolled_back_too() {
    check(&empty().live("c").frozen(), None, &history(), "b", &lines(&went("c", "b")));
}

#[test]
fn a_second_rollback_goes_on_back() {
    let history = [vec![moved(Some("c"), "b")], history()].concat();
    let state = empty().live("b").quarantining("c");
    check(&state, None, &history, "a", &lines(&went("b", "a")));
}

#[test]
fn a_version_is_named_by_its_first_digits() {
    let digits = digest("a").hex();
    for to in [digest("a").to_string(), digits.clone(), digits.chars().take(4).collect()] {
        check(&empty().live("c"), Some(&to), &history(), "a", &lines(&went("c", "a")));
    }
    let short: String = digits.chars().take(3).collect();
    for to in [short, digest("d").hex(), String::new()] {
        refused(&empty().live("c"), Some(&to), &history(), "version ");
    }
}

#[test]
fn the_live_version_needs_no_move() {
    check(&empty().live("c"), Some(&digest("c").hex()), &history(), "c", &[]);
}

#[test]
fn a_rollout_is_aborted_and_stable_stays() {
    let aborted = [
        "rollout 6 aborted stage 0 revision 3>4",
        "quarantine d: rolled back by grace: too slow",
        "log Aborted d>c by grace: rolled back by grace: too slow",
    ];
    for state in [RolloutState::Running, RolloutState::Held] {
        let state = empty().live("c").trying("d", state);
        check(&state, None, &history(), "c", &aborted);
        check(&state, Some(&digest("c").hex()), &history(), "c", &aborted);
        let both = [aborted.map(str::to_owned).to_vec(), went("c", "a")].concat();
        check(&state, Some(&digest("a").hex()), &history(), "a", &lines(&both));
    }
}

#[test]
fn refusals_say_what_to_do() {
    refused(&empty(), None, &[], "`prod` serves no prompt `support/classify`");
    let first = [moved(None, "a")];
    refused(&empty().live("a"), None, &first, "`support/classify` has no earlier version in `prod`");
    let back = [moved(Some("b"), "a"), moved(Some("a"), "b"), moved(None, "a")];
    refused(&empty().live("a").quarantining("b"), None, &back, "`support/classify` has no earlier version in `prod`");
}

#[test]
fn rows_of_other_prompts_are_not_its_history() {
    let other = LogRow { prompt: Some("billing/summary".parse().unwrap()), ..moved(Some("d"), "c") };
    let history = [vec![other], history()].concat();
    check(&empty().live("c"), None, &history, "b", &lines(&went("c", "b")));
}

#[test]
fn freezes_are_rows() {
    let request = FreezeRequest { actor: "grace".to_owned(), why: "holiday".to_owned() };
    assert_eq!(
        told(&freeze(&empty(), request.clone(), at(60))),
        ["environment frozen", "log Frozen ->- by grace: holiday"]
    );
    assert_eq!(told(&unfreeze(&empty(), &request, at(60))), ["environment open", "log Unfrozen ->- by grace: holiday"]);
}
