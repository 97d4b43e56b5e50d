use std::convert::Infallible;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bowline_store::{
    BoxFuture, EnvironmentRecord, Error as StoreError, InferenceFilter, InferenceRecord, KeyRecord, LogFilter, LogRow,
    LossRecord, Maturing, ObservationRecord, OutcomeRecord, PointerRecord, ProjectRecord, QuarantineRecord,
    RegistrationRecord, Result as StoreResult, RolloutFilter, RolloutRecord, Store, SummaryFilter, SummaryRow,
    VersionRecord, Write,
};
use bowline_types::{ApiKeyHash, Digest, InferenceId, KeyId, ProjectName, PromptName, RolloutId, Scope, Timestamp};
use tokio::sync::{Mutex, mpsc, oneshot};

use crate::backup::Copies;
use crate::connection::open_writer;
use crate::error::During as _;
use crate::folder::{Folder, beside};
use crate::reader::Readers;
use crate::writer::{Command, Commit, Writer};
use crate::{Result, migration, query};

/// How a store is run.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Connections that read, each with a thread. Default: 2.
    pub readers: NonZeroUsize,
    /// How many pages of 4 KiB the write-ahead log holds before it is copied into the database. Default: 1000.
    pub checkpoint_pages: u32,
}

/// What a store takes on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stats {
    /// The schema.
    pub schema: u32,
    /// The size of the database, in bytes.
    pub database_bytes: u64,
    /// The size of the write-ahead log, in bytes.
    pub log_bytes: u64,
    /// The part of the database that is free for reuse, in bytes.
    pub free_bytes: u64,
}

/// A store in a folder of its own.
///
/// Dropping it ends its threads after the commits that wait; [`SqliteStore::close`] also waits for that, which a caller needs
/// before the folder can be opened again.
#[derive(Debug)]
pub struct SqliteStore {
    commands: mpsc::Sender<Command>,
    readers: Readers,
    database: PathBuf,
    /// Tells long work, such as a copy, to end.
    stopping: Arc<AtomicBool>,
    /// Ends when the writer has let go of its [`Hold`].
    ended: Mutex<mpsc::Receiver<Infallible>>,
}

/// What the writer keeps until it ends: the folder, which is unlocked then, and after it the sign of life that
/// [`SqliteStore::close`] waits for. The fields are dropped in this order.
#[derive(Debug)]
pub(crate) struct Hold {
    folder: Folder,
    alive: mpsc::Sender<Infallible>,
}

/// What each thread that reads keeps until it ends. The writer waits for them, so that the last connection to close is the one
/// that can copy the write-ahead log into the database.
#[derive(Clone, Debug)]
pub(crate) struct Reading {
    _alive: mpsc::Sender<Infallible>,
}

/// Ends when no thread reads any more.
#[derive(Debug)]
pub(crate) struct ReadingEnded(mpsc::Receiver<Infallible>);

// === impl Options ===

impl Default for Options {
    fn default() -> Self {
        Self { readers: NonZeroUsize::MIN.saturating_add(1), checkpoint_pages: 1_000 }
    }
}

// === impl SqliteStore ===

impl SqliteStore {
    /// How many commits may wait for the writer; more are refused with [`StoreError::Unavailable`].
    pub const COMMITS_WAITING_MAX: usize = 1_024;

    /// Opens the store in a folder, makes it where it is missing, and brings its schema up to date. Blocks.
    ///
    /// # Errors
    /// [`crate::Error::Locked`] where the folder is in use, [`StoreError::SchemaTooNew`], and the errors of files and of the engine.
    pub fn open(folder: impl AsRef<Path>, options: Options) -> Result<Self> {
        let folder = Folder::lock(folder.as_ref())?;
        let database = folder.create_database()?;
        let mut connection = open_writer(&database)?;
        migration::migrate(&mut connection)?;

        let (alive, ended) = mpsc::channel(1);
        let hold = Hold { folder, alive };
        let (reading, reading_ended) = Reading::new();
        let readers = Readers::start(&database, options.readers.get(), &reading)?;
        let copies = Copies { database: database.clone(), stopping: Arc::new(AtomicBool::new(false)), reading };
        let stopping = Arc::clone(&copies.stopping);
        let (commands, queue) = mpsc::channel(Self::COMMITS_WAITING_MAX);
        Writer::start(connection, queue, options.checkpoint_pages, copies, reading_ended, hold)?;
        Ok(Self { commands, readers, database, stopping, ended: Mutex::new(ended) })
    }

