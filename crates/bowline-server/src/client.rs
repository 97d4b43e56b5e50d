use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use bowline_types::ProjectName;
use bytes::Bytes;
use http::{HeaderValue, Method, Request, StatusCode, Uri, header};
use http_body_util::{BodyExt, Full, Limited};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tower::ServiceExt;

use crate::auth::AdminToken;
use crate::link::TokenSource;
use crate::pool::Pool;
use crate::tls::{ClientTls, TlsError};
use crate::wire::ErrorBody;

/// The largest answer that is read.
const ANSWER_BYTES_MAX: usize = 256 * 1024 * 1024;

/// How long a call may take, the longest wait for changes and the previews of a release included: a connection that died is noticed.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(120);

/// How to reach the control API of another process.
pub struct ClientOptions {
    /// Where: `http://HOST:PORT` or `https://HOST:PORT`; `HOST:PORT` is the former.
    pub address: String,
    /// The admin token.
    pub token: TokenSource,
    /// Certificates, for `https://`; `None` trusts the public authorities.
    pub tls: Option<ClientTls>,
}

/// A client of the control API of one project, over the network or in-process. Cheap to clone.
#[derive(Clone)]
pub struct Client {
    transport: Transport,
    project: ProjectName,
    token: TokenSource,
}

#[derive(Clone)]
enum Transport {
    Network(Arc<Remote>),
    InProcess { router: Router, host: String },
}

/// A control role elsewhere.
struct Remote {
    /// Scheme and authority.
    base: String,
    /// The authority.
    host: String,
    pool: Pool,
}

