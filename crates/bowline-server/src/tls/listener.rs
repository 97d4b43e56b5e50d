//! A listener whose connections have shaken hands. Handshakes run beside each other, so that a slow one holds up nobody.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tracing::debug;

use super::ServerTls;

/// How long a handshake may take.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// Handshakes at the same time; further connections wait.
const HANDSHAKES_MAX: usize = 256;
/// How long to wait after a connection could not be accepted: there are no file descriptors left, most likely.
const ACCEPT_WAIT: Duration = Duration::from_millis(50);

/// Accepts connections and makes them TLS, with the certificates of the moment.
pub struct TlsListener {
    ready: mpsc::Receiver<(TlsStream<TcpStream>, SocketAddr)>,
    address: SocketAddr,
    /// Ends with the listener.
    _accepting: JoinSet<()>,
}

// === impl TlsListener ===

impl TlsListener {
    /// Puts TLS on a bound listener.
    ///
    /// # Errors
    /// The listener has no address.
    pub fn new(listener: TcpListener, tls: ServerTls) -> io::Result<Self> {
        let address = listener.local_addr()?;
        let (sender, ready) = mpsc::channel(HANDSHAKES_MAX);
        let mut accepting = JoinSet::new();
        accepting.spawn(accept(listener, tls, sender));
        Ok(Self { ready, address, _accepting: accepting })
    }
}

impl axum::serve::Listener for TlsListener {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        match self.ready.recv().await {
            Some(connection) => connection,
            // The task that accepts ends with this listener and no sooner.
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        Ok(self.address)
    }
}

async fn accept(listener: TcpListener, tls: ServerTls, ready: mpsc::Sender<(TlsStream<TcpStream>, SocketAddr)>) {
    let permits = Arc::new(Semaphore::new(HANDSHAKES_MAX));
    let mut handshakes = JoinSet::new();
    loop {
        while handshakes.try_join_next().is_some() {}
        let Ok(permit) = Arc::clone(&permits).acquire_owned().await else { return };
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                debug!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_WAIT).await;
                continue;
            }
        };
        let (acceptor, ready) = (TlsAcceptor::from(tls.config()), ready.clone());
        handshakes.spawn(async move {
            match tokio::time::timeout(HANDSHAKE_TIMEOUT, acceptor.accept(stream)).await {
                Ok(Ok(stream)) => drop(ready.send((stream, peer)).await),
                Ok(Err(error)) => debug!(%error, %peer, "a handshake failed"),
                Err(_) => debug!(%peer, "a handshake took too long"),
            }
            drop(permit);
        });
    }
}
