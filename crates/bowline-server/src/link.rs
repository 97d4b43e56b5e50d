//! The way of a gateway to the control role: the other end of the internal API.

use std::io::Read as _;
use std::sync::Arc;
use std::time::Duration;

use bowline_registry::Snapshot;
use bowline_types::{Digest, Secret, TokenSecret};
use bytes::Bytes;
use flate2::read::MultiGzDecoder;
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, Uri, header};
use http_body_util::{BodyExt, Full, Limited};
use serde::de::DeserializeOwned;

use crate::pool::Pool;
use crate::tls::{ClientTls, TlsError};
use crate::wire::{ErrorBody, News, NewsQuery, RecordsRequest, SecretView, SnapshotQuery};

/// The largest snapshot that is read, in bytes of JSON and of what came.
const SNAPSHOT_BYTES_MAX: u64 = 256 * 1024 * 1024;
/// The largest answer of any other kind, in bytes.
const ANSWER_BYTES_MAX: usize = 16 * 1024 * 1024;
/// How long an answer may take, on top of the wait that was asked for: a connection that died is noticed.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a whole snapshot, or the commit of a batch, may take.
const TRANSFER_TIMEOUT: Duration = Duration::from_secs(60);

/// Returns the token of the gateway, read anew for every call, so that another one takes effect. Blocks at most on a small file.
pub type TokenSource = Arc<dyn Fn() -> Option<Secret> + Send + Sync>;

/// How to reach the control role.
pub struct LinkOptions {
    /// Its internal API, `http://HOST:PORT` or `https://HOST:PORT`.
    pub address: String,
    /// The token; `None` where a certificate is shown.
    pub token: Option<TokenSource>,
    /// Certificates, for `https://`.
    pub tls: Option<ClientTls>,
}

/// A client of the internal API. Cheap to clone.
#[derive(Clone)]
pub struct Link {
    address: Arc<str>,
    token: Option<TokenSource>,
    pool: Pool,
}

/// Why a call of the internal API failed.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// The address is none.
    #[error(
        "`{address}` is no address of a control role\nhint: `--control http://HOST:PORT` or `https://HOST:PORT`, without a path"
    )]
    Address {
        /// What was given.
        address: String,
    },
    /// The token is not there, or cannot stand in a header.
    #[error(
        "there is no token for the control role\nhint: `--token file:PATH` or `env:NAME`, with the content of its `gateway.token`"
    )]
    Token,
    /// The control role could not be reached.
    #[error("could not reach the control role at {address}")]
    Unreachable {
        /// Where.
        address: String,
        /// The cause.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Nothing came in time.
    #[error("the control role at {address} did not answer in time")]
    Timeout {
        /// Where.
        address: String,
    },
    /// The control role refused; the message says why.
    #[error("{message}")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// The message.
        message: String,
    },
    /// Somebody else answered with an error: a proxy on the way, or another server.
    #[error("{address} answered {status}\nhint: is that the internal API of a control role?")]
    Stranger {
        /// Where.
        address: String,
        /// The HTTP status.
        status: u16,
    },
    /// The answer is not what the API describes.
    #[error("the control role answered `{path}` with something else than expected")]
    Answer {
        /// What was asked.
        path: String,
        /// The cause.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The snapshot has a schema that this gateway does not read.
    #[error(
        "the control role sends snapshots of schema {found}, this gateway reads {} to {}\nhint: one version of difference is fine, more is not",
        Snapshot::SCHEMA_OLDEST,
        Snapshot::SCHEMA
    )]
    Schema {
        /// The schema of the snapshot.
        found: u32,
    },
}

// === impl LinkError ===

impl LinkError {
    /// Returns whether the control role will refuse the same request again, whatever becomes of it. What a proxy on the way says is none of
    /// its words, but for a body that is too large there: parts of it may pass.
    #[must_use]
    pub fn is_final(&self) -> bool {
        matches!(self, Self::Refused { status: 400 | 413 | 422, .. } | Self::Stranger { status: 413, .. })
    }
}