    /// Ends the store after the commits and reads that wait, and unlocks its folder. Everything after it is refused.
    pub async fn close(&self) {
        self.stopping.store(true, Ordering::Relaxed);
        self.readers.stop().await;
        // Fails where the writer has ended.
        drop(self.commands.send(Command::Stop).await);
        // Nothing is ever sent: this returns when the writer, the last of the threads, has ended.
        self.ended.lock().await.recv().await;
    }

    /// Copies the store as it is now into a new file, while it is written to. The copy is one file, synced and complete.
    ///
    /// # Errors
    /// [`crate::Error::Exists`] where the target exists, and the errors of files and of the engine; no target is left then.
    pub async fn backup(&self, target: impl Into<PathBuf>) -> Result<()> {
        let (reply, answer) = oneshot::channel();
        let command = Command::Backup { target: target.into(), reply };
        self.commands.try_send(command).map_err(refused)?;
        answer.await.map_err(|_| CLOSED)?
    }

    /// Returns what the store takes on disk.
    ///
    /// # Errors
    /// Those of the engine.
    pub async fn stats(&self) -> StoreResult<Stats> {
        let database = self.database.clone();
        let read = self.readers.read(move |connection| {
            let pragma = |name| connection.pragma_query_value(None, name, |row| row.get::<_, u64>(0));
            let sizes = || Ok((pragma("page_size")?, pragma("page_count")?, pragma("freelist_count")?));
            let (page, pages, free) = sizes().during("read the sizes of the database")?;
            Ok(Stats {
                schema: migration::schema(connection)?,
                database_bytes: page.saturating_mul(pages),
                log_bytes: beside(&database, "-wal").metadata().map_or(0, |file| file.len()),
                free_bytes: page.saturating_mul(free),
            })
        });
        read.await
    }
}

// === impl Hold ===

impl Hold {
    /// Unlocks the folder, and then says so.
    pub(crate) fn release(self) {
        self.folder.unlock();
        drop(self.alive);
    }
}

// === impl Reading ===

impl Reading {
    fn new() -> (Self, ReadingEnded) {
        let (alive, ended) = mpsc::channel(1);
        (Self { _alive: alive }, ReadingEnded(ended))
    }
}

// === impl ReadingEnded ===

impl ReadingEnded {
    /// Blocks until no thread reads any more.
    pub(crate) fn wait(mut self) {
        // Nothing is ever sent.
        self.0.blocking_recv();
    }
}

const CLOSED: StoreError = StoreError::Unavailable { reason: "it is closed" };

fn refused(error: mpsc::error::TrySendError<Command>) -> StoreError {
    match error {
        mpsc::error::TrySendError::Full(_) => StoreError::Unavailable { reason: "too many commits are waiting" },
        mpsc::error::TrySendError::Closed(_) => CLOSED,
    }
}

