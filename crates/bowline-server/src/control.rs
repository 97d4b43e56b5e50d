use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bowline_registry::Snapshot;
use bowline_store::{InferenceRecord, LossRecord, OutcomeRecord, RolloutFilter, Store, Write};
use bowline_types::{Clock, Digest, EnvironmentName, ProjectName, RolloutId, Scope, Timestamp};
use tokio::sync::{Mutex, watch};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::config::Running;
use crate::control::changes::Changes;
use crate::driver::Driver;
use crate::error::{Error, Result};

mod access;
mod changes;
mod environment;
mod release;
mod rollout;
mod temporary;
mod version;

/// How the control role works.
#[derive(Clone, Debug)]
pub struct ControlOptions {
    /// How long a gateway may serve a candidate without news from here. Default: 5 minutes.
    pub lease: Duration,
    /// How often rollouts are looked at, those without news once a second. Default: 200 ms.
    pub tick: Duration,
}

/// The most steps of one rollout before the others have their turn.
const STEPS_PER_TICK_MAX: usize = 16;

/// How long a rollout without news is not looked at: a thousand of them would otherwise keep a core busy.
const REST: Duration = Duration::from_secs(1);

/// The control role: the only writer of the store. Cheap to clone.
#[derive(Clone)]
pub struct Control {
    shared: Arc<Shared>,
}

struct Shared {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    options: ControlOptions,
    snapshot: watch::Sender<Arc<Snapshot>>,
    changes: Changes,
    /// Held from reading the state until its change is committed and published, so that changes neither conflict nor overtake
    /// each other on their way to the gateways.
    turn: Mutex<Turn>,
}

/// What whoever changes something holds.
#[derive(Default)]
struct Turn {
    driver: Driver,
    /// The digest of the snapshot that gateways have.
    published: Option<Digest>,
    /// When it was published: the leases in it are counted from about then.
    published_at: Timestamp,
    /// Whether the store may hold something that gateways do not know.
    stale: bool,
    /// When the first temporary environment is to be removed.
    expiry: Option<Timestamp>,
}

// === impl ControlOptions ===

impl Default for ControlOptions {
    fn default() -> Self {
        Self { lease: Duration::from_secs(300), tick: Duration::from_millis(200) }
    }
}

// === impl Control ===

impl Control {
    /// Starts the control role over a store, with a first snapshot of what the store holds.
    ///
    /// Rollouts that run are judged once before that, so that only candidates that can be judged are served.
    ///
    /// # Errors
    /// Fails where the store cannot be read.
    pub async fn start(store: Arc<dyn Store>, clock: Arc<dyn Clock>, options: ControlOptions) -> Result<Self> {
        let (snapshot, _) = watch::channel(Arc::new(Snapshot::empty(clock.now())));
        let (turn, changes) = (Mutex::default(), Changes::new(clock.now()));
        let control = Self { shared: Arc::new(Shared { store, clock, options, snapshot, changes, turn }) };
        if let Err(error) = control.drive_all(Duration::ZERO).await {
            warn!(error = %error.message(), "a rollout could not be judged at the start");
        }
        let mut turn = control.shared.turn.lock().await;
        control.publish(&mut turn).await?;
        drop(turn);
        Ok(control)
    }

    /// Returns the snapshots that gateways serve from, the present one and every later one.
    #[must_use]
    pub fn snapshots(&self) -> watch::Receiver<Arc<Snapshot>> {
        self.shared.snapshot.subscribe()
    }

