//! Copying a store while it is written to.

use std::fs::{self, File};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use bowline_store::Error as StoreError;
use rusqlite::Connection;
use rusqlite::backup::{Backup, StepResult};

use crate::connection::open_reader;
use crate::error::{AtPath as _, During as _, Error, Result};
use crate::folder::{beside, private_file, sync_folder};

/// How many pages are copied before the thread looks whether it should end.
const PAGES_PER_STEP: i32 = 256;

/// Copies a database into a new file that is complete when it gets its name.
pub(crate) fn copy(database: &Path, target: &Path, stopping: &AtomicBool) -> Result<()> {
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
