//! Sums of inferences.

use bowline_types::{Arm, ErrorKind, TokenUsage, Usd};

use super::samples::{assigned, at, digest, inference, inference_put, outcome, prompt, rollout_id, scope};
use super::{Subject, write};
use crate::{InferenceRecord, OutcomeRecord, OutcomeTarget, OutcomeValue, Store, SummaryFilter, SummaryRow, Write};

fn everything() -> SummaryFilter {
    SummaryFilter { scope: scope("prod"), prompt: None, rollout: None, since: None }
}

async fn summary(store: &dyn Store) -> SummaryRow {
    let rows = store.summary_list(everything()).await.unwrap();
    assert_eq!(rows.len(), 1, "{rows:?}");
    rows.into_iter().next().unwrap()
}

/// Inferences are summed by prompt, version, rollout and arm, over all minutes that the filter asks for.
pub async fn groups_and_filters(subject: impl Subject) {
    let store = subject.store();
    let failed = InferenceRecord {
        error: Some(ErrorKind::UpstreamTimeout),
        usage: TokenUsage::default(),
        cost: None,
        started_at: at(61),
        ..inference(2)
    };
    let candidate = InferenceRecord { arm: Some(Arm::Candidate), version: Some(digest("two")), ..assigned(3, 1, "a") };
    let by_alias = InferenceRecord { prompt: None, version: None, started_at: at(125), ..inference(4) };
    let elsewhere = InferenceRecord { environment: "dev".parse().unwrap(), ..inference(5) };
    write(store, [inference(1), failed, candidate, by_alias, elsewhere].iter().map(inference_put)).await;

    let sum = |inferences: u64, unpriced: u64| SummaryRow {
        prompt: Some(prompt("answer")),
        version: Some(digest("one")),
        rollout: None,
        arm: None,
        inferences,
        pass: 0,
        fail: 0,
        unknown: inferences,
        errors: unpriced,
        input_tokens: 100 * (inferences - unpriced),
        output_tokens: 20 * (inferences - unpriced),
        cost: (unpriced..inferences).map(|_| "0.0001".parse::<Usd>().unwrap()).sum(),
        unpriced,
        duration_us: 2_000 * inferences,
    };
    let alias = SummaryRow { prompt: None, version: None, ..sum(1, 0) };
    let tried = SummaryRow {
        version: Some(digest("two")),
        rollout: Some(rollout_id(1)),
        arm: Some(Arm::Candidate),
        ..sum(1, 0)
    };
    let mut both = [sum(2, 1), tried.clone()];
    both.sort_by_key(|row| row.version);
    let [first, second] = both.clone();
    let check = async |expected: &[SummaryRow], filter: SummaryFilter| {
        assert_eq!(store.summary_list(filter.clone()).await.unwrap(), expected, "{filter:?}");
    };
    check(&[alias.clone(), first, second], everything()).await;
    check(&both, SummaryFilter { prompt: Some(prompt("answer")), ..everything() }).await;
    check(&[tried], SummaryFilter { rollout: Some(rollout_id(1)), ..everything() }).await;
    check(&[alias, sum(1, 1)], SummaryFilter { since: Some(at(119)), ..everything() }).await;
    check(&[], SummaryFilter { scope: scope("staging"), ..everything() }).await;
}

/// A late outcome moves an inference between pass, fail and unknown, in the minute of the inference.
pub async fn late_outcomes_move_counts(subject: impl Subject) {
    let store = subject.store();
    let counts = async || {
        let row = summary(store).await;
        assert_eq!(row.inferences, row.pass + row.fail + row.unknown);
        [row.pass, row.fail, row.unknown]
    };
    write(store, (1..=3).map(|number| inference_put(&inference(number)))).await;
    assert_eq!(counts().await, [0, 0, 3]);
    write(store, [Write::OutcomePut(outcome(1, 1, OutcomeValue::Flag(true)))]).await;
    assert_eq!(counts().await, [1, 0, 2]);
    let target = OutcomeTarget::Answer("answer-1".to_owned());
    write(store, [Write::OutcomePut(OutcomeRecord { target, ..outcome(2, 1, OutcomeValue::Flag(false)) })]).await;
    assert_eq!(counts().await, [0, 1, 2]);
    // Again, and one that changes nothing.
    write(store, [2, 3].map(|number| Write::OutcomePut(outcome(number, 1, OutcomeValue::Score(0.0))))).await;
    assert_eq!(counts().await, [0, 1, 2]);
    // One that waited, and one in the transaction of its inference.
    write(store, [Write::OutcomePut(outcome(4, 4, OutcomeValue::Flag(true)))]).await;
    write(store, [inference_put(&inference(4))]).await;
    assert_eq!(counts().await, [1, 1, 2]);
    let both = [inference_put(&inference(5)), Write::OutcomePut(outcome(5, 5, OutcomeValue::Flag(true)))];
    write(store, both).await;
    assert_eq!(counts().await, [2, 1, 2]);
    let recent = SummaryFilter { since: Some(at(60)), ..everything() };
    assert_eq!(store.summary_list(recent).await.unwrap(), []);
}

/// Money is summed exactly, within a minute and over minutes.
pub async fn money_is_exact(subject: impl Subject) {
    let store = subject.store();
    let costs = ["0.1", "0.2", "0.000000000000000001", "123456789.987654321", "0"];
    for (number, cost) in (1..).zip(costs) {
        let started_at = at(i64::from(number) * 25);
        let row = InferenceRecord { cost: Some(cost.parse().unwrap()), started_at, ..inference(number) };
        write(store, [inference_put(&row)]).await;
    }
    let tenths = (100..1_100).map(|number| {
        let cost = Some("0.1".parse().unwrap());
        inference_put(&InferenceRecord { cost, ..inference(number) })
    });
    write(store, tenths).await;
    let row = summary(store).await;
    assert_eq!(row.cost.to_string(), "123456890.287654321000000001");
    assert_eq!((row.inferences, row.unpriced), (1_005, 0));
}

/// A record that is delivered again is not summed again.
pub async fn repeated_records_count_once(subject: impl Subject) {
    let store = subject.store();
    write(store, [inference_put(&inference(1)), inference_put(&inference(1))]).await;
    let before = summary(store).await;
    write(store, [inference_put(&inference(1))]).await;
    assert_eq!(summary(store).await, before);
    assert_eq!(before.inferences, 1);
}
