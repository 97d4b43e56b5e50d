//! The way of a command to the control role: the one at `--control`, the one of a running `bowline up`, or one in this process.

use std::net::IpAddr;

use anyhow::Context;
use bowline_server::{AdminToken, Client, ClientOptions, ClientTls, ControlOptions, TlsFiles};
use bowline_types::ProjectName;

use crate::cli::Global;
use crate::failure::{Failure, Result};
use crate::host::Host;
use crate::project;
use crate::settings;
use crate::workspace::Workspace;

/// An open way to the control role.
pub(crate) struct Connection {
    /// The client.
    pub(crate) client: Client,
    /// The control role, where it is in this process.
    pub(crate) host: Option<Host>,
}

/// Opens a way to the control role of the project.
///
/// # Errors
/// There is no project, or the store is in use by a process that cannot be reached.
pub(crate) async fn open(global: &Global) -> Result<Connection> {
    let folder = project::find(global.dir.as_deref())?;
    let name = name(&folder)?;
    let workspace = Workspace::open(&folder)?;
    let given = global.control.clone().or_else(|| settings::variable("BOWLINE_CONTROL"));
    if let Some(address) = given {
        if is_open_way(&address) {
            let hint = "hint: `https://`, to its `--api-listen`; or a tunnel to a port of this machine";
            let message = format!("`{address}` would send the admin token over plain HTTP beyond this machine");
            return Err(Failure::user(format!("{message}\n{hint}")));
        }
        let token = match settings::variable("BOWLINE_ADMIN_TOKEN") {
            Some(token) => AdminToken::new(&token),
            None => workspace.admin_token()?,
        };
        let options = ClientOptions { address, token: token.source(), tls: authorities()? };
        return Ok(Connection { client: Client::remote(options, name)?, host: None });
    }
    match Host::open(workspace.clone(), ControlOptions::default()).await {
        Ok(host) => Ok(Connection { client: host.client(name), host: Some(host) }),
        // Whoever holds the store serves it; where is in the workspace. Any other failure is told as it is: what an earlier process
        // left there may be somebody else's address by now.
        Err(failure) if failure.is_locked() => match workspace.addresses()? {
            Some(addresses) => {
                let token = workspace.admin_token()?;
                Ok(Connection { client: Client::network(addresses.control, name, token), host: None })
            }
            None => Err(failure),
        },
        Err(failure) => Err(failure),
    }
}

/// Returns whether others could read what is sent to an address: plain HTTP, as an address without a scheme has it, beyond this machine.
pub(crate) fn is_open_way(address: &str) -> bool {
    // What is no address is refused by whoever would call it.
    let Ok(uri) = address.parse::<http::Uri>() else { return false };
    let host = uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    let is_here = host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
    uri.scheme_str() != Some("https") && !is_here
}

/// Returns the authorities that a control API with `https://` must come from, where they are not the public ones.
fn authorities() -> Result<Option<ClientTls>> {
    let Some(path) = settings::variable("BOWLINE_CONTROL_CA") else { return Ok(None) };
    let files = TlsFiles { identity: None, authorities: Some(path.into()) };
    Ok(Some(ClientTls::load(files).context("BOWLINE_CONTROL_CA cannot be used")?))
}

/// Reads the name of a project, which is needed even where the rest of it has errors.
fn name(folder: &std::path::Path) -> Result<ProjectName> {
    let loaded = project::load(Some(folder))?;
    let project = loaded.report.project.as_ref();
    let unread = || Failure::user("the project file has errors\nhint: `bowline check` shows them");
    Ok(project.ok_or_else(unread)?.name.clone())
}

// === impl Connection ===

impl Connection {
    /// Lets go of the store, where this process holds it.
    pub(crate) async fn close(self) {
        if let Some(host) = self.host {
            host.close().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_http_stays_on_this_machine() {
        for here in ["127.0.0.1:7081", "localhost:7081", "http://[::1]:7081", "http://127.0.0.9:1", "https://a:1"] {
            assert!(!is_open_way(here), "{here}");
        }
        for open in ["control.internal:7081", "http://10.0.0.3:7081", "http://127.0.0.1@a:1", "http://[fd00::1]:1"] {
            assert!(is_open_way(open), "{open}");
        }
    }
}
