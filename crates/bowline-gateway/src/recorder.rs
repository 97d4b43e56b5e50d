//! The way of records out of the gateway: a bounded queue, and behind it checks, metrics, export and delivery.
//!
//! Where the sink is a [`Journal`], an answer ends after its record is there: whoever has a whole answer can rely on it, though the
//! gateway is killed in the next moment. That wait has a bound, and there is none while the journal fails; answers that ended ahead of
//! their record are counted. Any other sink is never waited for.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bowline_registry::ContentCapture;
use bowline_store::{InferenceRecord, LossRecord, OutcomeRecord};
use bowline_telemetry::{Metrics, OtlpHandle};
use bowline_types::{Arm, InstanceId, RolloutId};
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Duration, timeout};

use crate::exchange::Exchange;
use crate::options::RecorderOptions;

mod worker;

pub(crate) use worker::Worker;

/// What a gateway has to tell the control role.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Batch {
    /// Calls that were served.
    pub inferences: Vec<InferenceRecord>,
    /// What was learned about them later.
    pub outcomes: Vec<OutcomeRecord>,
    /// Totals of what could not be kept.
    pub losses: Vec<LossRecord>,
}

/// Where records and outcomes go: the control role in this process, or a spool on the way to it.
pub trait Sink: Send + Sync + 'static {
    /// Delivers a batch. `Ok` means that it is kept: outcomes durably, records as the sink says. The same batch may come again.
    fn deliver(&self, batch: Batch) -> SinkFuture<'_>;

    /// Returns the journal, where this sink is one: then answers wait for their records. Default: `None`.
    fn journal(&self) -> Option<&dyn Journal> {
        None
    }
}

/// A sink on this machine that takes a batch within about the time of a write.
pub trait Journal: Send + Sync {
    /// Takes a batch, which survives this process from then on; what has no room is counted. Blocks for as long as a write takes.
    ///
    /// # Errors
    /// Nothing of it is kept.
    fn append(&self, batch: Batch) -> Result<(), SinkError>;
}

/// The future of a delivery.
pub type SinkFuture<'a> = Pin<Box<dyn Future<Output = Result<(), SinkError>> + Send + 'a>>;

/// Why a delivery failed.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum SinkError {
    /// It may be tried again.
    #[error("could not deliver to the control role: {0}")]
    Unavailable(String),
    /// The same batch will be refused again.
    #[error("the control role refused what the gateway delivered: {0}")]
    Refused(String),
}

/// How the recorder stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecorderStatus {
    /// Records that were delivered.
    pub delivered: u64,
    /// Records that wait.
    pub waiting: u64,
    /// Records that were lost, by rollout and arm; `None` where no rollout assigned them.
    pub lost: BTreeMap<Option<(RolloutId, Arm)>, u64>,
}

/// A finished call on its way to the record.
pub(crate) struct Finished {
    exchange: Exchange,
    capture: ContentCapture,
    /// Whether only feedback can judge it, since the application makes the call itself.
    resolved_only: bool,
    /// Where the answer waits to end: for a word that the record is kept, or for nobody being left to say so.
    kept: Option<oneshot::Sender<()>>,
}

/// The side of the request path. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Recorder {
    queue: mpsc::Sender<Finished>,
    shared: Arc<Shared>,
}

struct Shared {
    instance: InstanceId,
    delivered: AtomicU64,
    /// Taken into the queue and neither delivered nor lost yet.
    waiting: AtomicU64,
    /// What waits in the queue, in bytes.
    waiting_bytes: AtomicUsize,
    bytes_max: usize,
    /// How long an answer waits for its record; `None` where the sink is no journal.
    answer_wait_max: Option<Duration>,
    /// Whether the journal fails: then no answer waits.
    is_failing: AtomicBool,
    /// Locked on the path of a lost record and by the worker only.
    lost: Mutex<BTreeMap<Option<(RolloutId, Arm)>, u64>>,
    metrics: Arc<Metrics>,
}

// === impl Recorder ===

