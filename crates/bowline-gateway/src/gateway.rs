use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use bowline_registry::Snapshot;
use bowline_telemetry::{Metrics, OtlpHandle};
use bowline_types::{Clock, InstanceId, RolloutId, TokenSecret};
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, info, warn};

use crate::endpoints;
use crate::layers::accept::Gone;
use crate::layers::respond::Body;
use crate::live::{Live, Secrets, SnapshotAge};
use crate::options::GatewayOptions;
use crate::recorder::{Recorder, RecorderStatus, Sink, Worker};
use crate::review::{Reviews, TokenReviewer};
use crate::transport::Transport;

/// How long a client may take to send the head of a request.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);

/// A gateway that is built but does not serve yet.
pub struct Gateway {
    shared: Arc<Shared>,
    worker: Worker,
    snapshots: watch::Receiver<Arc<Snapshot>>,
}

/// What a gateway stands on.
pub struct Parts {
    /// How it works.
    pub options: GatewayOptions,
    /// The snapshots, the present one and every later one.
    pub snapshots: watch::Receiver<Arc<Snapshot>>,
    /// Where records and outcomes go.
    pub sink: Arc<dyn Sink>,
    /// What references to secrets stand for.
    pub secrets: Arc<dyn Secrets>,
    /// The secret under the MAC of inference ids.
    pub token_secret: TokenSecret,
    /// Where the time comes from.
    pub clock: Arc<dyn Clock>,
    /// The metrics of the process.
    pub metrics: Arc<Metrics>,
    /// Where spans go, where the project says so.
    pub otlp: Option<OtlpHandle>,
    /// Who says whose a token is that is no key; without one, such a token opens nothing.
    pub reviewer: Option<Arc<dyn TokenReviewer>>,
}

/// A view on a gateway that serves. Cheap to clone.
#[derive(Clone)]
pub struct Handle {
    shared: Arc<Shared>,
}

/// What the control role says while nothing changes. Both are uptimes of the gateway's clock.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Renewal {
    /// When it was true that the snapshot is the present one.
    pub confirmed: Duration,
    /// Until when the candidates of rollouts may be served.
    pub leases: BTreeMap<RolloutId, Duration>,
}

/// What every request sees.
pub(crate) struct Shared {
    pub(crate) options: GatewayOptions,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) transport: Transport,
    pub(crate) recorder: Recorder,
    pub(crate) sink: Arc<dyn Sink>,
    pub(crate) token_secret: ArcSwap<TokenSecret>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) in_flight: Arc<Semaphore>,
    pub(crate) tasks: TaskTracker,
    pub(crate) reviews: Option<Reviews>,
    live: ArcSwap<Live>,
    /// The snapshot that `live` was made of.
    snapshot: ArcSwap<Snapshot>,
    /// Held while another one is put in its place.
    applying: Mutex<()>,
    secrets: Arc<dyn Secrets>,
    /// When control confirmed the snapshot, in microseconds of the clock's uptime; negative is before its beginning.
    confirmed: AtomicI64,
    started: Instant,
    /// Cancelled when the gateway takes no more calls: those that wait are sent away.
    pub(crate) draining: CancellationToken,
    leases_expired: AtomicU64,
    /// When the snapshot was compiled about whose leases the log was told last.
    lease_told: AtomicI64,
}

// === impl Gateway ===

