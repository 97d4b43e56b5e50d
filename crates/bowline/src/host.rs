//! The control role in this process: for `bowline up`, and for commands that find none running.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use bowline_gateway::{Batch, Gateway, GatewayOptions, Parts, Sink, SinkError, SinkFuture};
use bowline_registry::Snapshot;
use bowline_server::{AdminToken, Backup, Client, Control, ControlOptions, HostRule, ServerOptions, router};
use bowline_store_sqlite::{Options, SqliteStore};
use bowline_telemetry::{Metrics, OtlpHandle};
use bowline_types::{Clock, ProjectName, SystemClock, chain};
use tokio::sync::watch;

use crate::failure::Result;
use crate::settings::ProcessSecrets;
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
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let store = Arc::new(SqliteStore::open(workspace.store(), Options::default())?);
        let control = Control::start(Arc::clone(&store) as _, Arc::clone(&clock), options).await?;
        let metrics = Arc::new(Metrics::new(Arc::clone(&clock)));
        let token = workspace.admin_token()?;
        Ok(Self { control, metrics, token, store, clock, workspace })
    }

    /// Returns the routes of the control API and the console, for a server at `address`.
    pub(crate) fn router(&self, address: SocketAddr) -> Router {
        let store = Arc::clone(&self.store);
        let backup = Backup::new(move |path| {
            let store = Arc::clone(&store);
            async move { Ok(store.backup(&path).await?) }
        });
        let options =
            ServerOptions { token: self.token.clone(), host: HostRule::new(address, []), backup: Some(backup) };
        router(self.control.clone(), Arc::clone(&self.metrics), options)
    }

    /// Returns a client of the control role, without a socket.
    pub(crate) fn client(&self, project: ProjectName) -> Client {
        let address = SocketAddr::from(([127, 0, 0, 1], 80));
        Client::in_process(self.router(address), address.to_string(), project, self.token.clone())
    }

    /// Returns a gateway that serves from this control role.
    ///
    /// # Errors
    /// The secret under the inference ids cannot be read.
    pub(crate) fn gateway(&self, options: GatewayOptions, otlp: Option<OtlpHandle>) -> Result<Gateway> {
        self.gateway_over(self.control.snapshots(), Arc::new(ControlSink(self.control.clone())), options, otlp)
    }

    fn gateway_over(
        &self,
        snapshots: watch::Receiver<Arc<Snapshot>>,
        sink: Arc<dyn Sink>,
        options: GatewayOptions,
        otlp: Option<OtlpHandle>,
    ) -> Result<Gateway> {
        Ok(Gateway::new(Parts {
            options,
            snapshots,
            sink,
            secrets: Arc::new(ProcessSecrets),
            token_secret: self.workspace.token_secret()?,
            clock: Arc::clone(&self.clock),
            metrics: Arc::clone(&self.metrics),
            otlp,
        }))
    }

    /// Returns the clock.
    pub(crate) fn clock(&self) -> Arc<dyn Clock> {
        Arc::clone(&self.clock)
    }

    /// Writes what waits and lets go of the store.
    pub(crate) async fn close(self) {
        self.store.close().await;
    }
}

// === impl ControlSink ===

impl Sink for ControlSink {
    fn deliver(&self, batch: Batch) -> SinkFuture<'_> {
        let Batch { inferences, outcomes, losses } = batch;
        let kept = self.0.records_append(inferences, outcomes, losses);
        Box::pin(async { kept.await.map_err(|error| SinkError::Unavailable(chain(&error))) })
    }
}
