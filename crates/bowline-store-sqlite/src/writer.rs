//! The thread that writes.

use std::path::PathBuf;
use std::sync::Arc;
use std::thread;

use bowline_store::{Error, Result, Write};
use bowline_types::chain;
use rusqlite::wal::CheckpointMode;
use rusqlite::{Connection, ErrorCode, MAIN_DB, ffi};
use tokio::sync::{mpsc, oneshot};

use crate::apply::apply;
use crate::backup::Copies;
use crate::codec::execute;
use crate::error::{AtPath as _, During as _};
use crate::store::{Hold, ReadingEnded};

/// How many writes one transaction takes before the commits behind it must wait for the next; a single larger commit passes.
const GROUP_WRITES_MAX: usize = 4_096;

/// What the writer is asked for.
pub(crate) enum Command {
    Commit(Commit),
    /// Copies the store, on a thread of its own.
    Backup {
        target: PathBuf,
        reply: oneshot::Sender<crate::Result<()>>,
    },
    /// Ends the thread.
    Stop,
}

/// Writes to apply together, and who waits for them.
pub(crate) struct Commit {
    pub(crate) writes: Vec<Write>,
    pub(crate) reply: oneshot::Sender<Result<()>>,
}

pub(crate) struct Writer {
    connection: Connection,
    commands: mpsc::Receiver<Command>,
    /// A command that was taken while a group was gathered, and comes after it.
    deferred: Option<Command>,
    checkpoint_pages: i64,
    /// Set when it is not known what the disk holds: nothing is acknowledged any more.
    poisoned: bool,
    copies: Copies,
    reading_ended: ReadingEnded,
    hold: Hold,
}

// === impl Writer ===

impl Writer {
    /// Starts the thread.
    pub(crate) fn start(
        connection: Connection,
        commands: mpsc::Receiver<Command>,
        checkpoint_pages: u32,
        copies: Copies,
        reading_ended: ReadingEnded,
        hold: Hold,
    ) -> crate::Result<()> {
        let path = copies.database.clone();
        let checkpoint_pages = i64::from(checkpoint_pages);
        let writer = Self {
            connection,
            commands,
            deferred: None,
            checkpoint_pages,
            poisoned: false,
            copies,
            reading_ended,
            hold,
        };
        let thread = thread::Builder::new().name("store-write".to_owned());
        thread.spawn(move || writer.run()).at("start the thread that writes", path)?;
        Ok(())
    }

    fn run(mut self) {
        while let Some(command) = self.deferred.take().or_else(|| self.commands.blocking_recv()) {
            match command {
                Command::Commit(first) => {
                    let group = self.gather(first);
                    self.commit(group);
                    self.checkpoint();
                }
                Command::Backup { target, reply } => self.copies.start(target, reply),
                Command::Stop => break,
            }
        }
        drop(self.copies);
        self.reading_ended.wait();
        // SQLite copies the write-ahead log into the database when the last connection closes.
        if let Err((_, error)) = self.connection.close() {
            tracing::error!(%error, "the store did not close cleanly");
        }
        self.hold.release();
    }

    /// Takes the commits that wait.
    fn gather(&mut self, first: Commit) -> Vec<Commit> {
        let mut writes = first.writes.len();
        let mut group = vec![first];
        while writes < GROUP_WRITES_MAX {
            match self.commands.try_recv() {
                Ok(Command::Commit(next)) => {
                    writes = writes.saturating_add(next.writes.len());
                    group.push(next);
                }
                Ok(other) => {
                    self.deferred = Some(other);
                    break;
                }
                Err(_) => break,
            }
        }
        group
    }

    /// Applies a group in one transaction, and replies when it is on disk.
    fn commit(&mut self, group: Vec<Commit>) {
        let outcome =
            if self.poisoned { Err(None) } else { self.transact(&group).map_err(|error| Some(Arc::new(error))) };
        if let Err(Some(error)) = &outcome {
            tracing::error!(error = %chain(error.as_ref()), "a transaction of the store failed");
            self.poisoned |= !self.recover(error);
        }
        let replies = match outcome {
            Ok(results) => results,
            Err(cause) => group.iter().map(|_| Err(group_error(cause.clone()))).collect(),
        };
        for (commit, result) in group.into_iter().zip(replies) {
            // Nobody waits for a commit whose future was dropped.
            drop(commit.reply.send(result));
        }
    }