// === impl Link ===

impl Link {
    /// Returns a client; nothing is sent yet.
    ///
    /// # Errors
    /// The address is not one.
    pub fn new(options: LinkOptions) -> Result<Self, LinkError> {
        let LinkOptions { address, token, tls } = options;
        let uri: Option<Uri> = address.parse().ok();
        let is_bare = |uri: &Uri| {
            let scheme = matches!(uri.scheme_str(), Some("http" | "https"));
            scheme && uri.authority().is_some() && uri.path() == "/" && uri.query().is_none()
        };
        if !uri.as_ref().is_some_and(is_bare) {
            return Err(LinkError::Address { address });
        }
        Ok(Self { address: address.trim_end_matches('/').into(), token, pool: Pool::new(tls) })
    }

    /// Returns where the control role is.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Reads the certificates again; where they have changed, new connections are made with them. Blocks.
    ///
    /// # Errors
    /// A file cannot be read, or does not hold what it should; what was there stays in use.
    pub fn reload(&self) -> Result<bool, TlsError> {
        self.pool.reload()
    }

    /// Asks for news, which may take as long as `wait`.
    ///
    /// # Errors
    /// See [`LinkError`].
    pub async fn news(&self, known: Option<Digest>, wait: Duration) -> Result<News, LinkError> {
        let wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
        let query = NewsQuery { schema: Snapshot::SCHEMA, known, wait_ms };
        let known = query.known.map_or_else(String::new, |known| format!("&known={known}"));
        let path = format!("/internal/v1/news?schema={}&wait_ms={wait_ms}{known}", query.schema);
        let (_, _, body) = self.call(Method::GET, &path, HeaderMap::new(), Bytes::new(), wait + ANSWER_TIMEOUT).await?;
        decode(&path, &body)
    }

    /// Fetches the present snapshot with its digest; `None` where it is the one that is known.
    ///
    /// # Errors
    /// See [`LinkError`].
    pub async fn snapshot(&self, known: Option<Digest>) -> Result<Option<(Digest, Snapshot)>, LinkError> {
        let query = SnapshotQuery { schema: Snapshot::SCHEMA };
        let path = format!("/internal/v1/snapshot?schema={}", query.schema);
        let mut headers = HeaderMap::new();
        if let Some(tag) = known.and_then(|known| HeaderValue::from_str(&format!("\"{known}\"")).ok()) {
            headers.insert(header::IF_NONE_MATCH, tag);
        }
        let (status, headers, body) = self.call(Method::GET, &path, headers, Bytes::new(), TRANSFER_TIMEOUT).await?;
        if status == StatusCode::NOT_MODIFIED {
            return Ok(None);
        }
        // Of a large snapshot this is work for a thread that serves nobody.
        let read = tokio::task::spawn_blocking(move || read_snapshot(&path, &headers, &body)).await;
        read.map_err(|error| LinkError::Answer { path: "/internal/v1/snapshot".to_owned(), source: error.into() })?
            .map(Some)
    }

    /// Fetches the secret under the MAC of inference ids.
    ///
    /// # Errors
    /// See [`LinkError`].
    pub async fn secret(&self) -> Result<TokenSecret, LinkError> {
        let path = "/internal/v1/secret";
        let (_, _, body) = self.call(Method::GET, path, HeaderMap::new(), Bytes::new(), ANSWER_TIMEOUT).await?;
        let view: SecretView = decode(path, &body)?;
        let unreadable = || LinkError::Answer { path: path.to_owned(), source: "it is no secret".into() };
        TokenSecret::parse(&view.token_secret).ok_or_else(unreadable)
    }

