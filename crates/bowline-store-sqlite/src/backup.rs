//! Copying a store while it is written to.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use bowline_store::Error as StoreError;
use rusqlite::Connection;
use rusqlite::backup::{Backup, StepResult};
use tokio::sync::oneshot;

use crate::connection::open_reader;
use crate::error::{AtPath as _, During as _, Error, Result};
use crate::folder::{beside, private_file, sync_folder};
use crate::store::Reading;

/// How many pages are copied before the thread looks whether it should end.
const PAGES_PER_STEP: i32 = 256;

/// Makes copies, each on a thread of its own.
pub(crate) struct Copies {
    pub(crate) database: PathBuf,
    /// Set when the store closes: a copy that is under way ends without a result.
    pub(crate) stopping: Arc<AtomicBool>,
    pub(crate) reading: Reading,
}

// === impl Copies ===

impl Copies {
    /// Starts a copy, which replies when it is complete.
    pub(crate) fn start(&self, target: PathBuf, reply: oneshot::Sender<Result<()>>) {
        let (database, stopping, reading) = (self.database.clone(), Arc::clone(&self.stopping), self.reading.clone());
        let copy = move || {
            // Nobody waits for a copy whose future was dropped.
            drop(reply.send(copy(&database, &target, &stopping)));
            drop(reading);
        };
        if let Err(error) = thread::Builder::new().name("store-backup".to_owned()).spawn(copy) {
            // The reply went with the closure, so the caller hears that there is no answer.
            tracing::error!(%error, "could not start the thread that copies the store");
        }
    }
}

/// Copies a database into a new file that is complete when it gets its name.
fn copy(database: &Path, target: &Path, stopping: &AtomicBool) -> Result<()> {
    if target.try_exists().at("look for", target)? {
        return Err(Error::Exists { path: target.to_owned() });
    }
    let partial = beside(target, ".partial");
    private_file().truncate(true).open(&partial).at("make", &partial)?;
    let copied = copy_pages(database, &partial, stopping).map_err(Error::from).and_then(|()| {
        File::open(&partial).and_then(|file| file.sync_all()).at("sync", &partial)?;
        fs::rename(&partial, target).at("rename the copy to", target)?;
        target.parent().map_or(Ok(()), sync_folder)
    });
    if copied.is_err() {
        // Only of use when complete; that it cannot be removed is not the error to tell.
        drop(fs::remove_file(&partial));
    }
    copied
}

fn copy_pages(database: &Path, partial: &Path, stopping: &AtomicBool) -> bowline_store::Result<()> {
    let source = open_reader(database)?;
    let mut copy = Connection::open(partial).during("open the copy")?;
    // The open transaction keeps one state of the database in view: without it each write would start the copy anew.
    let begun = source.execute_batch("BEGIN; SELECT count(*) FROM sqlite_schema;");
    begun.during("begin to read for the copy")?;
    let backup = Backup::new(&source, &mut copy).during("begin the copy")?;
    while backup.step(PAGES_PER_STEP).during("copy pages")? != StepResult::Done {
        if stopping.load(Ordering::Relaxed) {
            return Err(StoreError::Unavailable { reason: "it is closing" });
        }
    }
    drop(backup);
    // One file, readable without a log beside it.
    copy.pragma_update(None, "journal_mode", "delete").during("finish the copy")?;
    copy.close().map_err(|(_, error)| error).during("close the copy")
}