impl Gateway {
    /// Builds a gateway over its parts and compiles the present snapshot.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        let Parts { options, mut snapshots, sink, secrets, token_secret, clock, metrics, otlp, reviewer } = parts;
        let instance = InstanceId::generate(clock.now());
        let (recorder, worker) =
            Recorder::new(instance, options.recorder.clone(), Arc::clone(&sink), Arc::clone(&metrics), otlp);
        let in_flight = Arc::new(Semaphore::new(options.in_flight_max.min(Semaphore::MAX_PERMITS)));
        let snapshot = Arc::clone(&snapshots.borrow_and_update());
        let reviews =
            reviewer.map(|asked| Reviews::new(asked, options.review.clone(), Arc::clone(&clock), Arc::clone(&metrics)));
        let shared = Arc::new(Shared {
            options,
            clock,
            transport: Transport::new(),
            recorder,
            sink,
            token_secret: ArcSwap::from_pointee(token_secret),
            metrics,
            in_flight,
            tasks: TaskTracker::new(),
            live: ArcSwap::from_pointee(Live::empty()),
            snapshot: ArcSwap::new(Arc::clone(&snapshot)),
            applying: Mutex::new(()),
            secrets,
            reviews,
            confirmed: AtomicI64::new(i64::MIN),
            started: Instant::now(),
            draining: CancellationToken::new(),
            leases_expired: AtomicU64::new(0),
            lease_told: AtomicI64::new(i64::MIN),
        });
        shared.apply(&snapshot);
        Self { shared, worker, snapshots }
    }

    /// Returns a view that outlives [`Gateway::run`].
    #[must_use]
    pub fn handle(&self) -> Handle {
        Handle { shared: Arc::clone(&self.shared) }
    }

    /// Serves on a bound listener until told to stop; then finishes the calls in flight, and after them delivers the records, each
    /// within the drain of the options.
    pub async fn run(self, listener: TcpListener, shutdown: CancellationToken) {
        let shared = Arc::clone(&self.shared);
        self.work(shutdown.clone(), accept(shared, listener, shutdown)).await;
    }

    /// Works without a listener, for callers in the same process ([`Handle::call`]), until told to stop; then delivers the records.
    pub async fn run_unbound(self, shutdown: CancellationToken) {
        let (drain, draining) = (self.shared.options.drain, self.shared.draining.clone());
        let until_told = async {
            shutdown.cancelled().await;
            draining.cancel();
            Instant::now() + drain
        };
        self.work(shutdown.clone(), until_told).await;
    }

    /// Follows the snapshots and delivers the records while `serving` goes on; it says until when calls may be finished.
    async fn work(self, shutdown: CancellationToken, serving: impl Future<Output = Instant>) {
        let Self { shared, worker, snapshots } = self;
        let background = TaskTracker::new();
        let records_stop = CancellationToken::new();
        background.spawn(worker.run(records_stop.clone(), shared.options.drain));
        background.spawn(follow(Arc::clone(&shared), snapshots, shutdown.clone()));
        background.spawn(rotate(Arc::clone(&shared), shutdown));
        let deadline = serving.await;
        // Records are delivered last, as calls in flight still make some.
        shared.tasks.close();
        if tokio::time::timeout_at(deadline, shared.tasks.wait()).await.is_err() {
            warn!("calls in flight were cut off");
        }
        records_stop.cancel();
        background.close();
        background.wait().await;
    }
}

/// Takes connections until told to stop, and lets those there are finish. Returns until when calls may be finished.
async fn accept(shared: Arc<Shared>, listener: TcpListener, shutdown: CancellationToken) -> Instant {
    let graceful = GracefulShutdown::new();
    let mut builder = hyper::server::conn::http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT);
    let connections = TaskTracker::new();
    loop {
        let accepted = tokio::select! {
            () = shutdown.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of file descriptors, most likely: wait for some to be closed.
                warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        if let Err(error) = stream.set_nodelay(true) {
            debug!(%error, "nodelay could not be set");
        }
        let shared = Arc::clone(&shared);
        let service = service_fn(move |request| serve(Arc::clone(&shared), request));
        let connection = graceful.watch(builder.serve_connection(TokioIo::new(stream), service));
        connections.spawn(async move {
            if let Err(error) = connection.await {
                debug!(%error, %peer, "a connection ended with an error");
            }
        });
    }
    drop(listener);
    shared.draining.cancel();
    let deadline = Instant::now() + shared.options.drain;
    if tokio::time::timeout_at(deadline, graceful.shutdown()).await.is_err() {
        warn!("connections were cut off");
    }
    deadline
}

