//! A small world around the control role: a store on disk, a clock moved by hand, versions, releases and seeded traffic.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bowline_canary::Assignment;
use bowline_prompt::Version;
use bowline_registry::{ReleaseStatus, Snapshot, SnapshotPrompt, Source};
use bowline_server::wire::{ReleasePrompt, ReleaseRequest, ReleaseResponse};
use bowline_server::{Control, ControlOptions, Result};
use bowline_store::{
    InferenceRecord, LogFilter, LogRow, PointerRecord, Provenance, RolloutFilter, RolloutRecord, SCHEMA_VERSION, Store,
};
use bowline_store_sqlite::{Options, SqliteStore};
use bowline_testkit::ManualClock;
use bowline_types::{
    Arm, CheckResult, Clock, Digest, EnvironmentName, InferenceId, KeyId, ProjectName, PromptName, Scope,
    SuccessContract, TokenUsage, Unit, UnitKind,
};
use serde_json::{Value, json};
use tempfile::TempDir;

pub(crate) struct World {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) control: Control,
    /// How often each version succeeds.
    rates: Vec<(Digest, f64)>,
    served: u64,
    /// The time between two calls.
    pub(crate) pace: Duration,
    _folder: TempDir,
}

/// One call to come: who calls, and the inference it becomes.
pub(crate) struct Call {
    pub(crate) prompt: PromptName,
    pub(crate) unit: String,
}

pub(crate) fn project() -> ProjectName {
    "desk".parse().unwrap()
}

pub(crate) fn prod() -> EnvironmentName {
    "prod".parse().unwrap()
}

pub(crate) fn scope() -> Scope {
    Scope { project: project(), environment: prod() }
}

pub(crate) fn classify() -> PromptName {
    "support/classify".parse().unwrap()
}

/// A plan that decides within a few hundred units.
pub(crate) fn plan() -> Value {
    json!({
        "stages": ["20%", "50%"], "margin": 0.1, "effect": 0.1, "stage_units": 15, "min_units": 30,
        "min_duration": "0s", "maturity": "30s", "no_data_after": "10m", "max_duration": "6h",
    })
}

pub(crate) fn config(plan: &Value) -> Value {
    json!({
        "project": "desk",
        "providers": { "sim": {
            "kind": "openai", "base_url": "http://127.0.0.1:9", "identity": "sim", "api_key": "env:SIM_KEY",
        } },
        "models": { "fast": { "targets": [{ "provider": "sim", "model": "small-1", "timeout": "20s" }] } },
        "environments": { "dev": {}, "prod": { "protected": true, "rollout": plan } },
    })
}

/// Returns the closure of a version that differs by its text.
pub(crate) fn content(body: &str) -> (Digest, Value) {
    let content = json!({
        "schema_version": 1,
        "model": { "alias": "fast", "identities": [{ "provider": "sim", "model": "small-1" }] },
        "body": body,
    });
    (serde_json::from_value::<Version>(content.clone()).unwrap().digest(), content)
}

pub(crate) fn release_prompt(name: &PromptName, body: &str) -> ReleasePrompt {
    let (digest, content) = content(body);
    ReleasePrompt { name: name.clone(), digest, content, success: SuccessContract::default(), plan: None }
}

pub(crate) fn release_request(prompts: Vec<ReleasePrompt>) -> ReleaseRequest {
    ReleaseRequest {
        environment: prod(),
        source: Source::Cli,
        actor: "ada".to_owned(),
        provenance: Provenance {
            commit: Some("8c1f2e0d4b5a69788796a5b4c3d2e1f00f1e2d3c".to_owned()),
            author: Some("Ada <ada@example.com>".to_owned()),
            dirty: false,
        },
        config: config(&plan()),
        retry: false,
        bundle: None,
        fence: None,
        prompts,
    }
}

pub(crate) fn open(folder: &Path) -> Arc<dyn Store> {
    Arc::new(SqliteStore::open(folder, Options::default()).unwrap())
}

// === impl World ===

impl World {
    pub(crate) async fn new() -> Self {
        Self::over(|store| store).await
    }

    /// Returns a world whose store is wrapped.
    pub(crate) async fn over(wrap: impl FnOnce(Arc<dyn Store>) -> Arc<dyn Store>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = wrap(open(folder.path()));
        let clock = Arc::new(ManualClock::default());
        let control = Control::start(Arc::clone(&store), clock.clone(), ControlOptions::default()).await.unwrap();
        Self { store, clock, control, rates: Vec::new(), served: 0, pace: Duration::from_secs(1), _folder: folder }
    }

    /// Forgets everything that is not in the store.
    pub(crate) async fn restart(&mut self) {
        self.control = self.restarted().await.unwrap();
    }

    pub(crate) async fn restarted(&self) -> Result<Control> {
        Control::start(Arc::clone(&self.store), self.clock.clone(), ControlOptions::default()).await
    }

    pub(crate) async fn release(&mut self, body: &str, rate: f64) -> (Digest, ReleaseStatus) {
        let (digest, _) = content(body);
        self.rates.push((digest, rate));
        let response = self.try_release(body).await.unwrap();
        (digest, response.results.into_iter().next().unwrap().status)
    }

    pub(crate) async fn try_release(&self, body: &str) -> Result<ReleaseResponse> {
        self.control.release(&project(), release_request(vec![release_prompt(&classify(), body)])).await
    }

