use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

use bowline_store::{OutcomeTarget, OutcomeValue};
use bowline_testkit::ManualClock;
use bowline_types::{InferenceId, KeyId, OutcomeId, Timestamp, Unit, UnitKind};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::*;

/// The control role as the spool sees it: knows by id what it has, may be down, and may refuse.
#[derive(Default)]
struct Control {
    inferences: Mutex<BTreeMap<InferenceId, InferenceRecord>>,
    outcomes: Mutex<BTreeMap<OutcomeId, OutcomeRecord>>,
    losses: Mutex<BTreeMap<(InstanceId, RolloutId, Arm), u64>>,
    is_down: AtomicBool,
    refused: Mutex<Vec<InferenceId>>,
}

impl Sink for Control {
    fn deliver(&self, batch: Batch) -> SinkFuture<'_> {
        Box::pin(async move {
            if self.is_down.load(Ordering::SeqCst) {
                return Err(SinkError::Unavailable("down".to_owned()));
            }
            let refused = self.refused.lock().unwrap().clone();
            if batch.inferences.iter().any(|record| refused.contains(&record.id)) {
                return Err(SinkError::Refused("no such rollout".to_owned()));
            }
            self.inferences.lock().unwrap().extend(batch.inferences.into_iter().map(|record| (record.id, record)));
            self.outcomes.lock().unwrap().extend(batch.outcomes.into_iter().map(|outcome| (outcome.id, outcome)));
            for LossRecord { instance, rollout, arm, total } in batch.losses {
                let mut losses = self.losses.lock().unwrap();
                let known = losses.entry((instance, rollout, arm)).or_default();
                *known = total.max(*known);
            }
            Ok(())
        })
    }
}

impl Control {
    fn lost(&self, arm: Arm) -> u64 {
        self.losses.lock().unwrap().iter().filter(|((_, _, of), _)| *of == arm).map(|(_, total)| total).sum()
    }

    fn kept(&self, arm: Arm) -> u64 {
        self.inferences.lock().unwrap().values().filter(|record| record.arm == Some(arm)).count() as u64
    }
}

fn rollout() -> RolloutId {
    "rol_0198f3d2a1b47c0e8f00112233445566".parse().unwrap()
}

fn record(arm: Option<Arm>) -> InferenceRecord {
    let fixture = include_str!("../../tests/fixtures/schema-1/batch.json");
    let mut batch: Batch = serde_json::from_str(fixture).unwrap();
    let now = ManualClock::default().now();
    let unit = Unit { kind: UnitKind::User, value: "u".to_owned() };
    let (id, rollout) = (InferenceId::generate(now), arm.map(|_| rollout()));
    InferenceRecord { id, unit, arm, rollout, ..batch.inferences.remove(0) }
}

fn records(count: usize, arm: Option<Arm>) -> Batch {
    Batch { inferences: (0..count).map(|_| record(arm)).collect(), ..Batch::default() }
}

fn feedback() -> (OutcomeId, Batch) {
    let now = ManualClock::default().now();
    let (schema_version, id, key) = (bowline_store::SCHEMA_VERSION, OutcomeId::generate(now), KeyId::generate(now));
    let (target, value) = (OutcomeTarget::Answer("a".to_owned()), OutcomeValue::Flag(true));
    let outcome = OutcomeRecord { schema_version, id, key, target, name: "ok".to_owned(), value, at: now };
    (id, Batch { outcomes: vec![outcome], ..Batch::default() })
}

fn open(folder: &Path, bytes_max: u64) -> Spool {
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::default());
    let metrics = Arc::new(Metrics::new(Arc::clone(&clock)));
    let retry_wait = Duration::from_millis(1);
    let options = SpoolOptions { bytes_max, retry_wait, retry_wait_max: retry_wait * 4, ..SpoolOptions::default() };
    Spool::open(folder, options, clock, metrics).unwrap()
}

/// Delivers what a spool has, and ends.
async fn deliver(spool: &Spool, control: &Arc<Control>) {
    let stop = CancellationToken::new();
    stop.cancel();
    spool.clone().run(Arc::clone(control) as _, stop).await;
}

#[tokio::test]
async fn what_was_taken_outlives_the_process_and_arrives_once() {
    let folder = tempfile::tempdir().unwrap();
    let control = Arc::new(Control::default());
    let (id, batch) = feedback();
    {
        let spool = open(folder.path(), 1 << 20);
        spool.deliver(records(700, None)).await.unwrap();
        spool.deliver(batch).await.unwrap();
        assert_eq!(spool.status().waiting, 701);
    }
    let spool = open(folder.path(), 1 << 20);
    assert_eq!(spool.status().waiting, 701);
    deliver(&spool, &control).await;
    assert_eq!((spool.status().waiting, spool.status().delivered), (0, 701));
    assert_eq!(control.inferences.lock().unwrap().len(), 700);
    assert!(control.outcomes.lock().unwrap().contains_key(&id));
}

