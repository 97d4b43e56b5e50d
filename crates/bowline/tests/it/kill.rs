//! `kill -9` of a running `bowline up` under traffic, at random moments: nothing acknowledged is lost, the store opens, and
//! rollouts go on. `BOWLINE_KILLS` says how often; `cargo xtask chaos` asks for more.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use bowline_server::Client;
use bowline_server::wire::{ReleaseResponse, ReplayView};
use bowline_sim::Scenario;
use bowline_store::{LogAction, LogFilter, RolloutFilter, RolloutRecord, Store};
use bowline_store_sqlite::{Error, Options, SqliteStore};
use bowline_types::{Digest, KeyId, OutcomeId, RolloutId, Scope};
use bytes::Bytes;
use http::{HeaderMap, Request};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::project::Project;
use crate::up::{self, Process, Up};

/// How often it is killed in the tests.
const KILLS: u32 = 40;
/// Applications that call at the same time.
const CALLERS: usize = 4;
/// The latest moment of a kill, in milliseconds after the start or after it serves.
const MOMENT_MAX_MS: u64 = 400;
/// How long anything may take before the test fails.
const PATIENCE: Duration = Duration::from_secs(30);

/// `prod` has a plan that never comes to an end: its rollout must outlive every kill. `staging` moves at once.
const PROJECT: &str = r#"
project: desk
providers:
  local: { kind: openai, base_url: "UPSTREAM/v1", identity: test/llm }
models:
  fast: { provider: local, model: tiny }
environments:
  dev: {}
  staging: {}
  prod:
    rollout:
      stages: ["50%"]
      maturity: 200ms
      min_duration: 6d
      alpha: { rollback: 0.000001, promote: 0.000001 }
"#;

/// A project whose provider is a simulator, and the client of applications.
struct Scene {
    project: Project,
    pool: hyper_util::client::legacy::Client<HttpConnector, Full<Bytes>>,
    /// How many units there were, so that each call is of another one.
    units: AtomicU64,
    acknowledged: Acknowledged,
}

/// What was acknowledged.
#[derive(Default)]
struct Acknowledged {
    answers: AtomicU64,
    feedback: Mutex<Vec<OutcomeId>>,
    releases: Mutex<Vec<Digest>>,
    keys: Mutex<Vec<KeyId>>,
}

/// What was seen of each rollout so far: its revision and how many observations it had.
type Seen = BTreeMap<RolloutId, (u64, u64)>;

/// xorshift64: seeded, so that the moments are the same in every run.
struct Moments(u64);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_when_it_is_killed() {
    let kills = kills();
    let scene = Arc::new(Scene::create().await);
    let up = Up::start(&scene.project);
    let key = up::key(&up.client).await.unwrap().key;
    up.process.kill();
    let (mut seen, mut went_on, mut moments) = (Seen::new(), 0, Moments(0x9e37_79b9_7f4a_7c15));
    for kill in 0..kills {
        if kill % 4 == 3 {
            // While it starts.
            let starting = Process::start(&scene.project);
            tokio::time::sleep(moments.next()).await;
            starting.kill();
        } else {
            let up = Up::start(&scene.project);
            let mut traffic = scene.traffic(&up, &key);
            tokio::time::sleep(moments.next()).await;
            up.process.kill();
            traffic.join().await;
        }
        let before = observed(&seen);
        scene.check(&mut seen).await;
        went_on += u32::from(observed(&seen) > before);
    }
    scene.finish(&key, &seen).await;
    let Acknowledged { answers, feedback, releases, keys } = &scene.acknowledged;
    let counts = [feedback.lock().unwrap().len(), releases.lock().unwrap().len(), keys.lock().unwrap().len()];
    let [feedback, releases, keys] = counts;
    let answers = answers.load(Ordering::Relaxed);
    println!(
        "{kills} kills: {answers} answers; {feedback} judgements, {releases} releases and {keys} keys were acknowledged, none \
         is lost; {} observations, rollouts went on after {went_on} kills",
        observed(&seen)
    );
    // It says little where little was going on.
    assert!(
        feedback > kills as usize && releases > 0 && keys > 0 && went_on > 0,
        "too little happened between the kills"
    );
}

