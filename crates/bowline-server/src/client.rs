use axum::Router;
use axum::body::Body;
use bowline_types::ProjectName;
use bytes::Bytes;
use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::client::legacy::Client as Pool;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tower::ServiceExt;

use crate::auth::AdminToken;
use crate::wire::ErrorBody;

/// The largest answer that is read.
const ANSWER_BYTES_MAX: usize = 256 * 1024 * 1024;

/// A client of the control API of one project, over the network or in-process.
#[derive(Clone)]
pub struct Client {
    transport: Transport,
    project: ProjectName,
    token: AdminToken,
}

#[derive(Clone)]
enum Transport {
    Network { address: String, pool: Pool<HttpConnector, Full<Bytes>> },
    InProcess { router: Router, host: String },
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
    /// Returns a client of the server at `address`, such as `127.0.0.1:7081`.
    #[must_use]
    pub fn network(address: String, project: ProjectName, token: AdminToken) -> Self {
        let pool = Pool::builder(TokioExecutor::new()).build_http();
        Self { transport: Transport::Network { address, pool }, project, token }
    }

    /// Returns a client of a router in this process, made for `host`.
    #[must_use]
    pub fn in_process(router: Router, host: String, project: ProjectName, token: AdminToken) -> Self {
        Self { transport: Transport::InProcess { router, host }, project, token }
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
            Transport::Network { address, pool } => {
                let unreachable = |source| ClientError::Unreachable { address: address.clone(), source };
                let request = self.request(method, &format!("http://{address}{path}"), address, body);
                let request = request.map_err(|source| answer(method, &path, source))?;
                let response = pool.request(request).await.map_err(|error| unreachable(error.into()))?;
                let status = response.status();
                let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await;
                Ok((status, body.map_err(unreachable)?.to_bytes()))
            }
            Transport::InProcess { router, host } => {
                let request =
                    self.request(method, &path, host, body).map_err(|source| answer(method, &path, source))?;
                let Ok(response) = router.clone().oneshot(request.map(Body::new)).await;
                let status = response.status();
                let body = response.into_body().collect().await;
                Ok((status, body.map_err(|source| answer(method, &path, source))?.to_bytes()))
            }
        }
    }

    fn request(
        &self,
        method: &Method,
        uri: &str,
        host: &str,
        body: Bytes,
    ) -> Result<Request<Full<Bytes>>, http::Error> {
        Request::builder()
            .method(method)
            .uri(uri)
            .header(header::HOST, host)
            .header(header::AUTHORIZATION, format!("Bearer {}", self.token.expose()))
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::new(body))
    }
}

fn answer(method: &Method, path: &str, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> ClientError {
    ClientError::Answer { request: format!("{method} {path}"), source: source.into() }
}
