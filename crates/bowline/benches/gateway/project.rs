use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use bowline_server::wire::{KeyRequest, KeyResponse};
use bowline_server::{AdminToken, Client};
use bowline_store::SummaryRow;
use bowline_types::Secret;
use bytes::Bytes;
use http::{Request, header};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client as Pool;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::Instant;

use crate::process::{Process, wait_until_ready};
use crate::rounds::{Target, Way};

/// The prompt that is called, of the example project.
const PROMPT: &str = include_str!("../../../../examples/support-desk/prompts/support/classify.prompt");
const TONE: &str = include_str!("../../../../examples/support-desk/prompts/_tone.prompt");
const TICKET: &str = "I was charged twice this month: once on the 3rd and again on the 5th, both for the Team plan. The second \
                      invoice has another number but the same period. Please refund one of them and tell me which card it \
                      goes back to, as we have changed our bank since.";
/// Everything is on: checks of the schema and of an expression, and a rollout that runs and will not end by itself.
const FEEDBACK: &str = "{ feedback: correct }";
const EXPRESSION: &str =
    "not_refusal, { cel: 'output.category in [\"billing\", \"access\", \"delivery\"] && size(text) < 500' }";
const SETTINGS: &str = r#"project: bench
providers:
  local: { kind: openai, base_url: "http://SIMULATOR/v1", identity: openai }
models:
  fast: { provider: local, model: gpt-5-mini }
environments:
  dev: {}
  prod:
    rollout:
      stages: ["50%"]
      maturity: 1s
      min_duration: 6d
      alpha: { rollback: 0.000001, promote: 0.000001 }
"#;
/// How long records may take to the store.
const PATIENCE: Duration = Duration::from_secs(30);

/// A project in a Git repository on disk, with a released prompt, a candidate of it, and a simulator as its provider.
pub(crate) struct Project {
    folder: TempDir,
    simulator: Process,
}

/// A `bowline up` that serves the project.
pub(crate) struct Up {
    pub(crate) process: Arc<Process>,
    gateway: SocketAddr,
    client: Client,
}

/// What the store has of the calls.
pub(crate) struct Kept {
    /// Records.
    pub(crate) records: u64,
    /// Those of either arm of the rollout.
    pub(crate) in_rollout: u64,
}

// === impl Project ===

