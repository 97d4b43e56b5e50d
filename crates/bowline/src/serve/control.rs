//! The control role as it serves: alone, beside a gateway in the same process, and in `bowline up`.

use std::net::SocketAddr;
use std::time::Duration;

use bowline_gateway::GatewayOptions;
use bowline_server::{ControlOptions, GatewayAuth, InternalOptions, TlsListener, internal_router};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

use super::{AddressBook, bind, refuse_plain, tls};
use crate::cli::Serve;
use crate::failure::Result;
use crate::host::Host;
use crate::up::signals;
use crate::workspace::Workspace;

/// How long shutdown waits for connections of the control API.
const DRAIN: Duration = Duration::from_secs(5);

/// A control role that serves.
pub(crate) struct ControlServer {
    stop: CancellationToken,
    tasks: TaskTracker,
}

// === impl ControlServer ===

impl ControlServer {
    /// Drives rollouts, and serves the control API and the console on a bound listener. `names` are further names of it.
    ///
    /// # Errors
    /// The listener has no address.
    pub(crate) fn start(host: &Host, listener: TcpListener, names: &[String]) -> Result<Self> {
        let server = Self { stop: CancellationToken::new(), tasks: TaskTracker::new() };
        let (control, stop) = (host.control.clone(), server.stop.clone());
        server.tasks.spawn(async move { control.run(stop).await });
        let router = host.router(listener.local_addr()?, names);
        let serving = axum::serve(listener, router).with_graceful_shutdown(server.stop.clone().cancelled_owned());
        server.spawn(async move { told(serving.await, "the control API") });
        Ok(server)
    }

    /// Also serves the internal API to gateways of other processes.
    ///
    /// # Errors
    /// The token or the certificates cannot be read.
    fn internal(&self, host: &Host, listener: TcpListener, serve: &Serve) -> Result<()> {
        let tls = tls::server(serve)?;
        let certified = tls.as_ref().is_some_and(bowline_server::ServerTls::asks_for_certificates);
        let auth = if certified { GatewayAuth::Certificate } else { GatewayAuth::Tokens(host.gateway_tokens()?) };
        let (token_secret, shutdown) = (host.token_secret()?, self.stop.clone());
        let router = internal_router(host.control.clone(), InternalOptions { auth, token_secret, shutdown });
        let stop = self.stop.clone().cancelled_owned();
        if let Some(tls) = tls {
            let serving = axum::serve(TlsListener::new(listener, tls.clone())?, router).with_graceful_shutdown(stop);
            self.spawn(async move { told(serving.await, "the internal API") });
            self.spawn(tls::renew(move || tls.reload(), self.stop.clone()));
        } else {
            let serving = axum::serve(listener, router).with_graceful_shutdown(stop);
            self.spawn(async move { told(serving.await, "the internal API") });
        }
        Ok(())
    }

    /// Runs something that ends with the control role.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn(task);
    }

    /// Returns what ends it, for what is spawned.
    pub(crate) fn stopping(&self) -> CancellationToken {
        self.stop.clone()
    }

    /// Ends it, after the connections that are open have had their answers.
    pub(crate) async fn stop(self) {
        self.stop.cancel();
        self.tasks.close();
        if tokio::time::timeout(DRAIN, self.tasks.wait()).await.is_err() {
            warn!("connections of the control API were cut off");
        }
    }
}

fn told(result: std::io::Result<()>, what: &str) {
    if let Err(error) = result {
        warn!(%error, "{what} ended with an error");
    }
}

/// Serves the control role, and a gateway beside it where asked to, until a signal ends it.
pub(super) async fn run(serve: &Serve, workspace: &Workspace, with_gateway: bool) -> Result<()> {
    let gateway_listener = match with_gateway {
        true => Some(bind(&serve.listen, "--listen").await?),
        false => None,
    };
    let control_listener = bind(&serve.control_listen, "--control-listen").await?;
    let internal_listener = bind(&serve.internal_listen, "--internal-listen").await?;
    let at = |listener: &TcpListener| -> Result<SocketAddr> { Ok(listener.local_addr()?) };
    let (control, internal) = (at(&control_listener)?, at(&internal_listener)?);
    refuse_plain(control, "--control-listen", serve)?;
    if serve.tls_cert.is_none() {
        refuse_plain(internal, "--internal-listen", serve)?;
    }
    let gateway = gateway_listener.as_ref().map(at).transpose()?;
    let book = AddressBook { gateway, admin: None, control: Some(control), internal: Some(internal) };

    let host = Host::open(workspace.clone(), ControlOptions::default()).await?;
    let shutdown = signals()?;
    let server = ControlServer::start(&host, control_listener, &serve.control_host)?;
    server.internal(&host, internal_listener, serve)?;
    let gateways = TaskTracker::new();
    if let Some(listener) = gateway_listener {
        let otlp = host.exporter(serve.otlp.as_deref(), &server)?;
        gateways.spawn(host.gateway(GatewayOptions::default(), otlp)?.run(listener, shutdown.clone()));
    }
    book.tell(workspace)?;

    shutdown.cancelled().await;
    info!("draining");
    // The control role outlives the gateway, whose last records it takes.
    gateways.close();
    gateways.wait().await;
    server.stop().await;
    host.close().await;
    Ok(())
}
