//! Copies and restores.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use bowline_store::{Error as StoreError, InferenceFilter, Store as _, Write};
use bowline_store_sqlite::{Error, Options, Restored, SCHEMA_LATEST, SqliteStore, restore};
use bowline_types::InferenceId;

use crate::samples::{inference, inference_id};

fn open(folder: &Path) -> SqliteStore {
    SqliteStore::open(folder, Options::default()).unwrap()
}

/// Two records, which a copy holds together or not at all.
fn pair(number: u32) -> Vec<Write> {
    [number * 2, number * 2 + 1].map(|number| Write::InferencePut(Box::new(inference(number)))).into()
}

async fn ids(store: &SqliteStore) -> BTreeSet<InferenceId> {
    let (mut ids, mut before) = (BTreeSet::new(), None);
    loop {
        let filter = InferenceFilter { before, limit: 1_000, ..InferenceFilter::default() };
        let page = store.inference_list(filter).await.unwrap();
        let Some(last) = page.last() else { return ids };
        before = Some(last.id);
        ids.extend(page.iter().map(|row| row.id));
    }
}

fn names(folder: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(folder).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_is_one_state_of_a_store_that_is_written_to() {
    let folder = tempfile::tempdir().unwrap();
    let store = Arc::new(open(&folder.path().join("store")));
    for number in 0..500 {
        store.commit(pair(number)).await.unwrap();
    }
    let (stop, next) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU32::new(500)));
    let writer = {
        let (store, stop, next) = (Arc::clone(&store), Arc::clone(&stop), Arc::clone(&next));
        async move {
            while !stop.load(Ordering::Relaxed) {
                store.commit(pair(next.load(Ordering::Relaxed))).await.unwrap();
                next.fetch_add(1, Ordering::Relaxed);
            }
        }
    };
    let copies = folder.path().join("copies");
    fs::create_dir(&copies).unwrap();
    let copier = async {
        for copy in 0..5 {
            let before = next.load(Ordering::Relaxed);
            let target = copies.join(format!("{copy}.db"));
            store.backup(&target).await.unwrap();
            let again = store.backup(&target).await.unwrap_err();
            assert!(matches!(again, Error::Exists { .. }), "{again}");

            let restored = folder.path().join(format!("restored-{copy}"));
            assert_eq!(restore(&target, &restored).unwrap(), Restored { schema: SCHEMA_LATEST, kept: None });
            let copy = open(&restored);
            let found = ids(&copy).await;
            copy.close().await;
            let pairs = u32::try_from(found.len()).unwrap() / 2;
            assert!(pairs >= before, "{pairs} of {before} pairs");
            assert_eq!(found, (0..pairs * 2).map(inference_id).collect());
        }
        stop.store(true, Ordering::Relaxed);
    };
    tokio::join!(writer, copier);
    assert!(next.load(Ordering::Relaxed) > 500, "nothing was written meanwhile");
    assert_eq!(names(&copies), (0..5).map(|copy| format!("{copy}.db")).collect());
}

#[tokio::test]
async fn a_restore_replaces_a_closed_store_and_keeps_it() {
    let folder = tempfile::tempdir().unwrap();
    let (place, copy) = (folder.path().join("store"), folder.path().join("copy.db"));
    let store = open(&place);
    store.commit(pair(0)).await.unwrap();
    store.backup(&copy).await.unwrap();
    store.commit(pair(1)).await.unwrap();

    let refused = restore(&copy, &place).unwrap_err();
    let own = std::process::id();
    assert!(matches!(refused, Error::Locked { holder: Some(holder), .. } if holder == own), "{refused}");
    store.close().await;

    let first = restore(&copy, &place).unwrap().kept.unwrap();
    let store = open(&place);
    assert_eq!(ids(&store).await, [0, 1].map(inference_id).into());
    store.close().await;
    let second = restore(&first, &place).unwrap().kept.unwrap();
    assert_ne!(first, second);
    let store = open(&place);
    assert_eq!(ids(&store).await, [0, 1, 2, 3].map(inference_id).into());
    store.close().await;
}

/// A store that was not closed has a log; what is in it is kept too.
#[tokio::test]
async fn a_restore_keeps_what_is_in_the_log() {
    let folder = tempfile::tempdir().unwrap();
    let (place, copy) = (folder.path().join("store"), folder.path().join("copy.db"));
    let store = open(&place);
    store.backup(&copy).await.unwrap();
    store.commit(pair(0)).await.unwrap();
    // As a process that is killed leaves them.
    let killed = folder.path().join("killed");
    fs::create_dir(&killed).unwrap();
    for name in ["bowline.db", "bowline.db-wal"] {
        fs::copy(place.join(name), killed.join(name)).unwrap();
    }
    store.close().await;
    let live = restore(killed.join("bowline.db"), &place).unwrap_err();
    assert!(matches!(live, Error::Unsound { .. }), "{live}");

    let kept = restore(&copy, &killed).unwrap().kept.unwrap();
    assert_eq!(ids(&open(&killed)).await, [].into());
    restore(kept, folder.path().join("again")).unwrap();
    assert_eq!(ids(&open(&folder.path().join("again"))).await, [0, 1].map(inference_id).into());
}

#[tokio::test]
async fn an_unsound_copy_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (place, copy) = (folder.path().join("store"), folder.path().join("copy.db"));
    let store = open(&place);
    for number in 0..100 {
        store.commit(pair(number)).await.unwrap();
    }
    store.backup(&copy).await.unwrap();
    store.close().await;
    let sound = fs::read(&copy).unwrap();

    let change = |sql: &str| {
        fs::write(&copy, &sound).unwrap();
        rusqlite::Connection::open(&copy).unwrap().execute_batch(sql).unwrap();
        fs::read(&copy).unwrap()
    };
    let mut overwritten = sound.clone();
    overwritten[20_000..60_000].fill(0x5a);
    let too_new = format!("PRAGMA user_version = {}", SCHEMA_LATEST + 1);
    let cases = [
        ("empty", Vec::new()),
        ("text", b"not a database".repeat(1_000)),
        ("cut short", sound.get(..sound.len() / 2).unwrap().to_vec()),
        ("overwritten", overwritten),
        ("another kind", change("PRAGMA application_id = 7")),
        ("too new", change(&too_new)),
    ];
    for (case, bytes) in cases {
        fs::write(&copy, bytes).unwrap();
        let error = restore(&copy, &place).unwrap_err();
        match case {
            "too new" => assert!(matches!(error, Error::Store(StoreError::SchemaTooNew { .. })), "{case}: {error}"),
            _ => assert!(matches!(error, Error::Unsound { .. }), "{case}: {error}"),
        }
        assert_eq!(names(&place), ["bowline.db", "lock"].map(str::to_owned).into(), "{case}");
        let store = open(&place);
        assert_eq!(ids(&store).await.len(), 200, "{case}");
        store.close().await;
    }
    let missing = restore(folder.path().join("missing.db"), &place).unwrap_err();
    assert!(matches!(missing, Error::File { operation: "open", .. }), "{missing}");
}
