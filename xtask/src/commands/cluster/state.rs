use std::collections::BTreeSet;
use std::fs::{self, File};
use std::net::TcpListener;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use super::component::Component;
use super::identity::{self, Identity};
use super::layout::Layout;

const FILE: &str = "cluster.json";
/// The form of the file. Another form is refused, not guessed at.
const VERSION: u32 = 1;

/// What is known of a cluster between two commands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct State {
    version: u32,
    /// Whether it has a node.
    pub(super) node: bool,
    /// The start of the machine that the processes belong to.
    boot: String,
    /// Where it listens on loopback.
    pub(super) ports: Ports,
    /// Whether the machine forwarded packets before the cluster told it to; `None` where the cluster did not.
    pub(super) forwarded_before: Option<bool>,
    /// What was started.
    processes: Vec<Process>,
}

/// The ports on 127.0.0.1, free when the cluster was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Ports {
    /// The API server, in a cluster without a node.
    pub(super) api: u16,
    /// etcd, for its client.
    pub(super) etcd: u16,
    /// etcd, for its peers, of which there are none.
    pub(super) etcd_peer: u16,
    /// etcd, for its health.
    pub(super) etcd_health: u16,
    /// The controllers.
    pub(super) controllers: u16,
    /// The scheduler.
    pub(super) scheduler: u16,
    /// The kubelet, for its health.
    pub(super) kubelet_health: u16,
    /// kube-proxy, for its health.
    pub(super) proxy_health: u16,
    /// kube-proxy, for its metrics.
    pub(super) proxy_metrics: u16,
    /// The DNS, for its health.
    pub(super) dns_health: u16,
}

/// A component that was started.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Process {
    component: Component,
    #[serde(flatten)]
    identity: Identity,
}

/// Held while a command changes a cluster.
#[derive(Debug)]
pub(super) struct Lock {
    _file: File,
}

// === impl State ===

impl State {
    /// Returns the state of a new cluster.
    pub(super) fn new(node: bool) -> anyhow::Result<Self> {
        let boot = identity::boot()?;
        let ports = Ports::free()?;
        Ok(Self { version: VERSION, node, boot, ports, forwarded_before: None, processes: Vec::new() })
    }

    /// Reads the state of a cluster; `None` where there is none.
    ///
    /// What ran before the machine was started again is forgotten.
    pub(super) fn read(layout: &Layout) -> anyhow::Result<Option<Self>> {
        let path = layout.path(FILE);
        let text = match fs::read_to_string(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            text => text.with_context(|| format!("reading {}", path.display()))?,
        };
        let state = Self::parse(&text, &identity::boot()?).with_context(|| format!("reading {}", path.display()))?;
        Ok(Some(state))
    }

    /// Writes it in one piece.
    pub(super) fn write(&self, layout: &Layout) -> anyhow::Result<()> {
        layout.write(FILE, &serde_json::to_string_pretty(self)?)
    }

    /// Returns the running process of a component.
    pub(super) fn process(&self, component: Component) -> Option<Identity> {
        let process = self.processes.iter().find(|process| process.component == component)?;
        Some(process.identity).filter(|identity| identity.is_alive())
    }

    /// Notes that a component was started.
    pub(super) fn started(&mut self, component: Component, identity: Identity) {
        self.processes.retain(|process| process.component != component);
        self.processes.push(Process { component, identity });
    }

    /// Takes note of components that run although the file does not say so: a command may have ended between a start and its note.
    pub(super) fn adopt(&mut self, layout: &Layout) -> anyhow::Result<()> {
        for identity in identity::marked(layout.folder())? {
            let program = identity.program();
            let component = Component::of(self.node).into_iter().find(|it| program.as_deref() == Some(it.name()));
            if let Some(component) = component.filter(|component| self.process(*component).is_none()) {
                self.started(component, identity);
            }
        }
        Ok(())
    }

    fn parse(text: &str, boot: &str) -> anyhow::Result<Self> {
        let mut state: Self = serde_json::from_str(text)?;
        anyhow::ensure!(
            state.version == VERSION,
            "the state of the cluster has version {}, and this program knows {VERSION}\n\
             hint: take it down with the program that started it",
            state.version
        );
        if state.boot != boot {
            state.processes.clear();
            boot.clone_into(&mut state.boot);
        }
        Ok(state)
    }
}

