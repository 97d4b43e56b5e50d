//! `kill -9` of a running `bowline up` under traffic, at random moments: nothing acknowledged is lost, the store opens, and rollouts
//! go on. `BOWLINE_KILLS` sets how often; `cargo xtask chaos` asks for more.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bowline_server::wire::{KeyRequest, KeyResponse, ReplayView};
use bowline_server::{AdminToken, Client};
use bowline_store::{LogFilter, RolloutRecord, RolloutState, Store};
use bowline_store_sqlite::{Options, SqliteStore};
use bowline_types::{Digest, OutcomeId, Scope};
use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

/// How often it is killed in the tests.
const KILLS: u32 = 40;
/// Applications that call at the same time.
const CALLERS: usize = 4;
/// The database within the folder of the store.
const DATABASE: &str = "bowline.db";
/// How long anything may take before the test fails.
const PATIENCE: Duration = Duration::from_secs(20);

type Pool = hyper_util::client::legacy::Client<HttpConnector, Full<Bytes>>;

/// A project with a prompt, in a Git repository, whose provider is a simulator.
struct Project {
    folder: PathBuf,
    simulator: Child,
}

/// A running `bowline up`.
struct Up {
    child: Child,
    gateway: String,
    client: Client,
}

/// What was acknowledged.
#[derive(Default)]
struct Acknowledged {
    feedback: Mutex<Vec<OutcomeId>>,
    answered: AtomicU64,
}

fn binary() -> Command {
    Command::new(env!("CARGO_BIN_EXE_bowline"))
}

impl Project {
    fn create(folder: &Path) -> Self {
        let log = folder.join("sim.out");
        let out = std::fs::File::create(&log).unwrap();
        let simulator = binary().args(["sim", "--listen", "127.0.0.1:0"]).stdout(out).stderr(Stdio::null()).spawn().unwrap();
        let address = wait_for(|| {
            let said = std::fs::read_to_string(&log).unwrap_or_default();
            said.split_whitespace().find(|word| word.starts_with("http://")).map(str::to_owned)
        });
        let project = Self { folder: folder.join("project"), simulator };
        std::fs::create_dir_all(project.folder.join("prompts")).unwrap();
        // A plan that never comes to an end: the rollout must outlive every kill.
        let plan = "{ stages: [\"50%\"], maturity: 200ms, min_duration: 6d, alpha: { rollback: 0.000001, promote: 0.000001 } }";
        let yaml = format!(
            "project: kill\nproviders:\n  openai: {{ kind: openai, base_url: \"{address}/v1\", identity: simulated }}\nmodels:\n  \
             fast: {{ provider: openai, model: m }}\nenvironments:\n  dev: {{}}\n  prod: {{ rollout: {plan} }}\n"
        );
        std::fs::write(project.folder.join("bowline.yaml"), yaml).unwrap();
        project.edit("Say hello.");
        project
    }

    fn edit(&self, body: &str) {
        let text = format!("---\nmodel: fast\nbowline.success: [complete, {{ feedback: ok }}]\n---\n{body}\n");
        std::fs::write(self.folder.join("prompts/hello.prompt"), text).unwrap();
    }

