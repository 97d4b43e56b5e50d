//! What is stored does not depend on the order and the grouping in which records arrive.

use std::collections::BTreeMap;

use bowline_store::{
    InferenceFilter, InferenceRecord, OutcomeRecord, OutcomeTarget, OutcomeValue, SCHEMA_VERSION, Store as _,
    SummaryFilter, SummaryRow, Write,
};
use bowline_store_sqlite::{Options, SqliteStore};
use bowline_types::{Arm, CheckResult, RolloutId, Scope, Timestamp, Usd};
use proptest::prelude::*;

use crate::samples::{inference, inference_id};

const INFERENCES: u32 = 12;
const MINUTE_US: i64 = 60_000_000;

fn rollout() -> RolloutId {
    "rol_00000000000000000000000000000001".parse().unwrap()
}

fn any_inference(number: u32) -> impl Strategy<Value = InferenceRecord> {
    let cost = prop_oneof![Just(None), (0_u32..1_000).prop_map(|cost| Some(format!("0.{cost:06}")))];
    (0_i64..4, 0_u32..4, any::<bool>(), any::<bool>(), cost).prop_map(
        move |(minutes, unit, assigned, fallback, cost)| {
            let mut record = inference(number);
            record.started_at = Timestamp::from_micros(minutes * MINUTE_US + i64::from(number % 3));
            record.unit.value = format!("unit-{unit}");
            record.rollout = assigned.then(rollout);
            record.arm = assigned.then_some(Arm::Candidate);
            record.fallback = fallback;
            record.cost = cost.map(|cost| cost.parse().unwrap());
            record.checks.insert("feedback:correct".to_owned(), CheckResult::Unknown);
            record
        },
    )
}

fn any_outcome(number: u32) -> impl Strategy<Value = OutcomeRecord> {
    let value = prop_oneof![
        any::<bool>().prop_map(OutcomeValue::Flag),
        (0_u8..=4).prop_map(|score| OutcomeValue::Score(f64::from(score) / 4.0)),
        Just(OutcomeValue::Text("a comment".to_owned())),
    ];
    (0..INFERENCES, any::<bool>(), any::<bool>(), 0_i64..5, value).prop_map(
        move |(target, by_answer, own, at, value)| OutcomeRecord {
            schema_version: SCHEMA_VERSION,
            id: format!("out_{number:032x}").parse().unwrap(),
            key: if own { inference(0).key } else { "key_00000000000000000000000000000002".parse().unwrap() },
            target: if by_answer {
                OutcomeTarget::Answer(format!("msg_{target}"))
            } else {
                OutcomeTarget::Inference(inference_id(target))
            },
            name: "correct".to_owned(),
            value,
            at: Timestamp::from_micros(at),
        },
    )
}

/// Writes in the order of arrival, some of them twice, and how many of them each commit takes.
fn any_arrival() -> impl Strategy<Value = (Vec<InferenceRecord>, Vec<OutcomeRecord>, Vec<Write>, usize)> {
    let inferences = (0..INFERENCES).map(any_inference).collect::<Vec<_>>();
    let outcomes = (0..20).map(any_outcome).collect::<Vec<_>>();
    (inferences, outcomes, 1_usize..9).prop_flat_map(|(inferences, outcomes, commit)| {
        let mut writes: Vec<_> = inferences.iter().cloned().map(|row| Write::InferencePut(Box::new(row))).collect();
        writes.extend(outcomes.iter().cloned().map(Write::OutcomePut));
        writes.extend(writes.clone().into_iter().step_by(4));
        let writes = Just(writes).prop_shuffle();
        (Just(inferences), Just(outcomes), writes, Just(commit))
    })
}

