//! Roles apart: a control role and three gateways as processes of their own, under traffic, while the control role and a gateway are
//! killed, a spool is full and clocks are wrong. `BOWLINE_KILLS` says how often the control role is killed; `cargo xtask chaos` asks
//! for more.

mod accounts;
mod certificates;
mod cluster;
mod remote;
mod starts;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bowline_server::wire::{LogPage, ReplayView, RollbackRequest, RollbackResponse};
use bowline_store::{LogAction, LossRecord, RolloutRecord, SummaryRow};
use bowline_types::{Arm, Clock, InferenceId, SystemClock, Timestamp};
use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use cluster::{Caller, Cluster, Counted, GatewayOptions, PATIENCE};

/// How often the control role is killed in the tests.
const KILLS: u32 = 4;
/// How often a pointer is moved in the tests.
const MOVES: u32 = 5;
/// Applications at each gateway.
const CALLERS: usize = 3;
/// The latest moment of a kill, in milliseconds after a start.
const MOMENT_MAX_MS: u64 = 500;
/// The gateway whose spool is too small, and whose clock is ahead.
const SMALL: usize = 0;
/// The gateway that is killed too.
const KILLED: usize = 1;
/// The gateway whose clock is behind.
const BEHIND: usize = 2;

#[expect(clippy::disallowed_methods, reason = "a test has no config module")]
fn setting(name: &str, default: u32) -> u32 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// xorshift64: seeded, so that the moments are the same in every run.
struct Moments(u64);

impl Moments {
    fn next(&mut self) -> Duration {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        Duration::from_millis(self.0 % MOMENT_MAX_MS)
    }
}

/// Applications at every gateway.
struct Traffic {
    counted: [Arc<Mutex<Counted>>; 3],
    stop: CancellationToken,
    callers: JoinSet<()>,
}

impl Traffic {
    fn start(cluster: &Cluster, key: &str) -> Self {
        let (counted, stop) = (<[Arc<Mutex<Counted>>; 3]>::default(), CancellationToken::new());
        let mut callers = JoinSet::new();
        for (index, counted) in counted.iter().enumerate() {
            for caller in 0..CALLERS {
                let caller = Caller {
                    name: format!("unit-{index}-{caller}"),
                    pool: cluster.pool.clone(),
                    gateway: cluster.gateway(index),
                    key: key.to_owned(),
                    counted: Arc::clone(counted),
                    pace: Duration::from_millis(10),
                };
                callers.spawn(caller.run(stop.clone()));
            }
        }
        Self { counted, stop, callers }
    }