#[expect(clippy::disallowed_methods, reason = "a test has no config module")]
fn kills() -> u32 {
    std::env::var("BOWLINE_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(KILLS)
}

fn observed(seen: &Seen) -> u64 {
    seen.values().map(|(_, count)| count).sum()
}

fn scope(environment: &str) -> Scope {
    Scope { project: up::project(), environment: environment.parse().unwrap() }
}

// === impl Moments ===

impl Moments {
    fn next(&mut self) -> Duration {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        Duration::from_millis(self.0 % MOMENT_MAX_MS)
    }
}

// === impl Scene ===

impl Scene {
    /// Makes the project, with a rollout that runs.
    async fn create() -> Self {
        let address = up::simulator(Scenario::default()).await;
        let project = Project::with_upstream("127.0.0.1:9");
        project.write("bowline.yaml", PROJECT.replace("UPSTREAM", &address));
        fs::remove_dir_all(project.path().join("prompts")).unwrap();
        let pool = hyper_util::client::legacy::Client::builder(TokioExecutor::new()).build_http();
        let scene = Self { project, pool, units: AtomicU64::new(0), acknowledged: Acknowledged::default() };
        scene.edit("hello", "Say hello.");
        scene.edit("news", "Say what is new.");
        scene.project.commit("hello");
        scene.release(&["--env", "prod"]).unwrap();
        scene.edit("hello", "Say hello to them.");
        scene.project.commit("hello to them");
        scene.release(&["--env", "prod"]).unwrap();
        scene
    }

    fn edit(&self, prompt: &str, body: &str) {
        let text = format!("---\nmodel: fast\nbowline.success: [complete, {{ feedback: ok }}]\n---\n{body}\n");
        self.project.write(&format!("prompts/{prompt}.prompt"), text);
    }

    /// Releases; `None` where it is not acknowledged.
    fn release(&self, arguments: &[&str]) -> Option<ReleaseResponse> {
        let output = self.project.command(&[&["release", "--output", "json"], arguments].concat()).output().unwrap();
        output.status.success().then(|| serde_json::from_slice(&output.stdout).unwrap())
    }

    /// Starts everybody who wants something of a running Bowline.
    fn traffic(self: &Arc<Self>, up: &Up, key: &str) -> Traffic {
        let mut tasks = JoinSet::new();
        for _ in 0..CALLERS {
            tasks.spawn(Arc::clone(self).calls(up.gateway.clone(), key.to_owned()));
        }
        tasks.spawn(Arc::clone(self).keys(up.client.clone()));
        let (scene, stop) = (Arc::clone(self), Arc::new(AtomicBool::new(false)));
        let stopped = Arc::clone(&stop);
        tasks.spawn_blocking(move || scene.releases(&stopped));
        Traffic { tasks, stop }
    }

    /// Calls and judges until the gateway is gone.
    async fn calls(self: Arc<Self>, gateway: String, key: String) {
        for call in 0_u64.. {
            let unit = format!("unit-{}", self.units.fetch_add(1, Ordering::Relaxed));
            let body = json!({"model": "prompt:hello", "messages": [{"role": "user", "content": "I am new."}]});
            let Some(answer) = self.post(&gateway, "/v1/chat/completions", &key, &unit, &body).await else { return };
            assert_eq!(answer.status, 200, "{}", answer.body);
            self.acknowledged.answers.fetch_add(1, Ordering::Relaxed);
            let inference = answer.headers["x-bowline-inference"].to_str().unwrap();
            let body = json!({"inference": inference, "name": "ok", "value": call % 10 != 0});
            let Some(answer) = self.post(&gateway, "/v1/feedback", &key, &unit, &body).await else { return };
            assert_eq!(answer.status, 200, "{}", answer.body);
            self.acknowledged.feedback.lock().unwrap().push(answer.body["id"].as_str().unwrap().parse().unwrap());
        }
    }

    /// Makes keys until the control API is gone.
    async fn keys(self: Arc<Self>, client: Client) {
        while let Ok(made) = up::key(&client).await {
            self.acknowledged.keys.lock().unwrap().push(made.record.id);
        }
    }

    /// Releases a changed prompt again and again until it is told to stop.
    fn releases(&self, stop: &AtomicBool) {
        while !stop.load(Ordering::Relaxed) {
            let count = self.acknowledged.releases.lock().unwrap().len();
            self.edit("news", &format!("Say what is new after {count} releases."));
            if let Some(response) = self.release(&["--env", "staging", "--prompt", "news"]) {
                self.acknowledged.releases.lock().unwrap().push(response.results[0].version);
            }
        }
    }

    /// Sends a request; `None` where no whole answer comes.
    async fn post(&self, gateway: &str, path: &str, key: &str, unit: &str, body: &Value) -> Option<Answer> {
        let request = Request::post(format!("http://{gateway}{path}"))
            .header("authorization", format!("Bearer {key}"))
            .header("x-bowline-unit", unit)
            .body(Full::new(Bytes::from(body.to_string())))
            .unwrap();
        let (head, body) = self.pool.request(request).await.ok()?.into_parts();
        let body = serde_json::from_slice(&body.collect().await.ok()?.to_bytes()).unwrap();
        Some(Answer { status: head.status.as_u16(), headers: head.headers, body })
    }

    /// Checks what a killed process left behind: that everything acknowledged is there, and that all of it fits together.
    async fn check(&self, seen: &mut Seen) {
        let folder = self.project.path().join(".bowline/store");
        let store = open(&folder);
        // An outcome whose inference was lost, which nobody acknowledged, waits for it; so the table itself is asked.
        let database = rusqlite::Connection::open(folder.join("bowline.db")).unwrap();
        let mut outcome = database.prepare("SELECT count(*) FROM outcome WHERE id = ?1").unwrap();
        for id in self.acknowledged.feedback.lock().unwrap().iter() {
            assert_eq!(
                outcome.query_one([id.to_string()], |row| row.get(0)),
                Ok(1),
                "acknowledged feedback {id} is lost"
            );
        }
        let integrity: String = database.query_one("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
        assert_eq!(integrity, "ok");

        let keys = store.key_list(up::project()).await.unwrap();
        for id in self.acknowledged.keys.lock().unwrap().iter() {
            assert!(keys.iter().any(|key| key.id == *id), "the acknowledged key {id} is lost");
        }
        let mut moves = Vec::new();
        let mut filter = LogFilter { scope: scope("staging"), prompt: None, before: None, limit: 1_000 };
        loop {
            let page = store.log_list(filter.clone()).await.unwrap();
            filter.before = page.last().map(|row| row.sequence);
            moves.extend(page.into_iter().filter(|row| row.action == LogAction::Moved));
            if filter.before.is_none() {
                break;
            }
        }
        let releases = self.acknowledged.releases.lock().unwrap().clone();
        for version in &releases {
            assert!(moves.iter().any(|row| row.to == Some(*version)), "the acknowledged release of {version} is lost");
            assert!(store.version_fetch(*version).await.unwrap().is_some());
        }
        let pointer = store.pointer_fetch(scope("staging"), "news".parse().unwrap()).await.unwrap();
        let newest = moves.first().and_then(|row| row.to);
        assert_eq!(pointer.map(|pointer| pointer.version), newest, "a pointer and its log disagree");
        check_rollouts(&store, seen).await;
        drop(outcome);
        drop(database);
        store.close().await;
    }

    /// After all that, the rollout goes on, and what is recorded of it is what its log says.
    async fn finish(self: &Arc<Self>, key: &str, seen: &Seen) {
        let up = Up::start(&self.project);
        let mut traffic = self.traffic(&up, key);
        let deadline = Instant::now() + PATIENCE;
        let rollout: RolloutRecord = loop {
            let mut rollouts: Vec<RolloutRecord> = up.client.get("/rollouts?active=true").await.unwrap();
            let rollout = rollouts.pop().unwrap();
            if rollout.revision > seen[&rollout.id].0 {
                break rollout;
            }
            assert!(Instant::now() < deadline, "the rollout does not go on");
            tokio::time::sleep(Duration::from_millis(50)).await;
        };
        traffic.stop().await;
        let replay: ReplayView = up.client.get(&format!("/rollouts/{}/replay", rollout.number)).await.unwrap();
        assert!(replay.equal && replay.observations > 0, "the recorded evidence is not that of the log");
        up.process.kill();
    }
}

/// Everybody who wants something of a running Bowline.
struct Traffic {
    tasks: JoinSet<()>,
    stop: Arc<AtomicBool>,
}

/// A whole answer.
struct Answer {
    status: u16,
    headers: HeaderMap,
    body: Value,
}

// === impl Traffic ===

impl Traffic {
    /// Waits until everybody has found out that it is gone.
    async fn join(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        while let Some(ended) = self.tasks.join_next().await {
            ended.unwrap();
        }
    }

    /// Sends everybody away.
    async fn stop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.tasks.shutdown().await;
    }
}

/// Opens a store that a killed process left. A `git` that the process was about to run holds the lock until it has started.
fn open(folder: &Path) -> SqliteStore {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match SqliteStore::open(folder, Options::default()) {
            Err(Error::Locked { .. }) if Instant::now() < deadline => thread::sleep(Duration::from_millis(5)),
            opened => return opened.unwrap(),
        }
    }
}

/// Checks that rollouts run, that none went back, and that their logs have no gaps.
async fn check_rollouts(store: &SqliteStore, seen: &mut Seen) {
    for rollout in store.rollout_list(RolloutFilter::default()).await.unwrap() {
        assert!(rollout.state.is_active(), "rollout {} ended: {}", rollout.number, rollout.why);
        let mut count = 0;
        loop {
            let page = store.observation_list(rollout.id, count).await.unwrap();
            for observation in &page {
                assert_eq!(observation.sequence, count, "the observations of rollout {} have a gap", rollout.number);
                count += 1;
            }
            if page.is_empty() {
                break;
            }
        }
        let before = seen.insert(rollout.id, (rollout.revision, count)).unwrap_or_default();
        assert!(before.0 <= rollout.revision && before.1 <= count, "rollout {} went back", rollout.number);
    }
}
