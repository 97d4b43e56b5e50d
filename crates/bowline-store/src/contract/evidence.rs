//! Inferences and outcomes.

use bowline_types::{CheckResult, ErrorKind};

use super::samples::{digest, inference, inference_id, inference_put, key_id, outcome, outcome_id, prompt, rollout_id};
use super::{Subject, write};
use crate::{
    Content, InferenceFilter, InferenceRecord, LIST_ROWS_MAX, OutcomeRecord, OutcomeTarget, OutcomeValue, Store, Write,
};

const YES: OutcomeValue = OutcomeValue::Flag(true);
const NO: OutcomeValue = OutcomeValue::Flag(false);

async fn fetch(store: &dyn Store, number: u32) -> Option<InferenceRecord> {
    store.inference_fetch(inference_id(number)).await.unwrap()
}

async fn feedback(store: &dyn Store, number: u32) -> Option<CheckResult> {
    fetch(store, number).await.and_then(|inference| inference.checks.get("feedback:correct").copied())
}

/// An inference is kept as it first came; the same id again changes nothing.
pub async fn inferences_are_kept_once(subject: impl Subject) {
    let store = subject.store();
    let failed = InferenceRecord {
        error: Some(ErrorKind::UpstreamTimeout),
        prompt: None,
        version: None,
        provider: None,
        answer_id: None,
        first_byte_us: None,
        cost: None,
        ..inference(1)
    };
    write(store, [inference_put(&failed)]).await;
    write(store, [inference_put(&inference(1)), inference_put(&inference(2)), inference_put(&inference(2))]).await;
    assert_eq!(fetch(store, 1).await, Some(failed));
    assert_eq!(fetch(store, 2).await, Some(inference(2)));
    assert_eq!(fetch(store, 3).await, None);
}

/// Captured content comes back with its inference, and stays when the inference is revised.
pub async fn content_comes_back(subject: impl Subject) {
    let store = subject.store();
    let content = Content { input: "[\"\u{1f980}\"]".to_owned(), output: "a\u{0}b\r\n".to_owned() };
    let with_content = InferenceRecord { content: Some(content.clone()), ..inference(1) };
    write(store, [inference_put(&with_content), inference_put(&inference(2))]).await;
    assert_eq!(fetch(store, 1).await, Some(with_content));
    write(store, [Write::OutcomePut(outcome(1, 1, YES))]).await;
    let list = store.inference_list(InferenceFilter { limit: 10, ..InferenceFilter::default() }).await.unwrap();
    assert_eq!(list.into_iter().map(|row| row.content).collect::<Vec<_>>(), [None, Some(content)]);
}

/// An answer's id finds the newest inference of the key that has it.
pub async fn answers_find_the_newest_inference(subject: impl Subject) {
    let store = subject.store();
    let answer = |number, key, id: &str| InferenceRecord {
        key: key_id(key),
        answer_id: Some(id.to_owned()),
        ..inference(number)
    };
    let rows = [answer(1, 1, "same"), answer(3, 1, "same"), answer(2, 1, "same"), answer(4, 2, "same")];
    write(store, rows.iter().map(inference_put)).await;
    let check = async |key, id: &str, expected: Option<u32>| {
        let found = store.inference_by_answer(key_id(key), id.to_owned()).await.unwrap();
        assert_eq!(found.map(|row| row.id), expected.map(inference_id), "{key} {id}");
    };
    check(1, "same", Some(3)).await;
    check(2, "same", Some(4)).await;
    check(3, "same", None).await;
    check(1, "other", None).await;
}

/// Each condition of a filter narrows the list.
pub async fn inferences_filter(subject: impl Subject) {
    let store = subject.store();
    let rows = [
        inference(1),
        InferenceRecord { project: "desk".parse().unwrap(), ..inference(2) },
        InferenceRecord { environment: "dev".parse().unwrap(), ..inference(3) },
        InferenceRecord { prompt: Some(prompt("other")), ..inference(4) },
        InferenceRecord { prompt: None, version: Some(digest("two")), ..inference(5) },
        InferenceRecord { rollout: Some(rollout_id(1)), ..inference(6) },
    ];
    write(store, rows.iter().map(inference_put)).await;
    let check = async |expected: &[u32], filter: InferenceFilter| {
        let found = store.inference_list(filter.clone()).await.unwrap();
        let expected: Vec<_> = expected.iter().copied().map(inference_id).collect();
        assert_eq!(found.iter().map(|row| row.id).collect::<Vec<_>>(), expected, "{filter:?}");
    };
    let all = InferenceFilter { limit: 100, ..InferenceFilter::default() };
    check(&[6, 5, 4, 3, 2, 1], all.clone()).await;
    check(&[6, 5, 4, 3, 1], InferenceFilter { project: Some("shop".parse().unwrap()), ..all.clone() }).await;
    check(&[3], InferenceFilter { environment: Some("dev".parse().unwrap()), ..all.clone() }).await;
    check(&[4], InferenceFilter { prompt: Some(prompt("other")), ..all.clone() }).await;
    check(&[5], InferenceFilter { version: Some(digest("two")), ..all.clone() }).await;
    check(&[6], InferenceFilter { rollout: Some(rollout_id(1)), ..all.clone() }).await;
    check(
        &[6, 1],
        InferenceFilter {
            project: Some("shop".parse().unwrap()),
            environment: Some("prod".parse().unwrap()),
            prompt: Some(prompt("answer")),
            version: Some(digest("one")),
            ..all
        },
    )
    .await;
}

