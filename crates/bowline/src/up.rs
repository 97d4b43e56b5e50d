//! `bowline up`: the gateway and the control role on one machine, with `dev` served live from the working tree.

mod watch;

use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;
use bowline_gateway::GatewayOptions;
use bowline_prompt::Project;
use bowline_registry::Source;
use bowline_server::wire::{KeyList, KeyRequest, KeyResponse, ReleaseResponse};
use bowline_server::{Client, ControlOptions};
use bowline_types::EnvironmentName;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::info;

use crate::cli::{Global, Up};
use crate::failure::Result;
use crate::host::Host;
use crate::output::{line, note};
use crate::project::{self, Loaded};
use crate::serve::{ControlServer, bind};
use crate::settings;
use crate::wording::count;
use crate::workspace::{Addresses, Workspace};

/// The environment that is served from the working tree.
const DEV: &str = "dev";
/// The name of the key that is made the first time.
const FIRST_KEY: &str = "first";

/// Serves until a signal ends it.
///
/// # Errors
/// The project has errors at the start, an address is taken, or the store is in use.
pub(crate) async fn run(global: &Global, up: &Up) -> Result<ExitCode> {
    let loaded = project::load(up.folder.as_deref().or(global.dir.as_deref()))?;
    let project = readable(&loaded)?;
    // Bind everything before any work: a port that is taken must not leave half a server behind.
    let gateway_listener = bind(&up.listen, "--listen").await?;
    let control_listener = bind(&up.control_listen, "--control-listen").await?;
    let addresses = Addresses {
        gateway: gateway_listener.local_addr()?.to_string(),
        control: control_listener.local_addr()?.to_string(),
    };
    let workspace = Workspace::open(&loaded.folder)?;
    let host = Host::open(workspace.clone(), ControlOptions::default()).await?;
    // What a killed process left there is wrong from now on.
    workspace.addresses_remove();
    let client = host.client(project.name.clone());
    settle(&client, &loaded, project).await?;
    let key = first_key(&client, project).await?;
    let shutdown = signals()?;
    let server = ControlServer::start(&host, control_listener, &[])?;
    let otlp = project.telemetry.otlp.as_ref().map(|otlp| otlp.endpoint.as_str());
    let gateway = host.gateway(GatewayOptions::default(), host.exporter(otlp, &server)?, None)?;
    let tasks = TaskTracker::new();
    tasks.spawn(gateway.run(gateway_listener, shutdown.clone()));
    tasks.spawn(watch::run(loaded.folder.clone(), client.clone(), shutdown.clone()));
    let text = serde_json::to_string(&addresses).context("addresses could not be written as JSON")?;
    workspace.addresses_write(&text)?;
    address_book(&addresses, &loaded, key.as_deref());

    shutdown.cancelled().await;
    info!("draining");
    // The control role outlives the gateway, whose last records it takes.
    tasks.close();
    tasks.wait().await;
    server.stop().await;
    workspace.addresses_remove();
    host.close().await;
    Ok(ExitCode::SUCCESS)
}

fn readable(loaded: &Loaded) -> Result<&Project> {
    if loaded.report.has_errors() {
        watch::report(&loaded.folder, &loaded.report);
    }
    loaded.project()
}

/// Makes the configuration known and serves the working tree, where the project has the environment for it.
pub(crate) async fn settle(client: &Client, loaded: &Loaded, project: &Project) -> Result<()> {
    let config = serde_json::to_value(project).map_err(anyhow::Error::from)?;
    let _projects: serde_json::Value = client.put("", &config).await?;
    release_worktree(client, loaded).await
}

/// Releases the working tree to `dev`; nothing where the project declares no such environment.
async fn release_worktree(client: &Client, loaded: &Loaded) -> Result<()> {
    let project = loaded.project()?;
    let dev = EnvironmentName::new(DEV).map_err(anyhow::Error::from)?;
    if !project.environments.contains_key(&dev) {
        return Ok(());
    }
    let provenance = bowline_registry::provenance(&loaded.folder).unwrap_or(bowline_store::Provenance {
        commit: None,
        author: None,
        dirty: true,
    });
    let request = loaded.release(dev, Source::Worktree, provenance, settings::actor(), &[])?;
    let response: ReleaseResponse = client.post("/releases", &request).await?;
    for result in &response.results {
        info!(prompt = %result.prompt, version = %result.version.short(), status = ?result.status, "working tree");
    }
    Ok(())
}

/// Makes a key the first time; it is shown once.
async fn first_key(client: &Client, project: &Project) -> Result<Option<String>> {
    let KeyList { keys } = client.get("/keys").await?;
    if keys.iter().any(|key| key.revoked_at.is_none()) {
        return Ok(None);
    }
    let dev = EnvironmentName::new(DEV).map_err(anyhow::Error::from)?;
    let environment =
        if project.environments.contains_key(&dev) { Some(&dev) } else { project.environments.keys().next() };
    let Some(environment) = environment else { return Ok(None) };
    let request = KeyRequest {
        name: FIRST_KEY.to_owned(),
        environment: environment.clone(),
        environments: project.environments.keys().cloned().collect(),
        versions: true,
        subject: None,
        replaces: None,
    };
    let KeyResponse { key, .. } = client.post("/keys", &request).await?;
    Ok(Some(key))
}

/// Returns a token that SIGINT and SIGTERM cancel.
pub(crate) fn signals() -> Result<CancellationToken> {
    let shutdown = CancellationToken::new();
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let token = shutdown.clone();
    TaskTracker::new().spawn(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        token.cancel();
    });
    Ok(shutdown)
}

fn address_book(addresses: &Addresses, loaded: &Loaded, key: Option<&str>) {
    let Addresses { gateway, control } = addresses;
    line(format!("gateway   http://{gateway}/v1"));
    line(format!("console   http://{control}"));
    if let Some(key) = key {
        line(format!("key       {key}"));
        note("The key is shown once. `bowline key create NAME --env ENV` makes another.");
    }
    let prompt = loaded.report.prompts.first().map(|prompt| prompt.name.to_string());
    let prompts = count(loaded.report.prompts.len(), "prompt");
    note(format!("Serving {prompts} from {}; edits are live in `{DEV}`.", display(&loaded.folder)));
    if let Some(prompt) = prompt {
        note(format!("Try it: model \"prompt:{prompt}\" with your OpenAI SDK at http://{gateway}/v1"));
    }
}

fn display(folder: &Path) -> std::path::Display<'_> {
    folder.display()
}
