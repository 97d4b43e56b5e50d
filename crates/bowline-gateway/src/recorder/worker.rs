//! Behind the queue: checks, metrics, export and delivery, batch by batch.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;

use bowline_registry::ContentCapture;
use bowline_store::InferenceRecord;
use bowline_telemetry::{Evidence, Metrics, OtlpHandle, TraceContext};
use bowline_types::{Arm, CheckResult, RolloutId};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Duration;
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, warn};

use super::{Batch, Finished, Shared, Sink, SinkError};
use crate::options::RecorderOptions;

/// The side behind the queue.
pub(crate) struct Worker {
    pub(super) queue: mpsc::Receiver<Finished>,
    pub(super) shared: Arc<Shared>,
    pub(super) options: RecorderOptions,
    pub(super) sink: Arc<dyn Sink>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) otlp: Option<OtlpHandle>,
    pub(super) told: u64,
    /// The arms of the batch that is being delivered.
    pub(super) in_hand: Vec<Option<(RolloutId, Arm)>>,
}

/// How far the wait before another delivery grows, as a multiple of the first.
const RETRY_WAIT_GROWTH_MAX: u32 = 32;
/// How often counters of losses are told while no records flow.
const LOSS_INTERVAL: Duration = Duration::from_millis(500);

// === impl Worker ===

impl Worker {
    /// Works until told to stop, then delivers what waits, for at most `drain`; what is left then is counted as lost. Where answers
    /// wait for it, it works on a thread of its own: a journal blocks, and the fewer threads a record passes the sooner it is there.
    pub(crate) async fn run(self, shutdown: CancellationToken, drain: Duration) {
        if self.sink.journal().is_none() {
            return self.work_and_drain(shutdown, drain).await;
        }
        if let Err(error) = self.run_apart(shutdown, drain).await {
            // The queue is closed with it: every record is counted as lost from now on.
            error!(%error, "no records are kept: the thread that keeps them could not be started");
        }
    }

    async fn run_apart(self, shutdown: CancellationToken, drain: Duration) -> io::Result<()> {
        let (runtime, (ending, ended)) = (Handle::current(), oneshot::channel::<()>());
        thread::Builder::new().name("records".to_owned()).spawn(move || {
            runtime.block_on(self.work_and_drain(shutdown, drain));
            drop(ending);
        })?;
        // Nothing is sent: it ends when the other side is gone.
        drop(ended.await);
        Ok(())
    }

    async fn work_and_drain(mut self, shutdown: CancellationToken, drain: Duration) {
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
            // Where answers wait, a batch is what came while the one before was appended.
            let gathers = self.sink.journal().is_none() && !self.options.batch_wait.is_zero();
            if gathers && !batch.is_empty() && batch.len() < batch_max {
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
    async fn deliver(&mut self, mut batch: Vec<Finished>) {
        self.in_hand = batch.iter().map(Finished::arm).collect();
        self.shared.waiting_bytes.fetch_sub(batch.iter().map(Finished::bytes).sum(), Ordering::Relaxed);
        let answers: Vec<_> = batch.iter_mut().filter_map(|finished| finished.kept.take()).collect();
        let Some(checked) = self.checked(batch).await else {
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
        let mut kept = self.attempt(&records).await;
        // Answers wait for no second attempt.
        self.answers_go_on(answers, kept.as_ref().err());
        let mut wait = self.options.retry_wait;
        while let Err(error) = &kept {
            debug!(%error, records = records.len(), "records wait");
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(self.options.retry_wait * RETRY_WAIT_GROWTH_MAX);
            kept = self.attempt(&records).await;
        }
        if self.shared.is_failing.swap(false, Ordering::Relaxed) {
            info!("records are kept again before their answers end");
        }
        let count = u64::try_from(std::mem::take(&mut self.in_hand).len()).unwrap_or(u64::MAX);
        self.shared.delivered.fetch_add(count, Ordering::Relaxed);
        self.shared.waiting.fetch_sub(count, Ordering::Relaxed);
    }

    /// Evaluates the checks of a batch; `None` where they broke. They parse JSON and evaluate expressions: work for a thread that serves
    /// nobody.
    async fn checked(&self, batch: Vec<Finished>) -> Option<Vec<(InferenceRecord, Option<TraceContext>)>> {
        let metrics = Arc::clone(&self.metrics);
        let checks = move || batch.into_iter().map(|each| check(each, &metrics)).collect::<Vec<_>>();
        // Which this one is, where there is a journal.
        if self.sink.journal().is_some() {
            return Some(checks());
        }
        tokio::task::spawn_blocking(checks).await.ok()
    }

    /// Delivers records once, with the losses as they stand.
    async fn attempt(&mut self, records: &[InferenceRecord]) -> Result<(), SinkError> {
        let (lost, losses) = self.shared.losses();
        let batch = Batch { inferences: records.to_vec(), outcomes: Vec::new(), losses };
        match self.sink.journal() {
            Some(journal) => journal.append(batch)?,
            None => self.sink.deliver(batch).await?,
        }
        self.told = lost;
        Ok(())
    }

    /// Lets the answers of a batch end: its records are kept, or could not be, and then no answer waits until some can.
    fn answers_go_on(&self, answers: Vec<oneshot::Sender<()>>, error: Option<&SinkError>) {
        let Some(error) = error else {
            for answer in answers {
                // One that has waited for too long is gone.
                let (Ok(()) | Err(())) = answer.send(());
            }
            return;
        };
        if self.sink.journal().is_some() && !self.shared.is_failing.swap(true, Ordering::Relaxed) {
            warn!(%error, "answers end before their records are kept; a crash would lose some");
        }
    }
}

/// How names of checks begin that only an application can judge.
const FEEDBACK: &str = "feedback:";

/// Evaluates the success contract of a call and makes its record.
fn check(finished: Finished, metrics: &Metrics) -> (InferenceRecord, Option<TraceContext>) {
    let Finished { exchange, capture, resolved_only, kept: _ } = finished;
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