/// Lists go back from a cursor, newest first, or on from one, oldest first, and have a bound.
pub async fn inferences_page_both_ways(subject: impl Subject) {
    let store = subject.store();
    let total = LIST_ROWS_MAX + 5;
    write(store, (1..=total).map(|number| inference_put(&inference(number)))).await;
    let check = async |expected: Vec<u32>, before: Option<u32>, after: Option<u32>, limit| {
        let (before, after) = (before.map(inference_id), after.map(inference_id));
        let filter = InferenceFilter { before, after, limit, ..InferenceFilter::default() };
        let found = store.inference_list(filter.clone()).await.unwrap();
        let expected: Vec<_> = expected.into_iter().map(inference_id).collect();
        assert_eq!(found.iter().map(|row| row.id).collect::<Vec<_>>(), expected, "{filter:?}");
    };
    check((6..=total).rev().collect(), None, None, u32::MAX).await;
    check(vec![5, 4, 3], Some(6), None, 3).await;
    check(vec![2, 1], Some(3), None, 3).await;
    check(vec![1, 2, 3], None, Some(0), 3).await;
    check(vec![total - 1, total], None, Some(total - 2), 3).await;
    check(vec![4, 5, 6], Some(7), Some(3), 5).await;
    check(vec![], None, Some(total), 3).await;
    check(vec![], None, None, 0).await;
}

/// An outcome of an inference that is there revises its check at once; the latest one counts.
pub async fn late_outcomes_revise(subject: impl Subject) {
    let store = subject.store();
    write(store, [inference_put(&inference(1)), inference_put(&inference(2))]).await;
    for (number, value, expected) in [
        (1, YES, CheckResult::Pass),
        (2, NO, CheckResult::Fail),
        (3, OutcomeValue::Score(0.5), CheckResult::Pass),
        (4, OutcomeValue::Score(0.49), CheckResult::Fail),
    ] {
        write(store, [Write::OutcomePut(outcome(number, 1, value))]).await;
        assert_eq!(feedback(store, 1).await, Some(expected), "{number}");
    }
    assert_eq!(feedback(store, 2).await, Some(CheckResult::Unknown));
    // A name that the contract does not have is kept, and judges nothing.
    let other = OutcomeRecord { name: "tone".to_owned(), ..outcome(5, 2, YES) };
    write(store, [Write::OutcomePut(other.clone())]).await;
    assert_eq!(fetch(store, 2).await, Some(inference(2)));
    assert_eq!(store.outcome_list(inference_id(2)).await.unwrap(), [other]);
    let ids: Vec<_> = store.outcome_list(inference_id(1)).await.unwrap().iter().map(|outcome| outcome.id).collect();
    assert_eq!(ids, [1, 2, 3, 4].map(outcome_id));
}

/// A comment after a judgement leaves the judgement.
pub async fn texts_judge_nothing(subject: impl Subject) {
    let store = subject.store();
    write(store, [inference_put(&inference(1)), Write::OutcomePut(outcome(1, 1, NO))]).await;
    write(store, [Write::OutcomePut(outcome(2, 1, OutcomeValue::Text("it was B".to_owned())))]).await;
    assert_eq!(feedback(store, 1).await, Some(CheckResult::Fail));
    assert_eq!(store.outcome_list(inference_id(1)).await.unwrap().len(), 2);
}

/// The same outcome again changes nothing, even where its value is another.
pub async fn outcomes_are_kept_once(subject: impl Subject) {
    let store = subject.store();
    write(store, [inference_put(&inference(1)), Write::OutcomePut(outcome(1, 1, YES))]).await;
    write(store, [Write::OutcomePut(outcome(1, 1, NO)), Write::OutcomePut(outcome(1, 1, YES))]).await;
    assert_eq!(store.outcome_list(inference_id(1)).await.unwrap(), [outcome(1, 1, YES)]);
    assert_eq!(feedback(store, 1).await, Some(CheckResult::Pass));
}

