//! The control role dies at any point, and nothing is lost or done twice.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bowline_server::{Control, ControlOptions};
use bowline_store::{InferenceRecord, LogRow, ObservationRecord, RolloutRecord, RolloutState, Store, Write};
use bowline_testkit::ManualClock;

use crate::faulty::{Fault, FaultyStore, Moment};
use crate::world::{Call, World, classify, open, project, scope};

/// A rollout as it started, and all records that came, in the batches in which they came: one batch, then one tick.
struct Story {
    start: Vec<Write>,
    batches: Vec<Vec<InferenceRecord>>,
}

/// What must be the same whatever happened on the way.
#[derive(Debug, PartialEq)]
struct Ending {
    rollout: RolloutRecord,
    observations: Vec<ObservationRecord>,
    log: Vec<LogRow>,
    live: Option<String>,
    quarantined: usize,
}

/// A role that tells the same story again, over a store that may fail.
struct Teller {
    store: Arc<FaultyStore>,
    clock: Arc<ManualClock>,
    control: Control,
    _folder: tempfile::TempDir,
}

// === impl Story ===

impl Story {
    /// Plays a rollout to its end.
    async fn play(rate: f64, expected: RolloutState) -> Self {
        let mut world = World::new().await;
        world.release("v1", 0.95).await;
        world.release("v2", rate).await;
        let rollout = world.newest_rollout().await;
        let mut start = vec![
            Write::ProjectPut(world.store.project_fetch(project()).await.unwrap().unwrap()),
            Write::PointerPut { pointer: world.pointer().await, expected: None },
            Write::RolloutPut { rollout: Box::new(rollout.clone()), expected: None },
        ];
        for digest in [rollout.stable, rollout.candidate] {
            start.push(Write::VersionPut(world.store.version_fetch(digest).await.unwrap().unwrap()));
        }
        let mut batches = Vec::new();
        while world.newest_rollout().await.state.is_active() {
            assert!(batches.len() < 60, "no verdict");
            let mut batch = Vec::new();
            for number in 0..20 {
                world.clock.advance(Duration::from_secs(1));
                let unit = format!("{}-{number}", batches.len());
                batch.push(world.serve(Call { prompt: classify(), unit }));
            }
            world.control.records_append(batch.clone(), Vec::new(), Vec::new()).await.unwrap();
            world.control.tick().await.unwrap();
            batches.push(batch);
        }
        assert_eq!(world.newest_rollout().await.state, expected);
        Self { start, batches }
    }

    /// Tells the story again. Dies and starts anew after every failure, and before the batches for which `dies` says so.
    async fn tell(&self, fault: Option<Fault>, dies: impl Fn(usize) -> bool) -> (Ending, u64) {
        let mut teller = Teller::new(&self.start).await;
        teller.store.arm(fault);
        for (number, batch) in self.batches.iter().enumerate() {
            if dies(number) {
                teller.restart().await;
            }
            teller.clock.advance(Duration::from_secs(20));
            while teller.control.records_append(batch.clone(), Vec::new(), Vec::new()).await.is_err() {
                teller.restart().await;
            }
            if dies(number) {
                teller.restart().await;
            }
            while teller.control.tick().await.is_err() {
                teller.restart().await;
            }
        }
        // The role that is left knows what happened, and so do its gateways.
        teller.control.tick().await.unwrap();
        let replay = teller.control.rollout_replay(&project(), 1).await.unwrap();
        assert!(replay.equal, "{replay:#?}");
        (teller.ending().await, teller.store.commits())
    }
}

// === impl Teller ===

impl Teller {
    async fn new(start: &[Write]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Arc::new(FaultyStore::new(open(folder.path())));
        store.commit(start.to_vec()).await.unwrap();
        let clock = Arc::new(ManualClock::default());
        let control = Control::start(store.clone(), clock.clone(), ControlOptions::default()).await.unwrap();
        Self { store, clock, control, _folder: folder }
    }

    async fn restart(&mut self) {
        self.control = Control::start(self.store.clone(), self.clock.clone(), ControlOptions::default()).await.unwrap();
    }

    async fn ending(&self) -> Ending {
        let filter = bowline_store::RolloutFilter::default();
        let rollout = self.store.rollout_list(filter).await.unwrap().into_iter().next().unwrap();
        let filter = bowline_store::LogFilter { scope: scope(), prompt: None, before: None, limit: 1_000 };
        let live = self.control.snapshots().borrow().projects[&project()].environments[&scope().environment].prompts
            [&classify()]
            .clone();
        assert_eq!(live.rollout, None, "gateways know the end");
        Ending {
            observations: self.control.observation_list(&project(), 1, 0).await.unwrap(),
            log: self.store.log_list(filter).await.unwrap(),
            live: Some(live.version.to_string()),
            quarantined: self.store.quarantine_list(project()).await.unwrap().len(),
            rollout,
        }
    }
}

