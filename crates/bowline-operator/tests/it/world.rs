//! A small world: an API server with a namespace, a registry, the control role over a store on disk, and operators.

use std::sync::Arc;
use std::time::Duration;

use bowline_delivery::Signing;
use bowline_operator::{BackendOptions, Metrics, Namespaces, Operator, Options};
use bowline_server::{AdminToken, Client, Control, ControlOptions, HostRule, ServerOptions, router};
use bowline_signature::PrivateKey;
use bowline_store_sqlite::SqliteStore;
use bowline_testkit::ManualClock;
use bowline_types::{Clock, Digest, ProjectName};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::registry::Registry;
use crate::server::Server;

/// The namespace, which is the project too.
pub(crate) const DESK: &str = "desk";
/// What a test waits at most for something to happen.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) struct World {
    pub(crate) server: Server,
    pub(crate) registry: Registry,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) client: Client,
    pub(crate) signing: Signing,
    pub(crate) store: Arc<SqliteStore>,
    /// How operators treat ModelBackends.
    pub(crate) backends: BackendOptions,
    folder: tempfile::TempDir,
    /// How often it was restored.
    restored: u32,
}

/// An operator that runs; it is killed when it is dropped.
pub(crate) struct Running {
    stop: CancellationToken,
    tasks: JoinSet<()>,
    pub(crate) metrics: Arc<Metrics>,
}

// === impl World ===

