//! A control role and three gateways as processes, and applications that count what they are answered.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bowline_server::wire::{KeyRequest, KeyResponse};
use bowline_server::{AdminToken, Client};
use bowline_sim::Scenario;
use bowline_types::{InferenceId, InferenceToken, OutcomeId};
use bytes::Bytes;
use http::{HeaderMap, Request};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::project::Project;
use crate::up;

/// How long anything may take before the test fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// `prod` has a plan that never comes to an end: its rollout must outlive everything. `staging` moves at once.
const PROJECT: &str = r#"
project: desk
providers:
  local: { kind: openai, base_url: "UPSTREAM/v1", identity: test/llm }
models:
  fast: { provider: local, model: tiny }
environments:
  staging: {}
  prod:
    rollout:
      stages: ["50%"]
      maturity: 300ms
      min_duration: 6d
      alpha: { rollback: 0.000001, promote: 0.000001 }
"#;

/// A process of `bowline serve`; killed when dropped.
pub(crate) struct Role {
    child: Child,
    data: PathBuf,
    book: Value,
}

/// Everything.
pub(crate) struct Cluster {
    pub(crate) project: Project,
    pub(crate) folder: tempfile::TempDir,
    pub(crate) control: Option<Role>,
    pub(crate) gateways: Vec<Option<Role>>,
    /// What each gateway is started with besides.
    options: Vec<GatewayOptions>,
    /// The addresses of the control API and of the internal API, the same after each restart.
    pub(crate) control_addresses: (String, String),
    pub(crate) client: Client,
    token: String,
    pub(crate) pool: Pool,
}

/// How a gateway differs from the others.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct GatewayOptions {
    pub(crate) spool_bytes_max: Option<&'static str>,
    pub(crate) clock_offset: Option<&'static str>,
}

type Pool = hyper_util::client::legacy::Client<HttpConnector, Full<Bytes>>;

/// What an application was answered.
#[derive(Debug, Default)]
pub(crate) struct Counted {
    /// Every answer with status 200 that came to its end, with its arm.
    pub(crate) answers: BTreeMap<InferenceId, String>,
    /// Those of them that were streamed.
    pub(crate) streamed: u64,
    /// Judgements that were acknowledged.
    pub(crate) judgements: BTreeSet<OutcomeId>,
    /// Judgements that were refused, since they could not be kept.
    pub(crate) refused: u64,
    /// Answers with another status.
    pub(crate) failed: Vec<String>,
    /// Calls and judgements that found nobody, as the gateway was killed.
    pub(crate) broken: u64,
}

/// A whole answer.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

// === impl Counted ===

impl Counted {
    fn answered(&mut self, id: InferenceId, arm: String, stream: bool) {
        self.answers.insert(id, arm);
        self.streamed += u64::from(stream);
    }
}

// === impl Role ===

impl Role {
    /// Starts one; it may not serve yet.
    pub(crate) fn start(project: &Project, data: &Path, arguments: &[&str], offset: Option<&str>) -> Self {
        let offset = offset.map(|offset| ("BOWLINE_REHEARSAL_CLOCK_OFFSET", offset));
        Self::start_with(project, data, arguments, offset)
    }

    /// The same, with a variable of the environment.
    pub(crate) fn start_with(
        project: &Project,
        data: &Path,
        arguments: &[&str],
        variable: Option<(&str, &str)>,
    ) -> Self {
        drop(fs::remove_file(data.join("addresses.json")));
        let log = fs::File::options().create(true).append(true).open(data.with_extension("log")).unwrap();
        let mut command = project.command(&["serve", "-v", "--data"]);
        command.arg(data).args(arguments).stdout(Stdio::null()).stderr(log);
        command.envs(variable);
        let child = command.spawn().unwrap();
        Self { child, data: data.to_owned(), book: Value::Null }
    }

    /// Waits until it serves.
    pub(crate) async fn wait(mut self) -> Self {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let found = fs::read(self.data.join("addresses.json")).ok();
            if let Some(book) = found.and_then(|text| serde_json::from_slice(&text).ok()) {
                self.book = book;
                return self;
            }
            let ended = self.child.try_wait().unwrap().is_some();
            assert!(!ended && Instant::now() < deadline, "it does not serve:\n{}", self.log());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Returns the address of one of its listeners.
    pub(crate) fn address(&self, name: &str) -> String {
        self.book[name].as_str().unwrap().to_owned()
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.data.with_extension("log")).unwrap()
    }

    /// SIGKILL, and no other signal before it.
    pub(crate) fn kill(mut self) {
        self.end();
    }

    /// SIGTERM, and waits for the end.
    pub(crate) async fn stop(mut self) -> bool {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.success();
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("it does not stop:\n{}", self.log());
    }

