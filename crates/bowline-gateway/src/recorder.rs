//! The way of records out of the gateway. The request path only ever tries to put a record into a bounded queue; checks, metrics,
//! export and delivery happen behind it.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bowline_registry::ContentCapture;
use bowline_store::{InferenceRecord, LossRecord, OutcomeRecord};
use bowline_telemetry::{Evidence, Metrics, OtlpHandle, TraceContext};
use bowline_types::{Arm, CheckResult, InstanceId, RolloutId};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use tokio::time::Duration;
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, warn};

use crate::exchange::Exchange;
use crate::options::RecorderOptions;

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
    pub(crate) exchange: Exchange,
    pub(crate) capture: ContentCapture,
    /// Whether only feedback can judge it, since the application makes the call itself.
    pub(crate) resolved_only: bool,
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
    /// Locked on the path of a lost record and by the worker only.
    lost: Mutex<BTreeMap<Option<(RolloutId, Arm)>, u64>>,
    metrics: Arc<Metrics>,
}

/// The side behind the queue.
pub(crate) struct Worker {
    queue: mpsc::Receiver<Finished>,
    shared: Arc<Shared>,
    options: RecorderOptions,
    sink: Arc<dyn Sink>,
    metrics: Arc<Metrics>,
    otlp: Option<OtlpHandle>,
    told: u64,
    /// The arms of the batch that is being delivered.
    in_hand: Vec<Option<(RolloutId, Arm)>>,
}

