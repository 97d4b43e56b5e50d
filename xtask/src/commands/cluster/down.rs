use std::collections::BTreeSet;
use std::thread;
use std::time::Duration;

use rustix::process::Signal;

use super::component::Component;
use super::identity::{self, Identity};
use super::layout::Layout;
use super::state::{Lock, State};
use super::{Place, image, network, probe, remains};
use crate::commands::Outcome;
use crate::process;
use crate::stopwatch::{Stopwatch, Took};

/// How long a process may take to end when it is asked to.
const END: Duration = Duration::from_secs(4);
/// How long the kubelet may take to take its pods down in order; what is left then is killed.
const PODS: Duration = Duration::from_secs(20);
const LOOK: Duration = Duration::from_millis(200);

/// Stops a cluster and removes everything that it left; works as well after a crash, and again after one of its own.
pub(super) fn run(place: &Place) -> anyhow::Result<Outcome> {
    let stopwatch = Stopwatch::start();
    let layout = Layout::new(place.folder()?);
    let state = if layout.folder().is_dir() { State::read(&layout)? } else { None };
    let Some(mut state) = state else {
        println!("there is no cluster in {}", layout.folder().display());
        return Ok(Outcome::Passed);
    };
    let _lock = Lock::take(&layout)?;
    state.adopt(&layout)?;
    let mut containers = remains::containers(&layout)?;
    // First what would make more of what is about to be removed.
    stop(&state, &[Component::Scheduler, Component::ControllerManager])?;
    if state.node {
        end_pods(&layout, &state, &containers)?;
        stop(&state, &[Component::Kubelet, Component::Proxy, Component::Dns])?;
        containers.append(&mut remains::containers(&layout)?);
        identity::end(&remains::contained(&containers)?, END)?;
        // Shims outlive containerd, so they are looked for by their mark.
        stop(&state, &[Component::Containerd])?;
    }
    stop(&state, &[Component::ApiServer])?;
    stop(&state, &[Component::Etcd])?;
    identity::end(&identity::marked(layout.folder())?, END)?;
    if state.node {
        // Again, for what a shim has started in the meantime.
        identity::end(&remains::contained(&containers)?, END)?;
        remains::remove_groups(&containers)?;
        remains::unmount(&layout)?;
        remains::remove_traces(&layout)?;
        network::remove(&layout, Some(&state))?;
    }
    remains::remove_folder(&layout)?;
    println!("the cluster in {} is gone, after {}", layout.folder().display(), Took(stopwatch.elapsed()));
    Ok(Outcome::Passed)
}

fn stop(state: &State, components: &[Component]) -> anyhow::Result<()> {
    let processes: Vec<Identity> = components.iter().filter_map(|component| state.process(*component)).collect();
    identity::end(&processes, END)
}

/// Lets the kubelet take the pods down, so that the plugins of their network remove their rules.
fn end_pods(layout: &Layout, state: &State, containers: &BTreeSet<String>) -> anyhow::Result<()> {
    let needed = [Component::Etcd, Component::ApiServer, Component::Containerd, Component::Kubelet];
    if needed.iter().any(|component| state.process(*component).is_none()) {
        return Ok(());
    }
    let mut delete = probe::kubectl(layout);
    delete.args(["delete", "pods", "--all", "--all-namespaces", "--force", "--grace-period=0", "--wait=false"]);
    if let Err(error) = process::output(&mut delete) {
        eprintln!("the pods could not be deleted, so they are killed: {error:#}");
        return Ok(());
    }
    // A pod that does not listen to SIGTERM would take its own patience.
    for process in remains::contained(containers)? {
        process.signal(Signal::KILL)?;
    }
    let stopwatch = Stopwatch::start();
    while stopwatch.elapsed() < PODS {
        let tasks = process::output(image::ctr(layout).args(["tasks", "list", "--quiet"]))?;
        // The network of a pod is taken down after its processes.
        if tasks.trim().is_empty() && remains::networks()?.is_empty() {
            return Ok(());
        }
        thread::sleep(LOOK);
    }
    eprintln!("some pods were not taken down within {}, so they are killed", Took(PODS));
    Ok(())
}