/// What counts does not depend on the order of arrival, before or after the inference.
pub async fn outcomes_in_any_order(subject: impl Subject) {
    let store = subject.store();
    write(store, [Write::OutcomePut(outcome(2, 1, YES)), Write::OutcomePut(outcome(1, 1, NO))]).await;
    write(store, [inference_put(&inference(1))]).await;
    assert_eq!(feedback(store, 1).await, Some(CheckResult::Pass));
    write(store, [inference_put(&inference(2)), Write::OutcomePut(outcome(9, 2, NO))]).await;
    write(store, [Write::OutcomePut(outcome(8, 2, YES))]).await;
    assert_eq!(feedback(store, 2).await, Some(CheckResult::Fail));
    let ids: Vec<_> = store.outcome_list(inference_id(2)).await.unwrap().iter().map(|outcome| outcome.id).collect();
    assert_eq!(ids, [8, 9].map(outcome_id));
}

/// An outcome waits for its inference, by either id, and is applied once when that arrives.
pub async fn outcomes_wait(subject: impl Subject) {
    let store = subject.store();
    let by_answer = OutcomeRecord { target: OutcomeTarget::Answer("answer-2".to_owned()), ..outcome(2, 0, NO) };
    write(store, [Write::OutcomePut(outcome(1, 1, YES)), Write::OutcomePut(by_answer.clone())]).await;
    write(store, [Write::OutcomePut(outcome(1, 1, YES))]).await;
    assert_eq!(store.outcome_list(inference_id(1)).await.unwrap(), []);
    write(store, [inference_put(&inference(1)), inference_put(&inference(2)), inference_put(&inference(3))]).await;
    let results = [feedback(store, 1).await, feedback(store, 2).await, feedback(store, 3).await];
    assert_eq!(results, [CheckResult::Pass, CheckResult::Fail, CheckResult::Unknown].map(Some));
    assert_eq!(store.outcome_list(inference_id(1)).await.unwrap(), [outcome(1, 1, YES)]);
    assert_eq!(store.outcome_list(inference_id(2)).await.unwrap(), [by_answer]);
    // It is not applied to a later inference with the same answer id again.
    let again = InferenceRecord { answer_id: Some("answer-2".to_owned()), ..inference(4) };
    write(store, [inference_put(&again)]).await;
    assert_eq!(feedback(store, 4).await, Some(CheckResult::Unknown));
}

/// An outcome by an answer's id reaches the newest inference of its key that has it.
pub async fn outcomes_by_answer(subject: impl Subject) {
    let store = subject.store();
    let same =
        |number, key| InferenceRecord { key: key_id(key), answer_id: Some("same".to_owned()), ..inference(number) };
    write(store, [same(1, 1), same(2, 1), same(3, 2)].iter().map(inference_put)).await;
    let by_answer = OutcomeRecord { target: OutcomeTarget::Answer("same".to_owned()), ..outcome(1, 0, NO) };
    write(store, [Write::OutcomePut(by_answer)]).await;
    let results = [feedback(store, 1).await, feedback(store, 2).await, feedback(store, 3).await];
    assert_eq!(results, [CheckResult::Unknown, CheckResult::Fail, CheckResult::Unknown].map(Some));
}

/// An outcome of one key never reaches an inference of another, by neither id.
pub async fn outcomes_of_other_keys_reach_nothing(subject: impl Subject) {
    let store = subject.store();
    write(store, [inference_put(&inference(1))]).await;
    let foreign = OutcomeRecord { key: key_id(2), ..outcome(1, 1, NO) };
    let target = OutcomeTarget::Answer("answer-1".to_owned());
    let by_answer = OutcomeRecord { key: key_id(2), target, ..outcome(2, 1, NO) };
    write(store, [Write::OutcomePut(foreign), Write::OutcomePut(by_answer)]).await;
    assert_eq!(fetch(store, 1).await, Some(inference(1)));
    assert_eq!(store.outcome_list(inference_id(1)).await.unwrap(), []);
}

/// An outcome that waits is not taken by an inference of another key, by neither id.
pub async fn waiting_outcomes_of_other_keys_reach_nothing(subject: impl Subject) {
    let store = subject.store();
    let foreign = OutcomeRecord { key: key_id(2), ..outcome(1, 1, NO) };
    let target = OutcomeTarget::Answer("answer-1".to_owned());
    let by_answer = OutcomeRecord { key: key_id(2), target, ..outcome(2, 1, NO) };
    write(store, [Write::OutcomePut(foreign), Write::OutcomePut(by_answer.clone())]).await;
    write(store, [inference_put(&inference(1))]).await;
    assert_eq!(fetch(store, 1).await, Some(inference(1)));
    // It still waits for one of its own.
    let own = InferenceRecord { key: key_id(2), answer_id: Some("answer-1".to_owned()), ..inference(2) };
    write(store, [inference_put(&own)]).await;
    assert_eq!(store.outcome_list(inference_id(2)).await.unwrap(), [by_answer]);
    assert_eq!(feedback(store, 2).await, Some(CheckResult::Fail));
}