/// Dies between any two steps, after every step, and at every commit: before it, and after it before anyone is told.
async fn check(rate: f64, expected: RolloutState) {
    let story = Story::play(rate, expected).await;
    let (ending, commits) = story.tell(None, |_| false).await;
    assert_eq!(ending.rollout.state, expected);
    let gapless = (0..).zip(&ending.observations).all(|(sequence, observation)| observation.sequence == sequence);
    assert!(gapless && !ending.observations.is_empty());

    assert_eq!(story.tell(None, |_| true).await.0, ending, "died everywhere");
    for place in 0..story.batches.len() {
        assert_eq!(story.tell(None, |number| number == place).await.0, ending, "died at batch {place}");
    }
    for commit in 1..=commits {
        for moment in [Moment::Before, Moment::After] {
            let fault = Fault { commit, moment };
            assert_eq!(story.tell(Some(fault), |_| false).await.0, ending, "{fault:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rollback_survives_any_crash() {
    check(0.25, RolloutState::RolledBack).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_promotion_survives_any_crash() {
    check(1.0, RolloutState::Promoted).await;
}

#[tokio::test]
async fn a_step_that_failed_is_taken_again_without_a_restart() {
    let story = Story::play(0.25, RolloutState::RolledBack).await;
    let (ending, commits) = story.tell(None, |_| false).await;
    for commit in 1..=commits {
        for moment in [Moment::Before, Moment::After] {
            let teller = Teller::new(&story.start).await;
            teller.store.arm(Some(Fault { commit, moment }));
            for batch in &story.batches {
                teller.clock.advance(Duration::from_secs(20));
                while teller.control.records_append(batch.clone(), Vec::new(), Vec::new()).await.is_err() {}
                while teller.control.tick().await.is_err() {}
            }
            teller.control.tick().await.unwrap();
            assert_eq!(teller.ending().await, ending, "{commit} {moment:?}");
        }
    }
}

#[tokio::test]
async fn a_release_whose_answer_was_lost_is_not_done_twice() {
    for moment in [Moment::Before, Moment::After] {
        let mut faulty = None;
        let mut world = World::over(|store| {
            let store = Arc::new(FaultyStore::new(store));
            faulty = Some(store.clone());
            store
        })
        .await;
        let faulty = faulty.unwrap();
        let (v1, _) = world.release("v1", 0.9).await;
        faulty.arm(Some(Fault { commit: 1, moment }));
        let refused = world.try_release("v2").await.unwrap_err();
        assert!(refused.message().contains("unavailable"), "{}", refused.message());
        let response = world.try_release("v2").await.unwrap();
        let rollouts = world.control.rollout_list(&project(), false).await.unwrap();
        assert_eq!(rollouts.len(), 1, "{moment:?} {response:?}");
        let live = world.live(&classify());
        assert_eq!((live.version, live.rollout.unwrap().id), (v1, rollouts[0].id));
    }
}

#[tokio::test]
async fn what_happened_is_published_later_where_it_cannot_be_now() {
    let mut faulty = None;
    let mut world = World::over(|store| {
        let store = Arc::new(FaultyStore::new(store));
        faulty = Some(store.clone());
        store
    })
    .await;
    let faulty = faulty.unwrap();
    world.release("v1", 0.9).await;
    faulty.mute.store(true, Ordering::SeqCst);
    let response = world.try_release("v2").await;
    assert!(response.is_ok(), "it is committed, so it has happened: {response:?}");
    assert!(world.live(&classify()).rollout.is_none());
    assert!(world.control.tick().await.is_err());
    faulty.mute.store(false, Ordering::SeqCst);
    world.control.tick().await.unwrap();
    assert!(world.live(&classify()).rollout.is_some());
}

#[tokio::test]
async fn a_candidate_that_cannot_be_judged_loses_its_lease() {
    let mut faulty = None;
    let mut world = World::over(|store| {
        let store = Arc::new(FaultyStore::new(store));
        faulty = Some(store.clone());
        store
    })
    .await;
    let faulty = faulty.unwrap();
    world.release("v1", 0.9).await;
    world.release("v2", 0.9).await;
    let lease = |world: &World| world.live(&classify()).rollout.unwrap().lease_until;
    let first = lease(&world);
    world.clock.advance(Duration::from_secs(120));
    world.control.tick().await.unwrap();
    let second = lease(&world);
    assert!(second > first);

    faulty.blind.store(true, Ordering::SeqCst);
    for _ in 0..10 {
        world.clock.advance(Duration::from_secs(60));
        assert!(world.control.tick().await.is_err());
    }
    assert_eq!(lease(&world), second);
    // A role that starts now cannot judge it either, and grants nothing.
    world.restart().await;
    assert!(lease(&world) <= first);

    faulty.blind.store(false, Ordering::SeqCst);
    world.clock.advance(Duration::from_secs(120));
    world.control.tick().await.unwrap();
    assert!(lease(&world) > second);
}
