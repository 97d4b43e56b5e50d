use bowline_canary::{Arms, BaselineRate, Engine, Observation, Plan, Value, trace};
use bowline_store::Provenance;
use bowline_types::{Digest, RolloutId, Scope, SuccessContract, UnitKind};
use serde_json::json;

use super::*;

#[test]
fn bars_show_the_part() {
    let check = |part: f64, expected: &str| assert_eq!(bar(part, 10), expected, "{part}");
    check(0.0, "░░░░░░░░░░");
    check(0.74, "███████░░░");
    check(0.97, "██████████");
    check(1.0, "██████████");
}

#[test]
fn sparklines_end_at_the_last_value() {
    let check = |values: &[f64], expected: &str| assert_eq!(sparkline(values, 1.3, 5), expected, "{values:?}");
    check(&[], "");
    check(&[-3.0, 0.0], "▁▁");
    check(&[0.0, 0.3, 0.6, 0.9, 1.3], "▁▂▄▅█");
    check(&[0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 2.0], "▁▁▁▁█");
}

/// Returns a rollout in its second stage, where stable always passes and every third candidate fails.
fn view(units: u64) -> RolloutView {
    let design = Design::new(Plan::default(), Some(BaselineRate { pass: 95, total: 100 })).unwrap();
    let observation = |sequence: u64| Observation {
        sequence,
        assigned_at: Timestamp::from_micros(0),
        unit: Digest::of(&sequence.to_be_bytes()),
        unit_kind: UnitKind::User,
        arm: if sequence.is_multiple_of(2) { Arm::Stable } else { Arm::Candidate },
        stage: 1,
        value: if sequence % 6 == 1 { Value::FAIL } else { Value::PASS },
    };
    let log: Vec<Observation> = (0..units).map(observation).collect();
    let mut engine = Engine::new(design.clone());
    log.iter().for_each(|observation| engine.push(observation).unwrap());
    let rollout = RolloutRecord {
        id: RolloutId::generate(Timestamp::from_micros(0)),
        number: 7,
        scope: Scope { project: "desk".parse().unwrap(), environment: "prod".parse().unwrap() },
        prompt: "support/classify".parse().unwrap(),
        stable: Digest::of(b"stable"),
        candidate: Digest::of(b"candidate"),
        success: SuccessContract::default(),
        design: serde_json::to_value(&design).unwrap(),
        state: RolloutState::Running,
        stage: 1,
        frontier: Timestamp::from_micros(0),
        started_at: Timestamp::from_micros(0),
        stage_started_at: Timestamp::from_micros(0),
        ended_at: None,
        actor: "ada".to_owned(),
        provenance: Provenance { commit: None, author: None, dirty: false },
        why: String::new(),
        evidence: Some(json!({})),
        revision: 1,
    };
    let situation = bowline_canary::Situation {
        now: Timestamp::from_micros(200_000_000),
        started_at: rollout.started_at,
        stage: 1,
        lost: Arms { stable: 0, candidate: 2 },
    };
    RolloutView {
        rollout,
        evidence: engine.evidence().clone(),
        decision: Some(engine.decide(&situation)),
        summary: Vec::new(),
        lost: situation.lost,
        explanation: Vec::new(),
        series: trace(design, &log, 300).unwrap(),
    }
}

#[test]
fn a_rollout_is_a_tree() {
    let now = Timestamp::from_micros(200_000_000);
    let running = rollout(&view(60), now, Style::PLAIN).join("\n");
    let mut ended = view(120);
    ended.rollout.state = RolloutState::RolledBack;
    ended.rollout.ended_at = Some(now);
    ended.rollout.why = "the candidate is worse".to_owned();
    ended.decision = None;
    let ended = rollout(&ended, now, Style::PLAIN).join("\n");
    insta::assert_snapshot!(format!("{running}\n\n{ended}\n"));
}