impl Store for SqliteStore {
    /// Once polled to its end or not, a commit that was queued is carried out: dropping the future does not take it back.
    fn commit(&self, writes: Vec<Write>) -> BoxFuture<'_, ()> {
        let (reply, answer) = oneshot::channel();
        let queued = self.commands.try_send(Command::Commit(Commit { writes, reply })).map_err(refused);
        Box::pin(async move {
            queued?;
            answer.await.map_err(|_| CLOSED)?
        })
    }

    fn project_list(&self) -> BoxFuture<'_, Vec<ProjectRecord>> {
        self.readers.read(query::registry::project_list)
    }

    fn project_fetch(&self, project: ProjectName) -> BoxFuture<'_, Option<ProjectRecord>> {
        self.readers.read(move |connection| query::registry::project_fetch(connection, &project))
    }

    fn version_fetch(&self, digest: Digest) -> BoxFuture<'_, Option<VersionRecord>> {
        self.readers.read(move |connection| query::registry::version_fetch(connection, digest))
    }

    fn registration_list(&self, project: ProjectName, prompt: PromptName) -> BoxFuture<'_, Vec<RegistrationRecord>> {
        self.readers.read(move |connection| query::registry::registration_list(connection, &project, &prompt))
    }

    fn environment_list(&self, project: ProjectName) -> BoxFuture<'_, Vec<EnvironmentRecord>> {
        self.readers.read(move |connection| query::registry::environment_list(connection, &project))
    }

    fn environment_fetch(&self, scope: Scope) -> BoxFuture<'_, Option<EnvironmentRecord>> {
        self.readers.read(move |connection| query::registry::environment_fetch(connection, &scope))
    }

    fn pointer_list(&self, project: ProjectName) -> BoxFuture<'_, Vec<PointerRecord>> {
        self.readers.read(move |connection| query::registry::pointer_list(connection, &project))
    }

    fn pointer_fetch(&self, scope: Scope, prompt: PromptName) -> BoxFuture<'_, Option<PointerRecord>> {
        self.readers.read(move |connection| query::registry::pointer_fetch(connection, &scope, &prompt))
    }

    fn log_list(&self, filter: LogFilter) -> BoxFuture<'_, Vec<LogRow>> {
        self.readers.read(move |connection| query::registry::log_list(connection, &filter))
    }

    fn rollout_list(&self, filter: RolloutFilter) -> BoxFuture<'_, Vec<RolloutRecord>> {
        self.readers.read(move |connection| query::rollout::rollout_list(connection, &filter))
    }

    fn rollout_fetch(&self, id: RolloutId) -> BoxFuture<'_, Option<RolloutRecord>> {
        self.readers.read(move |connection| query::rollout::rollout_fetch(connection, id))
    }

    fn observation_list(&self, rollout: RolloutId, from: u64) -> BoxFuture<'_, Vec<ObservationRecord>> {
        self.readers.read(move |connection| query::rollout::observation_list(connection, rollout, from))
    }

    fn maturing_list(&self, rollout: RolloutId, until: Timestamp) -> BoxFuture<'_, Vec<Maturing>> {
        self.readers.read(move |connection| query::rollout::maturing_list(connection, rollout, until))
    }

    fn loss_list(&self, rollout: RolloutId) -> BoxFuture<'_, Vec<LossRecord>> {
        self.readers.read(move |connection| query::rollout::loss_list(connection, rollout))
    }

    fn quarantine_list(&self, project: ProjectName) -> BoxFuture<'_, Vec<QuarantineRecord>> {
        self.readers.read(move |connection| query::registry::quarantine_list(connection, &project))
    }

    fn inference_fetch(&self, id: InferenceId) -> BoxFuture<'_, Option<InferenceRecord>> {
        self.readers.read(move |connection| query::inference::inference_fetch(connection, id))
    }

    fn inference_by_answer(&self, key: KeyId, answer_id: String) -> BoxFuture<'_, Option<InferenceRecord>> {
        self.readers.read(move |connection| query::inference::inference_by_answer(connection, key, &answer_id))
    }

    fn inference_list(&self, filter: InferenceFilter) -> BoxFuture<'_, Vec<InferenceRecord>> {
        self.readers.read(move |connection| query::inference::inference_list(connection, &filter))
    }

    fn outcome_list(&self, inference: InferenceId) -> BoxFuture<'_, Vec<OutcomeRecord>> {
        self.readers.read(move |connection| query::inference::outcome_list(connection, inference))
    }

    fn summary_list(&self, filter: SummaryFilter) -> BoxFuture<'_, Vec<SummaryRow>> {
        self.readers.read(move |connection| query::summary::summary_list(connection, &filter))
    }

    fn key_list(&self, project: ProjectName) -> BoxFuture<'_, Vec<KeyRecord>> {
        self.readers.read(move |connection| query::registry::key_list(connection, &project))
    }

    fn key_fetch(&self, hash: ApiKeyHash) -> BoxFuture<'_, Option<KeyRecord>> {
        self.readers.read(move |connection| query::registry::key_fetch(connection, hash))
    }
}
