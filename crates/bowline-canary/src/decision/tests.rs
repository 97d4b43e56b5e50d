use bowline_types::{Digest, UnitKind};

use super::*;
use crate::design::Design;
use crate::engine::Engine;
use crate::observation::{Observation, Value};
use crate::plan::Plan;

const START: Timestamp = Timestamp::from_micros(1_795_485_600_000_000);
const HOUR: Duration = Duration::from_secs(3_600);

/// Stages of 10 % and 50 %, 20 units each way.
fn engine() -> Engine {
    let plan = Plan { stage_units: 20, min_units: 20, ..Plan::default() };
    Engine::new(Design::new(plan, None).unwrap())
}

/// Feeds units in the order of a block of one candidate and nine stable units, `rounds` times.
fn feed(engine: &mut Engine, stage: u16, rounds: u64, stable: Value, candidate: Value) {
    let controls = if stage == 0 { 9 } else { 1 };
    for _ in 0..rounds {
        (0..controls).for_each(|_| feed_one(engine, stage, Arm::Stable, stable));
        feed_one(engine, stage, Arm::Candidate, candidate);
    }
}

fn feed_one(engine: &mut Engine, stage: u16, arm: Arm, value: Value) {
    let sequence = engine.evidence().last_sequence.unwrap_or(0) + 1;
    let unit = Digest::of(&sequence.to_be_bytes());
    let unit_kind = UnitKind::Conversation;
    engine.push(&Observation { sequence, assigned_at: START, unit, unit_kind, arm, stage, value }).unwrap();
}

fn decide_at(engine: &Engine, stage: u16, age: Duration) -> Decision {
    engine.decide(&Situation { now: START.after(age), started_at: START, stage, lost: Arms::default() })
}

fn check(decision: &Decision, action: Action, reasons: &[&str]) {
    let words: Vec<String> = decision.reasons.iter().map(Reason::to_string).collect();
    assert_eq!(decision.action, action, "{words:#?}");
    assert_eq!(words.len(), reasons.len(), "{words:#?}");
    for (word, reason) in words.iter().zip(reasons) {
        assert!(word.contains(reason), "{words:#?} lacks {reason}");
    }
    let stored: Decision = serde_json::from_str(&serde_json::to_string(decision).unwrap()).unwrap();
    assert_eq!(stored, *decision);
}

#[test]
fn a_bad_candidate_is_rolled_back_at_once_and_for_good() {
    let mut engine = engine();
    feed(&mut engine, 0, 9, Value::PASS, Value::FAIL);
    check(&decide_at(&engine, 0, Duration::from_secs(5)), Action::Rollback, &["the candidate is worse: e-value"]);
    feed(&mut engine, 0, 200, Value::FAIL, Value::PASS);
    assert!(!engine.evidence().rollback.e_value.reaches(20.0));
    check(&decide_at(&engine, 0, HOUR), Action::Rollback, &["at observation 90"]);
}

#[test]
fn a_good_candidate_waits_for_its_units_and_time_and_is_promoted() {
    let mut engine = engine();
    feed(&mut engine, 0, 19, Value::PASS, Value::PASS);
    let wait = ["evidence for promotion", "candidate has 19 of 20", "is 1m of 1h old", "stage 1 has 19 of 20"];
    check(&decide_at(&engine, 0, Duration::from_secs(60)), Action::Continue, &wait);
    feed(&mut engine, 0, 1, Value::PASS, Value::PASS);
    let complete = ["stage 1 has its 20 known candidate units"];
    check(&decide_at(&engine, 0, Duration::from_secs(60)), Action::AdvanceStage { to: 1 }, &complete);
    feed(&mut engine, 1, 150, Value::PASS, Value::PASS);
    check(&decide_at(&engine, 1, Duration::from_secs(60)), Action::Continue, &["is 1m of 1h old"]);
    check(&decide_at(&engine, 1, HOUR), Action::Promote, &["not worse by 5.0 points: e-value"]);
}

