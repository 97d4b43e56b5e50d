//! The control role in this process: for `bowline up`, and for commands that find none running.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context;
use axum::Router;
use bowline_gateway::{Batch, Gateway, GatewayOptions, Parts, Sink, SinkError, SinkFuture};
use bowline_server::{
    AdminToken, Backup, Client, Control, ControlOptions, GatewayTokens, HostRule, ServerOptions, router,
};
use bowline_store_sqlite::{Options, SqliteStore};
use bowline_telemetry::{Metrics, OtlpHandle, OtlpOptions, OtlpService};
use bowline_types::{Clock, InstanceId, ProjectName, TokenSecret, chain};

use crate::failure::Result;
use crate::serve::ControlServer;
use crate::settings::{self, ProcessSecrets};
use crate::workspace::Workspace;

/// The control role over the store of a workspace.
pub(crate) struct Host {
    pub(crate) control: Control,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) token: AdminToken,
    store: Arc<SqliteStore>,
    clock: Arc<dyn Clock>,
    workspace: Workspace,
}

/// Takes what a gateway in this process sends.
struct ControlSink(Control);

// === impl Host ===

impl Host {
    /// Opens the store of a workspace and starts the control role over it.
    ///
    /// # Errors
    /// Another process holds the store, or it cannot be read.
    pub(crate) async fn open(workspace: Workspace, options: ControlOptions) -> Result<Self> {
        let clock = settings::clock()?;
        let store = Arc::new(SqliteStore::open(workspace.store(), Options::default())?);
        let control = Control::start(Arc::clone(&store) as _, Arc::clone(&clock), options).await?;
        let metrics = Arc::new(Metrics::new(Arc::clone(&clock)));
        let token = workspace.admin_token()?;
        Ok(Self { control, metrics, token, store, clock, workspace })
    }

    /// Returns the routes of the control API and the console, for a server at `address`.
    ///
    /// `names` are further names by which it is called.
    pub(crate) fn router(&self, address: SocketAddr, names: &[String]) -> Router {
        let store = Arc::clone(&self.store);
        let backup = Backup::new(move |path| {
            let store = Arc::clone(&store);
            async move { Ok(store.backup(&path).await?) }
        });
        let host = HostRule::new(address, names.iter().cloned());
        let options = ServerOptions { token: self.token.clone(), host, backup: Some(backup) };
        router(self.control.clone(), Arc::clone(&self.metrics), options)
    }

    /// Returns a client of the control role, without a socket.
    pub(crate) fn client(&self, project: ProjectName) -> Client {
        let address = SocketAddr::from(([127, 0, 0, 1], 80));
        Client::in_process(self.router(address, &[]), address.to_string(), project, self.token.clone())
    }

    /// Returns a gateway that serves from this control role.
    ///
    /// # Errors
    /// The secret under the inference ids cannot be read.
    pub(crate) fn gateway(&self, options: GatewayOptions, otlp: Option<OtlpHandle>) -> Result<Gateway> {
        Ok(Gateway::new(Parts {
            options,
            snapshots: self.control.snapshots(),
            sink: Arc::new(ControlSink(self.control.clone())),
            secrets: Arc::new(ProcessSecrets),
            token_secret: self.token_secret()?,
            clock: Arc::clone(&self.clock),
            metrics: Arc::clone(&self.metrics),
            otlp,
        }))
    }

    /// Returns the secret under the inference ids.
    ///
    /// # Errors
    /// It cannot be read.
    pub(crate) fn token_secret(&self) -> Result<TokenSecret> {
        self.workspace.token_secret()
    }

    /// Returns the tokens of gateways in other processes.
    ///
    /// # Errors
    /// They cannot be read.
    pub(crate) fn gateway_tokens(&self) -> Result<GatewayTokens> {
        self.workspace.gateway_tokens()
    }

    /// Sends spans to an endpoint for as long as a control role serves; `None` where there is none.
    ///
    /// # Errors
    /// The endpoint is no address.
    pub(crate) fn exporter(&self, endpoint: Option<&str>, server: &ControlServer) -> Result<Option<OtlpHandle>> {
        let Some(endpoint) = endpoint else { return Ok(None) };
        let instance = InstanceId::generate(self.clock.now());
        let (handle, service) = exporter(endpoint, instance, Arc::clone(&self.clock), &self.metrics)?;
        server.spawn(service.run(server.stopping()));
        Ok(Some(handle))
    }

    /// Writes what waits and lets go of the store.
    pub(crate) async fn close(self) {
        self.store.close().await;
    }
}

/// Returns both sides of an exporter of spans.
///
/// # Errors
/// The endpoint is no address.
pub(crate) fn exporter(
    endpoint: &str,
    instance: InstanceId,
    clock: Arc<dyn Clock>,
    metrics: &Metrics,
) -> Result<(OtlpHandle, OtlpService)> {
    let endpoint = endpoint.parse().context("the endpoint of OTLP is no address")?;
    Ok(OtlpOptions::new(endpoint, instance).build(clock, metrics).context("telemetry could not be set up")?)
}

// === impl ControlSink ===

impl Sink for ControlSink {
    fn deliver(&self, batch: Batch) -> SinkFuture<'_> {
        let Batch { inferences, outcomes, losses } = batch;
        let kept = self.0.records_append(inferences, outcomes, losses);
        Box::pin(async { kept.await.map_err(|error| SinkError::Unavailable(chain(&error))) })
    }
}
