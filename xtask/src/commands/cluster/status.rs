use std::path::PathBuf;

use serde::Serialize;

use super::component::Component;
use super::layout::Layout;
use super::state::State;
use super::{Place, control, probe};
use crate::commands::Outcome;

/// Which cluster, and how to print it.
#[derive(Clone, Debug, clap::Args)]
pub(in crate::commands) struct Options {
    /// For people, or for programs.
    #[arg(long, value_enum, default_value = "text")]
    output: Format,
    #[command(flatten)]
    place: Place,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Format {
    Text,
    Json,
}

/// How a cluster is.
#[derive(Clone, Debug, Serialize)]
struct Report {
    folder: PathBuf,
    kubeconfig: PathBuf,
    server: String,
    node: bool,
    components: Vec<Row>,
}

/// How a component is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Row {
    component: Component,
    /// Its process, where it runs.
    pid: Option<u32>,
    health: Health,
    /// What it says, or why it says nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    memory_bytes: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Health {
    Ok,
    Unwell,
    Stopped,
}

/// Says how the cluster is; fails where there is none, and where something is not well.
pub(super) fn run(options: &Options) -> anyhow::Result<Outcome> {
    let layout = Layout::new(options.place.folder()?);
    let Some(mut state) = State::read(&layout)? else {
        anyhow::bail!("there is no cluster in {}\nhint: `cargo xtask cluster up`", layout.folder().display());
    };
    state.adopt(&layout)?;
    let report = Report::read(&layout, &state);
    match options.output {
        Format::Text => print!("{}", report.table()),
        Format::Json => println!("{}", serde_json::to_string_pretty(&report)?),
    }
    Ok(Outcome::of(report.components.iter().all(|row| row.health == Health::Ok)))
}

/// Prints how the cluster is, for people.
pub(super) fn print(layout: &Layout, state: &State) -> anyhow::Result<()> {
    print!("{}", Report::read(layout, state).table());
    Ok(())
}

// === impl Report ===

impl Report {
    fn read(layout: &Layout, state: &State) -> Self {
        Self {
            folder: layout.folder().to_owned(),
            kubeconfig: layout.kubeconfig(),
            server: control::api_url(state),
            node: state.node,
            components: Component::of(state.node).into_iter().map(|it| Row::read(it, layout, state)).collect(),
        }
    }

    fn table(&self) -> String {
        let lines: String = self.components.iter().map(Row::line).collect();
        let sum: u64 = self.components.iter().filter_map(|row| row.memory_bytes).sum();
        let (title, total) = (line("component", "pid", "memory", "health"), line("", "", &mebibytes(sum), ""));
        format!("{title}{lines}{total}")
    }
}

// === impl Row ===

impl Row {
    fn read(component: Component, layout: &Layout, state: &State) -> Self {
        let Some(identity) = state.process(component) else {
            return Self { component, pid: None, health: Health::Stopped, reason: None, memory_bytes: None };
        };
        let reason = probe::check(component, layout, state).err();
        let health = if reason.is_none() { Health::Ok } else { Health::Unwell };
        Self { component, pid: Some(identity.pid), health, reason, memory_bytes: identity.memory_bytes() }
    }

    fn line(&self) -> String {
        let pid = self.pid.map_or_else(|| "-".to_owned(), |pid| pid.to_string());
        let memory = self.memory_bytes.map_or_else(|| "-".to_owned(), mebibytes);
        let health = match self.health {
            Health::Ok => "ok".to_owned(),
            Health::Stopped => "stopped".to_owned(),
            Health::Unwell => format!("unwell: {}", self.reason.as_deref().unwrap_or_default()),
        };
        line(self.component.name(), &pid, &memory, &health)
    }
}

fn line(component: &str, pid: &str, memory: &str, health: &str) -> String {
    let text = format!("{component:<24} {pid:>8} {memory:>10}  {health}");
    format!("{}\n", text.trim_end())
}

fn mebibytes(bytes: u64) -> String {
    format!("{} MiB", bytes.div_ceil(1024 * 1024))
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_run_is_stopped() {
        let (layout, state) = (Layout::new(PathBuf::from("/state")), State::new(false).unwrap());
        let report = Report::read(&layout, &state);
        assert_eq!(report.components.len(), Component::CONTROL.len());
        assert!(report.components.iter().all(|row| row.health == Health::Stopped));
    }

    #[test]
    fn a_row_is_readable() {
        let row = Row {
            component: Component::Etcd,
            pid: Some(7),
            health: Health::Unwell,
            reason: Some("answers 503".to_owned()),
            memory_bytes: Some(45 << 20),
        };
        assert_eq!(row.line(), "etcd                            7     45 MiB  unwell: answers 503\n");
        let json = serde_json::to_value(&row).unwrap();
        assert_eq!(json["component"], "etcd");
        assert_eq!(json["health"], "unwell");
        assert_eq!(json["memory_bytes"], 47_185_920);
    }
}
