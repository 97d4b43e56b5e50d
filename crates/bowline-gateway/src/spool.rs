//! The spool: what a gateway has to tell waits on disk until the control role, on another machine, has committed it.
//!
//! It is a [`Sink`] at one end and feeds one at the other. What it takes survives `kill -9` of the gateway at once; outcomes, which are
//! acknowledged to whoever sent them, are synced to disk before that, and records within [`SpoolOptions::sync_interval`], which is what
//! a power cut may take. Delivery is at least once: everything in it has an id by which the control role knows it again. It is bounded
//! by bytes; what has no room is counted per arm, in a file, and told to the control role.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bowline_store::{InferenceRecord, LossRecord, OutcomeRecord};
use bowline_telemetry::Metrics;
use bowline_types::{Arm, Clock, InstanceId, RolloutId};
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;
use tracing::{error, warn};

use crate::recorder::{Batch, Journal, Sink, SinkError, SinkFuture};

mod forward;
mod frame;
mod log;
mod losses;

use log::{Log, Taken};
use losses::Losses;

/// How the spool works. Every bound has a name.
#[derive(Clone, Debug)]
pub struct SpoolOptions {
    /// Bytes on disk; what comes beyond is counted as lost, and feedback is refused. Default: 256 MiB.
    pub bytes_max: u64,
    /// The most entries in one delivery. Default: 512.
    pub batch_max: usize,
    /// The most bytes in one delivery, where it has more than one entry. Default: 4 MiB.
    pub batch_bytes_max: u64,
    /// The wait before a failed delivery is tried again, doubling up to `retry_wait_max`, with jitter. Default: 50 ms.
    pub retry_wait: Duration,
    /// The longest such wait. Default: 1 s.
    pub retry_wait_max: Duration,
    /// How often records are synced to disk. Default: 200 ms.
    pub sync_interval: Duration,
    /// How long shutdown waits for deliveries; what is left waits on disk for the next start. Default: 5 s.
    pub drain: Duration,
}

/// Why a spool cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    /// Another process has it.
    #[error("the spool {} is in use by another process\nhint: every gateway needs a folder of its own", .path.display())]
    Locked {
        /// The folder.
        path: PathBuf,
    },
    /// A file operation failed.
    #[error("could not {operation} the spool {}", .path.display())]
    File {
        /// The operation, as a verb.
        operation: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// A file does not hold what was written there.
    #[error("{} cannot be read\nhint: move it away; the counts of lost records in it are lost with it", .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: serde_json::Error,
    },
}

/// How the spool stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SpoolStatus {
    /// Entries that wait.
    pub waiting: u64,
    /// Bytes on disk.
    pub bytes: u64,
    /// How long the oldest entry has waited; zero where none does.
    pub oldest: Duration,
    /// Entries that this process delivered.
    pub delivered: u64,
}

/// The spool of a gateway. Cheap to clone.
#[derive(Clone)]
pub struct Spool {
    shared: Arc<Shared>,
}

struct Shared {
    options: SpoolOptions,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
    /// Who counts what is lost here; the recorder of the gateway counts for itself.
    instance: InstanceId,
    state: Mutex<State>,
    /// Held while syncing, so that those who wait are served by one sync.
    syncing: Mutex<u64>,
    /// Something came.
    came: Notify,
}

struct State {
    log: Log,
    losses: Losses,
    /// Appends so far.
    appended: u64,
    delivered: u64,
    /// Whether the log was told that the spool is full.
    full: bool,
}

/// One entry, as it stands in a segment.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Entry {
    Inference(Box<InferenceRecord>),
    Outcome(OutcomeRecord),
}

// === impl SpoolOptions ===

impl Default for SpoolOptions {
    fn default() -> Self {
        Self {
            bytes_max: 256 * 1024 * 1024,
            batch_max: 512,
            batch_bytes_max: 4 * 1024 * 1024,
            retry_wait: Duration::from_millis(50),
            retry_wait_max: Duration::from_secs(1),
            sync_interval: Duration::from_millis(200),
            drain: Duration::from_secs(5),
        }
    }
}

// === impl Spool ===

impl Spool {
    /// Opens the spool of a folder, with what a former process left in it. Blocks.
    ///
    /// # Errors
    /// Another process has it, or it cannot be read or written.
    pub fn open(
        folder: &Path,
        options: SpoolOptions,
        clock: Arc<dyn Clock>,
        metrics: Arc<Metrics>,
    ) -> Result<Self, SpoolError> {
        let instance = InstanceId::generate(clock.now());
        let log = Log::open(folder, options.bytes_max)?;
        let losses = Losses::open(Losses::path(folder), instance)?;
        let state = Mutex::new(State { log, losses, appended: 0, delivered: 0, full: false });
        let (syncing, came) = (Mutex::new(0), Notify::new());
        let spool = Self { shared: Arc::new(Shared { options, clock, metrics, instance, state, syncing, came }) };
        spool.shared.show(&spool.shared.state());
        Ok(spool)
    }

    /// Returns how the spool stands.
    #[must_use]
    pub fn status(&self) -> SpoolStatus {
        self.shared.status(&self.shared.state())
    }
}

impl Sink for Spool {
    fn deliver(&self, batch: Batch) -> SinkFuture<'_> {
        let shared = Arc::clone(&self.shared);
        Box::pin(async move {
            let kept = tokio::task::spawn_blocking(move || shared.keep(batch)).await;
            kept.map_err(|error| SinkError::Unavailable(error.to_string()))?
        })
    }

    fn journal(&self) -> Option<&dyn Journal> {
        Some(self)
    }
}

