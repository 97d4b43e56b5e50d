//! The control role in this process: for `bowline up`, and for commands that find none running.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context;
use axum::Router;
use bowline_gateway::{Batch, Gateway, GatewayOptions, Parts, Sink, SinkError, SinkFuture, TokenReviewer};
use bowline_server::{
    AdminTokens, Backup, Client, Control, ControlOptions, HostRule, ServerOptions, api_router, probe_router, router,
};
use bowline_store_sqlite::{Options, SqliteStore};
use bowline_telemetry::{Metrics, OtlpHandle, OtlpOptions, OtlpService};
use bowline_types::{Clock, InstanceId, ProjectName, TokenSecret, chain};
use tokio_util::sync::CancellationToken;

use crate::failure::Result;
use crate::serve::ControlServer;
use crate::settings::{self, ProcessSecrets};
use crate::workspace::Workspace;

/// The control role over the store of a workspace.
pub(crate) struct Host {
    pub(crate) control: Control,
    pub(crate) metrics: Arc<Metrics>,
    tokens: AdminTokens,
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
        let tokens = workspace.admin_token()?.into();
        Self::open_with(workspace, options, tokens).await
    }

    /// Opens it with admin tokens of its own.
    ///
    /// # Errors
    /// As [`Host::open`].
    pub(crate) async fn open_with(workspace: Workspace, options: ControlOptions, tokens: AdminTokens) -> Result<Self> {
        let clock = settings::clock()?;
        let store = Arc::new(SqliteStore::open(workspace.store(), Options::default())?);
        let control = Control::start(Arc::clone(&store) as _, Arc::clone(&clock), options).await?;
        let metrics = Arc::new(Metrics::new(Arc::clone(&clock)));
        Ok(Self { control, metrics, tokens, store, clock, workspace })
    }

    /// Returns the routes of the control API and the console; waits in it end with `shutdown`.
    pub(crate) fn router(&self, host: HostRule, shutdown: CancellationToken) -> Router {
        router(self.control.clone(), Arc::clone(&self.metrics), self.server_options(host, shutdown))
    }

    /// Returns the routes of the control API alone, for other machines.
    pub(crate) fn api_router(&self, host: HostRule, shutdown: CancellationToken) -> Router {
        api_router(self.control.clone(), Arc::clone(&self.metrics), self.server_options(host, shutdown))
    }

    /// Returns the routes of those who watch.
    pub(crate) fn probe_router(&self) -> Router {
        probe_router(self.control.clone(), Arc::clone(&self.metrics))
    }

    fn server_options(&self, host: HostRule, shutdown: CancellationToken) -> ServerOptions {
        let store = Arc::clone(&self.store);
        let backup = Backup::new(move |path| {
            let store = Arc::clone(&store);
            async move { Ok(store.backup(&path).await?) }
        });
        ServerOptions { tokens: self.tokens.clone(), host, backup: Some(backup), shutdown }
    }

    /// Returns a client of the control role, without a socket.
    pub(crate) fn client(&self, project: ProjectName) -> Client {
        let address = SocketAddr::from(([127, 0, 0, 1], 80));
        let router = self.router(HostRule::new(address, []), CancellationToken::new());
        Client::in_process(router, address.to_string(), project, self.tokens.first())
    }

    /// Returns a gateway that serves from this control role.
    ///
    /// # Errors
    /// The secret under the inference ids cannot be read.
    pub(crate) fn gateway(
        &self,
        options: GatewayOptions,
        otlp: Option<OtlpHandle>,
        reviewer: Option<Arc<dyn TokenReviewer>>,
    ) -> Result<Gateway> {
        Ok(Gateway::new(Parts {
            options,
            snapshots: self.control.snapshots(),
            sink: Arc::new(ControlSink(self.control.clone())),
            secrets: Arc::new(ProcessSecrets),
            token_secret: self.token_secret()?,
            clock: Arc::clone(&self.clock),
            metrics: Arc::clone(&self.metrics),
            otlp,
            reviewer,
        }))
    }

    /// Returns the secret under the inference ids.
    ///
    /// # Errors
    /// It cannot be read.
    pub(crate) fn token_secret(&self) -> Result<TokenSecret> {
        self.workspace.token_secret()
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
