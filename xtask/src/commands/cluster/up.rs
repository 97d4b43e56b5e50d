use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use super::component::Component;
use super::launch::Launcher;
use super::layout::Layout;
use super::programs::Programs;
use super::state::{Lock, State};
use super::{Place, certificates, control, image, network, node, packages, probe, rights, status};
use crate::commands::Outcome;
use crate::process;
use crate::stopwatch::{Stopwatch, Took};
use crate::workspace::Workspace;

/// The DNS as a Service, and what it may read.
const DNS: &str = include_str!("dns.yaml");

/// What to start.
#[derive(Clone, Debug, Default, clap::Args)]
pub(in crate::commands) struct Options {
    /// Also a node: containerd, kubelet, kube-proxy and DNS, on a bridge of their own. Needs root; one per machine.
    #[arg(long)]
    node: bool,
    /// An OCI archive whose image pods can use, with `imagePullPolicy: Never`. Needs a node. Repeatable.
    #[arg(long = "image", value_name = "FILE.tar")]
    images: Vec<PathBuf>,
    #[command(flatten)]
    place: Place,
}

/// Starts what does not run yet, and loads images.
pub(super) fn run(workspace: &Workspace, options: &Options) -> anyhow::Result<Outcome> {
    anyhow::ensure!(
        cfg!(target_os = "linux"),
        "a cluster from packages runs on Linux only\nhint: set KUBECONFIG to use another"
    );
    let layout = Layout::check(options.place.folder()?)?;
    let known = State::read(&layout)?;
    anyhow::ensure!(
        !options.node || known.as_ref().is_none_or(|state| state.node),
        "the cluster in {} was made without a node, and its API server is on loopback\nhint: `cargo xtask cluster down` first",
        layout.folder().display()
    );
    let node = options.node || known.is_some_and(|state| state.node);
    anyhow::ensure!(node || options.images.is_empty(), "images need a node\nhint: add `--node`");
    let images = archives(&options.images)?;
    // Whatever is in the way is said before anything is made.
    if node {
        rights::check()?;
        packages::install()?;
        network::check(&layout)?;
    }
    let programs = Programs::build(workspace, node)?;

    let stopwatch = Stopwatch::start();
    let layout = layout.create()?;
    let _lock = Lock::take(&layout)?;
    let mut state = match State::read(&layout)? {
        Some(state) => state,
        None => State::new(node)?,
    };
    state.adopt(&layout)?;
    // From here on something is there to be taken down.
    state.write(&layout)?;
    link(&programs.kubectl, &layout.kubectl())?;
    certificates::make(&layout, &control::api_url(&state))?;
    if state.node {
        network::make(&layout, &mut state)?;
        let plugins = packages::plugins().context("the plugins of pod networks are missing")?;
        node::configure(&layout, &state, plugins)?;
    }
    start(&layout, &programs, &mut state, &images)
        .context("the cluster did not start\nhint: `cargo xtask cluster down` removes what was started")?;
    status::print(&layout, &state)?;
    println!("\nthe cluster is ready, after {}; to use it:\n", Took(stopwatch.elapsed()));
    println!("  export KUBECONFIG={}", layout.kubeconfig().display());
    println!("  {} get namespaces", layout.kubectl().display());
    Ok(Outcome::Passed)
}

fn start(layout: &Layout, programs: &Programs, state: &mut State, images: &[PathBuf]) -> anyhow::Result<()> {
    let has_node = state.node;
    let mut launcher = Launcher::new(layout, programs, state);
    launcher.start(&[Component::Etcd])?;
    launcher.start(&[Component::ApiServer])?;
    launcher.start(&[Component::ControllerManager, Component::Scheduler])?;
    // Without it no pod is accepted.
    launcher.until("the default account is there", |layout| {
        get(layout, &["serviceaccount", "default", "--namespace", "default", "--output", "name"]).is_some()
    })?;
    if !has_node {
        return Ok(());
    }
    launcher.start(&[Component::Containerd])?;
    let pause = programs.pause.as_ref().context("the program `pause` is missing")?;
    let mut archives = vec![image::pause(layout, pause)?];
    archives.extend_from_slice(images);
    for name in image::load(layout, &archives)? {
        eprintln!("image {name} is there");
    }
    layout.write("configuration/dns.yaml", DNS)?;
    let mut apply = probe::kubectl(layout);
    process::output(apply.args(["apply", "--server-side", "--filename"]).arg(layout.path("configuration/dns.yaml")))?;
    launcher.start(&[Component::Kubelet, Component::Proxy, Component::Dns])?;
    let ready = r#"jsonpath={.status.conditions[?(@.type=="Ready")].status}"#;
    launcher.until("the node is ready", |layout| {
        get(layout, &["node", node::NAME, "--output", ready]).is_some_and(|status| status.trim() == "True")
    })
}

/// Returns what `kubectl get` prints; `None` where it fails.
fn get(layout: &Layout, arguments: &[&str]) -> Option<String> {
    let output = probe::kubectl(layout).arg("get").args(arguments).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Finds the archives before anything is started.
fn archives(images: &[PathBuf]) -> anyhow::Result<Vec<PathBuf>> {
    let find = |path: &PathBuf| fs::canonicalize(path).with_context(|| format!("finding the image {}", path.display()));
    images.iter().map(find).collect()
}

/// Makes a link to a program, or makes it point there.
fn link(program: &Path, link: &Path) -> anyhow::Result<()> {
    if fs::read_link(link).is_ok_and(|target| target == program) {
        return Ok(());
    }
    match fs::remove_file(link) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => symlink(program, link),
    }
    .with_context(|| format!("linking {} to {}", link.display(), program.display()))
}