/// Routes one request. Calls run in tasks of their own, so that they are recorded however the client leaves.
async fn serve(shared: Arc<Shared>, mut request: Request<hyper::body::Incoming>) -> Result<Response<Body>, Infallible> {
    // The client of a future that is dropped has left.
    let gone = Gone::default();
    let leaving = gone.0.clone().drop_guard();
    request.extensions_mut().insert(gone);
    let tasks = shared.tasks.clone();
    let counted = shared.metrics.request_started();
    let task = tasks.spawn(async move {
        // One allocation for all that a call may need, in place of the same room on the stack of every caller.
        let response = Box::pin(endpoints::route(shared, request)).await;
        drop(counted);
        response
    });
    let response = task.await.unwrap_or_else(|_| endpoints::broken());
    drop(leaving.disarm());
    Ok(response)
}

async fn follow(shared: Arc<Shared>, mut snapshots: watch::Receiver<Arc<Snapshot>>, shutdown: CancellationToken) {
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            changed = snapshots.changed() => {
                if changed.is_err() {
                    warn!("the control role is gone; serving from the last snapshot");
                    return;
                }
            }
        }
        let snapshot = Arc::clone(&snapshots.borrow_and_update());
        let shared = Arc::clone(&shared);
        // Parsing templates and schemas is work for a thread that serves nobody.
        if tokio::task::spawn_blocking(move || shared.apply(&snapshot)).await.is_err() {
            warn!("a snapshot could not be applied; serving from the last one");
        }
    }
}

/// Reads the references to secrets again and again, so that a rotated one takes effect: a file whose content changed, or a link of
/// Kubernetes that points to another folder.
async fn rotate(shared: Arc<Shared>, shutdown: CancellationToken) {
    let mut interval = tokio::time::interval(shared.options.secrets_interval.max(Duration::from_millis(1)));
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            _ = interval.tick() => {}
        }
        let shared = Arc::clone(&shared);
        let looked = tokio::task::spawn_blocking(move || {
            if shared.live_full().rotated(shared.secrets.as_ref()) {
                info!("a secret was rotated");
                shared.compile(None, None);
            }
        });
        if looked.await.is_err() {
            warn!("secrets could not be read again; those known stay");
        }
    }
}

// === impl Shared ===

impl Shared {
    /// Returns what is served from; a call keeps the one it began with.
    pub(crate) fn live_full(&self) -> Arc<Live> {
        self.live.load_full()
    }

    /// Returns the time since the gateway was built.
    pub(crate) fn uptime(&self) -> Duration {
        self.started.elapsed()
    }

    /// Counts a call that stayed on stable as the lease of its candidate is over; the log says so once per snapshot.
    pub(crate) fn lease_expired(&self, live: &Live) {
        self.leases_expired.fetch_add(1, Ordering::Relaxed);
        let compiled_at = live.age.compiled_at.as_micros();
        if self.lease_told.swap(compiled_at, Ordering::Relaxed) != compiled_at {
            warn!("the control role has not renewed the lease of a candidate; only stable is served");
        }
    }

    /// Ready once a snapshot is served from, however old: static stability is the point. Only where keys have a limit, it is over then.
    pub(crate) fn unready(&self) -> Option<String> {
        if self.live.load().age.epoch == 0 {
            return Some("no snapshot has come yet\nhint: is the control role running?".to_owned());
        }
        let age = self.too_old()?.as_secs();
        Some(format!(
            "the control role has not confirmed the keys for {age} s\nhint: is it running, and reached from here?"
        ))
    }

    /// Returns how long ago the control role confirmed what is served from.
    pub(crate) fn age(&self) -> Duration {
        let confirmed = self.confirmed.load(Ordering::Relaxed);
        let age = micros(self.clock.uptime()).saturating_sub(confirmed);
        Duration::from_micros(u64::try_from(age).unwrap_or(0))
    }

