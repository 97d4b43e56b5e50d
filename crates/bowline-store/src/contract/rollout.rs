//! Rollouts, the units that mature in them, their observations and losses.

use bowline_types::{Arm, CheckResult, RolloutId, Unit, UnitKind};
use serde_json::json;

use super::samples::{
    assigned, at, inference_id, inference_put, instance_id, key_id, observation, outcome, prompt, rollout, rollout_id,
    rollout_put, scope, unit,
};
use super::{Subject, conflict, write};
use crate::{
    InferenceRecord, LIST_ROWS_MAX, LossRecord, ObservationRecord, OutcomeValue, RolloutFilter, RolloutRecord,
    RolloutState, Store, Write,
};

/// A rollout changes only from the revision that the caller read, and its numbers come back bit for bit.
pub async fn rollouts_follow_revisions(subject: impl Subject) {
    let store = subject.store();
    conflict(store, [rollout_put(rollout(1), Some(1))]).await;
    assert_eq!(store.rollout_fetch(rollout_id(1)).await.unwrap(), None);
    write(store, [rollout_put(rollout(1), None)]).await;
    conflict(store, [rollout_put(rollout(1), None)]).await;
    let evidence = json!({ "e_value": 1.0 / 3.0, "sum": 0.1 + 0.2, "large": 1e300 });
    let next = RolloutRecord { revision: 2, stage: 1, evidence: Some(evidence), ..rollout(1) };
    write(store, [rollout_put(next.clone(), Some(1))]).await;
    conflict(store, [rollout_put(RolloutRecord { revision: 3, stage: 2, ..rollout(1) }, Some(1))]).await;
    assert_eq!(store.rollout_fetch(rollout_id(1)).await.unwrap(), Some(next));
}

/// The number of a rollout is unique in its project, and free in another one.
pub async fn numbers_are_unique(subject: impl Subject) {
    let store = subject.store();
    write(store, [rollout_put(rollout(1), None)]).await;
    let mut taken = rollout(2);
    taken.number = 1;
    conflict(store, [rollout_put(taken.clone(), None)]).await;
    taken.scope.project = "desk".parse().unwrap();
    write(store, [rollout_put(taken, None)]).await;
    assert_eq!(store.rollout_list(RolloutFilter::default()).await.unwrap().len(), 2);
}

/// Rollouts are listed newest first, by project, environment, prompt and whether they are active.
pub async fn rollouts_filter(subject: impl Subject) {
    let store = subject.store();
    let rollouts = [
        RolloutRecord { state: RolloutState::RolledBack, ended_at: Some(at(9)), ..rollout(1) },
        RolloutRecord { state: RolloutState::Held, ..rollout(2) },
        RolloutRecord { scope: scope("staging"), ..rollout(3) },
        RolloutRecord { prompt: prompt("other"), ..rollout(4) },
    ];
    write(store, rollouts.map(|rollout| rollout_put(rollout, None))).await;
    let check = async |expected: &[u64], filter: RolloutFilter| {
        let found = store.rollout_list(filter.clone()).await.unwrap();
        assert_eq!(found.iter().map(|rollout| rollout.number).collect::<Vec<_>>(), expected, "{filter:?}");
    };
    let all = RolloutFilter::default();
    check(&[4, 3, 2, 1], all.clone()).await;
    check(&[4, 3, 2], RolloutFilter { active: true, ..all.clone() }).await;
    check(&[4, 2, 1], RolloutFilter { scope: Some(scope("prod")), ..all.clone() }).await;
    check(&[3, 2, 1], RolloutFilter { prompt: Some(prompt("answer")), ..all.clone() }).await;
    check(&[4, 3, 2, 1], RolloutFilter { project: Some("shop".parse().unwrap()), ..all.clone() }).await;
    check(&[], RolloutFilter { project: Some("desk".parse().unwrap()), ..all.clone() }).await;
    let narrow = RolloutFilter { scope: Some(scope("prod")), prompt: Some(prompt("answer")), active: true, ..all };
    check(&[2], narrow).await;
}

