//! Projects, versions, environments, pointers and their log, quarantines, keys.

use serde_json::json;

use super::samples::{
    at, digest, key, key_hash, key_id, log_row, pointer, pointer_put, prompt, quarantine, registration, scope,
};
use super::{Subject, conflict, write};
use crate::{
    EnvironmentRecord, Fence, Freeze, LIST_ROWS_MAX, LogFilter, LogRow, ProjectRecord, Store, Temporary, VersionRecord,
    Write,
};

/// A project is replaced by a later one of its name; lists are by name.
pub async fn projects(subject: impl Subject) {
    let store = subject.store();
    let project = |name: &str, model: &str| ProjectRecord {
        project: name.parse().unwrap(),
        config: json!({ "models": { "z": model, "a": 0.1 + 0.2 } }),
        updated_at: at(0),
    };
    assert_eq!(store.project_fetch("shop".parse().unwrap()).await.unwrap(), None);
    write(store, [Write::ProjectPut(project("shop", "old")), Write::ProjectPut(project("desk", "other"))]).await;
    write(store, [Write::ProjectPut(project("shop", "new"))]).await;
    assert_eq!(store.project_fetch("shop".parse().unwrap()).await.unwrap(), Some(project("shop", "new")));
    assert_eq!(store.project_list().await.unwrap(), [project("desk", "other"), project("shop", "new")]);
}

/// A version is kept as it first came, key order included.
pub async fn versions(subject: impl Subject) {
    let store = subject.store();
    let version = VersionRecord { digest: digest("one"), content: json!({ "z": [1, 2.5], "a": "é" }) };
    write(store, [Write::VersionPut(version.clone())]).await;
    write(store, [Write::VersionPut(VersionRecord { content: json!("other"), ..version.clone() })]).await;
    let found = store.version_fetch(digest("one")).await.unwrap().unwrap();
    assert_eq!(found.content.to_string(), version.content.to_string());
    assert_eq!(store.version_fetch(digest("two")).await.unwrap(), None);
}

/// A registration is kept once per version and commit, of which "none" is one; lists are newest first.
pub async fn registrations(subject: impl Subject) {
    let store = subject.store();
    let rows = [
        registration("one", Some("aa"), 1),
        registration("one", Some("bb"), 2),
        registration("one", None, 3),
        registration("two", Some("bb"), 4),
    ];
    write(store, rows.iter().cloned().map(Write::RegistrationPut)).await;
    write(store, [registration("one", Some("aa"), 9), registration("one", None, 9)].map(Write::RegistrationPut)).await;
    let found = store.registration_list("shop".parse().unwrap(), prompt("answer")).await.unwrap();
    assert_eq!(found, rows.iter().rev().cloned().collect::<Vec<_>>());
    assert_eq!(store.registration_list("shop".parse().unwrap(), prompt("other")).await.unwrap(), []);
    assert_eq!(store.registration_list("desk".parse().unwrap(), prompt("answer")).await.unwrap(), []);
}

/// A list of registrations has a bound, and holds the newest.
pub async fn registrations_are_limited(subject: impl Subject) {
    let store = subject.store();
    let rows =
        (0..i64::from(LIST_ROWS_MAX) + 1).map(|number| registration("one", Some(&format!("{number:040x}")), number));
    write(store, rows.map(Write::RegistrationPut)).await;
    let found = store.registration_list("shop".parse().unwrap(), prompt("answer")).await.unwrap();
    assert_eq!(u32::try_from(found.len()).unwrap(), LIST_ROWS_MAX);
    assert_eq!(found.first().map(|row| row.at), Some(at(i64::from(LIST_ROWS_MAX))));
}