    /// Delivers records. `Ok` means that they are durable.
    ///
    /// # Errors
    /// See [`LinkError`]; the same may be sent again, unless it [is refused for ever](LinkError::is_final).
    pub async fn deliver(&self, records: &RecordsRequest) -> Result<(), LinkError> {
        let path = "/internal/v1/records";
        let body = serde_json::to_vec(records).map_err(|error| answer(path, error))?;
        self.call(Method::POST, path, HeaderMap::new(), body.into(), TRANSFER_TIMEOUT).await.map(|_| ())
    }

    async fn call(
        &self,
        method: Method,
        path: &str,
        mut headers: HeaderMap,
        body: Bytes,
        timeout: Duration,
    ) -> Result<(StatusCode, HeaderMap, Bytes), LinkError> {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(token) = &self.token {
            let token = token().ok_or(LinkError::Token)?;
            let value = HeaderValue::from_str(&format!("Bearer {}", token.expose()));
            let mut value = value.map_err(|_| LinkError::Token)?;
            value.set_sensitive(true);
            headers.insert(header::AUTHORIZATION, value);
        }
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = method;
        *request.uri_mut() = format!("{}{path}", self.address).parse().map_err(|error| answer(path, error))?;
        *request.headers_mut() = headers;
        let answered = tokio::time::timeout(timeout, self.send(path, request)).await;
        answered.map_err(|_| LinkError::Timeout { address: self.address.to_string() })?
    }

    async fn send(
        &self,
        path: &str,
        request: Request<Full<Bytes>>,
    ) -> Result<(StatusCode, HeaderMap, Bytes), LinkError> {
        let unreachable = |source| LinkError::Unreachable { address: self.address.to_string(), source };
        let most = if path.starts_with("/internal/v1/snapshot") {
            usize::try_from(SNAPSHOT_BYTES_MAX).unwrap_or(usize::MAX)
        } else {
            ANSWER_BYTES_MAX
        };
        let response = self.pool.load().request(request).await.map_err(|error| unreachable(error.into()))?;
        let (head, body) = response.into_parts();
        let body = Limited::new(body, most).collect().await.map_err(unreachable)?.to_bytes();
        if head.status.is_success() || head.status == StatusCode::NOT_MODIFIED {
            return Ok((head.status, head.headers, body));
        }
        let status = head.status.as_u16();
        Err(match serde_json::from_slice::<ErrorBody>(&body) {
            Ok(ErrorBody { error }) => LinkError::Refused { status, message: error.message },
            Err(_) => LinkError::Stranger { address: self.address.to_string(), status },
        })
    }
}

fn read_snapshot(path: &str, headers: &HeaderMap, body: &[u8]) -> Result<(Digest, Snapshot), LinkError> {
    let tag = headers.get(header::ETAG).and_then(|tag| tag.to_str().ok()).map(|tag| tag.trim_matches('"'));
    let digest: Digest = tag.unwrap_or_default().parse().map_err(|error| answer(path, error))?;
    let mut text = Vec::new();
    let is_gzip = headers.get(header::CONTENT_ENCODING).is_some_and(|encoding| encoding == "gzip");
    if is_gzip {
        let read = MultiGzDecoder::new(body).take(SNAPSHOT_BYTES_MAX + 1).read_to_end(&mut text);
        read.map_err(|error| answer(path, error))?;
        if text.len() as u64 > SNAPSHOT_BYTES_MAX {
            return Err(answer(path, format!("it is larger than {SNAPSHOT_BYTES_MAX} bytes")));
        }
    } else {
        text.extend_from_slice(body);
    }
    let snapshot = Snapshot::from_json(&text).map_err(|error| match error {
        bowline_registry::SnapshotJsonError::Schema { found } => LinkError::Schema { found },
        bowline_registry::SnapshotJsonError::Json(source) => answer(path, source),
    })?;
    Ok((digest, snapshot))
}

fn decode<T: DeserializeOwned>(path: &str, body: &[u8]) -> Result<T, LinkError> {
    serde_json::from_slice(body).map_err(|error| answer(path, error))
}

fn answer(path: &str, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> LinkError {
    LinkError::Answer { path: path.to_owned(), source: source.into() }
}
