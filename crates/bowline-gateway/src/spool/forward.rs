//! The way out of the spool: batch by batch to the control role, for as long as it takes.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bowline_types::{Arm, RolloutId};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, warn};

use super::{Shared, Spool, Taken, arm};
use crate::recorder::{Sink, SinkError};

/// What became of one look at the spool.
enum Looked {
    /// Something was delivered; there may be more.
    Delivered,
    /// Nothing waits.
    Empty,
    /// It is to be tried again.
    Failed(String),
}

// === impl Spool ===

impl Spool {
    /// Delivers what comes to `sink` until told to stop; then what waits, for at most the drain of the options. The rest stays on disk.
    pub async fn run(self, sink: Arc<dyn Sink>, shutdown: CancellationToken) {
        let Self { shared } = self;
        let mut forwarder = Forwarder { shared: Arc::clone(&shared), sink, most: shared.options.batch_max.max(1) };
        let deadline = tokio::select! {
            deadline = forwarder.work(&shutdown) => deadline,
            never = keep_synced(&shared) => match never {},
        };
        let drained = tokio::time::timeout_at(deadline, forwarder.drain()).await;
        let left = shared.status(&shared.state()).waiting;
        if drained.is_err() || left > 0 {
            info!(left, "records wait in the spool for the next start");
        }
        sync(&shared).await;
    }
}

struct Forwarder {
    shared: Arc<Shared>,
    sink: Arc<dyn Sink>,
    /// Entries of the next delivery: fewer, after one was refused, until the one is found that must be.
    most: usize,
}

// === impl Forwarder ===

impl Forwarder {
    /// Returns until when it may go on after it was told to stop.
    async fn work(&mut self, shutdown: &CancellationToken) -> Instant {
        let options = self.shared.options.clone();
        let (mut wait, mut failing) = (options.retry_wait, false);
        loop {
            let looked = tokio::select! {
                biased;
                () = shutdown.cancelled() => break,
                looked = self.look() => looked,
            };
            let pause = match looked {
                Looked::Delivered => Duration::ZERO,
                Looked::Empty => Duration::MAX,
                Looked::Failed(error) => {
                    // One line when it begins and one when it ends is enough.
                    if !failing {
                        warn!(%error, "records wait in the spool");
                    }
                    debug!(%error, ?wait, "a delivery failed");
                    failing = true;
                    let pause = jittered(wait);
                    wait = (wait * 2).min(options.retry_wait_max);
                    pause
                }
            };
            if pause == Duration::ZERO {
                wait = options.retry_wait;
                if std::mem::take(&mut failing) {
                    info!("records are delivered again");
                }
                continue;
            }
            // A spool that fails is not looked at sooner because something came.
            let until = (pause < Duration::MAX).then(|| Instant::now() + pause);
            tokio::select! {
                () = shutdown.cancelled() => break,
                () = self.shared.came.notified(), if until.is_none() => {}
                () = sleep_until(until) => {}
            }
        }
        Instant::now() + options.drain
    }

    /// Delivers what is left, as long as that works.
    async fn drain(&mut self) {
        loop {
            match self.look().await {
                Looked::Delivered => {}
                Looked::Empty => return,
                Looked::Failed(error) => {
                    debug!(%error, "a delivery failed");
                    tokio::time::sleep(self.shared.options.retry_wait).await;
                }
            }
        }
    }

    /// Delivers one batch.
    async fn look(&mut self) -> Looked {
        let (shared, most) = (Arc::clone(&self.shared), self.most);
        let taken = tokio::task::spawn_blocking(move || shared.take(most)).await;
        let (taken, batch) = match taken {
            Ok(Ok(found)) => found,
            Ok(Err(error)) => return Looked::Failed(format!("the spool could not be read: {error}")),
            Err(error) => return Looked::Failed(error.to_string()),
        };
        let (shared, told) = (Arc::clone(&self.shared), batch.losses.clone());
        let entries = batch.inferences.len() + batch.outcomes.len();
        let unread = (taken.payloads.len() - entries) as u64;
        if entries == 0 && told.is_empty() {
            if unread == 0 && taken.damaged == 0 {
                return Looked::Empty;
            }
            // Nothing of it can be delivered, and what comes later must not wait for it.
            let passed = tokio::task::spawn_blocking(move || shared.acknowledge(&taken, unread, &[])).await;
            return passed.map_or_else(|error| Looked::Failed(error.to_string()), |()| Looked::Delivered);
        }
        let arms: Vec<_> = batch.inferences.iter().map(arm).collect();
        match self.sink.deliver(batch).await {
            Ok(()) => self.most = (self.most * 2).min(self.shared.options.batch_max.max(1)),
            Err(SinkError::Unavailable(error)) => return Looked::Failed(error),
            Err(SinkError::Refused(reason)) if taken.payloads.len() > 1 => {
                debug!(reason, "a batch was refused; it is delivered in parts");
                self.most = taken.payloads.len() / 2;
                return Looked::Delivered;
            }
            Err(SinkError::Refused(reason)) if taken.payloads.is_empty() => return Looked::Failed(reason),
            // Whoever waits for this one waits for ever.
            Err(SinkError::Refused(reason)) => return self.leave_out(taken, arms, &reason).await,
        }
        let acknowledged = tokio::task::spawn_blocking(move || shared.acknowledge(&taken, unread, &told)).await;
        acknowledged.map_or_else(|error| Looked::Failed(error.to_string()), |()| Looked::Delivered)
    }

    /// Counts the one entry of a batch as lost, since the control role refuses it.
    async fn leave_out(&self, taken: Taken, lost: Vec<Option<(RolloutId, Arm)>>, reason: &str) -> Looked {
        error!(reason, "the control role refused an entry of the spool; it is counted as lost");
        let shared = Arc::clone(&self.shared);
        // In one go, so that it is counted once. The losses that were refused with it are told with the next one.
        let counted = tokio::task::spawn_blocking(move || {
            shared.lose(&mut shared.state(), &lost);
            shared.acknowledge(&taken, 0, &[]);
        });
        counted.await.map_or_else(|error| Looked::Failed(error.to_string()), |()| Looked::Delivered)
    }
}

/// Syncs what came, again and again: what a power cut may take is what came since.
async fn keep_synced(shared: &Arc<Shared>) -> Infallible {
    let mut interval = tokio::time::interval(shared.options.sync_interval.max(Duration::from_millis(1)));
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        interval.tick().await;
        sync(shared).await;
    }
}

async fn sync(shared: &Arc<Shared>) {
    let shared = Arc::clone(shared);
    let synced = tokio::task::spawn_blocking(move || {
        let appended = shared.state().appended;
        shared.sync(appended)
    });
    match synced.await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => warn!(%error, "records are not synced"),
        Err(error) => warn!(%error, "records are not synced"),
    }
}

/// Waits until a moment; for ever where there is none.
async fn sleep_until(until: Option<Instant>) {
    match until {
        Some(until) => tokio::time::sleep_until(until).await,
        None => std::future::pending().await,
    }
}

/// Returns between a half and the whole of a wait, so that gateways do not come back all at once.
fn jittered(wait: Duration) -> Duration {
    let random = getrandom::u32().map_or(1.0, |random| f64::from(random) / f64::from(u32::MAX));
    wait.mul_f64(0.5 + random / 2.0)
}