/// How far the wait before another delivery grows, as a multiple of the first.
const RETRY_WAIT_GROWTH_MAX: u32 = 32;
/// How often counters of losses are told while no records flow.
const LOSS_INTERVAL: Duration = Duration::from_millis(500);

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
            lost: Mutex::new(BTreeMap::new()),
            metrics: Arc::clone(&metrics),
        });
        let recorder = Self { queue: sender, shared: Arc::clone(&shared) };
        (recorder, Worker { queue, shared, options, sink, metrics, otlp, told: 0, in_hand: Vec::new() })
    }

    /// Hands a finished call over, without waiting; where the queue is full, by number or by bytes, it is counted as lost.
    pub(crate) fn record(&self, mut finished: Finished) {
        // What follows is not the call's time.
        finished.exchange.outcome.duration_us = finished.exchange.elapsed_us();
        self.shared.waiting.fetch_add(1, Ordering::Relaxed);
        let bytes = finished.bytes();
        if self.shared.waiting_bytes.fetch_add(bytes, Ordering::Relaxed) + bytes > self.shared.bytes_max {
            self.shared.waiting_bytes.fetch_sub(bytes, Ordering::Relaxed);
            return self.shared.lose(finished.arm());
        }
        if let Err(error) = self.queue.try_send(finished) {
            let (mpsc::error::TrySendError::Full(finished) | mpsc::error::TrySendError::Closed(finished)) = error;
            self.shared.waiting_bytes.fetch_sub(bytes, Ordering::Relaxed);
            self.shared.lose(finished.arm());
        }
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

// === impl Worker ===

impl Worker {
    /// Works until told to stop, then delivers what waits, for at most `drain`; what is left then is counted as lost.
    pub(crate) async fn run(mut self, shutdown: CancellationToken, drain: Duration) {
        let patience = async {
            shutdown.cancelled().await;
            tokio::time::sleep(drain).await;
        };
        tokio::select! {
            biased;
            () = self.work(&shutdown) => return,
            () = patience => {}
        }
        self.queue.close();
        let mut left = std::mem::take(&mut self.in_hand);
        while let Ok(finished) = self.queue.try_recv() {
            left.push(finished.arm());
        }
        warn!(records = left.len(), "records were lost at shutdown: the control role did not take them in time");
        left.into_iter().for_each(|arm| self.shared.lose(arm));
    }

    /// Delivers what comes; returns once it was told to stop and nothing waits.
    async fn work(&mut self, shutdown: &CancellationToken) {
        let batch_max = self.options.batch_max.max(1);
        let mut batch = Vec::with_capacity(batch_max);
        let mut interval = tokio::time::interval(LOSS_INTERVAL);
        interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut open = true;
        while open {
            tokio::select! {
                biased;
                taken = self.queue.recv_many(&mut batch, batch_max) => open = taken > 0,
                () = shutdown.cancelled(), if !self.queue.is_closed() => self.queue.close(),
                _ = interval.tick() => {}
            }
            if !self.options.batch_wait.is_zero() && !batch.is_empty() && batch.len() < batch_max {
                self.in_hand = batch.iter().map(Finished::arm).collect();
                tokio::time::sleep(self.options.batch_wait).await;
                while batch.len() < batch_max
                    && let Ok(finished) = self.queue.try_recv()
                {
                    batch.push(finished);
                }
            }
            let waiting = self.shared.waiting.load(Ordering::Relaxed);
            self.metrics.record_queue_depth_set(usize::try_from(waiting).unwrap_or(usize::MAX));
            if !batch.is_empty() || self.shared.losses().0 > self.told {
                self.deliver(std::mem::take(&mut batch)).await;
            }
        }
    }

    /// Makes records of a batch and delivers them, as often as it takes; the queue bounds what piles up meanwhile.
    async fn deliver(&mut self, batch: Vec<Finished>) {
        self.in_hand = batch.iter().map(Finished::arm).collect();
        self.shared.waiting_bytes.fetch_sub(batch.iter().map(Finished::bytes).sum(), Ordering::Relaxed);
        // Checks parse JSON and evaluate expressions: work for a thread that serves nobody.
        let metrics = Arc::clone(&self.metrics);
        let checks = move || batch.into_iter().map(|each| check(each, &metrics)).collect::<Vec<_>>();
        let Ok(checked) = tokio::task::spawn_blocking(checks).await else {
            error!(
                records = self.in_hand.len(),
                "records were lost: their checks broke; this is a bug, please report it"
            );
            return std::mem::take(&mut self.in_hand).into_iter().for_each(|arm| self.shared.lose(arm));
        };
        for (record, trace) in &checked {
            self.metrics.record(record);
            if let Some(otlp) = &self.otlp {
                otlp.record(record, trace.as_ref());
            }
        }
        let records: Vec<InferenceRecord> = checked.into_iter().map(|(record, _)| record).collect();
        let mut wait = self.options.retry_wait;
        loop {
            let (lost, losses) = self.shared.losses();
            let batch = Batch { inferences: records.clone(), outcomes: Vec::new(), losses };
            match self.sink.deliver(batch).await {
                Ok(()) => {
                    self.told = lost;
                    let count = u64::try_from(std::mem::take(&mut self.in_hand).len()).unwrap_or(u64::MAX);
                    self.shared.delivered.fetch_add(count, Ordering::Relaxed);
                    self.shared.waiting.fetch_sub(count, Ordering::Relaxed);
                    return;
                }
                Err(error) => debug!(%error, records = records.len(), "records wait"),
            }
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(self.options.retry_wait * RETRY_WAIT_GROWTH_MAX);
        }
    }
}

// === impl Finished ===

impl Finished {
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

/// How names of checks begin that only an application can judge.
const FEEDBACK: &str = "feedback:";

/// Evaluates the success contract of a call and makes its record.
fn check(finished: Finished, metrics: &Metrics) -> (InferenceRecord, Option<TraceContext>) {
    let Finished { exchange, capture, resolved_only } = finished;
    let mut record = exchange.record();
    if let Some(contract) = &exchange.contract {
        let outcome = &exchange.outcome;
        let evidence = Evidence {
            text: outcome.text.as_deref().unwrap_or_default(),
            finish: outcome.finish.as_deref(),
            error: outcome.error,
            refusal: outcome.refusal,
            variables: &exchange.variables,
        };
        record.checks = contract.evaluate_with(&evidence, &mut |reason| metrics.check_unknown(reason));
        if resolved_only {
            record.checks.retain(|name, _| name.starts_with(FEEDBACK));
        }
        // Half an answer, or one too long to be kept, says nothing about the whole.
        if outcome.abandoned || outcome.text_overflowed {
            let judged = record.checks.iter_mut().filter(|(name, _)| !name.starts_with(FEEDBACK));
            judged.for_each(|(_, result)| *result = CheckResult::Unknown);
        }
    }
    let wanted = match capture {
        ContentCapture::Off => false,
        ContentCapture::Failures => record.success() == CheckResult::Fail,
        ContentCapture::All => true,
    };
    record.content = wanted.then(|| exchange.content());
    (record, exchange.trace)
}