    fn bowline(&self, arguments: &[&str]) -> String {
        let output = binary().arg("--dir").arg(&self.folder).args(arguments).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    fn up(&self) -> Up {
        let state = self.folder.join(".bowline");
        let addresses = state.join("addresses.json");
        drop(std::fs::remove_file(&addresses));
        let log = std::fs::File::create(self.folder.join("up.log")).unwrap();
        let arguments = ["up", "--listen", "127.0.0.1:0", "--control-listen", "127.0.0.1:0"];
        let child = binary().arg("--dir").arg(&self.folder).args(arguments).stdout(Stdio::null()).stderr(log).spawn().unwrap();
        let found: Value = wait_for(|| serde_json::from_str(&std::fs::read_to_string(&addresses).ok()?).ok());
        let text = |key: &str| found[key].as_str().unwrap().to_owned();
        let token = AdminToken::new(&std::fs::read_to_string(state.join("admin.token")).unwrap());
        let client = Client::network(text("control"), "kill".parse().unwrap(), token);
        Up { child, gateway: text("gateway"), client }
    }

    /// Opens the store that a killed process left.
    fn store(&self) -> SqliteStore {
        SqliteStore::open(self.folder.join(".bowline/store"), Options::default()).unwrap()
    }
}

fn wait_for<T>(mut found: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = found() {
            return found;
        }
        assert!(Instant::now() < deadline, "it did not come in time");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Calls, judges, and notes which judgements were acknowledged, until the gateway is gone.
async fn caller(pool: Pool, gateway: String, key: String, number: usize, acknowledged: Arc<Acknowledged>) {
    for call in 0_u64.. {
        let body = json!({"model": "prompt:hello", "messages": []});
        let unit = format!("{number}-{call}-{}", Instant::now().elapsed().as_nanos());
        let Some((status, headers, _)) = post(&pool, &gateway, "/v1/chat/completions", &key, &unit, &body).await else { return };
        assert_eq!(status, 200);
        acknowledged.answered.fetch_add(1, Ordering::SeqCst);
        let token = headers["x-bowline-inference"].to_str().unwrap().to_owned();
        let body = json!({"inference": token, "name": "ok", "value": call % 10 != 0});
        let Some((status, _, answer)) = post(&pool, &gateway, "/v1/feedback", &key, &unit, &body).await else { return };
        if status == 200 {
            let id = answer["id"].as_str().unwrap().parse().unwrap();
            acknowledged.feedback.lock().unwrap().push(id);
        }
    }
}

async fn post(pool: &Pool, gateway: &str, path: &str, key: &str, unit: &str, body: &Value) -> Option<(u16, http::HeaderMap, Value)> {
    let request = Request::post(format!("http://{gateway}{path}"))
        .header("authorization", format!("Bearer {key}"))
        .header("x-bowline-unit", unit)
        .body(Full::new(Bytes::from(body.to_string())))
        .unwrap();
    let response = pool.request(request).await.ok()?;
    let (head, body) = response.into_parts();
    let body = body.collect().await.ok()?.to_bytes();
    Some((head.status.as_u16(), head.headers, serde_json::from_slice(&body).ok()?))
}

/// Checks what a killed process left behind.
async fn check(project: &Project, acknowledged: &Acknowledged, releases: &[Digest], seen: &mut BTreeMap<u64, (u64, u64)>) {
    let store = project.store();
    let scope = Scope { project: "kill".parse().unwrap(), environment: "dev".parse().unwrap() };
    let feedback = std::mem::take(&mut *acknowledged.feedback.lock().unwrap());
    // An outcome waits for an inference whose record, which nobody acknowledged, was lost; so the table itself is asked.
    let database = rusqlite::Connection::open(project.folder.join(".bowline/store").join(DATABASE)).unwrap();
    for id in feedback {
        let found = database.query_row("SELECT count(*) FROM outcome WHERE id = ?1", [id.to_string()], |row| row.get(0));
        assert_eq!(found, Ok(1_i64), "acknowledged feedback {id} is lost");
    }
    drop(database);
    let filter = LogFilter { scope, prompt: None, before: None, limit: 1_000 };
    let log = store.log_list(filter).await.unwrap();
    for release in releases {
        assert!(log.iter().any(|row| row.to == Some(*release)), "acknowledged release {release} is lost");
    }
    for rollout in store.rollout_list(bowline_store::RolloutFilter::default()).await.unwrap() {
        let mut count = 0;
        loop {
            let page = store.observation_list(rollout.id, count).await.unwrap();
            if page.is_empty() {
                break;
            }
            for observation in page {
                assert_eq!(observation.sequence, count, "the observation log has a gap");
                count += 1;
            }
        }
        let (revision, before) = seen.insert(rollout.number, (rollout.revision, count)).unwrap_or_default();
        assert!(revision <= rollout.revision && before <= count, "rollout {} went back", rollout.number);
        assert_eq!(rollout.state, RolloutState::Running);
    }
    store.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_when_it_is_killed() {
    let kills = std::env::var("BOWLINE_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(KILLS);
    let folder = tempfile::tempdir().unwrap();
    let mut project = Project::create(folder.path());
    project.bowline(&["release", "--env", "prod"]);
    project.edit("Say hello to them.");
    project.bowline(&["release", "--env", "prod"]);
    let (acknowledged, mut seen, mut releases) = (Arc::new(Acknowledged::default()), BTreeMap::new(), Vec::new());
    let mut key = None;
    let mut moment = 0x9e37_79b9_7f4a_7c15_u64;
    for kill in 0..kills {
        let mut up = project.up();
        if key.is_none() {
            let request = KeyRequest {
                name: "caller".to_owned(),
                environment: "prod".parse().unwrap(),
                environments: Vec::new(),
                versions: false,
            };
            let made: KeyResponse = up.client.post("/keys", &request).await.unwrap();
            key = Some(made.key);
        }
        let callers = TaskTracker::new();
        let pool = hyper_util::client::legacy::Client::builder(TokioExecutor::new()).build_http();
        for number in 0..CALLERS {
            let (pool, gateway, key) = (Pool::clone(&pool), up.gateway.clone(), key.clone().unwrap());
            callers.spawn(caller(pool, gateway, key, number, Arc::clone(&acknowledged)));
        }
        // xorshift64: seeded, so that a failure can be played again.
        moment ^= moment << 13;
        moment ^= moment >> 7;
        moment ^= moment << 17;
        tokio::time::sleep(Duration::from_millis(moment % 400)).await;
        if kill % 5 == 0 {
            project.edit(&format!("Say hello, number {kill}."));
            let view: Vec<Value> = up.client.get("/environments").await.unwrap();
            drop(view);
        }
        up.child.kill().unwrap();
        up.child.wait().unwrap();
        callers.close();
        callers.wait().await;
        check(&project, &acknowledged, &releases, &mut seen).await;
        if kill % 5 == 0 {
            // Released with nobody serving: the command opens the store that the killed process left.
            let answer: Value = serde_json::from_str(&project.bowline(&["--output", "json", "env", "list"])).unwrap();
            assert!(answer.to_string().contains("hello"));
        }
        let store = project.store();
        let pointers = store.pointer_list("kill".parse().unwrap()).await.unwrap();
        releases.extend(pointers.iter().filter(|pointer| pointer.scope.environment.as_str() == "dev").map(|pointer| pointer.version));
        releases.dedup();
        store.close().await;
    }
    let observed = seen.values().map(|(_, count)| count).sum::<u64>();
    assert!(acknowledged.answered.load(Ordering::SeqCst) > u64::from(kills), "too few calls were served to say anything");
    assert!(observed > 0, "no observation was frozen: rollouts did not go on");
    // After all that, the verdict is still the one of the log.
    let mut up = project.up();
    let rollouts: Vec<RolloutRecord> = up.client.get("/rollouts?active=true").await.unwrap();
    let replay: ReplayView = up.client.get(&format!("/rollouts/{}/replay", rollouts[0].number)).await.unwrap();
    assert!(replay.equal, "the recorded evidence is not that of the log");
    up.child.kill().unwrap();
    up.child.wait().unwrap();
    project.simulator.kill().unwrap();
    project.simulator.wait().unwrap();
}
