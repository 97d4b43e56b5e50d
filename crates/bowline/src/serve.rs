//! `bowline serve`: the roles of `bowline up` as processes of their own, on one machine or on several.

mod admin;
mod clock;
mod control;
mod delivery;
mod follow;
mod gateway;
mod operator;
mod renew;
mod review;
mod tls;
mod tokens;

use std::net::SocketAddr;
use std::process::ExitCode;

use anyhow::Context;
use serde::Serialize;
use tokio::net::TcpListener;

use crate::cli::{Global, Role, Serve};
use crate::failure::{Failure, Result};
use crate::output::line;
use crate::workspace::Workspace;

pub(crate) use control::ControlServer;

/// Where the listeners of a process are.
#[derive(Clone, Debug, Default, Serialize)]
struct AddressBook {
    /// The gateway.
    #[serde(skip_serializing_if = "Option::is_none")]
    gateway: Option<SocketAddr>,
    /// Metrics and health.
    #[serde(skip_serializing_if = "Option::is_none")]
    admin: Option<SocketAddr>,
    /// The control API and the console.
    #[serde(skip_serializing_if = "Option::is_none")]
    control: Option<SocketAddr>,
    /// The control API for other machines.
    #[serde(skip_serializing_if = "Option::is_none")]
    api: Option<SocketAddr>,
    /// The internal API.
    #[serde(skip_serializing_if = "Option::is_none")]
    internal: Option<SocketAddr>,
}

/// Serves the roles until a signal ends it.
///
/// # Errors
/// An option is missing or does not fit, an address is taken, or the folder is in use.
pub(crate) async fn run(global: &Global, serve: &Serve) -> Result<ExitCode> {
    if serve.has(Role::Operator) {
        return operator::run(global, serve).await.map(|()| ExitCode::SUCCESS);
    }
    let data = serve.data.as_ref().ok_or_else(|| {
        Failure::user(
            "`--data DIR` is missing\nhint: control and gateways keep what they must not lose in a folder of their own",
        )
    })?;
    let workspace = Workspace::at(data)?;
    // What a killed process left there is wrong from now on.
    workspace.addresses_remove();
    let result = match (serve.has(Role::Control), serve.has(Role::Gateway)) {
        (true, with_gateway) => Box::pin(control::run(serve, &workspace, with_gateway)).await,
        (false, _) => Box::pin(gateway::run(global, serve, &workspace)).await,
    };
    workspace.addresses_remove();
    result.map(|()| ExitCode::SUCCESS)
}

/// Binds a listener; `flag` names it in what is told.
pub(crate) async fn bind(address: &str, flag: &str) -> Result<TcpListener> {
    TcpListener::bind(address).await.map_err(|error| {
        let hint = format!("hint: another process may have it; `{flag} 127.0.0.1:0` takes any free port");
        Failure::user(format!("could not listen on {address}: {error}\n{hint}"))
    })
}

/// Refuses plain HTTP where others could read it.
fn refuse_plain(address: Option<SocketAddr>, flag: &str, serve: &Serve) -> Result<()> {
    let Some(address) = address.filter(|address| !address.ip().is_loopback() && !serve.plain_http) else {
        return Ok(());
    };
    let hint = "hint: `--tls-cert FILE --tls-key FILE`; or `--plain-http`, where something else encrypts";
    Err(Failure::user(format!("`{flag} {address}` would speak plain HTTP beyond this machine\n{hint}")))
}

impl AddressBook {
    /// Says where the process serves, to people and to whoever reads the file.
    fn tell(&self, workspace: &Workspace) -> Result<()> {
        let text = serde_json::to_string(self).context("addresses could not be written as JSON")?;
        workspace.addresses_write(&text)?;
        self.print();
        Ok(())
    }

    /// Says it to people.
    fn print(&self) {
        let named = |name: &str, address: Option<SocketAddr>, path: &str| {
            if let Some(address) = address {
                line(format!("{name:9} http://{address}{path}"));
            }
        };
        named("gateway", self.gateway, "/v1");
        named("metrics", self.admin, "/metrics");
        named("console", self.control, "");
        for (name, address) in [("api", self.api), ("internal", self.internal)] {
            if let Some(address) = address {
                line(format!("{name:9} {address}"));
            }
        }
    }
}
