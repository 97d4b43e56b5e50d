mod body;
mod call;
mod embeddings;
mod refusal;
mod route;
mod script;
mod usage;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use std::{fmt, io};

use bowline_types::{Clock as _, SystemClock, Timestamp};
use http::{HeaderName, HeaderValue, Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};

use self::body::Body;
use self::usage::Counter;
use crate::scenario::Scenario;

/// The header that every answer of the simulator carries; its value is `1`. Records keep the flag.
pub const SIMULATED_HEADER: &str = "x-bowline-simulated";

/// How long answers in flight may take once the simulator is told to stop.
const DRAIN: Duration = Duration::from_secs(2);

/// What a simulator is made from.
#[derive(Clone, Debug)]
pub struct SimulatorOptions {
    /// The address to listen on; port 0 for any free one.
    pub listen: SocketAddr,
    /// How the providers behave.
    pub scenario: Scenario,
}

/// Providers that are not there: they speak the wire formats of OpenAI, Anthropic and Gemini, and need no key.
///
/// - `POST /v1/chat/completions`, `POST /v1/embeddings`: OpenAI.
/// - `POST /v1/messages`: Anthropic.
/// - `POST /v1beta/models/MODEL:generateContent`, `…:streamGenerateContent`: Gemini.
/// - `GET /healthz`.
///
/// Any model name is served, and every answer carries [`SIMULATED_HEADER`].
pub struct Simulator {
    listener: TcpListener,
    address: SocketAddr,
    shared: Arc<Shared>,
}

/// A view on a simulator that serves. Cheap to clone.
#[derive(Clone)]
pub struct SimulatorHandle {
    shared: Arc<Shared>,
}

/// What every call sees.
struct Shared {
    scenario: Scenario,
    counter: Counter,
    started: Timestamp,
    calls: AtomicU64,
}

// === impl Simulator ===

impl Simulator {
    /// Binds an address of loopback and reads the vocabulary of the tokenizer, so that the first call is as fast as the others.
    ///
    /// # Errors
    /// The address is not loopback ([`io::ErrorKind::InvalidInput`]), or cannot be bound.
    pub async fn bind(options: SimulatorOptions) -> io::Result<Self> {
        let listen = options.listen;
        if !listen.ip().is_loopback() {
            let problem = format!("{listen} is beyond loopback, where anybody who reaches it is answered");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, problem));
        }
        Self::bind_beyond_loopback(options).await
    }

    /// Binds any address: for a pod that is a provider within a cluster. Whoever reaches it is answered, without a key.
    ///
    /// # Errors
    /// The address cannot be bound.
    pub async fn bind_beyond_loopback(options: SimulatorOptions) -> io::Result<Self> {
        let SimulatorOptions { listen, scenario } = options;
        let listener = TcpListener::bind(listen).await?;
        let address = listener.local_addr()?;
        let counter = tokio::task::spawn_blocking(Counter::new).await?;
        let shared = Shared { scenario, counter, started: SystemClock.now(), calls: AtomicU64::new(0) };
        Ok(Self { listener, address, shared: Arc::new(shared) })
    }

    /// Returns the address that it is bound to.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns a view that outlives [`Simulator::run`].
    #[must_use]
    pub fn handle(&self) -> SimulatorHandle {
        SimulatorHandle { shared: Arc::clone(&self.shared) }
    }

    /// Serves until told to stop; answers in flight then have 2 seconds to end.
    pub async fn run(self, shutdown: CancellationToken) {
        let Self { listener, shared, .. } = self;
        let connections = TaskTracker::new();
        loop {
            let accepted = tokio::select! {
                () = shutdown.cancelled() => break,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, _)) => {
                    connections.spawn(serve(Arc::clone(&shared), stream, shutdown.clone()));
                }
                Err(error) => {
                    // Out of file descriptors, most likely: wait for some to be closed.
                    warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        }
        drop(listener);
        connections.close();
        connections.wait().await;
    }
}

// === impl SimulatorHandle ===

impl SimulatorHandle {
    /// Returns how many calls came so far, those that met a fault included.
    #[must_use]
    pub fn calls(&self) -> u64 {
        self.shared.calls.load(Ordering::Relaxed)
    }
}

impl fmt::Debug for SimulatorHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimulatorHandle").field("calls", &self.calls()).finish()
    }
}

impl fmt::Debug for Simulator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Simulator").field("address", &self.address).finish_non_exhaustive()
    }
}

async fn serve(shared: Arc<Shared>, stream: TcpStream, shutdown: CancellationToken) {
    if let Err(error) = stream.set_nodelay(true) {
        debug!(%error, "nodelay could not be set");
    }
    let service = service_fn(move |request| answer(Arc::clone(&shared), request));
    let mut connection = std::pin::pin!(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = shutdown.cancelled() => {
            connection.as_mut().graceful_shutdown();
            tokio::time::timeout(DRAIN, connection).await.unwrap_or(Ok(()))
        }
    };
    if let Err(error) = ended {
        // A scenario that cuts answers ends here too.
        debug!(%error, "a connection broke");
    }
}

async fn answer(shared: Arc<Shared>, request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
    let mut response = match route::find(request.method(), request.uri()) {
        Ok(route::Endpoint::Health) => refusal::plain(http::StatusCode::OK, "ok\n"),
        Ok(route::Endpoint::Call { spec, framing }) => call::answer(&shared, spec, framing, request).await,
        Ok(route::Endpoint::Embeddings { spec }) => embeddings::answer(&shared, spec, request).await,
        Err(refused) => refused,
    };
    response.headers_mut().insert(HeaderName::from_static(SIMULATED_HEADER), HeaderValue::from_static("1"));
    Ok(response)
}

// === impl Shared ===

impl Shared {
    /// Returns the number of the next call, from 0.
    fn number(&self) -> u64 {
        self.calls.fetch_add(1, Ordering::Relaxed)
    }
}