    /// Returns the age where it is more than keys may have.
    pub(crate) fn too_old(&self) -> Option<Duration> {
        let most = self.options.snapshot_age_max?;
        Some(self.age()).filter(|age| *age > most)
    }

    fn renew(&self, renewal: &Renewal) {
        let live = self.live.load();
        live.renew(&renewal.leases);
        self.confirmed.fetch_max(micros(renewal.confirmed), Ordering::Relaxed);
        self.metrics.snapshot_set(live.age.epoch, self.clock.now().before(self.age()));
    }

    fn apply(&self, snapshot: &Arc<Snapshot>) {
        if !(Snapshot::SCHEMA_OLDEST..=Snapshot::SCHEMA).contains(&snapshot.schema_version) {
            warn!(schema = snapshot.schema_version, "a snapshot of another schema is left; serving from the last one");
            return;
        }
        let before = self.live.load().age.epoch;
        self.compile(Some(snapshot), Some(self.clock.as_ref()));
        let age = self.clock.now().since(snapshot.compiled_at);
        self.confirmed.fetch_max(micros(self.clock.uptime()).saturating_sub(micros(age)), Ordering::Relaxed);
        self.metrics.snapshot_set(snapshot.epoch, snapshot.compiled_at);
        if before != snapshot.epoch {
            info!(epoch = snapshot.epoch, "serving a new snapshot");
        }
    }

    /// Serves from a snapshot, else again from the last one, with the secrets as they are now. Blocks on files.
    fn compile(&self, snapshot: Option<&Arc<Snapshot>>, clock: Option<&dyn Clock>) {
        let applying = self.applying.lock().unwrap_or_else(PoisonError::into_inner);
        // Only now, as another one may have come while the lock was waited for.
        let snapshot = snapshot.map_or_else(|| self.snapshot.load_full(), Arc::clone);
        let live = Live::compile(&snapshot, &self.live.load(), self.secrets.as_ref(), &self.metrics, clock);
        self.snapshot.store(snapshot);
        self.live.store(Arc::new(live));
        drop(applying);
    }
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

// === impl Handle ===

impl Handle {
    /// Answers a request of this process through every layer, as one that came over a socket. The answer is whole, and carries
    /// [`crate::Facts`] as an extension.
    ///
    /// A caller that drops the future before the answer takes the call back: it leaves no record then.
    pub async fn call(&self, request: Request<Bytes>) -> Response<Bytes> {
        let counted = self.shared.metrics.request_started();
        let response = Box::pin(endpoints::route(Arc::clone(&self.shared), request.map(Full::new))).await;
        let (head, body) = response.into_parts();
        let Ok(body) = body.collect().await;
        drop(counted);
        Response::from_parts(head, body.to_bytes())
    }

    /// Returns how the recorder stands.
    #[must_use]
    pub fn recorder(&self) -> RecorderStatus {
        self.shared.recorder.status()
    }

    /// Returns how old the snapshot is that is served from.
    #[must_use]
    pub fn snapshot(&self) -> SnapshotAge {
        self.shared.live_full().age
    }

    /// Takes the word of the control role that nothing has changed. Does not wait.
    pub fn renew(&self, renewal: &Renewal) {
        self.shared.renew(renewal);
    }

    /// Puts another secret under the MAC of inference ids; feedback by ids under the one before is refused from now on.
    pub fn token_secret_set(&self, secret: TokenSecret) {
        self.shared.token_secret.store(Arc::new(secret));
    }

    /// Returns how long ago the control role confirmed the snapshot; meaningless while there is none (epoch 0).
    #[must_use]
    pub fn snapshot_age(&self) -> Duration {
        self.shared.age()
    }

    /// Returns why the gateway is not ready to serve; `None` where it is.
    #[must_use]
    pub fn unready(&self) -> Option<String> {
        self.shared.unready()
    }

    /// Returns how many calls stayed on stable because the lease of their candidate was over.
    #[must_use]
    pub fn leases_expired(&self) -> u64 {
        self.shared.leases_expired.load(Ordering::Relaxed)
    }
}
