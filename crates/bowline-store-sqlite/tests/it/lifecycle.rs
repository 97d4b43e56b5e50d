//! Opening, sharing and closing a store.

use std::fs;
use std::path::Path;
use std::time::Duration;

use bowline_store::{Error as StoreError, Store as _, Write};
use bowline_store_sqlite::{Error, Options, SCHEMA_LATEST, SqliteStore};

use crate::samples::{inference, inference_id};

fn open(folder: &Path) -> Result<SqliteStore, Error> {
    SqliteStore::open(folder, Options::default())
}

fn put(number: u32) -> Vec<Write> {
    vec![Write::InferencePut(Box::new(inference(number)))]
}

#[tokio::test]
async fn a_folder_has_one_owner() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).unwrap();
    let error = open(folder.path()).unwrap_err();
    let expected = format!("the store in {} is in use by process {}", folder.path().display(), std::process::id());
    assert_eq!(error.to_string(), expected);
    store.commit(put(1)).await.unwrap();
    store.close().await;
    let store = open(folder.path()).unwrap();
    assert!(store.inference_fetch(inference_id(1)).await.unwrap().is_some());
}

/// Commits that were queued are carried out, and then the folder is free.
#[tokio::test]
async fn a_dropped_store_finishes_its_commits() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).unwrap();
    for number in 0..100 {
        drop(store.commit(put(number)));
    }
    drop(store);
    let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
    let store = loop {
        match open(folder.path()) {
            Ok(store) => break store,
            Err(Error::Locked { .. }) => assert!(tokio::time::Instant::now() < deadline),
            Err(error) => panic!("{error}"),
        }
        tokio::task::yield_now().await;
    };
    for number in 0..100 {
        assert!(store.inference_fetch(inference_id(number)).await.unwrap().is_some(), "{number}");
    }
}

#[tokio::test]
async fn a_closed_store_refuses_everything() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).unwrap();
    let queued = store.commit(put(1));
    store.close().await;
    queued.await.unwrap();
    store.close().await;
    let is_closed = |error: &StoreError| matches!(error, StoreError::Unavailable { .. });
    assert!(store.commit(put(2)).await.is_err_and(|error| is_closed(&error)));
    assert!(store.project_list().await.is_err_and(|error| is_closed(&error)));
    let target = folder.path().join("copy.db");
    assert!(matches!(store.backup(&target).await, Err(Error::Store(error)) if is_closed(&error)));
    assert!(!target.exists());
}

/// The bound is that of the queue, whatever the writer has taken from it meanwhile.
#[tokio::test]
async fn commits_that_wait_have_a_bound() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).unwrap();
    let large: Vec<_> = (0..5_000).flat_map(put).collect();
    let first = store.commit(large);
    let commits: Vec<_> = (0..10 * u32::try_from(SqliteStore::COMMITS_WAITING_MAX).unwrap())
        .map(|number| store.commit(put(10_000 + number)))
        .collect();
    first.await.unwrap();
    let (mut accepted, mut refused) = (Vec::new(), 0);
    for (number, commit) in (10_000..).zip(commits) {
        match commit.await {
            Ok(()) => accepted.push(number),
            Err(StoreError::Unavailable { reason }) => {
                assert_eq!(reason, "too many commits are waiting");
                refused += 1;
            }
            Err(error) => panic!("{error}"),
        }
    }
    assert!(refused > 0 && accepted.len() >= SqliteStore::COMMITS_WAITING_MAX, "{refused} {}", accepted.len());
    for number in accepted {
        assert!(store.inference_fetch(inference_id(number)).await.unwrap().is_some(), "{number}");
    }
}

#[tokio::test]
async fn a_store_of_a_newer_bowline_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    open(folder.path()).unwrap().close().await;
    let database = rusqlite::Connection::open(folder.path().join("bowline.db")).unwrap();
    database.pragma_update(None, "user_version", SCHEMA_LATEST + 1).unwrap();
    drop(database);
    let error = open(folder.path()).unwrap_err();
    let found = SCHEMA_LATEST + 1;
    assert_eq!(error.to_string(), format!("the store has schema {found}, this binary reads up to {SCHEMA_LATEST}"));
}

/// Whoever delivers records tries again until they are kept, so what a provider says of itself must not refuse them.
#[tokio::test]
async fn a_provider_that_exaggerates_holds_up_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).unwrap();
    for number in 1..4 {
        let mut record = inference(number);
        record.usage.input = Some(u64::MAX);
        record.usage.output = Some(u64::MAX);
        record.duration_us = u64::MAX;
        store.commit(vec![Write::InferencePut(Box::new(record))]).await.unwrap();
    }
    assert!(store.inference_fetch(inference_id(3)).await.unwrap().is_some());
}

/// A value that cannot be stored fails its commit alone.
#[tokio::test]
async fn a_value_out_of_range_fails_its_own_commit() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).unwrap();
    let loss = bowline_store::LossRecord {
        instance: "ins_00000000000000000000000000000001".parse().unwrap(),
        rollout: "rol_00000000000000000000000000000001".parse().unwrap(),
        arm: bowline_types::Arm::Stable,
        total: u64::MAX,
    };
    let failed = store.commit(vec![Write::InferencePut(Box::new(inference(1))), Write::LossPut(loss)]);
    let kept = store.commit(put(2));
    assert!(matches!(failed.await, Err(StoreError::Engine { .. })));
    kept.await.unwrap();
    assert_eq!(store.inference_fetch(inference_id(1)).await.unwrap(), None);
}

#[tokio::test]
async fn stats_tell_the_sizes() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).unwrap();
    store.commit((0..1_000).flat_map(put).collect()).await.unwrap();
    let stats = store.stats().await.unwrap();
    assert_eq!(stats.schema, SCHEMA_LATEST);
    assert!(stats.database_bytes > 1_000 * 500, "{stats:?}");
    assert_eq!(stats.log_bytes, fs::metadata(folder.path().join("bowline.db-wal")).unwrap().len());
}

#[cfg(unix)]
#[tokio::test]
async fn nobody_else_can_read_the_files() {
    use std::os::unix::fs::PermissionsExt as _;
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("new/.bowline");
    let store = open(&folder).unwrap();
    store.commit(put(1)).await.unwrap();
    store.backup(folder.join("copy.db")).await.unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&folder), 0o700);
    let files: Vec<_> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(files.len(), 5, "{files:?}");
    for file in files {
        assert_eq!(mode(&file), 0o600, "{}", file.display());
    }
}
