//! Connections to a control role: kept, made with the certificates of the moment, and over HTTP/1.1 as everything here.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use http_body_util::Full;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};

use crate::tls::{ClientTls, TlsError};

/// How long a connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long connections stay open without a call in flight.
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);

type Connections = Client<HttpsConnector<HttpConnector>, Full<Bytes>>;

/// Connections, and the certificates that they are made with. Cheap to clone; clones share both.
#[derive(Clone)]
pub(crate) struct Pool {
    tls: Option<ClientTls>,
    connections: Arc<ArcSwap<Connections>>,
}

// === impl Pool ===

impl Pool {
    /// Returns one without a connection. Without TLS given, the public authorities are trusted.
    pub(crate) fn new(tls: Option<ClientTls>) -> Self {
        let connections = Arc::new(ArcSwap::from_pointee(connections(tls.as_ref())));
        Self { tls, connections }
    }

    /// Reads the certificates again; where they have changed, new connections are made with them. Blocks.
    pub(crate) fn reload(&self) -> Result<bool, TlsError> {
        let Some(tls) = &self.tls else { return Ok(false) };
        let changed = tls.reload()?;
        if changed {
            self.connections.store(Arc::new(connections(Some(tls))));
        }
        Ok(changed)
    }

    /// Returns the connections of the moment.
    pub(crate) fn load(&self) -> Arc<Connections> {
        self.connections.load_full()
    }
}

fn connections(tls: Option<&ClientTls>) -> Connections {
    let mut connector = HttpConnector::new();
    connector.enforce_http(false);
    connector.set_nodelay(true);
    connector.set_connect_timeout(Some(CONNECT_TIMEOUT));
    let builder = HttpsConnectorBuilder::new();
    let builder = match tls {
        Some(tls) => builder.with_tls_config(tls.config()).https_or_http(),
        None => builder.with_webpki_roots().https_or_http(),
    };
    let connector = builder.enable_http1().wrap_connector(connector);
    Client::builder(TokioExecutor::new()).pool_timer(TokioTimer::new()).pool_idle_timeout(IDLE_TIMEOUT).build(connector)
}
