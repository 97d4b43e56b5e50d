//! The process that the fault tests start: this test binary again, which commits numbered writes and says what came of them.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use bowline_store::Store as _;
use bowline_store_sqlite::SqliteStore;
use bowline_types::chain;
use tokio::task::JoinSet;

use super::numbered;

/// The folder of the store.
pub(super) const FOLDER: &str = "STORE_CHILD_FOLDER";
/// A file to make when the store is open.
pub(super) const READY: &str = "STORE_CHILD_READY";
/// The number of the first commit.
pub(super) const FIRST: &str = "STORE_CHILD_FIRST";
/// The number after the last commit.
pub(super) const END: &str = "STORE_CHILD_END";
/// The name of the test below.
pub(super) const TEST: &str = "fault::child::commits_numbered_writes";

/// How many commits are under way at a time.
const WORKERS: u32 = 8;

#[expect(clippy::disallowed_methods, reason = "how the parent tells the process what to do")]
fn setting(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "not a test: the process that the fault tests start"]
async fn commits_numbered_writes() {
    let Some(folder) = setting(FOLDER) else { return };
    let next = Arc::new(AtomicU32::new(setting(FIRST).unwrap().parse().unwrap()));
    let end: u32 = setting(END).unwrap().parse().unwrap();
    let store = Arc::new(SqliteStore::open(PathBuf::from(folder), super::options()).unwrap());
    std::fs::write(setting(READY).unwrap(), "").unwrap();
    // The test harness has begun a line.
    println!();
    let mut workers = JoinSet::new();
    for _ in 0..WORKERS {
        let (store, next) = (Arc::clone(&store), Arc::clone(&next));
        workers.spawn(async move {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= end {
                    break;
                }
                match store.commit(numbered(number)).await {
                    Ok(()) => println!("acknowledged {number}"),
                    Err(error) => println!("refused {number} {}", chain(&error)),
                }
            }
        });
    }
    while let Some(worker) = workers.join_next().await {
        worker.unwrap();
    }
    store.close().await;
    println!("closed");
}
