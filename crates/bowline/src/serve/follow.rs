//! Follows the control role: fetches what is new, renews leases, keeps the snapshot in a file for the next start.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bowline_gateway::{Handle, Renewal};
use bowline_registry::Snapshot;
use bowline_server::wire::News;
use bowline_server::{Link, LinkError};
use bowline_store::SCHEMA_VERSION;
use bowline_types::{Clock, Digest, RolloutId, Timestamp, chain};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::clock::{ControlClock, Reading};
use crate::workspace::Workspace;

/// How long the control role may wait with an answer while nothing changes: how often leases are renewed.
const WAIT: Duration = Duration::from_secs(5);
/// The wait before it is asked again after a failure, doubling up to [`RETRY_WAIT_MAX`].
const RETRY_WAIT: Duration = Duration::from_millis(50);
/// The longest such wait.
const RETRY_WAIT_MAX: Duration = Duration::from_secs(1);

/// What follows the control role.
pub(super) struct Follower {
    pub(super) link: Link,
    pub(super) handle: Handle,
    pub(super) clock: Arc<ControlClock>,
    pub(super) snapshots: watch::Sender<Arc<Snapshot>>,
    pub(super) workspace: Workspace,
    /// The digest of what is served from.
    pub(super) known: Option<Digest>,
    /// The digest of what is on disk.
    pub(super) kept: Option<Digest>,
}

/// A snapshot that a former process left.
pub(super) struct Stored {
    pub(super) snapshot: Snapshot,
    pub(super) digest: Digest,
}

// === impl Stored ===

impl Stored {
    /// Reads the file, whose last change is when the control role last confirmed it. Nobody knows how long this process was away, so no
    /// candidate is served until its lease is renewed. Blocks.
    pub(super) fn read(workspace: &Workspace) -> Option<Self> {
        let path = workspace.snapshot();
        let mut snapshot = match Snapshot::read(&path) {
            Ok(found) => found?,
            Err(error) => {
                warn!(error = chain(&error), "the stored snapshot is left; waiting for the control role");
                return None;
            }
        };
        let digest = snapshot.digest().ok()?;
        snapshot.rollouts_mut().for_each(|rollout| rollout.lease_until = Timestamp::default());
        if let Some(confirmed) = modified(&path) {
            snapshot.compiled_at = confirmed;
        }
        Some(Self { snapshot, digest })
    }
}

fn modified(path: &std::path::Path) -> Option<Timestamp> {
    let modified = path.metadata().and_then(|metadata| metadata.modified()).ok()?;
    let since = modified.duration_since(UNIX_EPOCH).ok()?;
    i64::try_from(since.as_micros()).ok().map(Timestamp::from_micros)
}

// === impl Follower ===