    fn end(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Role {
    fn drop(&mut self) {
        // A second time is no error.
        self.end();
    }
}

// === impl Cluster ===

impl Cluster {
    /// Starts a control role and gateways, with a rollout that runs in `prod`.
    pub(crate) async fn start(options: &[GatewayOptions]) -> Self {
        Self::start_with(options, &[]).await
    }

    /// The same, with further arguments of the control role.
    pub(crate) async fn start_with(options: &[GatewayOptions], control_arguments: &[&str]) -> Self {
        let upstream = up::simulator(Scenario::default()).await;
        let project = Project::with_upstream("127.0.0.1:9");
        project.write("bowline.yaml", PROJECT.replace("UPSTREAM", &upstream));
        fs::remove_dir_all(project.path().join("prompts")).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("control");
        let free = ["--roles", "control", "--control-listen", "127.0.0.1:0", "--internal-listen", "127.0.0.1:0"];
        let control = Role::start(&project, &data, &[&free, control_arguments].concat(), None).wait().await;
        let control_addresses = (control.address("control"), control.address("internal"));
        let token = fs::read_to_string(data.join("admin.token")).unwrap();
        let client = Client::network(control_addresses.0.clone(), up::project(), AdminToken::new(&token));
        let pool: Pool = hyper_util::client::legacy::Client::builder(TokioExecutor::new()).build_http();
        let (control, gateways, options) = (Some(control), options.iter().map(|_| None).collect(), options.to_vec());
        let mut cluster = Self { project, folder, control, gateways, options, control_addresses, client, token, pool };
        for (prompt, text) in [("hello", "Say hello."), ("news", "Say what is new.")] {
            cluster.edit(prompt, text);
        }
        cluster.project.commit("first");
        assert!(cluster.release(&["--env", "prod"]) && cluster.release(&["--env", "staging"]));
        cluster.edit("hello", "Say hello to them.");
        cluster.project.commit("hello to them");
        assert!(cluster.release(&["--env", "prod"]), "the rollout did not start");
        for index in 0..cluster.gateways.len() {
            cluster.gateway_start(index).await;
        }
        cluster
    }

    /// Changes a prompt.
    pub(crate) fn edit(&self, prompt: &str, body: &str) {
        let text = format!("---\nmodel: fast\nbowline.success: [complete, {{ feedback: ok }}]\n---\n{body}\n");
        self.project.write(&format!("prompts/{prompt}.prompt"), text);
    }

    /// Releases with the command line, as anybody on another machine would; says whether it was acknowledged.
    pub(crate) fn release(&self, arguments: &[&str]) -> bool {
        let mut command = self.project.command(&[&["release"], arguments].concat());
        command.env("BOWLINE_CONTROL", &self.control_addresses.0).env("BOWLINE_ADMIN_TOKEN", &self.token);
        command.output().unwrap().status.success()
    }

    /// Starts the control role where it was.
    pub(crate) async fn control_start(&mut self) {
        let (control, internal) = &self.control_addresses;
        let arguments = ["--roles", "control", "--control-listen", control, "--internal-listen", internal];
        let role = Role::start(&self.project, &self.folder.path().join("control"), &arguments, None);
        self.control = Some(role.wait().await);
    }

    /// Kills the control role, and no gateway.
    pub(crate) fn control_kill(&mut self) {
        self.control.take().unwrap().kill();
    }

    /// Kills a gateway and starts it again.
    pub(crate) async fn gateway_kill(&mut self, index: usize) {
        self.gateways[index].take().unwrap().kill();
        self.gateway_start(index).await;
    }

    /// Starts a gateway where it was before, and waits until it is ready.
    pub(crate) async fn gateway_start(&mut self, index: usize) {
        let data = self.folder.path().join(format!("gateway-{index}"));
        let before = data.join("address.txt");
        let listen = fs::read_to_string(&before).unwrap_or_else(|_| "127.0.0.1:0".to_owned());
        let control = format!("http://{}", self.control_addresses.1);
        let token = format!("file:{}", self.folder.path().join("control/gateway.token").display());
        let GatewayOptions { spool_bytes_max, clock_offset } = self.options[index];
        let spool = spool_bytes_max.unwrap_or("64MiB");
        let arguments = [
            ["--roles", "gateway"],
            ["--control", &control],
            ["--token", &token],
            ["--listen", &listen],
            ["--admin-listen", "127.0.0.1:0"],
            ["--spool-bytes-max", spool],
        ];
        fs::create_dir_all(&data).unwrap();
        let role = Role::start(&self.project, &data, arguments.as_flattened(), clock_offset).wait().await;
        fs::write(before, role.address("gateway")).unwrap();
        self.ready(&role).await;
        self.gateways[index] = Some(role);
    }

    /// Waits until a gateway is ready.
    pub(crate) async fn ready(&self, role: &Role) {
        let (address, deadline) = (role.address("admin"), Instant::now() + PATIENCE);
        while self.get(&format!("http://{address}/readyz")).await.is_none_or(|answer| answer.status != 200) {
            assert!(Instant::now() < deadline, "a gateway does not become ready:\n{}", role.log());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Returns the address of a gateway that runs.
    pub(crate) fn gateway(&self, index: usize) -> String {
        self.gateways[index].as_ref().unwrap().address("gateway")
    }

    /// Returns the sum of a metric of a gateway over its series.
    pub(crate) async fn metric(&self, index: usize, name: &str) -> f64 {
        let address = self.gateways[index].as_ref().unwrap().address("admin");
        let page = self.get(&format!("http://{address}/metrics")).await.unwrap();
        let page = String::from_utf8(page.body.to_vec()).unwrap();
        let of_name = |line: &&str| line.strip_prefix(name).is_some_and(|rest| rest.starts_with([' ', '{']));
        let values = page.lines().filter(of_name).map(|line| line.rsplit(' ').next().unwrap());
        values.map(|value| value.parse::<f64>().unwrap()).sum()
    }

    /// Makes a key.
    pub(crate) async fn key(&self, environment: &str) -> String {
        let request = KeyRequest {
            name: "caller".to_owned(),
            environment: environment.parse().unwrap(),
            environments: Vec::new(),
            versions: false,
            subject: None,
            replaces: None,
        };
        self.client.post::<KeyResponse>("/keys", &request).await.unwrap().key
    }

    /// Asks one of the addresses without a key.
    pub(crate) async fn get(&self, uri: &str) -> Option<Answer> {
        let request = Request::get(uri).body(Full::default()).unwrap();
        answered(&self.pool, request).await
    }

    /// Waits until no gateway has anything left to tell.
    pub(crate) async fn delivered(&self) {
        let deadline = Instant::now() + PATIENCE;
        for index in 0..self.gateways.len() {
            loop {
                let waiting = self.metric(index, "bowline_record_queue_depth").await;
                let spooled = self.metric(index, "bowline_spool_depth").await;
                if waiting + spooled == 0.0 {
                    break;
                }
                let log = || self.gateways[index].as_ref().unwrap().log();
                assert!(Instant::now() < deadline, "{waiting} + {spooled} records are not delivered:\n{}", log());
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }
}

async fn answered(pool: &Pool, request: Request<Full<Bytes>>) -> Option<Answer> {
    let (head, body) = pool.request(request).await.ok()?.into_parts();
    Some(Answer { status: head.status.as_u16(), headers: head.headers, body: body.collect().await.ok()?.to_bytes() })
}

/// An application: calls a gateway and judges every answer, again and again.
#[derive(Clone)]
pub(crate) struct Caller {
    pub(crate) name: String,
    pub(crate) pool: Pool,
    pub(crate) gateway: String,
    pub(crate) key: String,
    pub(crate) counted: Arc<Mutex<Counted>>,
    /// The wait between two calls.
    pub(crate) pace: Duration,
}

// === impl Caller ===

impl Caller {
    /// Goes on until told to stop. A gateway that is gone is tried again.
    pub(crate) async fn run(self, stop: CancellationToken) {
        for call in 0_u64.. {
            if stop.is_cancelled() {
                return;
            }
            let stream = call % 3 == 0;
            let messages = json!([{"role": "user", "content": "I am new."}]);
            let body = json!({"model": "prompt:hello", "messages": messages, "stream": stream});
            match self.post("/v1/chat/completions", &format!("{}-{call}", self.name), &body).await {
                None => self.broken().await,
                Some(answer) if answer.status != 200 => {
                    self.counted.lock().unwrap().failed.push(String::from_utf8_lossy(&answer.body).into_owned());
                }
                Some(answer) => {
                    let header = |name: &str| answer.headers.get(name).map_or("", |value| value.to_str().unwrap());
                    let token: InferenceToken = header("x-bowline-inference").parse().unwrap();
                    let arm = header("x-bowline-arm").to_owned();
                    assert!(!stream || answer.body.ends_with(b"data: [DONE]\n\n"), "half a stream that ends well");
                    self.counted.lock().unwrap().answered(token.inference, arm, stream);
                    self.judge(header("x-bowline-inference"), call % 10 != 0).await;
                }
            }
            tokio::time::sleep(self.pace).await;
        }
    }

    async fn judge(&self, inference: &str, value: bool) {
        let body = json!({"inference": inference, "name": "ok", "value": value});
        let Some(answer) = self.post("/v1/feedback", "-", &body).await else { return self.broken().await };
        let mut counted = self.counted.lock().unwrap();
        match answer.status {
            200 => {
                let body: Value = serde_json::from_slice(&answer.body).unwrap();
                counted.judgements.insert(body["id"].as_str().unwrap().parse().unwrap());
            }
            503 => {
                assert!(answer.headers.contains_key("retry-after"));
                counted.refused += 1;
            }
            _ => counted.failed.push(String::from_utf8_lossy(&answer.body).into_owned()),
        }
    }

    async fn broken(&self) {
        self.counted.lock().unwrap().broken += 1;
        tokio::time::sleep(Duration::from_millis(5)).await;
    }

    pub(crate) async fn post(&self, path: &str, unit: &str, body: &Value) -> Option<Answer> {
        let request = Request::post(format!("http://{}{path}", self.gateway))
            .header("authorization", format!("Bearer {}", self.key))
            .header("x-bowline-unit", unit)
            .body(Full::new(Bytes::from(body.to_string())))
            .unwrap();
        answered(&self.pool, request).await
    }
}