impl Project {
    /// Starts the simulator and makes the project.
    pub(crate) fn create() -> Result<Self> {
        // Beside the build, not in memory: what is synced must reach a disk.
        let folder = TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).context("making a folder for the project")?;
        let simulator = Process::bowline(folder.path(), "sim", &["sim", "--listen", "127.0.0.1:0"])?;
        let project = Self { folder, simulator };
        project.write("bowline.yaml", &SETTINGS.replace("SIMULATOR", &project.simulator.address()?.to_string()))?;
        project.write("prompts/_tone.prompt", TONE)?;
        let prompt = PROMPT.replace(FEEDBACK, EXPRESSION);
        ensure!(prompt != PROMPT, "the prompt of the example has another success contract");
        project.write("prompts/support/classify.prompt", &prompt)?;
        project.git(&["init", "--quiet"])?;
        project.release()?;
        project.write("prompts/support/classify.prompt", &format!("{prompt}Take your time.\n"))?;
        project.release()?;
        Ok(project)
    }

    /// Returns the folder.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Returns the simulator.
    pub(crate) const fn simulator(&self) -> &Process {
        &self.simulator
    }

    /// Starts a gateway and returns how long it took until it was ready.
    pub(crate) fn start(&self) -> Result<(Duration, Process)> {
        let started = Instant::now();
        let process = self.spawn()?;
        let [gateway, _] = process.addresses()?;
        wait_until_ready(gateway)?;
        Ok((started.elapsed(), process))
    }

    /// Starts the gateway that is measured.
    pub(crate) async fn up(&self) -> Result<Up> {
        let process = self.spawn()?;
        let [gateway, control] = process.addresses()?;
        wait_until_ready(gateway)?;
        process.rest().await?;
        let token =
            fs::read_to_string(self.folder().join(".bowline/admin.token")).context("reading the admin token")?;
        let client = Client::network(control.to_string(), "bench".parse()?, AdminToken::new(&token));
        Ok(Up { process: Arc::new(process), gateway, client })
    }

    /// Returns the ways to the simulator, each with the same call.
    pub(crate) async fn targets(&self, up: &Up, proxy: Process) -> Result<Vec<Target>> {
        let key = up.key().await?;
        let call = json!({"model": "prompt:support/classify", "variables": {"ticket": TICKET}});
        // What the gateway would send for the prompt is what the others send themselves.
        let rendered = resolved(up.gateway, &key, &call).await?;
        let mut by_alias = rendered.clone();
        by_alias["model"] = Value::from("fast");
        let simulator = self.simulator.address()?;
        let gateway = |way, call| Target {
            way,
            address: up.gateway,
            key: Some(key.clone()),
            call,
            process: Some(Arc::clone(&up.process)),
        };
        Ok(vec![
            Target { way: Way::Direct, address: simulator, key: None, call: rendered.clone(), process: None },
            Target {
                way: Way::Proxy,
                address: proxy.address()?,
                key: None,
                call: rendered,
                process: Some(Arc::new(proxy)),
            },
            gateway(Way::Alias, by_alias),
            gateway(Way::Prompt, call),
        ])
    }

    fn spawn(&self) -> Result<Process> {
        let folder = self.folder().to_string_lossy();
        let arguments = ["up", &folder, "--listen", "127.0.0.1:0", "--control-listen", "127.0.0.1:0"];
        Process::bowline(self.folder(), "up", &arguments)
    }

    fn write(&self, path: &str, text: &str) -> Result<()> {
        let path = self.folder().join(path);
        fs::create_dir_all(path.parent().unwrap_or(self.folder()))?;
        fs::write(&path, text).with_context(|| format!("writing {}", path.display()))
    }

    fn release(&self) -> Result<()> {
        self.git(&["add", "bowline.yaml", "prompts"])?;
        self.git(&["commit", "--quiet", "--message", "bench"])?;
        let mut command = Command::new(env!("CARGO_BIN_EXE_bowline"));
        run(command.args(["release", "--env", "prod"]).current_dir(self.folder()))
    }

    fn git(&self, arguments: &[&str]) -> Result<()> {
        let mut command = Command::new("git");
        // Nothing of the person who measures.
        command.args(["-c", "user.name=Bench", "-c", "user.email=bench@example.com", "-c", "commit.gpgsign=false"]);
        run(command.args(arguments).current_dir(self.folder()))
    }
}

fn run(command: &mut Command) -> Result<()> {
    let output = command.output()?;
    ensure!(output.status.success(), "{command:?} failed: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

/// Returns the body that the gateway would send upstream for a call.
async fn resolved(gateway: SocketAddr, key: &Secret, call: &Value) -> Result<Value> {
    let pool: Pool<_, Full<Bytes>> = Pool::builder(TokioExecutor::new()).build_http();
    let request = Request::post(format!("http://{gateway}/v1/resolve"))
        .header(header::AUTHORIZATION, format!("Bearer {}", key.expose()))
        .body(Full::new(Bytes::from(call.to_string())))?;
    let body = pool.request(request).await?.into_body().collect().await?.to_bytes();
    let mut answer: Value = serde_json::from_slice(&body)?;
    ensure!(answer["request"].is_object(), "the prompt could not be resolved: {answer}");
    Ok(answer["request"].take())
}

// === impl Up ===

impl Up {
    async fn key(&self) -> Result<Secret> {
        let request = KeyRequest {
            name: "bench".to_owned(),
            environment: "prod".parse()?,
            environments: Vec::new(),
            versions: false,
            subject: None,
            replaces: None,
        };
        let made: KeyResponse = self.client.post("/keys", &request).await?;
        // The key must reach the snapshot that is served from.
        self.process.rest().await?;
        Ok(Secret::new(made.key))
    }

    /// Waits until the store has a record of each of `calls`, and returns what it has.
    pub(crate) async fn kept(&self, calls: u64) -> Result<Kept> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let rows: Vec<SummaryRow> = self.client.get("/environments/prod/summary").await?;
            let records = rows.iter().map(|row| row.inferences).sum();
            // One more: the call that was resolved.
            if records == calls + 1 {
                let in_rollout = rows.iter().filter(|row| row.rollout.is_some()).map(|row| row.inferences).sum();
                return Ok(Kept { records, in_rollout });
            }
            if Instant::now() > deadline {
                bail!("of {calls} calls and one that was resolved, {records} are recorded");
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}