/// An observation is the next of its rollout, or nothing.
pub async fn observations_have_no_gaps(subject: impl Subject) {
    let store = subject.store();
    conflict(store, [Write::ObservationAppend(observation(1, 1, "a"))]).await;
    write(store, [observation(1, 0, "a"), observation(1, 1, "b")].map(Write::ObservationAppend)).await;
    conflict(store, [Write::ObservationAppend(observation(1, 1, "c"))]).await;
    conflict(store, [Write::ObservationAppend(observation(1, 3, "c"))]).await;
    write(store, [Write::ObservationAppend(observation(2, 0, "a"))]).await;
    let found = store.observation_list(rollout_id(1), 0).await.unwrap();
    assert_eq!(found, [observation(1, 0, "a"), observation(1, 1, "b")]);
    assert_eq!(store.observation_list(rollout_id(3), 0).await.unwrap(), []);
}

/// A unit is counted once in a rollout; a unit of another kind is another unit.
pub async fn units_are_counted_once(subject: impl Subject) {
    let store = subject.store();
    write(store, [Write::ObservationAppend(observation(1, 0, "a"))]).await;
    conflict(store, [Write::ObservationAppend(observation(1, 1, "a"))]).await;
    let mut user = observation(1, 1, "a");
    user.unit.kind = UnitKind::User;
    write(store, [Write::ObservationAppend(user.clone())]).await;
    assert_eq!(store.observation_list(rollout_id(1), 0).await.unwrap(), [observation(1, 0, "a"), user]);
}

/// A value comes back bit for bit, and unknown stays unknown.
pub async fn observations_keep_their_bits(subject: impl Subject) {
    let store = subject.store();
    let values = [Some(0.0), Some(0.1 + 0.2), Some(1.0 / 3.0), Some(f64::from_bits(1)), Some(1.0 - f64::EPSILON), None];
    let rows = (0..).zip(values);
    let rows: Vec<_> = rows
        .map(|(sequence, value)| ObservationRecord { value, ..observation(1, sequence, &sequence.to_string()) })
        .collect();
    write(store, rows.iter().cloned().map(Write::ObservationAppend)).await;
    let found = store.observation_list(rollout_id(1), 0).await.unwrap();
    let bits = |rows: &[ObservationRecord]| rows.iter().map(|row| row.value.map(f64::to_bits)).collect::<Vec<_>>();
    assert_eq!(bits(&found), bits(&rows));
    assert_eq!(found, rows);
}

/// Observations are read page by page, in order.
pub async fn observations_page(subject: impl Subject) {
    let store = subject.store();
    let total = u64::from(LIST_ROWS_MAX) + 5;
    let rows = (0..total).map(|sequence| Write::ObservationAppend(observation(1, sequence, &sequence.to_string())));
    write(store, rows).await;
    let first = store.observation_list(rollout_id(1), 0).await.unwrap();
    assert_eq!(u32::try_from(first.len()).unwrap(), LIST_ROWS_MAX);
    let rest = store.observation_list(rollout_id(1), u64::from(LIST_ROWS_MAX)).await.unwrap();
    let sequences = first.iter().chain(&rest).map(|row| row.sequence);
    assert!(sequences.eq(0..total));
    assert_eq!(store.observation_list(rollout_id(1), u64::MAX).await.unwrap(), []);
}

async fn maturing(store: &dyn Store, rollout: RolloutId, until: i64) -> Vec<InferenceRecord> {
    let rows = store.maturing_list(rollout, at(until)).await.unwrap();
    rows.into_iter().map(|maturing| maturing.inference).collect()
}

/// The first inference of each unit, before a time, ordered by (start, unit), kinds of units in the order of their precedence.
pub async fn maturing_orders_units(subject: impl Subject) {
    let store = subject.store();
    let when = |inference: InferenceRecord, seconds| InferenceRecord { started_at: at(seconds), ..inference };
    let kind = |kind, inference: InferenceRecord| InferenceRecord {
        unit: Unit { kind, value: inference.unit.value },
        ..inference
    };
    let rows = [
        when(assigned(1, 1, "late"), 20),
        when(assigned(2, 1, "b"), 10),
        when(assigned(3, 1, "a"), 10),
        when(assigned(4, 1, "a"), 11),
        when(kind(UnitKind::User, assigned(5, 1, "B")), 10),
        when(kind(UnitKind::Conversation, assigned(6, 1, "z")), 10),
        when(kind(UnitKind::Request, assigned(7, 1, "A")), 10),
        when(assigned(8, 2, "other"), 10),
    ];
    write(store, rows.iter().map(inference_put)).await;
    let numbers = |rows: Vec<InferenceRecord>| rows.into_iter().map(|row| row.id).collect::<Vec<_>>();
    assert_eq!(numbers(maturing(store, rollout_id(1), 20).await), [3, 2, 6, 5, 7].map(inference_id));
    assert_eq!(numbers(maturing(store, rollout_id(1), 21).await), [3, 2, 6, 5, 7, 1].map(inference_id));
    assert_eq!(maturing(store, rollout_id(1), 10).await, []);
    let [.., other] = rows;
    assert_eq!(maturing(store, rollout_id(2), 11).await, [other]);
}

