//! The one upstream transport: pooled connections, TLS, credentials, deadlines. What a provider's bytes mean is not known here.

use std::time::Duration;

use bowline_providers::{AuthScheme, ProviderSpec, WireRequest};
use bowline_types::{ErrorKind, Secret};
use bytes::Bytes;
use http::header::{self, HeaderName, HeaderValue};
use http::{HeaderMap, Method, Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};

use crate::refusal::Refusal;

/// Connections that stay open per provider without a call in flight.
const IDLE_PER_HOST_MAX: usize = 256;
/// How long they stay open.
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);
/// How long a connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// The pooled client. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Transport {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
}

/// Where one upstream call goes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Destination<'a> {
    pub(crate) spec: &'static ProviderSpec,
    pub(crate) base_url: &'a str,
    pub(crate) api_key: Option<&'a Secret>,
}

// === impl Transport ===

impl Transport {
    /// Returns a transport with the Mozilla roots and HTTP/1.1.
    pub(crate) fn new() -> Self {
        let mut connector = HttpConnector::new();
        connector.enforce_http(false);
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(CONNECT_TIMEOUT));
        let connector =
            HttpsConnectorBuilder::new().with_webpki_roots().https_or_http().enable_http1().wrap_connector(connector);
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_TIMEOUT)
            .pool_max_idle_per_host(IDLE_PER_HOST_MAX)
            .build(connector);
        Self { client }
    }

    /// Sends one request and returns the head of the answer; the body follows as it comes.
    pub(crate) async fn send(&self, to: Destination<'_>, request: WireRequest) -> Result<Response<Incoming>, Refusal> {
        let WireRequest { path, body, notes: _ } = request;
        let mut builder = Request::builder().method(Method::POST).uri(format!("{}{path}", to.base_url));
        if let Some(headers) = builder.headers_mut() {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
            for (name, value) in to.spec.headers {
                headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
            }
            authenticate(headers, to)?;
        }
        let request = builder.body(Full::new(Bytes::from(body)));
        let request = request.map_err(|error| {
            Refusal::new(ErrorKind::Internal, format!("the upstream request is not valid: {error}"))
        })?;
        self.client.request(request).await.map_err(|error| {
            let (what, hint) = if error.is_connect() {
                ("could not connect to the provider", "is it up? whoever runs Bowline must check its `base_url`")
            } else {
                ("the provider closed the connection", "try again")
            };
            let message = format!("{what}: {}\nhint: {hint}", bowline_types::chain(&error));
            Refusal { absent: error.is_connect(), ..Refusal::new(ErrorKind::UpstreamUnavailable, message) }
        })
    }
}

fn authenticate(headers: &mut HeaderMap, to: Destination<'_>) -> Result<(), Refusal> {
    let Some(key) = to.api_key else { return Ok(()) };
    let (name, value) = match to.spec.auth {
        AuthScheme::Bearer => (header::AUTHORIZATION, format!("Bearer {}", key.expose())),
        AuthScheme::Header(name) => (HeaderName::from_static(name), key.expose().to_owned()),
    };
    let mut value = HeaderValue::from_str(&value).map_err(|_| {
        let hint = "hint: whoever runs Bowline must check `providers.*.api_key`";
        Refusal::new(ErrorKind::UpstreamAuth, format!("the credential of the provider is no header value\n{hint}"))
    })?;
    value.set_sensitive(true);
    headers.insert(name, value);
    Ok(())
}
