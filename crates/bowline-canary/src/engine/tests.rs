use bowline_types::{Digest, UnitKind};
use proptest::prelude::*;

use super::*;
use crate::design::BaselineRate;
use crate::explain::explain;
use crate::plan::Plan;

fn design() -> Design {
    Design::new(Plan::default(), Some(BaselineRate { pass: 912, total: 1_000 })).unwrap()
}

fn observation(sequence: u64, stage: u16, arm: Arm, value: Value) -> Observation {
    Observation {
        sequence,
        assigned_at: Timestamp::from_micros(1_795_485_600_000_000 + i64::try_from(sequence).unwrap() * 1_000),
        unit: Digest::of(&sequence.to_be_bytes()),
        unit_kind: UnitKind::User,
        arm,
        stage,
        value,
    }
}

/// A log of two stages with failures, scores and unknown values, by integer arithmetic alone.
fn fixed_log(length: u64) -> Vec<Observation> {
    let each = |sequence: u64| {
        let place = sequence.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        let stage = u16::from(sequence > length / 2);
        let candidate = place % 100 < if stage == 0 { 10 } else { 43 };
        let fails = if candidate { 16 } else { 9 };
        let value = match place / 100 % 100 {
            roll if roll < fails => Value::FAIL,
            roll if roll < fails + 4 => Value::UNKNOWN,
            roll if roll < fails + 14 => Value::score(0.7).unwrap(),
            _ => Value::PASS,
        };
        observation(sequence, stage, if candidate { Arm::Candidate } else { Arm::Stable }, value)
    };
    (1..=length).map(each).collect()
}

fn bits(value: EValue) -> String {
    format!("{:016x}·2^{}", value.mantissa.to_bits(), value.exponent)
}

/// Golden: these bits are the same on every machine and in every version, or stored verdicts cannot be replayed.
/// A second implementation, in Python and without the scaling, gave them too.
#[test]
fn a_fixed_log_gives_fixed_bits() {
    let evidence = replay(design(), fixed_log(3_000)).unwrap();
    let found = [
        bits(evidence.rollback.e_value),
        bits(evidence.rollback.peak),
        bits(evidence.promotion.e_value),
        bits(evidence.promotion.peak),
        bits(evidence.stages[0].sample_ratio),
        bits(evidence.stages[1].coverage),
        format!("{:016x} {:016x}", evidence.arms.stable.score.to_bits(), evidence.arms.candidate.score.to_bits()),
        format!("{:?}", (evidence.blocks, evidence.rollback.reached_at, evidence.promotion.reached_at)),
    ];
    assert_eq!(found, GOLDEN, "{evidence:#?}");
}

const GOLDEN: [&str; 8] = [
    "3ff2d35312ad130e·2^13",
    "3ff4c1813f73ad76·2^14",
    "3ffec0920e40789d·2^-4",
    "3ff0000000000000·2^0",
    "3ff0000000000000·2^0",
    "3ff74f76d76c6f2c·2^15",
    "409cf4000000001e 408330ccccccccce",
    "(764, Some(1281), None)",
];

/// Golden: the bets that a plan and a record give.
#[test]
fn a_fixed_plan_gives_fixed_bets() {
    let design = design();
    let found = design.stages.iter().map(|stage| {
        format!("{} {:016x} {:016x}", stage.controls, stage.rollback_bet.to_bits(), stage.promotion_bet.to_bits())
    });
    assert_eq!(found.collect::<Vec<_>>(), GOLDEN_BETS);
}

const GOLDEN_BETS: [&str; 2] = ["9 3fe0d0742c18586e 3fd953fdea34ae60", "1 3fcf7607705ab29d 3fd29efe465f25ac"];

#[test]
fn logs_out_of_order_or_of_another_plan_are_refused() {
    let mut engine = Engine::new(design());
    engine.push(&observation(5, 0, Arm::Stable, Value::PASS)).unwrap();
    let before = engine.evidence().clone();
    for sequence in [1, 5] {
        let found = engine.push(&observation(sequence, 0, Arm::Candidate, Value::FAIL));
        assert_eq!(found, Err(PushError::Order { sequence, last: 5 }));
    }
    let found = engine.push(&observation(6, 2, Arm::Candidate, Value::FAIL));
    assert_eq!(found, Err(PushError::Stage { sequence: 6, stage: 2, stages: 2 }));
    assert_eq!(*engine.evidence(), before);
}