/// An inference that started earlier but arrives later becomes the first of its unit, until the unit is counted.
pub async fn earlier_inferences_replace_the_first(subject: impl Subject) {
    let store = subject.store();
    let when = |number, seconds| InferenceRecord { started_at: at(seconds), ..assigned(number, 1, "a") };
    write(store, [inference_put(&when(5, 10))]).await;
    write(store, [inference_put(&when(6, 11))]).await;
    assert_eq!(maturing(store, rollout_id(1), 99).await, [when(5, 10)]);
    write(store, [inference_put(&when(7, 9))]).await;
    assert_eq!(maturing(store, rollout_id(1), 99).await, [when(7, 9)]);
    // Of two that started together, the one with the smaller id.
    write(store, [inference_put(&when(4, 9))]).await;
    assert_eq!(maturing(store, rollout_id(1), 99).await, [when(4, 9)]);
    write(store, [Write::ObservationAppend(observation(1, 0, "a"))]).await;
    assert_eq!(maturing(store, rollout_id(1), 99).await, []);
    write(store, [inference_put(&when(1, 1))]).await;
    assert_eq!(maturing(store, rollout_id(1), 99).await, []);
}

/// Fallbacks, inferences without an arm, and units that were counted before any inference of theirs never mature.
pub async fn maturing_leaves_out(subject: impl Subject) {
    let store = subject.store();
    let fallback = InferenceRecord { fallback: true, ..assigned(1, 1, "a") };
    let armless = InferenceRecord { arm: None, ..assigned(2, 1, "b") };
    let counted = assigned(3, 1, "c");
    write(store, [Write::ObservationAppend(observation(1, 0, "c"))]).await;
    write(store, [fallback, armless, counted].iter().map(inference_put)).await;
    assert_eq!(maturing(store, rollout_id(1), 99).await, []);
    // A fallback is not the first inference of its unit either.
    let later = InferenceRecord { started_at: at(50), ..assigned(4, 1, "a") };
    write(store, [inference_put(&later)]).await;
    assert_eq!(maturing(store, rollout_id(1), 99).await, [later]);
}

/// What matures carries the checks as outcomes have revised them, whether those came before or after.
pub async fn maturing_sees_revisions(subject: impl Subject) {
    let store = subject.store();
    let early = outcome(1, 1, OutcomeValue::Flag(true));
    write(store, [Write::OutcomePut(early)]).await;
    write(store, [assigned(1, 1, "a"), assigned(2, 1, "b")].iter().map(inference_put)).await;
    write(store, [Write::OutcomePut(outcome(2, 2, OutcomeValue::Flag(false)))]).await;
    let results = maturing(store, rollout_id(1), 99).await.iter().map(InferenceRecord::success).collect::<Vec<_>>();
    assert_eq!(results, [CheckResult::Pass, CheckResult::Fail]);
    assert_eq!(
        maturing(store, rollout_id(1), 99).await.first().map(|row| (row.key, row.unit.clone())),
        Some((key_id(1), unit("a")))
    );
}

/// A counter of lost records never falls, and is kept per process and arm.
pub async fn losses_only_grow(subject: impl Subject) {
    let store = subject.store();
    let loss =
        |instance, arm, total| LossRecord { instance: instance_id(instance), rollout: rollout_id(1), arm, total };
    write(store, [loss(1, Arm::Stable, 5), loss(2, Arm::Stable, 1), loss(1, Arm::Candidate, 7)].map(Write::LossPut))
        .await;
    write(store, [loss(1, Arm::Stable, 3), loss(2, Arm::Stable, 2)].map(Write::LossPut)).await;
    let mut found = store.loss_list(rollout_id(1)).await.unwrap();
    found.sort_by_key(|loss| (loss.instance, loss.arm));
    assert_eq!(found, [loss(1, Arm::Stable, 5), loss(1, Arm::Candidate, 7), loss(2, Arm::Stable, 2)]);
    assert_eq!(store.loss_list(rollout_id(2)).await.unwrap(), []);
}
