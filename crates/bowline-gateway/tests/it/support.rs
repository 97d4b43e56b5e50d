//! A gateway, an upstream that answers from a script, and a sink that can be stalled.

mod client;
mod sink;
mod snapshot;
mod upstream;

use std::sync::{Arc, Mutex};

use bowline_gateway::{Gateway, GatewayOptions, Handle, Parts, Secrets, TokenReviewer};
use bowline_registry::Snapshot;
use bowline_telemetry::Metrics;
use bowline_testkit::ManualClock;
use bowline_types::{Clock, Secret, SecretRef, TokenSecret};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub(crate) use client::Answer;
pub(crate) use sink::MemorySink;
pub(crate) use snapshot::{SnapshotBuilder, version};
pub(crate) use upstream::{Absent, Reply, Upstream, sse};

/// A gateway that serves on loopback until it is dropped or stopped.
pub(crate) struct Server {
    pub(crate) address: String,
    pub(crate) handle: Handle,
    pub(crate) sink: Arc<MemorySink>,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) key: String,
    pub(crate) snapshots: Option<watch::Sender<Arc<Snapshot>>>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) secrets: Arc<OneSecret>,
    stop: CancellationToken,
    running: JoinHandle<()>,
}

/// Knows one secret.
pub(crate) struct OneSecret(Mutex<String>);

impl OneSecret {
    /// Puts another one in its place.
    pub(crate) fn rotate(&self, secret: &str) {
        secret.clone_into(&mut self.0.lock().unwrap());
    }
}

impl Secrets for OneSecret {
    fn resolve(&self, reference: &SecretRef) -> Option<Secret> {
        (reference.to_string() == "env:UPSTREAM_KEY").then(|| Secret::new(self.0.lock().unwrap().clone()))
    }
}

impl Server {
    /// Serves a snapshot.
    pub(crate) async fn start(snapshot: SnapshotBuilder) -> Self {
        Self::start_with(snapshot, GatewayOptions::default()).await
    }

    /// Serves a snapshot with options.
    pub(crate) async fn start_with(builder: SnapshotBuilder, options: GatewayOptions) -> Self {
        Self::start_over(builder, options, MemorySink::default()).await
    }

    /// Serves a snapshot with options, and a sink.
    pub(crate) async fn start_over(builder: SnapshotBuilder, options: GatewayOptions, sink: MemorySink) -> Self {
        Self::start_whole(builder, options, sink, None).await
    }

    /// Serves a snapshot to those with keys, and to those with tokens that somebody knows.
    pub(crate) async fn start_reviewed(builder: SnapshotBuilder, reviewer: Arc<dyn TokenReviewer>) -> Self {
        Self::start_whole(builder, GatewayOptions::default(), MemorySink::default(), Some(reviewer)).await
    }

    async fn start_whole(
        builder: SnapshotBuilder,
        options: GatewayOptions,
        sink: MemorySink,
        reviewer: Option<Arc<dyn TokenReviewer>>,
    ) -> Self {
        let key = builder.key.expose().to_owned();
        let (snapshots, receiver) = watch::channel(Arc::new(builder.build()));
        let (sink, clock) = (Arc::new(sink), Arc::new(ManualClock::default()));
        let secrets = Arc::new(OneSecret(Mutex::new("upstream-secret".to_owned())));
        let metrics = Arc::new(Metrics::new(Arc::clone(&clock) as Arc<dyn Clock>));
        let gateway = Gateway::new(Parts {
            options,
            snapshots: receiver,
            sink: Arc::clone(&sink) as _,
            secrets: Arc::clone(&secrets) as _,
            token_secret: TokenSecret::generate().unwrap(),
            clock: Arc::clone(&clock) as _,
            metrics: Arc::clone(&metrics),
            otlp: None,
            reviewer,
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (stop, handle) = (CancellationToken::new(), gateway.handle());
        let running = tokio::task::spawn(gateway.run(listener, stop.clone()));
        Self { address, handle, sink, clock, key, snapshots: Some(snapshots), metrics, secrets, stop, running }
    }

    /// Serves another snapshot from now on.
    pub(crate) async fn publish(&self, builder: SnapshotBuilder) {
        let mut next = builder.build();
        let sender = self.snapshots.as_ref().unwrap();
        next.epoch = sender.borrow().epoch + 1;
        let epoch = next.epoch;
        sender.send(Arc::new(next)).unwrap();
        until(|| self.handle.snapshot().epoch == epoch).await;
    }

    /// Begins to stop.
    pub(crate) fn stop_begin(&self) {
        self.stop.cancel();
    }

    /// Stops serving and waits for the drain.
    pub(crate) async fn stop(self) -> Arc<MemorySink> {
        self.stop.cancel();
        self.running.await.unwrap();
        self.sink
    }
}

/// Waits until something holds, for at most ten seconds.
pub(crate) async fn until(mut holds: impl FnMut() -> bool) {
    let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(10);
    while !holds() {
        assert!(tokio::time::Instant::now() < deadline, "it did not come to hold in time");
        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    }
}