    /// Returns the store, for reading.
    #[must_use]
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.shared.store
    }

    /// Returns once the store was read and has taken an empty transaction: one that can be read may have ceased to take any, for good where it does
    /// not know what its disk holds.
    ///
    /// # Errors
    /// Fails where the store does.
    pub async fn answers(&self) -> Result<()> {
        self.shared.store.project_list().await?;
        Ok(self.shared.store.commit(Vec::new()).await?)
    }

    /// Returns the present.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.shared.clock.now()
    }

    /// Drives rollouts and renews leases until told to stop.
    pub async fn run(&self, shutdown: CancellationToken) {
        let mut tick = tokio::time::interval(self.shared.options.tick);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        // Five ticks a second say the same thing; one line when it begins and one when it ends is enough.
        let mut failing = None;
        // A candidate is served for a lease after each look.
        let rest = REST.min(self.shared.options.lease / 3);
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                _ = tick.tick() => {}
            }
            let failed = self.pass(rest).await.err().map(|error| error.message());
            match &failed {
                Some(error) if failed != failing => warn!(error, "rollouts could not be driven"),
                None if failing.is_some() => info!("rollouts are driven again"),
                _ => {}
            }
            failing = failed;
        }
    }

    /// Looks at every running rollout once, and renews the leases when it is time.
    ///
    /// # Errors
    /// Fails where the store does, after every other rollout was looked at; what was decided stays decided.
    pub async fn tick(&self) -> Result<()> {
        self.pass(Duration::ZERO).await
    }

    /// One tick; rollouts without news are left out until they have rested.
    async fn pass(&self, rest: Duration) -> Result<()> {
        let driven = self.drive_all(rest).await;
        let mut turn = self.shared.turn.lock().await;
        // A third of the lease: two renewals may fail before a candidate is no longer served.
        let due = self.now().since(turn.published_at) >= self.shared.options.lease / 3;
        if turn.stale || due {
            self.publish(&mut turn).await?;
        }
        if turn.expiry.is_some_and(|expiry| expiry <= self.now()) {
            self.expire(&mut turn).await?;
        }
        driven
    }

    async fn drive_all(&self, rest: Duration) -> Result<()> {
        let mut active = BTreeSet::new();
        // Project by project, as snapshots do: a list has an end, and nobody's rollout may lie beyond that of all of them.
        for project in self.shared.store.project_list().await? {
            let filter = RolloutFilter { project: Some(project.project), active: true, ..RolloutFilter::default() };
            active.extend(self.shared.store.rollout_list(filter).await?.iter().map(|rollout| rollout.id));
        }
        let mut driven = Ok(());
        for id in &active {
            // One rollout that cannot be judged must not keep the others from their verdict.
            let result = self.drive(*id, rest).await;
            driven = driven.and(result);
        }
        // Rollouts that started meanwhile have no judge yet.
        self.shared.turn.lock().await.driver.retain(&active);
        driven
    }

    /// Takes steps of one rollout while observations wait.
    async fn drive(&self, id: RolloutId, rest: Duration) -> Result<()> {
        let mut turn = self.shared.turn.lock().await;
        if !turn.driver.is_due(id, rest, self.now()) {
            return Ok(());
        }
        for _ in 0..STEPS_PER_TICK_MAX {
            let now = self.now();
            let store = self.shared.store.as_ref();
            let Some(mut step) = turn.driver.prepare(store, id, now).await? else { break };
            let writes = std::mem::take(&mut step.writes);
            let (changed, more) = (step.changed, step.more);
            if changed {
                self.commit(&mut turn, writes).await?;
            } else if !writes.is_empty() {
                let projects = changes::projects(&writes);
                store.commit(writes).await?;
                self.shared.changes.tell(projects);
            }
            turn.driver.settle(id, step, now);
            if changed {
                info!(rollout = %id, "rollout changed");
            } else if !more {
                break;
            }
        }
        Ok(())
    }

    /// Commits a change and publishes it.
    ///
    /// Once it is committed, it has happened: where it cannot be published, the next tick tries again.
    async fn commit(&self, turn: &mut Turn, writes: Vec<Write>) -> Result<()> {
        // Before the commit, since one that fails may have happened all the same.
        turn.stale = true;
        let projects = changes::projects(&writes);
        let committed = self.shared.store.commit(writes).await;
        if committed.is_ok()
            && let Err(error) = self.publish(turn).await
        {
            warn!(error = %error.message(), "a change is not published yet");
        }
        self.shared.changes.tell(projects);
        Ok(committed?)
    }

    /// Compiles the state of the store into a snapshot and hands it to the gateways, with renewed leases.
    async fn publish(&self, turn: &mut Turn) -> Result<()> {
        let now = self.now();
        let lease = |rollout: &_| turn.driver.judged_at(rollout).after(self.shared.options.lease);
        let mut next = Snapshot::compile(self.shared.store.as_ref(), now, lease).await?;
        let digest = next.digest().map_err(|source| Error::Document { field: "snapshot", source })?;
        let epoch = self.shared.snapshot.borrow().epoch;
        next.epoch = if turn.published == Some(digest) { epoch } else { epoch + 1 };
        self.shared.snapshot.send_replace(Arc::new(next));
        turn.expiry = self.expiry().await?;
        (turn.published, turn.published_at, turn.stale) = (Some(digest), now, false);
        Ok(())
    }

    /// Keeps a batch of inference records, outcomes and loss counters; returns after they are durable. Sending a batch twice changes
    /// nothing.
    ///
    /// # Errors
    /// Fails where the store does; the gateway sends the batch again.
    pub async fn records_append(
        &self,
        inferences: Vec<InferenceRecord>,
        outcomes: Vec<OutcomeRecord>,
        losses: Vec<LossRecord>,
    ) -> Result<()> {
        let inferences = inferences.into_iter().map(|record| Write::InferencePut(Box::new(record)));
        let outcomes = outcomes.into_iter().map(Write::OutcomePut);
        let writes: Vec<Write> = inferences.chain(outcomes).chain(losses.into_iter().map(Write::LossPut)).collect();
        Ok(self.shared.store.commit(writes).await?)
    }

    async fn running(&self, project: &ProjectName) -> Result<Running> {
        let record = self.shared.store.project_fetch(project.clone()).await?;
        let record = record.ok_or_else(|| Error::project_unknown(project))?;
        let temporary = self.shared.store.environment_list(project.clone()).await?;
        Ok(Running::decode(record.config)?.with(&temporary))
    }

    async fn scope(&self, project: &ProjectName, environment: &EnvironmentName) -> Result<Scope> {
        self.running(project).await?.environment(environment)?;
        Ok(Scope { project: project.clone(), environment: environment.clone() })
    }
}
