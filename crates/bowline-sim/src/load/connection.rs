use std::net::SocketAddr;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// One connection to the gateway, kept from call to call and made anew when it broke.
pub(super) struct Connection {
    address: SocketAddr,
    sender: Option<SendRequest<Full<Bytes>>>,
    /// What moves the bytes; ends with this value.
    driver: JoinSet<()>,
}

/// How a call without an answer failed; the codes of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// Nobody listens.
    Connect,
    /// The connection broke before the answer began.
    Disconnected,
}

// === impl Connection ===

impl Connection {
    pub(super) fn new(address: SocketAddr) -> Self {
        Self { address, sender: None, driver: JoinSet::new() }
    }

    /// Sends a request and returns the head of the answer. The body must be read before the next call.
    pub(super) async fn send(&mut self, request: Request<Full<Bytes>>) -> Result<Response<Incoming>, Failure> {
        let mut sender = match self.sender.take() {
            // A server may have closed the connection since the last call.
            Some(mut sender) => match sender.ready().await {
                Ok(()) => sender,
                Err(_) => self.connect().await?,
            },
            None => self.connect().await?,
        };
        let response = sender.send_request(request).await.map_err(|_| Failure::Disconnected)?;
        self.sender = Some(sender);
        Ok(response)
    }

    /// Closes the connection, as an answer was left unread.
    pub(super) async fn close(&mut self) {
        self.sender = None;
        self.driver.shutdown().await;
    }

    async fn connect(&mut self) -> Result<SendRequest<Full<Bytes>>, Failure> {
        self.driver.shutdown().await;
        let stream = TcpStream::connect(self.address).await.map_err(|_| Failure::Connect)?;
        // Small requests must not wait for each other's acknowledgement; without, calls are only slower.
        stream.set_nodelay(true).unwrap_or_default();
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(|_| Failure::Disconnected)?;
        self.driver.spawn(async move {
            // How it ended, the call in flight tells.
            connection.await.unwrap_or_default();
        });
        Ok(sender)
    }
}

// === impl Failure ===

impl Failure {
    pub(super) const fn code(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Disconnected => "disconnected",
        }
    }
}
