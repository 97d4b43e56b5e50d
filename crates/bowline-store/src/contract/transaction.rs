//! What a commit is.

use futures_util::future::join_all;

use super::samples::{
    inference, inference_put, log_row, observation, outcome, outcome_id, pointer, pointer_put, prompt, quarantine,
    rollout, rollout_id, rollout_put, scope,
};
use super::{Subject, conflict, write};
use crate::{Error, LogFilter, LogRow, OutcomeValue, RolloutRecord, RolloutState, Store, SummaryFilter, Write};

async fn log(store: &dyn Store) -> Vec<LogRow> {
    let filter = LogFilter { scope: scope("prod"), prompt: None, before: None, limit: 1_000 };
    store.log_list(filter).await.unwrap()
}

/// A commit without writes succeeds.
pub async fn empty_commits(subject: impl Subject) {
    write(subject.store(), []).await;
}

/// Where one write of a commit is refused, nothing of it is written, sums and marks included.
pub async fn commits_are_atomic(subject: impl Subject) {
    let store = subject.store();
    write(store, [pointer_put(pointer("prod", "answer", "one"), None)]).await;
    let refused = pointer_put(pointer("prod", "answer", "two"), Some("zero"));
    let writes = || {
        [
            pointer_put(pointer("prod", "other", "one"), None),
            Write::LogAppend(log_row("prod", None, "refused")),
            rollout_put(rollout(1), None),
            Write::ObservationAppend(observation(1, 0, "a")),
            Write::OutcomePut(outcome(1, 1, OutcomeValue::Flag(true))),
            inference_put(&inference(1)),
            Write::QuarantinePut(quarantine("prod", "one", "worse")),
        ]
    };
    // Refused at the end, and refused at the start.
    conflict(store, writes().into_iter().chain([refused.clone()])).await;
    conflict(store, [refused].into_iter().chain(writes())).await;
    assert_eq!(store.pointer_list("shop".parse().unwrap()).await.unwrap(), [pointer("prod", "answer", "one")]);
    assert_eq!(log(store).await, []);
    assert_eq!(store.rollout_fetch(rollout_id(1)).await.unwrap(), None);
    assert_eq!(store.observation_list(rollout_id(1), 0).await.unwrap(), []);
    assert_eq!(store.inference_fetch(inference(1).id).await.unwrap(), None);
    assert_eq!(store.quarantine_list("shop".parse().unwrap()).await.unwrap(), []);
    let everything = SummaryFilter { scope: scope("prod"), prompt: None, rollout: None, since: None };
    assert_eq!(store.summary_list(everything).await.unwrap(), []);
    // Nothing stands in the way of the same writes now.
    write(store, writes()).await;
    assert_eq!(
        store.outcome_list(inference(1).id).await.unwrap().first().map(|outcome| outcome.id),
        Some(outcome_id(1))
    );
}

/// Preconditions look at what the writes before them in the same commit have done.
pub async fn later_writes_see_earlier_ones(subject: impl Subject) {
    let store = subject.store();
    let steps = [
        pointer_put(pointer("prod", "answer", "one"), None),
        pointer_put(pointer("prod", "answer", "two"), Some("one")),
        rollout_put(rollout(1), None),
        rollout_put(RolloutRecord { revision: 2, ..rollout(1) }, Some(1)),
    ];
    write(store, steps).await;
    let found = store.pointer_fetch(scope("prod"), prompt("answer")).await.unwrap();
    assert_eq!(found, Some(pointer("prod", "answer", "two")));
    conflict(store, [1, 1].map(|sequence| Write::ObservationAppend(observation(1, sequence, "a")))).await;
    assert_eq!(store.observation_list(rollout_id(1), 0).await.unwrap(), []);
}

/// A verdict, its pointer move and its log row are seen together or not at all, and only one of two judges gives it.
pub async fn verdicts_are_one_transaction(subject: impl Subject) {
    let store = subject.store();
    write(store, [pointer_put(pointer("prod", "answer", "one"), None), rollout_put(rollout(1), None)]).await;
    let verdict = |judge: &str| {
        let promoted = RolloutRecord { revision: 2, state: RolloutState::Promoted, ..rollout(1) };
        vec![
            Write::LogAppend(log_row("prod", Some("answer"), judge)),
            rollout_put(promoted, Some(1)),
            pointer_put(pointer("prod", "answer", "two"), Some("one")),
        ]
    };
    let results = join_all(["a", "b"].map(|judge| store.commit(verdict(judge)))).await;
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1, "{results:?}");
    assert_eq!(log(store).await.len(), 1);
    let moved = store.pointer_fetch(scope("prod"), prompt("answer")).await.unwrap();
    assert_eq!(moved, Some(pointer("prod", "answer", "two")));
}

/// Of many commits that move one pointer from the same place, exactly one wins, and the others are told.
pub async fn conflicting_moves_have_one_winner(subject: impl Subject) {
    let store = subject.store();
    write(store, [pointer_put(pointer("prod", "answer", "start"), None)]).await;
    let mut at = "start".to_owned();
    for round in 0..5 {
        let versions: Vec<_> = (0..20).map(|judge| format!("{round}/{judge}")).collect();
        let moves = versions.iter().map(|version| {
            let row = Write::LogAppend(log_row("prod", Some("answer"), version));
            store.commit(vec![row, pointer_put(pointer("prod", "answer", version), Some(&at))])
        });
        let results = join_all(moves).await;
        let (won, lost): (Vec<_>, Vec<_>) = versions.iter().zip(results).partition(|(_, result)| result.is_ok());
        assert!(lost.iter().all(|(_, result)| matches!(result, Err(Error::Conflict { .. }))), "{lost:?}");
        assert_eq!(won.len(), 1, "{won:?}");
        at.clone_from(won.first().unwrap().0);
        let found = store.pointer_fetch(scope("prod"), prompt("answer")).await.unwrap();
        assert_eq!(found, Some(pointer("prod", "answer", &at)));
        assert_eq!(log(store).await.first().map(|row| row.why.clone()), Some(at.clone()));
    }
    assert_eq!(log(store).await.len(), 5);
}

/// Commits that do not conflict are all kept, and refused ones among them change nothing for the others.
pub async fn concurrent_commits_are_all_kept(subject: impl Subject) {
    let store = subject.store();
    let commits = (0..200).map(|number| {
        let mut writes =
            vec![Write::LogAppend(log_row("prod", None, &number.to_string())), inference_put(&inference(number))];
        if number % 3 == 0 {
            writes.push(pointer_put(pointer("prod", "answer", "two"), Some("nowhere")));
        }
        store.commit(writes)
    });
    let results = join_all(commits).await;
    let mut expected = Vec::new();
    for (number, result) in (0..200_u32).zip(&results) {
        assert_eq!(result.is_ok(), number % 3 != 0, "{number}: {result:?}");
        let kept = store.inference_fetch(inference(number).id).await.unwrap();
        assert_eq!(kept.is_some(), result.is_ok(), "{number}");
        if result.is_ok() {
            expected.push(number.to_string());
        }
    }
    let mut found: Vec<_> = log(store).await.into_iter().map(|row| row.why).collect();
    found.sort_by_key(|why| why.parse::<u32>().ok());
    assert_eq!(found, expected);
    let everything = SummaryFilter { scope: scope("prod"), prompt: None, rollout: None, since: None };
    let sums = store.summary_list(everything).await.unwrap();
    assert_eq!(sums.iter().map(|row| row.inferences).sum::<u64>(), u64::try_from(expected.len()).unwrap());
}
