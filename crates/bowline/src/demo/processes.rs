use std::fs::File;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::Context;
use bowline_server::AdminToken;
use rustix::process::{Pid, Signal, kill_process};
use tokio::time::Instant;

use crate::failure::{Failure, Result};
use crate::workspace::Workspace;

/// How long a process may take until it serves.
const START: Duration = Duration::from_secs(20);
/// The addresses of the story, where they are free.
const GATEWAY: &str = "127.0.0.1:7080";
const CONTROL: &str = "127.0.0.1:7081";
/// Any free port.
const ANY: &str = "127.0.0.1:0";

/// The processes of the story: a simulator, and a `bowline up`.
pub(super) struct Processes {
    bowline: PathBuf,
    logs: PathBuf,
    simulator: String,
    children: Vec<Child>,
}

/// A `bowline up` that serves.
pub(super) struct Served {
    /// The address of the gateway.
    pub(super) gateway: String,
    /// The address of the control API and the console.
    pub(super) control: String,
    /// The admin token.
    pub(super) token: AdminToken,
    /// The program.
    pub(super) bowline: PathBuf,
}

// === impl Processes ===

impl Processes {
    /// Starts the simulator; logs go to `folder`.
    pub(super) fn start(folder: &Path) -> Result<Self> {
        let bowline = std::env::current_exe().context("the program does not know where it is")?;
        let mut processes = Self { bowline, logs: folder.to_owned(), simulator: String::new(), children: Vec::new() };
        let child = processes.spawn("sim", &["sim", "--listen", ANY])?;
        processes.children.push(child);
        Ok(processes)
    }

    /// Returns the address of the simulator, `http://…`.
    pub(super) fn simulator(&self) -> &str {
        &self.simulator
    }

    /// Waits until the simulator serves.
    pub(super) async fn simulator_wait(&mut self) -> Result<()> {
        let deadline = Instant::now() + START;
        let log = self.logs.join("sim.out");
        loop {
            let said = std::fs::read_to_string(&log).unwrap_or_default();
            if let Some(address) = said.split_whitespace().find(|word| word.starts_with("http://")) {
                address.clone_into(&mut self.simulator);
                return Ok(());
            }
            self.pause(deadline, "sim").await?;
        }
    }

    /// Starts `bowline up` for a project and waits until it serves.
    pub(super) async fn serve(&mut self, project: &Path) -> Result<Served> {
        let (gateway, control) = if is_free(GATEWAY) && is_free(CONTROL) { (GATEWAY, CONTROL) } else { (ANY, ANY) };
        let path = project.to_string_lossy();
        let child = self.spawn("up", &["up", &path, "--listen", gateway, "--control-listen", control])?;
        self.children.push(child);
        let workspace = Workspace::open(project)?;
        let deadline = Instant::now() + START;
        loop {
            if let Some(addresses) = workspace.addresses()? {
                let token = workspace.admin_token()?;
                let bowline = self.bowline.clone();
                return Ok(Served { gateway: addresses.gateway, control: addresses.control, token, bowline });
            }
            self.pause(deadline, "up").await?;
        }
    }

    /// Ends the processes, last one first, and waits for them.
    pub(super) fn stop(mut self) {
        while let Some(mut child) = self.children.pop() {
            if let Some(pid) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
                // It may have ended by itself, on the same Ctrl-C.
                kill_process(pid, Signal::TERM).ok();
            }
            drop(child.wait());
        }
    }

    fn spawn(&self, name: &str, arguments: &[&str]) -> Result<Child> {
        let file = |suffix: &str| {
            let path = self.logs.join(format!("{name}.{suffix}"));
            File::create(&path).with_context(|| format!("could not create {}", path.display()))
        };
        let mut command = Command::new(&self.bowline);
        command.args(arguments).stdin(Stdio::null()).stdout(file("out")?).stderr(file("log")?);
        Ok(command.spawn().context("could not start another `bowline`")?)
    }

    async fn pause(&mut self, deadline: Instant, name: &str) -> Result<()> {
        let ended = self.children.iter_mut().any(|child| !matches!(child.try_wait(), Ok(None)));
        if ended || Instant::now() > deadline {
            let log = std::fs::read_to_string(self.logs.join(format!("{name}.log"))).unwrap_or_default();
            return Err(Failure::user(format!("`bowline {name}` does not serve\n{}", log.trim())));
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
        Ok(())
    }
}

fn is_free(address: &str) -> bool {
    TcpListener::bind(address).is_ok()
}