    /// Lets every call in flight end, and returns what was counted.
    async fn stop(self) -> [Counted; 3] {
        self.stop.cancel();
        self.callers.join_all().await;
        self.counted.map(|counted| std::mem::take(&mut *counted.lock().unwrap()))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_or_doubled_while_roles_are_killed() {
    let kills = setting("BOWLINE_KILLS", KILLS);
    let ahead = GatewayOptions { spool_bytes_max: Some("48KiB"), clock_offset: Some("2h") };
    let behind = GatewayOptions { clock_offset: Some("-90s"), ..GatewayOptions::default() };
    let mut cluster = Cluster::start(&[ahead, GatewayOptions::default(), behind]).await;
    let key = cluster.key("prod").await;
    until_known(&cluster, &key).await;
    let started = SystemClock.now();
    let traffic = Traffic::start(&cluster, &key);
    let (mut moments, mut releases, mut gateway_kills) = (Moments(0x9e37_79b9_7f4a_7c15), 0, 0);
    for kill in 0..kills {
        tokio::time::sleep(moments.next()).await;
        cluster.control_kill();
        if kill == 0 {
            until_full(&cluster).await;
        }
        // In every other round it comes back with nobody to ask, and serves; else it is killed while it delivers.
        if kill % 2 == 1 {
            cluster.gateway_kill(KILLED).await;
            gateway_kills += 1;
        }
        tokio::time::sleep(moments.next()).await;
        cluster.control_start().await;
        cluster.edit("news", &format!("Say what is new after {kill} kills."));
        releases += u32::from(cluster.release(&["--env", "staging", "--prompt", "news"]));
        if kill % 2 == 0 {
            cluster.gateway_kill(KILLED).await;
            gateway_kills += 1;
        }
    }
    // The rollout goes on: what came last is judged too.
    tokio::time::sleep(Duration::from_millis(500)).await;
    let counted = traffic.stop().await;
    cluster.delivered().await;
    check_counters(&cluster, &counted).await;
    let decided = check_decisions(&cluster, kills).await;
    assert_eq!(releases, kills, "a release was not acknowledged");
    for gateway in cluster.gateways.drain(..).flatten() {
        assert!(gateway.stop().await);
    }
    assert!(cluster.control.take().unwrap().stop().await);
    let told = check_records(&cluster, &counted, &decided, (started, gateway_kills));
    println!("{kills} kills of control: {told}");
}

/// Waits until every gateway knows the key.
async fn until_known(cluster: &Cluster, key: &str) {
    for index in 0..cluster.gateways.len() {
        let deadline = Instant::now() + PATIENCE;
        while served(cluster, index, key, "prompt:hello").await.is_none() {
            assert!(Instant::now() < deadline, "gateway {index} does not learn of a key");
        }
    }
}

/// Waits until the small spool has lost something.
async fn until_full(cluster: &Cluster) {
    let deadline = Instant::now() + PATIENCE;
    while cluster.metric(SMALL, "bowline_records_lost_total").await < 20.0 {
        assert!(Instant::now() < deadline, "the small spool does not become full");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// The gateways that lived all the time have counted what their applications were answered.
async fn check_counters(cluster: &Cluster, counted: &[Counted; 3]) {
    for (index, counted) in counted.iter().enumerate() {
        assert_eq!(counted.failed, [""; 0], "gateway {index} failed a call that it could serve");
        assert!(index == SMALL || counted.refused == 0, "gateway {index} refused feedback that it had room for");
        assert!(index == KILLED || counted.broken == 0, "gateway {index} broke connections off");
        // One call of `until_known` each.
        let answers = counted.answers.len() as f64 + 1.0;
        if index != KILLED {
            assert_eq!(cluster.metric(index, "bowline_inferences_total").await, answers, "gateway {index}");
        }
        for arm in Arm::ALL {
            let served = counted.answers.values().filter(|found| *found == arm.as_str()).count();
            assert!(served > 0, "gateway {index} served no {arm}: its clock ended a lease");
        }
    }
}

/// What the control role made of it.
struct Decided {
    /// What it was told as lost.
    lost: Vec<LossRecord>,
    /// Inferences in its summary.
    summarised: u64,
    observations: u64,
}

/// One rollout runs and can be replayed; each release moved the pointer once.
async fn check_decisions(cluster: &Cluster, kills: u32) -> Decided {
    let rollouts: Vec<RolloutRecord> = cluster.client.get("/rollouts?active=true").await.unwrap();
    let [rollout] = &rollouts[..] else { panic!("{rollouts:?}") };
    let replay: ReplayView = cluster.client.get(&format!("/rollouts/{}/replay", rollout.number)).await.unwrap();
    assert!(replay.equal && replay.observations > 0, "the recorded evidence is not that of the log");
    let log: LogPage = cluster.client.get("/environments/staging/log?prompt=news&limit=1000").await.unwrap();
    let moves: Vec<_> = log.rows.iter().filter(|row| row.action == LogAction::Moved).filter_map(|row| row.to).collect();
    let distinct: std::collections::BTreeSet<_> = moves.iter().collect();
    assert_eq!(
        (moves.len(), distinct.len()),
        (kills as usize + 1, kills as usize + 1),
        "a decision was lost or doubled"
    );
    let summary: Vec<SummaryRow> = cluster.client.get("/environments/prod/summary").await.unwrap();
    let view: bowline_server::wire::RolloutView =
        cluster.client.get(&format!("/rollouts/{}", rollout.number)).await.unwrap();
    let instance = bowline_types::InstanceId::generate(Timestamp::default());
    let told = Arm::ALL.map(|arm| LossRecord { instance, rollout: rollout.id, arm, total: *view.lost.get(arm) });
    let summarised = summary.iter().map(|row| row.inferences).sum();
    Decided { lost: told.to_vec(), summarised, observations: replay.observations }
}

/// What the store has is what applications were answered, less what was told as lost.
fn check_records(
    cluster: &Cluster,
    counted: &[Counted; 3],
    Decided { lost, summarised, observations }: &Decided,
    (started, gateway_kills): (Timestamp, usize),
) -> String {
    let database = cluster.folder.path().join("control/store/bowline.db");
    let database = rusqlite::Connection::open(database).unwrap();
    let mut rows = database.prepare("SELECT id, record ->> 'started_at' FROM inference").unwrap();
    let recorded: BTreeMap<InferenceId, Timestamp> = rows
        .query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?)))
        .unwrap()
        .map(|row| row.map(|(id, at)| (id.parse().unwrap(), Timestamp::from_micros(at))).unwrap())
        .collect();
    assert_eq!(*summarised, recorded.len() as u64, "a record was counted twice or not at all");
    let missing = |index: usize, arm: &str| {
        let missing = counted[index].answers.iter().filter(|(id, _)| !recorded.contains_key(id));
        missing.filter(|(_, found)| arm.is_empty() || *found == arm).count() as u64
    };
    assert_eq!(missing(BEHIND, ""), 0, "records were lost");
    for LossRecord { arm, total, .. } in lost {
        assert_eq!(missing(SMALL, arm.as_str()), *total, "{arm}: what is missing is not what was told as lost");
    }
    // Whoever has a whole answer has its record, though the gateway was killed in the next moment.
    assert_eq!(missing(KILLED, ""), 0, "records were lost with a gateway that was killed {gateway_kills} times");
    let answered: u64 = counted.iter().map(|counted| counted.answers.len() as u64).sum();
    let streamed: u64 = counted.iter().map(|counted| counted.streamed).sum();
    assert!(streamed > 0 && streamed < answered, "{streamed} of {answered} answers were streamed");
    let unknown = recorded.keys().filter(|id| !counted.iter().any(|counted| counted.answers.contains_key(id))).count();
    let broken: u64 = counted.iter().map(|counted| counted.broken).sum();
    assert!(unknown as u64 <= broken + 3, "{unknown} records of calls that nobody made, {broken} were broken off");
    // Gateways whose clocks are wrong mean the same time as everybody.
    let window = started.before(Duration::from_secs(2))..SystemClock.now().after(Duration::from_secs(2));
    let outside = recorded.values().filter(|at| !window.contains(at)).count();
    assert_eq!(outside, 0, "records with a time that it was not");
    let mut judged = 0;
    let mut outcome = database.prepare("SELECT count(*) FROM outcome WHERE id = ?1").unwrap();
    for id in counted.iter().flat_map(|counted| &counted.judgements) {
        assert_eq!(outcome.query_one([id.to_string()], |row| row.get(0)), Ok(1), "acknowledged feedback {id} is lost");
        judged += 1;
    }
    let told: u64 = lost.iter().map(|loss| loss.total).sum();
    let refused: u64 = counted.iter().map(|counted| counted.refused).sum();
    assert!(told > 0 && judged > 100, "too little happened");
    format!(
        "{answered} answers, {streamed} of them streamed, none failed; {} records, {observations} observations; {told} told as lost by \
         the full spool, none lost with {gateway_kills} kills of a gateway, which broke {broken} calls off; {judged} judgements \
         acknowledged and kept, {refused} refused while the spool was full",
        recorded.len()
    )
}

/// Asks a gateway for the version that it serves now.
async fn served(cluster: &Cluster, index: usize, key: &str, model: &str) -> Option<String> {
    let caller = Caller {
        name: String::new(),
        pool: cluster.pool.clone(),
        gateway: cluster.gateway(index),
        key: key.to_owned(),
        counted: Arc::default(),
        pace: Duration::ZERO,
    };
    let answer = caller.post("/v1/chat/completions", "probe", &json!({"model": model})).await?;
    let version = answer.headers.get("x-bowline-version").filter(|_| answer.status == 200);
    version.map(|version| version.to_str().unwrap().to_owned())
}

/// How long it takes until a pointer move has reached every gateway. `cargo xtask bench roles` moves it more often.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pointer_move_reaches_every_gateway() {
    let moves = setting("BOWLINE_MOVES", MOVES);
    let cluster = Cluster::start(&[GatewayOptions::default(); 3]).await;
    let key = cluster.key("staging").await;
    cluster.edit("news", "Say what else is new.");
    assert!(cluster.release(&["--env", "staging", "--prompt", "news"]));
    let log: LogPage = cluster.client.get("/environments/staging/log?prompt=news").await.unwrap();
    let versions: Vec<_> = log.rows.iter().filter_map(|row| row.to).collect();
    let mut took = Vec::new();
    for number in 0..moves {
        let to = versions[1 - (number as usize + 1) % 2].to_string();
        let request = RollbackRequest {
            prompt: "news".parse().unwrap(),
            to: Some(to.clone()),
            actor: "ada".to_owned(),
            why: "a test".to_owned(),
        };
        let asked = Instant::now();
        let _moved: RollbackResponse = cluster.client.post("/environments/staging/rollback", &request).await.unwrap();
        let mut slowest = Duration::ZERO;
        for index in 0..cluster.gateways.len() {
            while served(&cluster, index, &key, "prompt:news").await.as_ref() != Some(&to) {
                assert!(asked.elapsed() < PATIENCE, "gateway {index} does not learn of a move");
            }
            slowest = slowest.max(asked.elapsed());
        }
        took.push(slowest);
    }
    took.sort_unstable();
    let at = |share: usize| took[(took.len() * share / 100).min(took.len() - 1)].as_secs_f64() * 1e3;
    println!(
        "from a rollback's request until the last of 3 gateways serves it, {moves} moves: median {:.1} ms, p99 {:.1} ms, most {:.1} ms",
        at(50),
        at(99),
        at(100)
    );
}
