//! Putting a copy in place of a closed store.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use bowline_store::Error as StoreError;
use rusqlite::wal::CheckpointMode;
use rusqlite::{Connection, MAIN_DB, OpenFlags};

use crate::connection::open_writer;
use crate::error::{AtPath as _, During as _, Error, Result};
use crate::folder::{Folder, beside, private_file, sync_folder};
use crate::migration::{self, SCHEMA_LATEST};

/// The mark of a Bowline store in the header of the file: "BOWL".
const APPLICATION_ID: i32 = 0x424f_574c;

/// What a restore did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restored {
    /// The schema of the copy; opening the store brings it up to date.
    pub schema: u32,
    /// Where the store that was there before is kept, if there was one.
    pub kept: Option<PathBuf>,
}

/// Puts a copy that [`crate::SqliteStore::backup`] made in place of the store in a folder, which must not be open. Blocks.
///
/// The copy is checked first. What was there is kept beside it. Whenever the machine stops, the folder holds the old store or
/// the new one.
///
/// # Errors
/// [`Error::Locked`] where the store is open, [`Error::Unsound`] where the copy is damaged or something else,
/// [`StoreError::SchemaTooNew`], and the errors of files and of the engine; the store is as before then.
pub fn restore(copy: impl AsRef<Path>, folder: impl AsRef<Path>) -> Result<Restored> {
    let copy = copy.as_ref();
    let folder = Folder::lock(folder.as_ref())?;
    let database = folder.database();
    let partial = beside(&database, ".restoring");
    let replaced = take(copy, &partial).and_then(|schema| {
        let kept = if database.try_exists().at("look for", &database)? { Some(keep(&database)?) } else { None };
        fs::rename(&partial, &database).at("rename the copy to", &database)?;
        sync_folder(folder.path())?;
        Ok(Restored { schema, kept })
    });
    if replaced.is_err() {
        // Of no use; that it cannot be removed is not the error to tell.
        drop(fs::remove_file(&partial));
    }
    folder.unlock();
    replaced
}

/// Brings the copy into the folder, synced, and returns its schema where it is sound.
fn take(copy: &Path, partial: &Path) -> Result<u32> {
    let log = beside(copy, "-wal");
    if log.metadata().is_ok_and(|file| file.len() > 0) {
        let reason = "a write-ahead log lies beside it, so it is a live store".to_owned();
        return Err(Error::Unsound { path: copy.to_owned(), reason });
    }
    let mut from = File::open(copy).at("open", copy)?;
    let mut to = private_file().truncate(true).open(partial).at("make", partial)?;
    io::copy(&mut from, &mut to).and_then(|_| to.sync_all()).at("copy into the folder", copy)?;
    check(partial).map_err(|error| match error {
        Unsound::Reason(reason) => Error::Unsound { path: copy.to_owned(), reason },
        Unsound::Store(error) => error.into(),
    })
}

enum Unsound {
    Reason(String),
    Store(StoreError),
}

impl From<rusqlite::Error> for Unsound {
    fn from(error: rusqlite::Error) -> Self {
        Self::Reason(error.to_string())
    }
}

/// Reads a copy through and returns its schema.
fn check(copy: &Path) -> std::result::Result<u32, Unsound> {
    let connection = Connection::open_with_flags(copy, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    let mark: i32 = connection.pragma_query_value(None, "application_id", |row| row.get(0))?;
    if mark != APPLICATION_ID {
        return Err(Unsound::Reason("it is another kind of file".to_owned()));
    }
    let schema = migration::schema(&connection).map_err(Unsound::Store)?;
    if schema > SCHEMA_LATEST {
        return Err(Unsound::Store(StoreError::SchemaTooNew { found: schema, supported: SCHEMA_LATEST }));
    }
    let found: String = connection.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))?;
    if found != "ok" {
        return Err(Unsound::Reason(found));
    }
    let dangling =
        connection.query_row("SELECT count(*) FROM pragma_foreign_key_check", [], |row| row.get::<_, u64>(0))?;
    if dangling > 0 {
        return Err(Unsound::Reason(format!("{dangling} rows refer to rows that are missing")));
    }
    Ok(schema)
}

/// Gives the store that is there a second name, and returns it.
fn keep(database: &Path) -> Result<PathBuf> {
    let log = beside(database, "-wal");
    if let Err(error) = fold_log(database) {
        // A damaged store is kept as it is, with its log.
        tracing::warn!(error = %bowline_types::chain(&error), "the store that is replaced could not be read");
    }
    let mut number = 1_u32;
    let kept = loop {
        let kept = beside(database, &format!(".before-restore-{number}"));
        match fs::hard_link(database, &kept) {
            Ok(()) => break kept,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => number = number.saturating_add(1),
            Err(source) => return Err(source).at("keep the old store as", kept),
        }
    };
    if log.try_exists().at("look for", &log)? {
        fs::rename(&log, beside(&kept, "-wal")).at("keep the log of the old store", &log)?;
    }
    let shared = beside(database, "-shm");
    if shared.try_exists().at("look for", &shared)? {
        fs::remove_file(&shared).at("remove", &shared)?;
    }
    Ok(kept)
}

/// Copies the write-ahead log into the database, so that the database is one file.
fn fold_log(database: &Path) -> bowline_store::Result<()> {
    let connection = open_writer(database)?;
    connection.wal_checkpoint_v2(Some(MAIN_DB), CheckpointMode::TRUNCATE).during("fold the log into the old store")?;
    connection.close().map_err(|(_, error)| error).during("close the old store")
}