/// The state of an environment is replaced; lists are by name.
pub async fn environments(subject: impl Subject) {
    let store = subject.store();
    let thawed = |name| EnvironmentRecord { scope: scope(name), freeze: None, temporary: None, fence: None };
    let freeze = Freeze { actor: "ada".to_owned(), why: "incident".to_owned(), at: at(1) };
    let frozen = EnvironmentRecord { freeze: Some(freeze), ..thawed("prod") };
    assert_eq!(store.environment_fetch(scope("prod")).await.unwrap(), None);
    write(store, [thawed("staging"), frozen.clone()].map(Write::EnvironmentPut)).await;
    assert_eq!(store.environment_list("shop".parse().unwrap()).await.unwrap(), [frozen, thawed("staging")]);
    write(store, [Write::EnvironmentPut(thawed("prod"))]).await;
    assert_eq!(store.environment_fetch(scope("prod")).await.unwrap(), Some(thawed("prod")));
    assert_eq!(store.environment_list("desk".parse().unwrap()).await.unwrap(), []);
    let temporary =
        Temporary { from: "staging".parse().unwrap(), actor: "ci".to_owned(), created_at: at(1), expires_at: at(2) };
    let passing = EnvironmentRecord { temporary: Some(temporary), ..thawed("pr-1") };
    write(store, [Write::EnvironmentPut(passing.clone())]).await;
    assert_eq!(store.environment_fetch(scope("pr-1")).await.unwrap(), Some(passing));
    let fence = Fence { holder: "0198f3d2".to_owned(), revision: u64::MAX };
    let fenced = EnvironmentRecord { fence: Some(fence), ..thawed("prod") };
    write(store, [Write::EnvironmentPut(fenced.clone())]).await;
    assert_eq!(store.environment_fetch(scope("prod")).await.unwrap(), Some(fenced));
}

/// A pointer moves only from where the caller believes it to be; lists are by environment and prompt.
pub async fn pointers_move_from_where_they_are(subject: impl Subject) {
    let store = subject.store();
    let one = pointer("prod", "answer", "one");
    conflict(store, [pointer_put(one.clone(), Some("zero"))]).await;
    assert_eq!(store.pointer_fetch(scope("prod"), prompt("answer")).await.unwrap(), None);
    write(store, [pointer_put(one.clone(), None)]).await;
    let two = pointer("prod", "answer", "two");
    conflict(store, [pointer_put(two.clone(), None)]).await;
    conflict(store, [pointer_put(two.clone(), Some("zero"))]).await;
    assert_eq!(store.pointer_fetch(scope("prod"), prompt("answer")).await.unwrap(), Some(one));
    write(store, [pointer_put(two.clone(), Some("one"))]).await;
    let others = [pointer("staging", "a", "one"), pointer("dev", "z", "one"), pointer("prod", "Z", "one")];
    write(store, others.iter().cloned().map(|pointer| pointer_put(pointer, None))).await;
    let [staging, dev, upper] = others;
    assert_eq!(store.pointer_list("shop".parse().unwrap()).await.unwrap(), [dev, upper, two, staging]);
    assert_eq!(store.pointer_list("desk".parse().unwrap()).await.unwrap(), []);
}

/// A pointer is removed only from where the caller believes it to be.
pub async fn pointers_are_removed(subject: impl Subject) {
    let store = subject.store();
    let remove =
        |version| Write::PointerRemove { scope: scope("prod"), prompt: prompt("answer"), expected: digest(version) };
    conflict(store, [remove("one")]).await;
    write(store, [pointer_put(pointer("prod", "answer", "one"), None)]).await;
    conflict(store, [remove("two")]).await;
    assert!(store.pointer_fetch(scope("prod"), prompt("answer")).await.unwrap().is_some());
    write(store, [remove("one")]).await;
    assert_eq!(store.pointer_fetch(scope("prod"), prompt("answer")).await.unwrap(), None);
    write(store, [pointer_put(pointer("prod", "answer", "two"), None)]).await;
}

async fn log(store: &dyn Store, name: Option<&str>, before: Option<u64>, limit: u32) -> Vec<LogRow> {
    store.log_list(LogFilter { scope: scope("prod"), prompt: name.map(prompt), before, limit }).await.unwrap()
}

fn whys(rows: &[LogRow]) -> Vec<&str> {
    rows.iter().map(|row| row.why.as_str()).collect()
}

