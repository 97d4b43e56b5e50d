//! The gateway of a run: in this process, without a socket, serving versions that nobody released.

use std::sync::Arc;

use anyhow::Context;
use bowline_gateway::{Batch, Gateway, GatewayOptions, Handle, Parts, RecorderOptions, Sink, SinkFuture};
use bowline_prompt::{Project, Version};
use bowline_registry::Snapshot;
use bowline_telemetry::Metrics;
use bowline_types::{ApiKey, Clock, Digest, EnvironmentName, KeyId, PromptName, SystemClock, TokenSecret};
use http::HeaderValue;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::failure::Result;
use crate::settings::ProcessSecrets;

/// Records that wait to be thrown away.
const RECORDS_MAX: usize = 256;

/// A gateway that serves a run.
pub(super) struct World {
    /// The way to it.
    pub(super) gateway: Handle,
    /// What a call authenticates with.
    pub(super) key: HeaderValue,
    stop: CancellationToken,
    tasks: TaskTracker,
    /// The gateway serves from it as long as it is there.
    _snapshots: watch::Sender<Arc<Snapshot>>,
}

/// Calls of a run are no traffic: its journal has them, and no store shall.
struct NoStore;

// === impl World ===

impl World {
    /// Starts a gateway that serves `versions`, with the addresses and credentials of `environment`.
    ///
    /// # Errors
    /// The operating system has no randomness for keys.
    pub(super) fn start<'v>(
        project: &Project,
        environment: &EnvironmentName,
        versions: impl IntoIterator<Item = (PromptName, Digest, &'v Version)>,
    ) -> Result<Self> {
        let no_randomness = "the operating system has no randomness";
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let key = ApiKey::generate().context(no_randomness)?;
        let contents = versions
            .into_iter()
            .map(|(name, digest, version)| Ok((name, digest, Arc::new(serde_json::to_value(version)?))));
        let contents =
            contents.collect::<std::result::Result<Vec<_>, serde_json::Error>>().map_err(anyhow::Error::from)?;
        let now = clock.now();
        let snapshot = Snapshot::unreleased(project, environment, contents, (key.hash(), KeyId::generate(now)), now);
        let (snapshots, receiver) = watch::channel(Arc::new(snapshot));
        // The caller of the run retries, as only it knows how many calls wait. Records go nowhere, so few of them are held.
        let recorder = RecorderOptions { queue_max: RECORDS_MAX, batch_max: RECORDS_MAX, ..RecorderOptions::default() };
        let options = GatewayOptions { attempts_max: 1, recorder, ..GatewayOptions::default() };
        let gateway = Gateway::new(Parts {
            options,
            snapshots: receiver,
            sink: Arc::new(NoStore),
            secrets: Arc::new(ProcessSecrets),
            token_secret: TokenSecret::generate().context(no_randomness)?,
            clock: Arc::clone(&clock),
            metrics: Arc::new(Metrics::new(clock)),
            otlp: None,
            reviewer: None,
        });
        let (stop, tasks, handle) = (CancellationToken::new(), TaskTracker::new(), gateway.handle());
        tasks.spawn(gateway.run_unbound(stop.clone()));
        let mut header = HeaderValue::from_str(&format!("Bearer {}", key.expose())).map_err(anyhow::Error::from)?;
        header.set_sensitive(true);
        Ok(Self { gateway: handle, key: header, stop, tasks, _snapshots: snapshots })
    }

    /// Stops the gateway.
    pub(super) async fn close(self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

// === impl NoStore ===

impl Sink for NoStore {
    fn deliver(&self, _: Batch) -> SinkFuture<'_> {
        Box::pin(async { Ok(()) })
    }
}