#[test]
fn late_units_of_an_earlier_stage_join_its_blocks() {
    let mut engine = Engine::new(design());
    let mut sequence = 0;
    let mut push = |stage, arm| {
        sequence += 1;
        engine.push(&observation(sequence, stage, arm, Value::PASS)).unwrap();
        engine.evidence().blocks
    };
    assert_eq!((0..9).map(|_| push(0, Arm::Stable)).last(), Some(0));
    assert_eq!(push(1, Arm::Candidate), 0);
    assert_eq!(push(0, Arm::Candidate), 1);
    assert_eq!(push(1, Arm::Stable), 2);
}

#[test]
fn traces_end_at_the_evidence() {
    let log = fixed_log(1_003);
    let points = trace(design(), &log, 100).unwrap();
    let evidence = replay(design(), &log).unwrap();
    assert!((90..=101).contains(&points.len()), "{}", points.len());
    let last = points.last().unwrap();
    assert_eq!(
        (last.sequence, last.rollback, last.promotion),
        (1_003, evidence.rollback.e_value, evidence.promotion.e_value)
    );
    assert!(trace(design(), &[], 100).unwrap().is_empty());
}

#[test]
fn evidence_is_explained() {
    let lines = explain(&replay(design(), fixed_log(3_000)).unwrap(), &design());
    assert!(lines[0].starts_with("stable: "), "{lines:#?}");
    assert!(lines.iter().any(|line| line.contains("worse than stable: the e-value reached 20")), "{lines:#?}");
    let empty = explain(Engine::new(design()).evidence(), &design());
    assert_eq!(empty[0], "stable: 0 units, no known value.");
}

fn any_observation() -> impl Strategy<Value = (u16, bool, Option<f64>)> {
    let value = prop_oneof![Just(None), Just(Some(0.0)), Just(Some(1.0)), (0.0..=1.0).prop_map(Some)];
    (0_u16..2, any::<bool>(), value)
}

proptest! {
    /// Stopping anywhere, storing design and log as JSON and starting anew changes no bit.
    #[test]
    fn replay_gives_the_same_bits(units in proptest::collection::vec(any_observation(), 0..400), stop in 0_usize..400) {
        let log: Vec<Observation> = (1..)
            .zip(&units)
            .map(|(sequence, (stage, candidate, value))| {
                let arm = if *candidate { Arm::Candidate } else { Arm::Stable };
                observation(sequence, *stage, arm, Value::try_from(*value).unwrap())
            })
            .collect();
        let (early, late) = log.split_at(stop.min(log.len()));
        let mut engine = Engine::new(design());
        early.iter().for_each(|each| engine.push(each).unwrap());
        let mut resumed = engine.clone();
        late.iter().for_each(|each| resumed.push(each).unwrap());

        let stored_design = serde_json::from_str(&serde_json::to_string(&design()).unwrap()).unwrap();
        let stored_log: Vec<Observation> = serde_json::from_str(&serde_json::to_string(&log).unwrap()).unwrap();
        let replayed = replay(stored_design, &stored_log).unwrap();
        prop_assert_eq!(bits(replayed.rollback.e_value), bits(resumed.evidence().rollback.e_value));
        prop_assert_eq!(&replayed, resumed.evidence());
        let stored: Evidence = serde_json::from_str(&serde_json::to_string(&replayed).unwrap()).unwrap();
        prop_assert_eq!(stored, replayed);
    }

    #[test]
    fn designs_round_trip(
        effect in 0.001..0.5_f64, margin in 0.001..0.5_f64, alpha in 0.0001..0.5_f64, pass in 0_u64..500, more in 0_u64..500,
    ) {
        let mut plan = Plan { effect, margin, ..Plan::default() };
        plan.alpha.promote = alpha;
        let design = Design::new(plan, Some(BaselineRate { pass, total: pass + more })).unwrap();
        let stored: Design = serde_json::from_str(&serde_json::to_string(&design).unwrap()).unwrap();
        prop_assert_eq!(stored, design);
    }
}