    pub(crate) fn rate(&mut self, digest: Digest, rate: f64) {
        self.rates.push((digest, rate));
    }

    /// The snapshot that a gateway would serve from now.
    pub(crate) fn snapshot(&self) -> Arc<Snapshot> {
        self.control.snapshots().borrow().clone()
    }

    /// A record of a call that a gateway served now.
    pub(crate) fn call(&mut self) -> InferenceRecord {
        let unit = format!("user-{}", self.served);
        self.serve(Call { prompt: classify(), unit })
    }

    pub(crate) fn live(&self, prompt: &PromptName) -> SnapshotPrompt {
        self.snapshot().projects[&project()].environments[&prod()].prompts[prompt].clone()
    }

    /// Serves a call as a gateway does, and returns its record.
    pub(crate) fn serve(&mut self, call: Call) -> InferenceRecord {
        let live = self.live(&call.prompt);
        let unit = Unit { kind: UnitKind::User, value: call.unit };
        let now = self.clock.now();
        let rollout = live.rollout.filter(|rollout| now < rollout.lease_until);
        let arm = rollout.as_ref().map(|rollout| Assignment::new(rollout.id, &unit).arm(rollout.share));
        let version = match (&rollout, arm) {
            (Some(rollout), Some(Arm::Candidate)) => rollout.candidate,
            _ => live.version,
        };
        let rate = self.rates.iter().rev().find(|(digest, _)| *digest == version).map_or(0.9, |(_, rate)| *rate);
        self.served += 1;
        let pass = draw(self.served) < rate;
        InferenceRecord {
            schema_version: SCHEMA_VERSION,
            id: InferenceId::generate(now),
            project: project(),
            environment: prod(),
            key: key(),
            prompt: Some(call.prompt),
            version: Some(version),
            rollout: rollout.as_ref().map(|rollout| rollout.id),
            arm,
            stage: rollout.as_ref().map(|rollout| rollout.stage),
            unit,
            dialect: "openai-chat".to_owned(),
            provider: Some("sim".parse().unwrap()),
            provider_kind: Some("openai".to_owned()),
            model: "fast".parse().unwrap(),
            upstream_model: Some("small-1".to_owned()),
            response_model: Some("small-1".to_owned()),
            answer_id: Some(format!("chatcmpl-{}", self.served)),
            started_at: now,
            first_byte_us: Some(180_000),
            duration_us: 640_000,
            stream: false,
            status: 200,
            error: None,
            finish: Some("stop".to_owned()),
            usage: TokenUsage { input: Some(310), output: Some(12), ..TokenUsage::default() },
            cost: Some("0.0000985".parse().unwrap()),
            checks: [("complete".to_owned(), pass.into())].into(),
            attempts: 1,
            fallback: false,
            simulated: true,
            content: None,
        }
    }

    /// Serves calls, each by a user of its own, and keeps the records.
    pub(crate) async fn traffic(&mut self, prompt: &PromptName, calls: u64) {
        let mut records = Vec::new();
        for _ in 0..calls {
            self.clock.advance(self.pace);
            let unit = format!("user-{}", self.served);
            records.push(self.serve(Call { prompt: prompt.clone(), unit }));
        }
        self.control.records_append(records, Vec::new(), Vec::new()).await.unwrap();
    }

    /// Serves traffic, a few calls between two ticks, until the newest rollout has ended; at most `calls_max` calls.
    pub(crate) async fn until_verdict(&mut self, calls_max: u64) -> RolloutRecord {
        for _ in 0..calls_max / 10 {
            self.traffic(&classify(), 10).await;
            self.control.tick().await.unwrap();
            let newest = self.newest_rollout().await;
            if !newest.state.is_active() {
                return newest;
            }
        }
        let newest = self.newest_rollout().await;
        panic!(
            "no verdict within {calls_max} calls: {:#?}",
            self.control.rollout_view(&project(), newest.number).await
        );
    }

    pub(crate) async fn newest_rollout(&self) -> RolloutRecord {
        self.store.rollout_list(RolloutFilter::default()).await.unwrap().into_iter().next().unwrap()
    }

    pub(crate) async fn pointer(&self) -> PointerRecord {
        self.store.pointer_fetch(scope(), classify()).await.unwrap().unwrap()
    }

    /// The pointer log, oldest first.
    pub(crate) async fn log(&self) -> Vec<LogRow> {
        let filter = LogFilter { scope: scope(), prompt: None, before: None, limit: 1_000 };
        let mut rows = self.store.log_list(filter).await.unwrap();
        rows.reverse();
        rows
    }
}

/// The one key of the tests.
pub(crate) fn key() -> KeyId {
    "key_0198f3d2a1b47c0e8f00112233445566".parse().unwrap()
}

/// A number from 0 to 1 that looks random and never changes.
fn draw(number: u64) -> f64 {
    let digest = Digest::of(&number.to_be_bytes());
    let [a, b, c, d, ..] = *digest.as_bytes();
    f64::from(u32::from_be_bytes([a, b, c, d])) / f64::from(u32::MAX)
}

/// Sets the result of every check.
pub(crate) fn judged(mut record: InferenceRecord, result: CheckResult) -> InferenceRecord {
    record.checks.values_mut().for_each(|check| *check = result);
    record
}