#[tokio::test]
async fn a_full_spool_counts_what_it_lost_by_arm_and_refuses_feedback() {
    let folder = tempfile::tempdir().unwrap();
    let control = Arc::new(Control::default());
    let mut sent = BTreeMap::new();
    // Two processes, one after the other: the second one's count comes on top.
    for round in 1_u64..=2 {
        let spool = open(folder.path(), 64 * 1024);
        for (index, arm) in [Arm::Stable, Arm::Candidate, Arm::Stable].into_iter().cycle().take(90).enumerate() {
            spool.deliver(records(1 + index % 3, Some(arm))).await.unwrap();
            *sent.entry(arm).or_insert(0) += 1 + index as u64 % 3;
        }
        let (_, batch) = feedback();
        let large = Batch {
            outcomes: vec![OutcomeRecord { value: OutcomeValue::Text("t".repeat(4_096)), ..batch.outcomes[0].clone() }],
            ..batch
        };
        assert_eq!(spool.deliver(large).await, Err(SinkError::Unavailable("the spool is full".to_owned())), "{round}");
        assert!(spool.shared.metrics.encode().contains("bowline_records_lost_total{arm=\"candidate\"}"));
    }
    let spool = open(folder.path(), 64 * 1024);
    deliver(&spool, &control).await;
    for arm in Arm::ALL {
        assert!(control.lost(arm) > 0 && control.kept(arm) > 0);
        assert_eq!(control.kept(arm) + control.lost(arm), sent[&arm], "{arm}");
    }
    // Told, and of processes that are gone: nothing is left to tell.
    assert_eq!(spool.shared.state().losses.untold(), []);
    for file in ["losses.json", "losses.synced.json"] {
        assert_eq!(std::fs::read_to_string(folder.path().join(file)).unwrap(), "[]", "{file}");
    }
    let (_, batch) = feedback();
    spool.deliver(batch).await.unwrap();
}

#[tokio::test]
async fn it_tries_until_the_control_role_is_back() {
    let folder = tempfile::tempdir().unwrap();
    let (spool, control) = (open(folder.path(), 1 << 20), Arc::new(Control::default()));
    control.is_down.store(true, Ordering::SeqCst);
    let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
    tasks.spawn(spool.clone().run(Arc::clone(&control) as _, stop.clone()));
    spool.deliver(records(3, None)).await.unwrap();
    let loss = LossRecord {
        instance: InstanceId::generate(Timestamp::default()),
        rollout: rollout(),
        arm: Arm::Stable,
        total: 5,
    };
    spool.deliver(Batch { losses: vec![loss], ..Batch::default() }).await.unwrap();
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert_eq!(control.inferences.lock().unwrap().len(), 0);
    control.is_down.store(false, Ordering::SeqCst);
    let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
    while spool.status().waiting > 0 || control.lost(Arm::Stable) < 5 {
        assert!(tokio::time::Instant::now() < deadline, "it was not delivered");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    assert_eq!(control.inferences.lock().unwrap().len(), 3);
    stop.cancel();
    tasks.close();
    tasks.wait().await;
}

/// An entry that a later Bowline wrote, as after a downgrade.
#[tokio::test]
async fn an_entry_that_cannot_be_read_is_counted_once() {
    let folder = tempfile::tempdir().unwrap();
    let (spool, control) = (open(folder.path(), 1 << 20), Arc::new(Control::default()));
    let unread =
        || spool.shared.metrics.encode().lines().find(|line| line.contains("lost_total{arm=\"\"}")).map(str::to_owned);
    let before = unread();
    spool.shared.state().log.append(&[b"{\"of\":\"tomorrow\"}".to_vec()], Timestamp::default()).unwrap();
    control.is_down.store(true, Ordering::SeqCst);
    spool.deliver(records(1, None)).await.unwrap();
    let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
    tasks.spawn(spool.clone().run(Arc::clone(&control) as _, stop.clone()));
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert_eq!(unread(), before, "it is read again and again, and not lost yet");
    control.is_down.store(false, Ordering::SeqCst);
    stop.cancel();
    tasks.close();
    tasks.wait().await;
    assert_eq!((spool.status().waiting, spool.status().delivered), (0, 1));
    assert!(unread().unwrap().ends_with(" 1"), "{:?}", unread());
}

#[tokio::test]
async fn an_entry_that_is_refused_for_ever_keeps_nobody_else() {
    let folder = tempfile::tempdir().unwrap();
    let (spool, control) = (open(folder.path(), 1 << 20), Arc::new(Control::default()));
    let batch = records(100, Some(Arm::Candidate));
    control.refused.lock().unwrap().extend([batch.inferences[17].id, batch.inferences[18].id]);
    spool.deliver(batch).await.unwrap();
    deliver(&spool, &control).await;
    // The counts go with the next delivery.
    deliver(&spool, &control).await;
    assert_eq!((control.kept(Arm::Candidate), control.lost(Arm::Candidate)), (98, 2));
    assert_eq!(spool.status().waiting, 0);
}

/// As a power cut may leave the file of counts, which is replaced without a sync.
#[tokio::test]
async fn counts_that_were_cut_off_are_read_from_their_copy() {
    let folder = tempfile::tempdir().unwrap();
    let lost = {
        let spool = open(folder.path(), 8 * 1024);
        spool.append(records(50, Some(Arm::Stable))).unwrap();
        let state = spool.shared.state();
        let (appended, lost) = (state.appended, state.losses.untold());
        drop(state);
        spool.shared.sync(appended).unwrap();
        lost
    };
    assert!(lost[0].total > 10);
    for torn in ["", "[{"] {
        std::fs::write(folder.path().join("losses.json"), torn).unwrap();
        assert_eq!(open(folder.path(), 8 * 1024).shared.state().losses.untold(), lost, "{torn:?}");
    }
    std::fs::write(folder.path().join("losses.synced.json"), "[{").unwrap();
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::default());
    let metrics = Arc::new(Metrics::new(Arc::clone(&clock)));
    let opened = Spool::open(folder.path(), SpoolOptions::default(), clock, metrics);
    assert!(matches!(opened, Err(SpoolError::Unreadable { .. })));
}