// === impl Ports ===

impl Ports {
    /// Returns ports that are free now, all different.
    fn free() -> anyhow::Result<Self> {
        const COUNT: usize = 10;
        let listeners = (0..COUNT).map(|_| TcpListener::bind(("127.0.0.1", 0))).collect::<Result<Vec<_>, _>>();
        let listeners = listeners.context("looking for free ports on 127.0.0.1")?;
        let ports = listeners.iter().map(TcpListener::local_addr).collect::<Result<BTreeSet<_>, _>>()?;
        let mut ports = ports.into_iter().map(|address| address.port());
        let mut next = || ports.next().context("looking for free ports on 127.0.0.1");
        Ok(Self {
            api: next()?,
            etcd: next()?,
            etcd_peer: next()?,
            etcd_health: next()?,
            controllers: next()?,
            scheduler: next()?,
            kubelet_health: next()?,
            proxy_health: next()?,
            proxy_metrics: next()?,
            dns_health: next()?,
        })
    }
}

// === impl Lock ===

impl Lock {
    /// Takes the lock of a cluster.
    ///
    /// # Errors
    ///
    /// Fails where another command holds it; the operating system frees it when that ends, however it ends.
    pub(super) fn take(layout: &Layout) -> anyhow::Result<Self> {
        let path = layout.path("lock");
        let file = File::create(&path).with_context(|| format!("opening {}", path.display()))?;
        match file.try_lock() {
            Ok(()) => Ok(Self { _file: file }),
            Err(fs::TryLockError::WouldBlock) => anyhow::bail!(
                "another command works on the cluster in {}\nhint: wait until it has ended",
                layout.folder().display()
            ),
            Err(fs::TryLockError::Error(error)) => Err(error).with_context(|| format!("locking {}", path.display())),
        }
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    fn state() -> anyhow::Result<State> {
        let mut state = State::new(true)?;
        state.started(Component::Etcd, Identity::of(std::process::id()).context("this process runs")?);
        Ok(state)
    }

    #[test]
    fn what_is_written_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let layout = Layout::new(folder.path().join("cluster")).create().unwrap();
        assert_eq!(State::read(&layout).unwrap(), None);
        let state = state().unwrap();
        state.write(&layout).unwrap();
        let read = State::read(&layout).unwrap().unwrap();
        assert_eq!(read, state);
        assert_eq!(read.process(Component::Etcd).map(|identity| identity.pid), Some(std::process::id()));
        assert_eq!(read.process(Component::Kubelet), None);
    }

    #[test]
    fn processes_of_an_earlier_start_of_the_machine_are_forgotten() {
        let state = state().unwrap();
        let text = serde_json::to_string(&state).unwrap();
        let read = State::parse(&text, "another").unwrap();
        assert_eq!(read.process(Component::Etcd), None);
        assert_eq!(read.ports, state.ports);
        assert!(State::parse(&text, &state.boot).unwrap().process(Component::Etcd).is_some());
    }

    #[test]
    fn another_form_is_refused() {
        let text = serde_json::to_string(&State { version: 2, ..state().unwrap() }).unwrap();
        let error = State::parse(&text, "boot").unwrap_err().to_string();
        assert!(error.contains("version 2"), "{error}");
    }

    #[test]
    fn ports_are_all_different() {
        let ports = serde_json::to_value(Ports::free().unwrap()).unwrap();
        let ports: BTreeSet<u64> =
            ports.as_object().unwrap().values().map(|port| port.as_u64().unwrap()).filter(|port| *port > 0).collect();
        assert_eq!(ports.len(), 10);
    }

    #[test]
    fn one_command_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let layout = Layout::new(folder.path().join("cluster")).create().unwrap();
        let lock = Lock::take(&layout).unwrap();
        assert!(Lock::take(&layout).unwrap_err().to_string().contains("another command"));
        drop(lock);
        Lock::take(&layout).unwrap();
    }
}