#[test]
fn lost_records_withhold_promotion() {
    let mut engine = engine();
    feed(&mut engine, 0, 200, Value::PASS, Value::PASS);
    let situation =
        Situation { now: START.after(HOUR), started_at: START, stage: 1, lost: Arms { stable: 18, candidate: 3 } };
    check(&engine.decide(&situation), Action::Continue, &["3 records of candidate were lost beside 200"]);
    check(
        &engine.decide(&Situation { stage: 0, ..situation }),
        Action::Continue,
        &["3 records of candidate were lost"],
    );
    let within = Situation { lost: Arms { stable: 18, candidate: 2 }, ..situation };
    assert_eq!(engine.decide(&within).action, Action::Promote);
}

#[test]
fn a_candidate_that_looks_bad_is_not_shown_to_more_units() {
    let mut engine = engine();
    feed(&mut engine, 0, 20, Value::PASS, Value::PASS);
    feed(&mut engine, 0, 6, Value::PASS, Value::FAIL);
    let decision = decide_at(&engine, 0, HOUR);
    assert_eq!(decision.action, Action::Continue);
    assert!(decision.reasons.iter().any(|reason| matches!(reason, Reason::LeansToRollback { .. })), "{decision:?}");
}

#[test]
fn a_broken_assignment_holds_and_still_rolls_back() {
    let mut engine = engine();
    (0..20).for_each(|_| feed_one(&mut engine, 1, Arm::Stable, Value::PASS));
    feed_one(&mut engine, 1, Arm::Candidate, Value::PASS);
    check(&decide_at(&engine, 1, HOUR), Action::Hold, &["sample ratio mismatch in stage 2: 20 stable and 1 candidate"]);
    let expired = decide_at(&engine, 1, HOUR * 24 * 7);
    assert_eq!(expired.action, Action::Inconclusive { then: WhenUndecided::Hold });
    feed(&mut engine, 1, 40, Value::PASS, Value::FAIL);
    assert_eq!(decide_at(&engine, 1, HOUR).action, Action::Rollback);
}

/// A candidate whose failures are slow, so that they come too late to be known, is not promoted on its successes.
#[test]
fn values_missing_from_one_arm_hold() {
    let mut engine = engine();
    for _ in 0..60 {
        feed(&mut engine, 1, 1, Value::PASS, Value::PASS);
        feed(&mut engine, 1, 1, Value::PASS, Value::UNKNOWN);
        feed(&mut engine, 1, 1, Value::PASS, Value::UNKNOWN);
    }
    check(
        &decide_at(&engine, 1, HOUR),
        Action::Hold,
        &["missing unevenly in stage 2: known are 180 of 180 stable and 60 of 180"],
    );
}

#[test]
fn no_data_is_a_state_of_its_own() {
    let mut engine = engine();
    assert_eq!(decide_at(&engine, 0, Duration::from_secs(60)).action, Action::Continue);
    check(
        &decide_at(&engine, 0, HOUR),
        Action::NoData { then: None },
        &["no known observation of the candidate in 1h"],
    );
    (0..40).for_each(|_| feed_one(&mut engine, 0, Arm::Stable, Value::PASS));
    feed_one(&mut engine, 0, Arm::Candidate, Value::UNKNOWN);
    let ended = Action::NoData { then: Some(WhenUndecided::Hold) };
    check(&decide_at(&engine, 0, HOUR * 24 * 7), ended, &["no known observation", "the time of 7d is over"]);
    assert!(ended.is_verdict() && !Action::NoData { then: None }.is_verdict());
}

#[test]
fn too_little_data_is_inconclusive() {
    let plan = Plan { when_undecided: WhenUndecided::Rollback, ..Plan::default() };
    let mut engine = Engine::new(Design::new(plan, None).unwrap());
    feed(&mut engine, 0, 3, Value::PASS, Value::PASS);
    let expected =
        ["the time of 7d is over", "evidence for promotion is", "stable has 27 of 100", "candidate has 3 of 100"];
    let decision = decide_at(&engine, 0, HOUR * 24 * 7);
    check(&decision, Action::Inconclusive { then: WhenUndecided::Rollback }, &expected);
}