/// Rows of the log of one prompt come with those about the whole environment, and none of another environment.
pub async fn log_filters(subject: impl Subject) {
    let store = subject.store();
    let rows = [
        log_row("prod", Some("answer"), "1"),
        log_row("prod", None, "2"),
        log_row("staging", Some("answer"), "3"),
        log_row("prod", Some("other"), "4"),
    ];
    write(store, rows.iter().cloned().map(Write::LogAppend)).await;
    assert_eq!(whys(&log(store, None, None, 10).await), ["4", "2", "1"]);
    assert_eq!(whys(&log(store, Some("answer"), None, 10).await), ["2", "1"]);
    let found = log(store, Some("answer"), None, 10).await.pop().unwrap();
    let [first, ..] = rows;
    assert!(found.sequence > 0);
    assert_eq!(found, LogRow { sequence: found.sequence, ..first });
}

/// The log is read page by page, newest first; sequences grow and are never given twice.
pub async fn log_pages(subject: impl Subject) {
    let store = subject.store();
    for number in 0..7 {
        write(store, [Write::LogAppend(LogRow { sequence: 3, ..log_row("prod", None, &number.to_string()) })]).await;
    }
    let (mut before, mut all) = (None, Vec::new());
    loop {
        let page = log(store, None, before, 3).await;
        assert!(page.len() <= 3);
        let Some(last) = page.last() else { break };
        before = Some(last.sequence);
        all.extend(page);
    }
    assert_eq!(whys(&all), ["6", "5", "4", "3", "2", "1", "0"]);
    assert!(all.is_sorted_by(|newer, older| newer.sequence > older.sequence));
    assert_eq!(log(store, None, None, 0).await, []);
    assert_eq!(log(store, None, Some(u64::MAX), 10).await.len(), 7);
}

/// A later reason replaces an earlier one; lifting what is not quarantined does nothing.
pub async fn quarantines(subject: impl Subject) {
    let store = subject.store();
    let lift =
        |version| Write::QuarantineRemove { scope: scope("prod"), prompt: prompt("answer"), version: digest(version) };
    write(store, [lift("one")]).await;
    write(store, [quarantine("prod", "one", "worse"), quarantine("staging", "one", "worse")].map(Write::QuarantinePut))
        .await;
    write(store, [Write::QuarantinePut(quarantine("prod", "one", "much worse"))]).await;
    let found = store.quarantine_list("shop".parse().unwrap()).await.unwrap();
    assert_eq!(found, [quarantine("prod", "one", "much worse"), quarantine("staging", "one", "worse")]);
    write(store, [lift("two"), lift("one")]).await;
    let found = store.quarantine_list("shop".parse().unwrap()).await.unwrap();
    assert_eq!(found, [quarantine("staging", "one", "worse")]);
}

/// A key is added once, found by its hash, and revoked once; lists are oldest first.
pub async fn keys(subject: impl Subject) {
    let store = subject.store();
    write(store, [Write::KeyPut(key(2, 5)), Write::KeyPut(key(1, 9))]).await;
    let mut same_hash = key(3, 9);
    same_hash.hash = key_hash("key 1");
    conflict(store, [Write::KeyPut(same_hash)]).await;
    let mut same_id = key(1, 9);
    same_id.hash = key_hash("another");
    conflict(store, [Write::KeyPut(same_id)]).await;
    assert_eq!(store.key_fetch(key_hash("another")).await.unwrap(), None);
    assert_eq!(store.key_list("shop".parse().unwrap()).await.unwrap(), [key(2, 5), key(1, 9)]);

    let revoke = |number, seconds| Write::KeyRevoke { id: key_id(number), at: at(seconds) };
    write(store, [revoke(1, 20)]).await;
    write(store, [revoke(1, 30)]).await;
    conflict(store, [revoke(7, 30)]).await;
    let mut revoked = key(1, 9);
    revoked.revoked_at = Some(at(20));
    assert_eq!(store.key_fetch(key_hash("key 1")).await.unwrap(), Some(revoked.clone()));
    assert_eq!(store.key_list("shop".parse().unwrap()).await.unwrap(), [key(2, 5), revoked]);
    assert_eq!(store.key_list("desk".parse().unwrap()).await.unwrap(), []);
}