impl Journal for Spool {
    fn append(&self, batch: Batch) -> Result<(), SinkError> {
        self.shared.keep(batch)
    }
}

// === impl Shared ===

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn status(&self, state: &State) -> SpoolStatus {
        let oldest = state.log.oldest().map_or(Duration::ZERO, |at| self.clock.now().since(at));
        SpoolStatus { waiting: state.log.waiting(), bytes: state.log.bytes(), oldest, delivered: state.delivered }
    }

    fn show(&self, state: &State) {
        let SpoolStatus { waiting, bytes, .. } = self.status(state);
        self.metrics.spool_set(waiting, bytes, state.log.oldest());
    }

    /// Takes a batch. Blocks on the disk.
    fn keep(&self, batch: Batch) -> Result<(), SinkError> {
        let Batch { inferences, outcomes, losses } = batch;
        let arms: Vec<_> = inferences.iter().map(arm).collect();
        let entries = inferences.into_iter().map(|record| Entry::Inference(Box::new(record)));
        let acknowledged = outcomes.len();
        let payloads = entries.chain(outcomes.into_iter().map(Entry::Outcome)).map(|entry| serde_json::to_vec(&entry));
        let payloads =
            payloads.collect::<Result<Vec<_>, _>>().map_err(|error| SinkError::Refused(error.to_string()))?;

        let mut state = self.state();
        let kept = state.log.append(&payloads, self.clock.now()).map_err(|error| {
            let message = format!("the spool could not be written: {error}");
            SinkError::Unavailable(message)
        })?;
        state.appended += 1;
        let appended = state.appended;
        let (records, of_outcomes) = kept.split_at(arms.len());
        let lost: Vec<_> = arms.into_iter().zip(records).filter(|(_, kept)| !**kept).map(|(arm, _)| arm).collect();
        self.lose(&mut state, &lost);
        let told = state.losses.raise(&losses);
        told.unwrap_or_else(|error| warn!(%error, "counts of lost records could not be written"));
        let refused = of_outcomes.iter().any(|kept| !kept);
        self.tell_full(&mut state, refused || !lost.is_empty());
        self.show(&state);
        drop(state);
        self.came.notify_one();
        if refused {
            return Err(SinkError::Unavailable("the spool is full".to_owned()));
        }
        // Somebody is told that these are kept.
        if acknowledged > 0 { self.sync(appended) } else { Ok(()) }
    }

    /// Counts entries that could not be kept.
    fn lose(&self, state: &mut State, lost: &[Option<(RolloutId, Arm)>]) {
        lost.iter().for_each(|lost| self.metrics.record_lost(lost.map(|(_, arm)| arm)));
        let counted = state.losses.add(self.instance, lost.iter().copied().flatten());
        counted.unwrap_or_else(|error| warn!(%error, "counts of lost records could not be written"));
    }

    /// Tells the log when the spool becomes full and when it no longer is.
    fn tell_full(&self, state: &mut State, full: bool) {
        if full && !state.full {
            let bytes = self.options.bytes_max;
            error!(
                bytes,
                "the spool is full: records are lost and counted, and feedback is refused, until control takes some"
            );
        }
        state.full = full;
    }

    /// Syncs everything up to an append. Blocks; those who wait for the same sync share it.
    fn sync(&self, through: u64) -> Result<(), SinkError> {
        let mut synced = self.syncing.lock().unwrap_or_else(PoisonError::into_inner);
        if *synced >= through {
            return Ok(());
        }
        let state = self.state();
        let (appended, writer) = (state.appended, state.log.writer());
        drop(state);
        if let Some(writer) = writer {
            let result = writer.sync_data();
            result.map_err(|error| SinkError::Unavailable(format!("the spool could not be synced: {error}")))?;
        }
        *synced = appended;
        Ok(())
    }

    /// Takes entries from the front, with the losses that are not told. Blocks.
    fn take(&self, entries_max: usize) -> io::Result<(Taken, Batch)> {
        let state = self.state();
        let taken = state.log.read(entries_max, self.options.batch_bytes_max)?;
        let mut batch = Batch { losses: state.losses.untold(), ..Batch::default() };
        drop(state);
        for payload in &taken.payloads {
            match serde_json::from_slice(payload) {
                Ok(Entry::Inference(record)) => batch.inferences.push(*record),
                Ok(Entry::Outcome(outcome)) => batch.outcomes.push(outcome),
                // Sound on disk, and yet no entry of ours: a later Bowline wrote it.
                Err(error) => error!(%error, "an entry of the spool cannot be read; it is left out"),
            }
        }
        Ok((taken, batch))
    }

    /// Forgets what was delivered; what of it could not be read, or stood in a damaged segment, is counted as lost now and once. Blocks.
    fn acknowledge(&self, taken: &Taken, unread: u64, told: &[LossRecord]) {
        let mut state = self.state();
        // What is delivered twice changes nothing.
        let forgot = state.log.acknowledge(taken).and_then(|()| state.losses.acknowledge(told));
        forgot.unwrap_or_else(|error| warn!(%error, "the spool could not note what was delivered"));
        let delivered = taken.payloads.len() as u64 - unread;
        (0..unread + taken.damaged).for_each(|_| self.metrics.record_lost(None));
        state.delivered += delivered;
        self.metrics.spool_delivered(delivered);
        self.show(&state);
    }
}

/// The arm that a record counts for.
fn arm(record: &InferenceRecord) -> Option<(RolloutId, Arm)> {
    Some((record.rollout?, record.arm?))
}

#[cfg(test)]
mod tests;