impl Follower {
    /// Follows until told to stop, through whatever happens to the control role.
    pub(super) async fn run(mut self, shutdown: CancellationToken) {
        let (mut wait, mut failing, mut met) = (RETRY_WAIT, false, false);
        loop {
            let stepped = tokio::select! {
                () = shutdown.cancelled() => return,
                stepped = self.step(met) => stepped,
            };
            let Err(error) = stepped else {
                if std::mem::take(&mut failing) || !met {
                    info!(control = self.link.address(), "the control role is there");
                }
                (wait, met) = (RETRY_WAIT, true);
                continue;
            };
            // One line when it begins and one when it ends is enough.
            if !failing {
                let age = self.handle.snapshot_age().as_secs();
                match self.known {
                    Some(_) => {
                        warn!(
                            error = chain(&error),
                            age, "no news from the control role; serving from the last snapshot"
                        );
                    }
                    None => {
                        warn!(error = chain(&error), "no news from the control role, and no snapshot to serve from yet")
                    }
                }
            }
            debug!(error = chain(&error), ?wait, "no news from the control role");
            (failing, met) = (true, false);
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = tokio::time::sleep(self.jittered(wait)) => {}
            }
            wait = (wait * 2).min(RETRY_WAIT_MAX);
        }
    }

    /// Returns between a half and the whole of a wait, by the last digits of the clock, so that gateways do not come back all at once.
    fn jittered(&self, wait: Duration) -> Duration {
        wait / 2 + wait / 2 * (self.clock.uptime().subsec_micros() % 1_000) / 1_000
    }

    /// Asks once. Whoever answers after a silence may be another one, with another secret.
    async fn step(&mut self, met: bool) -> std::result::Result<(), LinkError> {
        if !met {
            let secret = self.link.secret().await?;
            if let Err(failure) = self.workspace.token_secret_write(&secret) {
                warn!(error = failure.message(), "the secret under inference ids could not be kept for the next start");
            }
            self.handle.token_secret_set(secret);
        }
        let sent = self.clock.uptime();
        let news = self.link.news(self.known, if met { WAIT } else { Duration::ZERO }).await?;
        if !met && news.record_schema < SCHEMA_VERSION {
            let (reads, writes) = (news.record_schema, SCHEMA_VERSION);
            warn!(reads, writes, "the control role cannot read this gateway's records; they wait until it is upgraded");
        }
        let waited = Duration::from_micros(news.waited_us);
        let on_the_way = self.clock.uptime().saturating_sub(sent + waited);
        self.clock.follow(Reading { now: news.now, on_the_way });
        // Counted from when the question left, which is before the answer was true: never too long, and too short by the way at most.
        let confirmed = sent + waited;
        let leases: BTreeMap<_, _> =
            news.leases_us.iter().map(|(rollout, left)| (*rollout, confirmed + Duration::from_micros(*left))).collect();
        if self.known == Some(news.digest) {
            self.handle.renew(&Renewal { confirmed, leases });
            self.confirm().await;
            return Ok(());
        }
        self.fetch(&news, &leases).await
    }

    /// Takes another snapshot over.
    async fn fetch(
        &mut self,
        news: &News,
        leases: &BTreeMap<RolloutId, Duration>,
    ) -> std::result::Result<(), LinkError> {
        let Some((digest, mut snapshot)) = self.link.snapshot(self.known).await? else { return Ok(()) };
        debug!(%digest, epoch = news.epoch, "a new snapshot");
        let (now, uptime) = (self.clock.now(), self.clock.uptime());
        snapshot.compiled_at = now;
        for rollout in snapshot.rollouts_mut() {
            // Where it began after the news, the next one has its lease, at once.
            let left = leases.get(&rollout.id).map_or(Duration::ZERO, |until| until.saturating_sub(uptime));
            rollout.lease_until = now.after(left);
        }
        self.snapshots.send_replace(Arc::new(snapshot));
        self.known = Some(digest);
        self.keep().await;
        Ok(())
    }

    /// Keeps the present snapshot on disk.
    async fn keep(&mut self) {
        let (path, snapshot) = (self.workspace.snapshot(), self.snapshots.borrow().clone());
        let written = tokio::task::spawn_blocking(move || snapshot.write(&path)).await;
        match written {
            Ok(Ok(())) => self.kept = self.known,
            Ok(Err(error)) => warn!(error = chain(&error), "the snapshot could not be kept for the next start"),
            Err(error) => warn!(%error, "the snapshot could not be kept for the next start"),
        }
    }

    /// Notes in the file that the snapshot is still the present one. One that could not be written is written now: the one before it must not
    /// look as if it were confirmed.
    async fn confirm(&mut self) {
        if self.kept != self.known {
            self.keep().await;
            if self.kept != self.known {
                return;
            }
        }
        let (path, now) = (self.workspace.snapshot(), self.clock.now());
        let touched = tokio::task::spawn_blocking(move || touch(&path, now)).await;
        if let Ok(Err(error)) = touched {
            debug!(%error, "the age of the stored snapshot could not be noted");
        }
    }
}

fn touch(path: &PathBuf, now: Timestamp) -> std::io::Result<()> {
    let micros = u64::try_from(now.as_micros()).unwrap_or_default();
    let at = SystemTime::UNIX_EPOCH + Duration::from_micros(micros);
    File::options().write(true).open(path)?.set_modified(at)
}
