use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use super::Outcome;
use crate::environment;
use crate::workspace::Workspace;

mod certificates;
mod component;
mod control;
mod down;
mod identity;
mod image;
mod launch;
mod layout;
mod network;
mod node;
mod packages;
mod probe;
mod programs;
mod remains;
mod rights;
mod state;
mod status;
mod up;

use layout::Layout;

/// A Kubernetes cluster from published Go modules and Debian packages.
#[derive(clap::Subcommand)]
pub(super) enum Cluster {
    /// Starts what does not run yet: the control plane, and a node with `--node`.
    Up(up::Options),
    /// Stops it and removes everything that it left, also after a crash.
    Down(Place),
    /// Says what runs, how it is, and how much memory it takes.
    Status(status::Options),
    /// Prints the path of the kubeconfig: that of `KUBECONFIG`, else that of the cluster.
    Kubeconfig(Place),
}

/// Which cluster.
#[derive(Clone, Debug, Default, clap::Args)]
pub(super) struct Place {
    /// The state folder; by default `cluster` in the cache, `~/.cache/bowline/cluster`.
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

/// Runs a verb.
pub(super) fn run(workspace: &Workspace, cluster: &Cluster) -> anyhow::Result<Outcome> {
    match cluster {
        Cluster::Up(options) => up::run(workspace, options),
        Cluster::Down(place) => down::run(place),
        Cluster::Status(options) => status::run(options),
        Cluster::Kubeconfig(place) => {
            println!("{}", kubeconfig(place)?.display());
            Ok(Outcome::Passed)
        }
    }
}

/// Returns the kubeconfig of the cluster to work with: an existing one that `KUBECONFIG` names, else the one of the state folder.
///
/// # Errors
///
/// Fails where `KUBECONFIG` names no file, and where there is neither.
pub(super) fn kubeconfig(place: &Place) -> anyhow::Result<PathBuf> {
    if let Some(path) = environment::kubeconfig() {
        anyhow::ensure!(path.is_file(), "KUBECONFIG names {}, which is not a file", path.display());
        return Ok(path);
    }
    let path = Layout::kubeconfig_in(&place.folder()?);
    anyhow::ensure!(
        path.is_file(),
        "there is no cluster: {} is missing\nhint: `cargo xtask cluster up`, or set KUBECONFIG",
        path.display()
    );
    Ok(path)
}

// === impl Place ===

impl Place {
    /// Returns the state folder, without symbolic links if it exists: mounts are listed under their real path.
    fn folder(&self) -> anyhow::Result<PathBuf> {
        let folder = match &self.dir {
            Some(dir) => std::path::absolute(dir).with_context(|| format!("finding {}", dir.display()))?,
            None => environment::cache()
                .context("neither XDG_CACHE_HOME nor HOME is set, so there is no place for a cluster\nhint: `--dir`")?
                .join("cluster"),
        };
        Ok(real(&folder))
    }
}

fn real(folder: &Path) -> PathBuf {
    fs::canonicalize(folder).unwrap_or_else(|_| folder.to_owned())
}