impl Recorder {
    /// Returns both sides of the queue.
    pub(crate) fn new(
        instance: InstanceId,
        options: RecorderOptions,
        sink: Arc<dyn Sink>,
        metrics: Arc<Metrics>,
        otlp: Option<OtlpHandle>,
    ) -> (Self, Worker) {
        let (sender, queue) = mpsc::channel(options.queue_max.max(1));
        let (delivered, waiting) = (AtomicU64::new(0), AtomicU64::new(0));
        let shared = Arc::new(Shared {
            instance,
            delivered,
            waiting,
            waiting_bytes: AtomicUsize::new(0),
            bytes_max: options.queue_bytes_max,
            answer_wait_max: sink.journal().map(|_| options.answer_wait_max),
            is_failing: AtomicBool::new(false),
            lost: Mutex::new(BTreeMap::new()),
            metrics: Arc::clone(&metrics),
        });
        let recorder = Self { queue: sender, shared: Arc::clone(&shared) };
        (recorder, Worker { queue, shared, options, sink, metrics, otlp, told: 0, in_hand: Vec::new() })
    }

    /// Hands a finished call over. Returns when its answer may end: at once, or where the sink is a journal once the record is there,
    /// lost or too slow.
    pub(crate) async fn record(&self, mut finished: Finished) {
        // What follows is not the call's time.
        finished.exchange.outcome.duration_us = finished.exchange.elapsed_us();
        let Some(wait_max) = self.shared.answer_wait_max else {
            self.queue(finished);
            return;
        };
        let kept = (!self.shared.is_failing.load(Ordering::Relaxed)).then(|| {
            let (sender, kept) = oneshot::channel();
            finished.kept = Some(sender);
            kept
        });
        if !self.queue(finished) {
            return;
        }
        let is_kept = match kept {
            Some(kept) => matches!(timeout(wait_max, kept).await, Ok(Ok(()))),
            None => false,
        };
        if !is_kept {
            self.shared.metrics.answer_ahead();
        }
    }

    /// Puts a call into the queue and says whether there was room, by number and by bytes; else it is counted as lost.
    fn queue(&self, finished: Finished) -> bool {
        self.shared.waiting.fetch_add(1, Ordering::Relaxed);
        let bytes = finished.bytes();
        if self.shared.waiting_bytes.fetch_add(bytes, Ordering::Relaxed) + bytes > self.shared.bytes_max {
            self.shared.waiting_bytes.fetch_sub(bytes, Ordering::Relaxed);
            self.shared.lose(finished.arm());
            return false;
        }
        if let Err(error) = self.queue.try_send(finished) {
            let (mpsc::error::TrySendError::Full(finished) | mpsc::error::TrySendError::Closed(finished)) = error;
            self.shared.waiting_bytes.fetch_sub(bytes, Ordering::Relaxed);
            self.shared.lose(finished.arm());
            return false;
        }
        true
    }

    /// Returns how the recorder stands.
    pub(crate) fn status(&self) -> RecorderStatus {
        RecorderStatus {
            delivered: self.shared.delivered.load(Ordering::Relaxed),
            waiting: self.shared.waiting.load(Ordering::Relaxed),
            lost: self.shared.lost.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        }
    }
}

// === impl Shared ===

impl Shared {
    fn lose(&self, arm: Option<(RolloutId, Arm)>) {
        self.metrics.record_lost(arm.map(|(_, arm)| arm));
        self.waiting.fetch_sub(1, Ordering::Relaxed);
        *self.lost.lock().unwrap_or_else(PoisonError::into_inner).entry(arm).or_default() += 1;
    }

    fn losses(&self) -> (u64, Vec<LossRecord>) {
        let lost = self.lost.lock().unwrap_or_else(PoisonError::into_inner);
        let of_rollouts = lost.iter().filter_map(|(arm, total)| arm.map(|(rollout, arm)| (rollout, arm, *total)));
        let instance = self.instance;
        let records = of_rollouts.map(|(rollout, arm, total)| LossRecord { instance, rollout, arm, total });
        (lost.values().sum(), records.collect())
    }
}

// === impl Finished ===

impl Finished {
    /// Returns a call that is over but for the end of its answer.
    pub(crate) const fn new(exchange: Exchange, capture: ContentCapture, resolved_only: bool) -> Self {
        Self { exchange, capture, resolved_only, kept: None }
    }

    fn arm(&self) -> Option<(RolloutId, Arm)> {
        self.exchange.arm.as_ref().map(|assigned| (assigned.rollout.id, assigned.arm))
    }

    /// Returns about how many bytes it holds: what came, what went upstream and what was answered.
    fn bytes(&self) -> usize {
        let outcome = &self.exchange.outcome;
        let texts = [&outcome.text, &outcome.input].into_iter().flatten().map(String::len).sum::<usize>();
        self.exchange.request_bytes + texts + std::mem::size_of::<Self>()
    }
}
