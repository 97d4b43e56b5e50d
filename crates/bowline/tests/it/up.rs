//! A running `bowline up` whose provider is a simulator, for tests that treat both badly.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::thread;
use std::time::Duration;

use bowline_server::wire::{KeyRequest, KeyResponse};
use bowline_server::{AdminToken, Client, ClientError};
use bowline_sim::{Scenario, Simulator, SimulatorOptions};
use bowline_types::ProjectName;
use serde_json::Value;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::project::Project;

/// How long it may take until it serves.
const PATIENCE: Duration = Duration::from_secs(30);

/// A `bowline up` that serves; killed when dropped.
pub(crate) struct Up {
    pub(crate) process: Process,
    /// The address of the gateway.
    pub(crate) gateway: String,
    /// The address of the control API.
    pub(crate) control: String,
    pub(crate) client: Client,
}

/// A process that is killed at the latest with the test.
pub(crate) struct Process(Child);

/// Returns the name that projects of tests have.
pub(crate) fn project() -> ProjectName {
    "desk".parse().unwrap()
}

/// Starts a simulator, which ends with the runtime of the test, and returns its address, `http://…`.
pub(crate) async fn simulator(scenario: Scenario) -> String {
    let options = SimulatorOptions { listen: "127.0.0.1:0".parse().unwrap(), scenario };
    let simulator = Simulator::bind(options).await.unwrap();
    let address = format!("http://{}", simulator.address());
    let mut tasks = JoinSet::new();
    tasks.spawn(simulator.run(CancellationToken::new()));
    tasks.detach_all();
    address
}

/// Makes a key for `prod`.
pub(crate) async fn key(client: &Client) -> Result<KeyResponse, ClientError> {
    let request = KeyRequest {
        name: "caller".to_owned(),
        environment: "prod".parse().unwrap(),
        environments: Vec::new(),
        versions: false,
        subject: None,
        replaces: None,
    };
    client.post("/keys", &request).await
}

fn addresses(project: &Project) -> PathBuf {
    project.path().join(".bowline/addresses.json")
}

// === impl Process ===

impl Process {
    /// Starts a `bowline up`.
    pub(crate) fn start(project: &Project) -> Self {
        // What a killed one left behind must not be taken for the new one.
        drop(fs::remove_file(addresses(project)));
        let log = fs::File::create(project.path().join("up.log")).unwrap();
        let arguments = ["up", "--listen", "127.0.0.1:0", "--control-listen", "127.0.0.1:0"];
        Self(project.command(&arguments).stdout(Stdio::null()).stderr(log).spawn().unwrap())
    }

    /// SIGKILL, and no other signal before it.
    pub(crate) fn kill(mut self) {
        self.end();
    }

    /// Returns the memory that is resident, in KiB.
    pub(crate) fn resident_kib(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.0.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }

    fn end(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // A second time is no error.
        self.end();
    }
}

// === impl Up ===

impl Up {
    /// Starts a `bowline up` and waits until it serves.
    pub(crate) fn start(project: &Project) -> Self {
        let mut process = Process::start(project);
        let deadline = Instant::now() + PATIENCE;
        let found: Value = loop {
            let found = fs::read(addresses(project)).ok();
            if let Some(found) = found.and_then(|text| serde_json::from_slice(&text).ok()) {
                break found;
            }
            let is_late = Instant::now() > deadline || process.0.try_wait().unwrap().is_some();
            let log = || fs::read_to_string(project.path().join("up.log")).unwrap();
            assert!(!is_late, "`bowline up` does not serve:\n{}", log());
            thread::sleep(Duration::from_millis(5));
        };
        let address = |role: &str| found[role].as_str().unwrap().to_owned();
        let token = AdminToken::new(&fs::read_to_string(project.path().join(".bowline/admin.token")).unwrap());
        let control = address("control");
        let client = Client::network(control.clone(), self::project(), token);
        Self { process, gateway: address("gateway"), control, client }
    }
}