    /// Applies each commit in a savepoint; one that fails is undone alone. Nothing counts before the last statement.
    fn transact(&self, group: &[Commit]) -> Result<Vec<Result<()>>> {
        let run = |operation, sql| execute(&self.connection, operation, sql, []).map(drop);
        run("begin a transaction", "BEGIN IMMEDIATE")?;
        let mut results = Vec::with_capacity(group.len());
        for commit in group {
            run("begin a savepoint", "SAVEPOINT one")?;
            let result = apply(&self.connection, &commit.writes);
            if let Err(error) = result {
                // SQLite undoes the whole transaction by itself where, for example, the disk is full.
                if self.connection.is_autocommit() || is_disk_error(&error) {
                    return Err(error);
                }
                run("undo a savepoint", "ROLLBACK TO one")?;
                results.push(Err(error));
            } else {
                results.push(Ok(()));
            }
            run("end a savepoint", "RELEASE one")?;
        }
        run("sync a transaction", "COMMIT")?;
        Ok(results)
    }

    /// Undoes what a failed transaction left, and returns whether the store may go on.
    ///
    /// After a write that failed the log ends where it did, and the next transaction writes over the rest. After a failed sync
    /// nobody knows what the disk holds, and a later sync that succeeds does not say it (pages that could not be written count
    /// as clean); so the store takes nothing more until it is opened again and has read what is there.
    fn recover(&self, error: &Error) -> bool {
        if !self.connection.is_autocommit()
            && let Err(error) = self.connection.execute_batch("ROLLBACK")
        {
            tracing::error!(%error, "a failed transaction could not be undone");
            return false;
        }
        is_write_error(error)
    }

    /// Copies the write-ahead log into the database when it is long enough; after the replies, as nobody need wait for it.
    fn checkpoint(&mut self) {
        if self.poisoned {
            return;
        }
        let run = |mode| self.connection.wal_checkpoint_v2(Some(MAIN_DB), mode);
        let due =
            run(CheckpointMode::NOOP).map(|(log, copied)| i64::from(log) - i64::from(copied) >= self.checkpoint_pages);
        let result = due.and_then(|due| if due { run(CheckpointMode::PASSIVE).map(drop) } else { Ok(()) });
        if let Err(error) = result.during("copy the write-ahead log into the database") {
            tracing::error!(error = %chain(&error), "the write-ahead log could not be copied into the database");
            self.poisoned |= !is_write_error(&error);
        }
    }
}

/// Returns the error of one commit of a group that failed as a whole; no cause means that an earlier one poisoned the store.
fn group_error(cause: Option<Arc<Error>>) -> Error {
    match cause {
        Some(cause) => Error::Engine { operation: "commit a group of transactions", source: Box::new(cause) },
        None => Error::Poisoned,
    }
}

/// Returns whether the disk, rather than what was written, is at fault.
fn is_disk_error(error: &Error) -> bool {
    use ErrorCode::{DatabaseCorrupt, DiskFull, SystemIoFailure};
    failure(error).is_some_and(|failure| matches!(failure.code, DatabaseCorrupt | DiskFull | SystemIoFailure))
}

/// Returns whether an error means that something was not written, rather than that it is not known.
fn is_write_error(error: &Error) -> bool {
    use ErrorCode::{DatabaseBusy, DatabaseLocked, DiskFull};
    failure(error).is_some_and(|failure| {
        failure.extended_code == ffi::SQLITE_IOERR_WRITE
            || matches!(failure.code, DatabaseBusy | DatabaseLocked | DiskFull)
    })
}

/// Returns the code of the engine under an error.
fn failure(error: &Error) -> Option<ffi::Error> {
    let Error::Engine { source, .. } = error else { return None };
    source.downcast_ref::<rusqlite::Error>().and_then(rusqlite::Error::sqlite_error).copied()
}