/// Why a call of the control API failed.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The control role refused; the message says why, and after `hint:` what to do next.
    #[error("{message}")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// The stable code.
        code: String,
        /// The message.
        message: String,
    },
    /// The address is none.
    #[error(
        "`{address}` is no address of a control API\nhint: `HOST:PORT`, `http://HOST:PORT` or `https://HOST:PORT`, without a path"
    )]
    Address {
        /// What was given.
        address: String,
    },
    /// The token is not there, or cannot stand in a header.
    #[error(
        "there is no admin token\nhint: `file:PATH` or `env:NAME`, with the content of the `admin.token` of the control role"
    )]
    Token,
    /// The control role could not be reached.
    #[error(
        "could not reach the control API at {address}\nhint: `bowline up` starts it; BOWLINE_CONTROL names another address"
    )]
    Unreachable {
        /// Where.
        address: String,
        /// The cause.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The answer is not what the API describes.
    #[error(
        "the control API answered something else than expected to `{request}`\nhint: client and server may differ in version"
    )]
    Answer {
        /// Method and path.
        request: String,
        /// The cause.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

// === impl Client ===

impl Client {
    /// Returns a client of the server at `address`, such as `127.0.0.1:7081`, over plain HTTP.
    #[must_use]
    pub fn network(address: String, project: ProjectName, token: AdminToken) -> Self {
        let remote = Remote { base: format!("http://{address}"), host: address, pool: Pool::new(None) };
        Self { transport: Transport::Network(Arc::new(remote)), project, token: token.source() }
    }

    /// Returns a client of a server elsewhere; nothing is sent yet.
    ///
    /// # Errors
    /// The address is not one.
    pub fn remote(options: ClientOptions, project: ProjectName) -> Result<Self, ClientError> {
        let ClientOptions { address, token, tls } = options;
        let base = if address.contains("://") { address.clone() } else { format!("http://{address}") };
        let uri: Option<Uri> = base.parse().ok();
        let is_bare = |uri: &Uri| {
            matches!(uri.scheme_str(), Some("http" | "https")) && uri.path() == "/" && uri.query().is_none()
        };
        let host = uri.filter(is_bare).and_then(|uri| uri.authority().map(ToString::to_string));
        let host = host.filter(|host| !host.contains('@')).ok_or(ClientError::Address { address })?;
        let remote = Remote { base: base.trim_end_matches('/').to_owned(), host, pool: Pool::new(tls) };
        Ok(Self { transport: Transport::Network(Arc::new(remote)), project, token })
    }

    /// Returns a client of a router in this process, made for `host`.
    #[must_use]
    pub fn in_process(router: Router, host: String, project: ProjectName, token: AdminToken) -> Self {
        Self { transport: Transport::InProcess { router, host }, project, token: token.source() }
    }

    /// Returns a client of another project, with the same connections.
    #[must_use]
    pub fn of(&self, project: ProjectName) -> Self {
        Self { project, ..self.clone() }
    }

    /// Reads the certificates again; where they have changed, new connections are made with them. Blocks.
    ///
    /// # Errors
    /// A file cannot be read, or does not hold what it should; what was there stays in use.
    pub fn reload(&self) -> Result<bool, TlsError> {
        match &self.transport {
            Transport::Network(remote) => remote.pool.reload(),
            Transport::InProcess { .. } => Ok(false),
        }
    }

    /// Returns the project.
    #[must_use]
    pub fn project(&self) -> &ProjectName {
        &self.project
    }

    /// Gets a resource of the project; `path` begins with `/` and holds the query.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        self.call(Method::GET, path, Bytes::new()).await
    }

    /// Posts to a resource of the project.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn post<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T, ClientError> {
        let body = serde_json::to_vec(body).map_err(|source| answer(&Method::POST, path, source))?;
        self.call(Method::POST, path, body.into()).await
    }

    /// Replaces a resource of the project.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn put<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T, ClientError> {
        let body = serde_json::to_vec(body).map_err(|source| answer(&Method::PUT, path, source))?;
        self.call(Method::PUT, path, body.into()).await
    }

    /// Deletes a resource of the project.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn delete<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        self.call(Method::DELETE, path, Bytes::new()).await
    }

    async fn call<T: DeserializeOwned>(&self, method: Method, path: &str, body: Bytes) -> Result<T, ClientError> {
        let (status, bytes) = self.send(&method, path, body).await?;
        if status == StatusCode::NO_CONTENT {
            return serde_json::from_str("null").map_err(|source| answer(&method, path, source));
        }
        if status.is_success() {
            return serde_json::from_slice(&bytes).map_err(|source| answer(&method, path, source));
        }
        match serde_json::from_slice::<ErrorBody>(&bytes) {
            Ok(ErrorBody { error }) => {
                Err(ClientError::Refused { status: status.as_u16(), code: error.code, message: error.message })
            }
            Err(source) => Err(answer(&method, path, source)),
        }
    }

    async fn send(&self, method: &Method, path: &str, body: Bytes) -> Result<(StatusCode, Bytes), ClientError> {
        let path = format!("/api/v1/projects/{}{path}", self.project);
        match &self.transport {
            Transport::Network(remote) => {
                let answered = tokio::time::timeout(ANSWER_TIMEOUT, self.exchange(remote, method, &path, body)).await;
                let slow = || format!("no answer within {} s", ANSWER_TIMEOUT.as_secs());
                answered.unwrap_or_else(|_| Err(remote.unreachable(slow())))
            }
            Transport::InProcess { router, host } => {
                let request = self.request(method, &path, host, body)?;
                let Ok(response) = router.clone().oneshot(request.map(Body::new)).await;
                let status = response.status();
                let body = response.into_body().collect().await;
                Ok((status, body.map_err(|source| answer(method, &path, source))?.to_bytes()))
            }
        }
    }

    async fn exchange(
        &self,
        remote: &Remote,
        method: &Method,
        path: &str,
        body: Bytes,
    ) -> Result<(StatusCode, Bytes), ClientError> {
        let request = self.request(method, &format!("{}{path}", remote.base), &remote.host, body)?;
        let response = remote.pool.load().request(request).await.map_err(|error| remote.unreachable(error))?;
        let status = response.status();
        let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await;
        Ok((status, body.map_err(|error| remote.unreachable(error))?.to_bytes()))
    }

    fn request(
        &self,
        method: &Method,
        uri: &str,
        host: &str,
        body: Bytes,
    ) -> Result<Request<Full<Bytes>>, ClientError> {
        let token = (self.token)().ok_or(ClientError::Token)?;
        let mut bearer =
            HeaderValue::from_str(&format!("Bearer {}", token.expose())).map_err(|_| ClientError::Token)?;
        bearer.set_sensitive(true);
        let request = Request::builder()
            .method(method)
            .uri(uri)
            .header(header::HOST, host)
            .header(header::AUTHORIZATION, bearer)
            .header(header::CONTENT_TYPE, "application/json");
        request.body(Full::new(body)).map_err(|source| answer(method, uri, source))
    }
}

// === impl Remote ===

impl Remote {
    fn unreachable(&self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> ClientError {
        ClientError::Unreachable { address: self.host.clone(), source: source.into() }
    }
}

fn answer(method: &Method, path: &str, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> ClientError {
    ClientError::Answer { request: format!("{method} {path}"), source: source.into() }
}
