//! What a store leaves on disk.

use bowline_types::Arm;
use serde_json::json;

use super::samples::{
    assigned, at, digest, inference, inference_id, inference_put, instance_id, key, key_hash, key_id, log_row,
    observation, outcome, pointer, pointer_put, prompt, quarantine, registration, rollout, rollout_id, rollout_put,
    scope,
};
use super::{Subject, conflict, write};
use crate::{
    Content, EnvironmentRecord, Fence, Freeze, InferenceFilter, InferenceRecord, LogFilter, LossRecord, OutcomeRecord,
    OutcomeTarget, OutcomeValue, ProjectRecord, RolloutFilter, Store, SummaryFilter, VersionRecord, Write,
};

/// Returns all that can be read, as text.
async fn everything(store: &dyn Store) -> Vec<String> {
    let project = || "shop".parse().unwrap();
    let log = LogFilter { scope: scope("prod"), prompt: None, before: None, limit: 100 };
    let summary = SummaryFilter { scope: scope("prod"), prompt: None, rollout: None, since: None };
    let inferences = InferenceFilter { limit: 100, ..InferenceFilter::default() };
    let inferences = store.inference_list(inferences).await.unwrap();
    let contents: Vec<_> = inferences.iter().filter_map(|row| row.content.clone()).collect();
    vec![
        format!("{:?}", store.project_list().await.unwrap()),
        format!("{:?}", store.version_fetch(digest("one")).await.unwrap()),
        format!("{:?}", store.registration_list(project(), prompt("answer")).await.unwrap()),
        format!("{:?}", store.environment_list(project()).await.unwrap()),
        format!("{:?}", store.pointer_list(project()).await.unwrap()),
        format!("{:?}", store.log_list(log).await.unwrap()),
        format!("{:?}", store.rollout_list(RolloutFilter::default()).await.unwrap()),
        format!("{:?}", store.observation_list(rollout_id(1), 0).await.unwrap()),
        format!("{:?}", store.maturing_list(rollout_id(1), at(99)).await.unwrap()),
        format!("{:?}", store.loss_list(rollout_id(1)).await.unwrap()),
        format!("{:?}", store.quarantine_list(project()).await.unwrap()),
        format!("{inferences:?}"),
        format!("{:?}", contents.iter().map(|content| (&content.input, &content.output)).collect::<Vec<_>>()),
        format!("{:?}", store.outcome_list(inference_id(1)).await.unwrap()),
        format!("{:?}", store.summary_list(summary).await.unwrap()),
        format!("{:?}", store.key_list(project()).await.unwrap()),
    ]
}

fn one_of_each() -> Vec<Write> {
    let content = Content { input: "in".to_owned(), output: "out".to_owned() };
    let waiting = OutcomeTarget::Answer("answer-3".to_owned());
    vec![
        Write::ProjectPut(ProjectRecord {
            project: "shop".parse().unwrap(),
            config: json!({ "a": 1 }),
            updated_at: at(0),
        }),
        Write::VersionPut(VersionRecord { digest: digest("one"), content: json!([1, "two"]) }),
        Write::RegistrationPut(registration("one", None, 1)),
        Write::EnvironmentPut(EnvironmentRecord {
            scope: scope("prod"),
            freeze: Some(Freeze { actor: "ada".to_owned(), why: "incident".to_owned(), at: at(1) }),
            temporary: None,
            fence: Some(Fence { holder: "0198f3d2".to_owned(), revision: 7 }),
        }),
        pointer_put(pointer("prod", "answer", "one"), None),
        pointer_put(pointer("prod", "gone", "one"), None),
        Write::PointerRemove { scope: scope("prod"), prompt: prompt("gone"), expected: digest("one") },
        Write::LogAppend(log_row("prod", Some("answer"), "first")),
        rollout_put(rollout(1), None),
        Write::ObservationAppend(observation(1, 0, "counted")),
        Write::LossPut(LossRecord { instance: instance_id(1), rollout: rollout_id(1), arm: Arm::Stable, total: 4 }),
        Write::QuarantinePut(quarantine("prod", "one", "worse")),
        Write::QuarantinePut(quarantine("prod", "two", "lifted")),
        Write::QuarantineRemove { scope: scope("prod"), prompt: prompt("answer"), version: digest("two") },
        inference_put(&InferenceRecord { content: Some(content), ..inference(1) }),
        inference_put(&assigned(2, 1, "maturing")),
        Write::OutcomePut(outcome(1, 1, OutcomeValue::Flag(true))),
        Write::OutcomePut(OutcomeRecord { target: waiting, ..outcome(2, 0, OutcomeValue::Score(0.25)) }),
        Write::KeyPut(key(1, 0)),
        Write::KeyPut(key(2, 0)),
        Write::KeyRevoke { id: key_id(2), at: at(5) },
    ]
}

/// All that was committed is there when the store is opened again, outcomes that wait included.
pub async fn everything_survives(subject: impl Subject) {
    write(subject.store(), one_of_each()).await;
    let before = everything(subject.store()).await;
    assert!(before.iter().all(|part| !matches!(part.as_str(), "[]" | "None")), "{before:#?}");
    let subject = subject.reopen().await;
    let store = subject.store();
    assert_eq!(everything(store).await, before);
    let key = store.key_fetch(key_hash("key 1")).await.unwrap();
    assert_eq!(key.map(|key| key.id), Some(key_id(1)));
    write(store, [inference_put(&inference(3))]).await;
    assert_eq!(store.outcome_list(inference_id(3)).await.unwrap().len(), 1);
}

/// Sequences, preconditions and counted units hold across a reopen.
pub async fn sequences_go_on(subject: impl Subject) {
    write(subject.store(), one_of_each()).await;
    let subject = subject.reopen().await;
    let store = subject.store();
    write(store, [Write::LogAppend(log_row("prod", None, "second"))]).await;
    let filter = LogFilter { scope: scope("prod"), prompt: None, before: None, limit: 100 };
    let log = store.log_list(filter).await.unwrap();
    assert!(log.is_sorted_by(|newer, older| newer.sequence > older.sequence));
    assert_eq!(log.iter().map(|row| row.why.as_str()).collect::<Vec<_>>(), ["second", "first"]);
    conflict(store, [rollout_put(rollout(1), None)]).await;
    conflict(store, [pointer_put(pointer("prod", "answer", "two"), None)]).await;
    conflict(store, [Write::ObservationAppend(observation(1, 0, "b"))]).await;
    conflict(store, [Write::ObservationAppend(observation(1, 1, "counted"))]).await;
    write(store, [Write::ObservationAppend(observation(1, 1, "maturing"))]).await;
    assert_eq!(store.maturing_list(rollout_id(1), at(99)).await.unwrap(), []);
}
