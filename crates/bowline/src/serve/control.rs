//! The control role as it serves: alone, beside a gateway in the same process, and in `bowline up`.

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use bowline_gateway::GatewayOptions;
use bowline_server::{ControlOptions, GatewayAuth, HostRule, InternalOptions, ServerTls, TlsListener, internal_router};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

use super::renew::renew;
use super::{AddressBook, bind, refuse_plain, review, tls, tokens};
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
        let rule = HostRule::new(listener.local_addr()?, names.iter().cloned());
        server.serve(listener, host.router(rule, server.stop.clone()), None, "the control API")?;
        Ok(server)
    }

    /// Also serves the internal API to gateways of other processes.
    ///
    /// # Errors
    /// The tokens or the certificates cannot be read.
    fn internal(&self, host: &Host, listener: TcpListener, serve: &Serve, workspace: &Workspace) -> Result<()> {
        let tls = tls::server(serve)?;
        let certified = tls.as_ref().is_some_and(ServerTls::asks_for_certificates);
        let auth = if certified {
            GatewayAuth::Certificate
        } else {
            let source = tokens::gateway(serve, workspace)?;
            let tokens = source.tokens.clone();
            self.spawn(renew("tokens of gateways", move || source.reload(), self.stop.clone()));
            GatewayAuth::Tokens(tokens)
        };
        let (token_secret, shutdown) = (host.token_secret()?, self.stop.clone());
        let metrics = std::sync::Arc::clone(&host.metrics);
        let options = InternalOptions { auth, token_secret, metrics, shutdown };
        self.serve(listener, internal_router(host.control.clone(), options), tls, "the internal API")
    }

    /// Also serves the control API to other machines, without the console.
    ///
    /// # Errors
    /// The certificates cannot be read.
    fn api(&self, host: &Host, listener: TcpListener, serve: &Serve) -> Result<()> {
        let tls = tls::api(serve)?;
        let rule = match &tls {
            Some(_) => HostRule::any(),
            None => HostRule::new(listener.local_addr()?, serve.control_host.iter().cloned()),
        };
        self.serve(listener, host.api_router(rule, self.stop.clone()), tls, "the control API for other machines")
    }

    /// Serves routes on a listener until the end, with TLS where it is given, whose certificates are read again.
    fn serve(&self, listener: TcpListener, router: Router, tls: Option<ServerTls>, what: &'static str) -> Result<()> {
        let stop = self.stop.clone().cancelled_owned();
        if let Some(tls) = tls {
            let serving = axum::serve(TlsListener::new(listener, tls.clone())?, router).with_graceful_shutdown(stop);
            self.spawn(async move { told(serving.await, what) });
            self.spawn(renew("certificates", move || tls.reload(), self.stop.clone()));
        } else {
            let serving = axum::serve(listener, router).with_graceful_shutdown(stop);
            self.spawn(async move { told(serving.await, what) });
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
    let api_listener = bind_some(serve.api_listen.as_deref(), "--api-listen").await?;
    let admin_listener = bind_some(serve.admin_listen.as_deref(), "--admin-listen").await?;
    let book = AddressBook {
        gateway: at(gateway_listener.as_ref())?,
        admin: at(admin_listener.as_ref())?,
        control: at(Some(&control_listener))?,
        api: at(api_listener.as_ref())?,
        internal: at(Some(&internal_listener))?,
    };
    refuse_plain(book.control, "--control-listen", serve)?;
    if serve.tls_cert.is_none() {
        refuse_plain(book.internal, "--internal-listen", serve)?;
        refuse_plain(book.api, "--api-listen", serve)?;
    }

    let reviewer = if with_gateway { review::reviewer(serve).await? } else { None };
    let admin_tokens = tokens::admin(serve, workspace)?;
    let host = Host::open_with(workspace.clone(), ControlOptions::default(), admin_tokens.tokens.clone()).await?;
    let shutdown = signals()?;
    let server = ControlServer::start(&host, control_listener, &serve.control_host)?;
    server.spawn(renew("admin tokens", move || admin_tokens.reload(), server.stopping()));
    server.internal(&host, internal_listener, serve, workspace)?;
    if let Some(listener) = api_listener {
        server.api(&host, listener, serve)?;
    }
    if let Some(listener) = admin_listener {
        server.serve(listener, host.probe_router(), None, "the listener of metrics")?;
    }
    let gateways = TaskTracker::new();
    if let Some(listener) = gateway_listener {
        let otlp = host.exporter(serve.otlp.as_deref(), &server)?;
        let gateway = host.gateway(GatewayOptions::default(), otlp, reviewer)?;
        gateways.spawn(gateway.run(listener, shutdown.clone()));
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

async fn bind_some(address: Option<&str>, flag: &str) -> Result<Option<TcpListener>> {
    match address {
        Some(address) => bind(address, flag).await.map(Some),
        None => Ok(None),
    }
}

fn at(listener: Option<&TcpListener>) -> Result<Option<SocketAddr>> {
    Ok(listener.map(TcpListener::local_addr).transpose()?)
}
