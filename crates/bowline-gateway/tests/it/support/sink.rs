use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex};

use bowline_gateway::{Batch, Journal, Sink, SinkError, SinkFuture};
use bowline_store::{InferenceRecord, LossRecord, OutcomeRecord};
use tokio::sync::Notify;

use super::until;

/// Keeps what a gateway sends.
#[derive(Default)]
pub(crate) struct MemorySink {
    records: Mutex<Vec<InferenceRecord>>,
    losses: Mutex<Vec<LossRecord>>,
    outcomes: Mutex<Vec<OutcomeRecord>>,
    stalled: AtomicBool,
    failing: AtomicBool,
    released: Notify,
    journal: Option<Stalling>,
}

/// A journal that takes nothing while it is stalled, and blocks whoever appends.
#[derive(Default)]
struct Stalling {
    is_stalled: Mutex<bool>,
    released: Condvar,
}

impl MemorySink {
    /// A sink that is a journal.
    pub(crate) fn journal() -> Self {
        Self { journal: Some(Stalling::default()), ..Self::default() }
    }

    /// Takes nothing from now on, and answers nothing.
    pub(crate) fn stall(&self) {
        self.stalled.store(true, Ordering::SeqCst);
        if let Some(journal) = &self.journal {
            *journal.is_stalled.lock().unwrap() = true;
        }
    }

    /// Takes again.
    pub(crate) fn release(&self) {
        self.stalled.store(false, Ordering::SeqCst);
        self.released.notify_waiters();
        if let Some(journal) = &self.journal {
            *journal.is_stalled.lock().unwrap() = false;
            journal.released.notify_all();
        }
    }

    /// Answers every delivery with an error from now on, or no more.
    pub(crate) fn fail(&self, failing: bool) {
        self.failing.store(failing, Ordering::SeqCst);
    }

    /// Returns the records so far.
    pub(crate) fn records(&self) -> Vec<InferenceRecord> {
        self.records.lock().unwrap().clone()
    }

    /// Returns the counters of losses as last told.
    pub(crate) fn losses(&self) -> Vec<LossRecord> {
        self.losses.lock().unwrap().clone()
    }

    /// Returns the outcomes so far.
    pub(crate) fn outcomes(&self) -> Vec<OutcomeRecord> {
        self.outcomes.lock().unwrap().clone()
    }

    /// Waits for a number of records and returns them.
    pub(crate) async fn wait(&self, count: usize) -> Vec<InferenceRecord> {
        until(|| self.records.lock().unwrap().len() >= count).await;
        let records = self.records();
        assert_eq!(records.len(), count);
        records
    }

    fn keep(&self, batch: Batch) {
        self.records.lock().unwrap().extend(batch.inferences);
        if batch.outcomes.is_empty() {
            *self.losses.lock().unwrap() = batch.losses;
        }
        self.outcomes.lock().unwrap().extend(batch.outcomes);
    }

    fn health(&self) -> Result<(), SinkError> {
        let failing = self.failing.load(Ordering::SeqCst);
        if failing { Err(SinkError::Unavailable("the sink fails".to_owned())) } else { Ok(()) }
    }

    async fn admit(&self) -> Result<(), SinkError> {
        loop {
            let released = self.released.notified();
            if !self.stalled.load(Ordering::SeqCst) {
                break;
            }
            released.await;
        }
        self.health()
    }
}

impl Sink for MemorySink {
    fn deliver(&self, batch: Batch) -> SinkFuture<'_> {
        Box::pin(async move {
            self.admit().await?;
            self.keep(batch);
            Ok(())
        })
    }

    fn journal(&self) -> Option<&dyn Journal> {
        self.journal.as_ref().map(|_| self as &dyn Journal)
    }
}

impl Journal for MemorySink {
    fn append(&self, batch: Batch) -> Result<(), SinkError> {
        if let Some(journal) = &self.journal {
            let stalled = journal.is_stalled.lock().unwrap();
            drop(journal.released.wait_while(stalled, |is_stalled| *is_stalled).unwrap());
        }
        self.health()?;
        self.keep(batch);
        Ok(())
    }
}