/// Returns the inferences as their outcomes leave them.
fn revised(mut inferences: Vec<InferenceRecord>, mut outcomes: Vec<OutcomeRecord>) -> Vec<InferenceRecord> {
    outcomes.sort_by_key(|outcome| (outcome.at, outcome.id));
    for inference in &mut inferences {
        for outcome in &outcomes {
            let named = match &outcome.target {
                OutcomeTarget::Inference(id) => *id == inference.id,
                OutcomeTarget::Answer(answer) => Some(answer) == inference.answer_id.as_ref(),
            };
            if named && outcome.key == inference.key {
                inference.revise(outcome);
            }
        }
    }
    inferences
}

/// Returns the sums of rows.
fn summed(rows: &[InferenceRecord]) -> Vec<SummaryRow> {
    let mut groups: BTreeMap<_, Vec<&InferenceRecord>> = BTreeMap::new();
    for row in rows {
        groups.entry((row.prompt.clone(), row.version, row.rollout, row.arm)).or_default().push(row);
    }
    let sums = groups.into_iter().map(|((prompt, version, rollout, arm), rows)| {
        let count = |holds: &dyn Fn(&InferenceRecord) -> bool| {
            u64::try_from(rows.iter().filter(|row| holds(row)).count()).unwrap()
        };
        SummaryRow {
            prompt,
            version,
            rollout,
            arm,
            inferences: count(&|_| true),
            pass: count(&|row| row.success() == CheckResult::Pass),
            fail: count(&|row| row.success() == CheckResult::Fail),
            unknown: count(&|row| row.success() == CheckResult::Unknown),
            errors: count(&|row| row.error.is_some()),
            input_tokens: rows.iter().filter_map(|row| row.usage.input).sum(),
            output_tokens: rows.iter().filter_map(|row| row.usage.output).sum(),
            cost: rows.iter().filter_map(|row| row.cost).sum::<Usd>(),
            unpriced: count(&|row| row.cost.is_none()),
            duration_us: rows.iter().map(|row| row.duration_us).sum(),
        }
    });
    sums.collect()
}

/// Returns the first inference of each unit of the rollout, in the order in which units mature.
fn maturing(rows: &[InferenceRecord]) -> Vec<InferenceRecord> {
    let mut rows: Vec<_> = rows.iter().filter(|row| row.rollout.is_some() && !row.fallback).cloned().collect();
    rows.sort_by_key(|row| (row.unit.clone(), row.started_at, row.id));
    rows.dedup_by_key(|row| row.unit.clone());
    rows.sort_by_key(|row| (row.started_at, row.unit.clone()));
    rows
}

async fn check(inferences: Vec<InferenceRecord>, outcomes: Vec<OutcomeRecord>, writes: Vec<Write>, commit: usize) {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(folder.path(), Options::default()).unwrap();
    for writes in writes.chunks(commit) {
        store.commit(writes.to_vec()).await.unwrap();
    }
    let expected = revised(inferences, outcomes);
    let filter = InferenceFilter { limit: 100, after: Some(inference_id(0)), ..InferenceFilter::default() };
    assert_eq!(store.inference_list(filter).await.unwrap(), expected.get(1..).unwrap());
    let scope = Scope { project: "shop".parse().unwrap(), environment: "prod".parse().unwrap() };
    let filter = |since| SummaryFilter { scope: scope.clone(), prompt: None, rollout: None, since };
    assert_eq!(store.summary_list(filter(None)).await.unwrap(), summed(&expected));
    let since = Timestamp::from_micros(2 * MINUTE_US);
    let recent: Vec<_> = expected.iter().filter(|row| row.started_at >= since).cloned().collect();
    assert_eq!(store.summary_list(filter(Some(since))).await.unwrap(), summed(&recent));
    let units = store.maturing_list(rollout(), Timestamp::from_micros(i64::MAX)).await.unwrap();
    assert_eq!(units.into_iter().map(|unit| unit.inference).collect::<Vec<_>>(), maturing(&expected));
    store.close().await;
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn arrival_order_does_not_matter((inferences, outcomes, writes, commit) in any_arrival()) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(check(inferences, outcomes, writes, commit));
    }
}
