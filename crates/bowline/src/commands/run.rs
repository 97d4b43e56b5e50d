mod call;

use bowline_gateway::GatewayOptions;
use bowline_server::Client;
use bowline_server::wire::{KeyRequest, KeyResponse, KeyRevoked};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::{connected, live};
use crate::cli::{self, Global};
use crate::connect::{Connection, is_open_way};
use crate::failure::{Failure, Result};
use crate::host::Host;
use crate::output::{Format, json, note};
use crate::project::{self, Loaded};
use crate::up;
use crate::variables;
use crate::workspace::Workspace;
use call::{Answered, Call};

/// The environment that is served from the working tree.
const DEV: &str = "dev";

/// Calls a prompt once, as an application would: over HTTP, through the gateway, with a key that lives for this one call.
///
/// # Errors
/// There is no such environment, no gateway can be reached, or the call failed.
pub(crate) async fn run(global: &Global, run: &cli::Run) -> Result<()> {
    let loaded = project::load(global.dir.as_deref())?;
    let project = loaded.report.project.as_ref();
    let project =
        project.ok_or_else(|| Failure::user("the project file has errors\nhint: `bowline check` shows them"))?;
    live::declared(project, &run.env)?;
    let schema = loaded.report.prompt(&run.prompt).and_then(|prompt| prompt.version.input.schema.as_ref());
    let variables = variables::read(&run.variables, schema)?;
    let stream = global.output == Format::Text;
    let body = json!({
        "model": format!("prompt:{}", run.prompt),
        "messages": [],
        "variables": variables,
        "stream": stream,
        "stream_options": stream.then(|| json!({ "include_usage": true })),
    });
    connected(global, async |connection| {
        let answered = Box::pin(served(connection, &loaded, run, body)).await?;
        tell(&answered)
    })
    .await
}

/// Makes the call against the gateway that serves the project, or one in this process.
async fn served(connection: &Connection, loaded: &Loaded, run: &cli::Run, body: Value) -> Result<Answered> {
    let Some(host) = &connection.host else {
        let gateway = match &run.gateway {
            Some(gateway) => gateway.clone(),
            None => running(loaded)?,
        };
        if is_open_way(&gateway) {
            let hint = "hint: a tunnel to a port of this machine, such as `kubectl port-forward`";
            let message = format!("`--gateway {gateway}` would send a key over plain HTTP beyond this machine");
            return Err(Failure::user(format!("{message}\n{hint}")));
        }
        return keyed(&connection.client, run, async |key| call(&gateway, key, run, &body).await).await;
    };
    if run.env.as_str() == DEV {
        up::settle(&connection.client, loaded, loaded.project()?).await?;
    }
    keyed(&connection.client, run, async |key| in_process(host, key, run, &body).await).await
}

fn running(loaded: &Loaded) -> Result<String> {
    let addresses = Workspace::open(&loaded.folder)?.addresses()?;
    let unknown = || Failure::user("the address of the gateway is not known\nhint: name it with `--gateway ADDR`");
    Ok(addresses.ok_or_else(unknown)?.gateway)
}

async fn in_process(host: &Host, key: &str, run: &cli::Run, body: &Value) -> Result<Answered> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?.to_string();
    let stop = CancellationToken::new();
    let tasks = TaskTracker::new();
    tasks.spawn(host.gateway(GatewayOptions::default(), None, None)?.run(listener, stop.clone()));
    let answered = call(&address, key, run, body).await;
    // The record of the call is delivered while the gateway stops.
    stop.cancel();
    tasks.close();
    tasks.wait().await;
    answered
}

async fn call(gateway: &str, key: &str, run: &cli::Run, body: &Value) -> Result<Answered> {
    Call { gateway, key, unit: run.unit.as_deref() }.send(body).await
}

/// Does something with a key of its own, and revokes it afterwards, however it went.
async fn keyed<T>(client: &Client, run: &cli::Run, work: impl AsyncFnOnce(&str) -> Result<T>) -> Result<T> {
    let request = KeyRequest {
        name: "bowline run".to_owned(),
        environment: run.env.clone(),
        environments: Vec::new(),
        versions: false,
        subject: None,
        replaces: None,
    };
    let made: KeyResponse = client.post("/keys", &request).await?;
    let result = work(&made.key).await;
    let revoked = client.delete::<KeyRevoked>(&format!("/keys/{}", made.record.id)).await;
    // What went wrong first is what is told.
    let done = result?;
    revoked?;
    Ok(done)
}

fn tell(answered: &Answered) -> Result<()> {
    if let Some(answer) = &answered.answer {
        let Answered { inference, version, arm, .. } = answered;
        return json(&json!({ "inference": inference, "version": version, "arm": arm, "answer": answer }));
    }
    let version = answered.version.as_deref().and_then(|version| version.get("sha256:".len()..)?.get(..8));
    let usage = answered.usage.unwrap_or_default();
    let facts = [
        version.map(|version| format!("version {version}")),
        answered.arm.clone(),
        usage.input.map(|tokens| format!("{tokens} tokens in")),
        usage.output.map(|tokens| format!("{tokens} out")),
        answered.simulated.then(|| "simulated".to_owned()),
        answered.inference.as_ref().map(|inference| format!("`bowline inference show {inference}`")),
    ];
    note(facts.into_iter().flatten().collect::<Vec<_>>().join(", "));
    Ok(())
}