impl World {
    pub(crate) async fn new() -> Self {
        // With RUST_LOG a test that fails says what the operator saw.
        let filter = tracing_subscriber::EnvFilter::from_default_env();
        drop(tracing_subscriber::fmt().with_env_filter(filter).with_test_writer().try_init());
        let folder = tempfile::tempdir().unwrap();
        let clock = Arc::new(ManualClock::default());
        let server = Server::new();
        server.put("namespaces", json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": DESK } }));
        let store = SqliteStore::open(folder.path().join("store.db"), bowline_store_sqlite::Options::default());
        let store = Arc::new(store.unwrap());
        let client = control(Arc::clone(&store), clock.clone()).await;
        let signing = Signing { key: PrivateKey::generate().unwrap(), predicates: Vec::new() };
        let (registry, backends) = (Registry::start().await, BackendOptions::default());
        Self { server, registry, clock, client, signing, store, backends, folder, restored: 0 }
    }

    /// Copies the store of the control role.
    pub(crate) async fn backup(&self) {
        self.store.backup(self.folder.path().join("copy.db")).await.unwrap();
    }

    /// Has the control role start again from the copy.
    pub(crate) async fn restore(&mut self) {
        self.restored += 1;
        let folder = self.folder.path().join(format!("restored-{}", self.restored));
        bowline_store_sqlite::restore(self.folder.path().join("copy.db"), &folder).unwrap();
        let store = SqliteStore::open(folder, bowline_store_sqlite::Options::default());
        self.store = Arc::new(store.unwrap());
        self.client = control(Arc::clone(&self.store), self.clock.clone()).await;
    }

    /// Starts an operator.
    pub(crate) fn operator(&self, identity: &str) -> Running {
        self.operator_with(identity, Some(self.client.clone()))
    }

    pub(crate) fn operator_with(&self, identity: &str, client: Option<Client>) -> Running {
        self.operator_by(identity, move || client.clone())
    }

    /// Starts an operator whose way to the control role is asked for each time.
    pub(crate) fn operator_by(
        &self,
        identity: &str,
        way: impl Fn() -> Option<Client> + Send + Sync + 'static,
    ) -> Running {
        let options = Options {
            namespaces: Namespaces::All,
            system_namespace: "bowline-system".to_owned(),
            identity: identity.to_owned(),
            gateway_url: "http://gateway.test/v1".to_owned(),
            backends: self.backends.clone(),
        };
        let (stop, metrics) = (CancellationToken::new(), Arc::new(Metrics::new()));
        let control = Arc::new(move |project: &ProjectName| way().filter(|client| client.project() == project));
        let (clock, client) = (self.clock.clone() as Arc<dyn Clock>, self.server.client());
        let operator = Operator::new(client, options, control, clock, Arc::clone(&metrics));
        let mut tasks = JoinSet::new();
        tasks.spawn(operator.run(stop.clone()));
        Running { stop, tasks, metrics }
    }

    /// The public key that bundles are signed with.
    pub(crate) fn signer(&self) -> String {
        self.signing.key.public().unwrap().to_pem().unwrap()
    }

    /// Applies a PromptBundle that follows the tag `main`; `change` says what is different about it.
    pub(crate) fn apply(&self, name: &str, change: &Value) {
        let mut bundle = json!({
            "apiVersion": "bowline.dev/v1alpha1",
            "kind": "PromptBundle",
            "metadata": { "name": name, "namespace": DESK },
            "spec": {
                "source": {
                    "repository": self.registry.repository(), "tag": "main", "pollInterval": "200ms", "plainHttp": true,
                },
                "verification": { "signers": [{ "name": "ci", "publicKey": self.signer() }] },
                "environments": ["staging", "prod"],
            },
        });
        json_merge(&mut bundle, change);
        self.server.put("promptbundles", bundle);
    }

    /// Pushes a bundle to the tag `main`, signed.
    pub(crate) fn push(&self, text: &str) -> Digest {
        self.registry.push("main", text, Some(&self.signing))
    }

    /// Waits until something is so, and returns it.
    pub(crate) async fn until<T>(&self, what: &str, look: impl Fn(&Server) -> Option<T>) -> T {
        let waited = tokio::time::timeout(PATIENCE, async {
            loop {
                let written = self.server.written.notified();
                if let Some(found) = look(&self.server) {
                    return found;
                }
                written.await;
            }
        });
        match waited.await {
            Ok(found) => found,
            Err(_) => {
                let bundles = serde_json::to_string_pretty(&self.server.all("promptbundles")).unwrap();
                panic!("{what} did not happen after {:#?}; bundles: {bundles}", self.server.writes());
            }
        }
    }

    /// Waits until a condition of a PromptBundle has a status and a reason; returns its message.
    pub(crate) async fn until_condition(&self, name: &str, kind: &str, status: &str, reason: &str) -> String {
        let look = |server: &Server| {
            let bundle = server.get("promptbundles", DESK, name)?;
            let found = condition(&bundle, kind)?;
            (found["status"] == status && found["reason"] == reason)
                .then(|| found["message"].as_str().unwrap().to_owned())
        };
        self.until(&format!("{kind}={status} {reason}"), look).await
    }

    /// Waits until a bundle is released, and this digest.
    pub(crate) async fn until_released(&self, name: &str, digest: Digest) {
        let look = |server: &Server| {
            let bundle = server.get("promptbundles", DESK, name)?;
            let environments = bundle["status"]["environments"].as_array()?;
            let all = environments.iter().all(|environment| environment["digest"] == digest.to_string());
            (all && !environments.is_empty()).then_some(())
        };
        self.until(&format!("the release of {digest}"), look).await;
    }

    /// The number of a running rollout, once it has an object with that state.
    pub(crate) async fn until_rollout(&self, state: &str) -> Value {
        let look = |server: &Server| {
            server.all("promptrollouts").into_iter().find(|rollout| rollout["status"]["state"] == state)
        };
        self.until(&format!("a rollout that is {state}"), look).await
    }

    /// The rows of the pointer log that say that a version became live, or is tried.
    pub(crate) async fn moves(&self, environment: &str) -> Vec<String> {
        let log: Value = self.client.get(&format!("/environments/{environment}/log?limit=1000")).await.unwrap();
        let rows = log["rows"].as_array().unwrap().iter().rev();
        rows.map(|row| format!("{} {}", row["action"].as_str().unwrap(), row["prompt"].as_str().unwrap_or_default()))
            .collect()
    }
}

async fn control(store: Arc<SqliteStore>, clock: Arc<ManualClock>) -> Client {
    let control = Control::start(store, clock.clone(), ControlOptions::default()).await.unwrap();
    let token = AdminToken::generate().unwrap();
    let address = "127.0.0.1:7081".parse().unwrap();
    let options = ServerOptions {
        tokens: token.clone().into(),
        host: HostRule::new(address, []),
        backup: None,
        shutdown: CancellationToken::new(),
    };
    let metrics = Arc::new(bowline_telemetry::Metrics::new(clock));
    Client::in_process(router(control, metrics, options), address.to_string(), DESK.parse().unwrap(), token)
}

// === impl Running ===

impl Running {
    /// Ends it in good order.
    pub(crate) async fn stop(mut self) {
        self.stop.cancel();
        tokio::time::timeout(PATIENCE, async { while self.tasks.join_next().await.is_some() {} }).await.unwrap();
    }

    /// Ends it as a crash does.
    pub(crate) async fn kill(mut self) {
        self.tasks.shutdown().await;
    }

    pub(crate) fn leads(&self) -> bool {
        self.metrics.encode().lines().any(|line| line == "bowline_operator_leader 1")
    }
}

/// Returns a condition of an object.
pub(crate) fn condition<'a>(object: &'a Value, kind: &str) -> Option<&'a Value> {
    object["status"]["conditions"].as_array()?.iter().find(|condition| condition["type"] == kind)
}

/// The reasons of the events about objects of a kind, with their notes.
pub(crate) fn events(server: &Server, kind: &str) -> Vec<(String, String)> {
    let own = server.all("events").into_iter().filter(|event| event["regarding"]["kind"] == kind);
    let text = |event: &Value, field: &str| event[field].as_str().unwrap_or_default().to_owned();
    own.map(|event| (text(&event, "reason"), text(&event, "note"))).collect()
}

fn json_merge(into: &mut Value, change: &Value) {
    match (into, change) {
        (Value::Object(into), Value::Object(change)) => {
            for (key, value) in change {
                json_merge(into.entry(key).or_insert(Value::Null), value);
            }
        }
        (into, change) => *into = change.clone(),
    }
}
