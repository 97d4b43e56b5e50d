//! One call to a registry: connection, TLS, redirects, deadlines, attempts. What is asked is not known here.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri, header};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::{Client as HttpClient, Error as HttpError};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use oci_spec::image::Descriptor;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use tokio::io::AsyncReadExt as _;

use super::authenticate::{Account, Authorization};
use super::challenge::Challenge;
use super::problem::Problem;
use super::{Options, Repository, retry};
use crate::{Error, Layout, Result};

/// How long a connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a connection stays open without a call.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);
/// Redirects that are followed: registries send clients to object stores.
const REDIRECTS_MAX: usize = 5;
/// The slowest transfer that is waited for, in bytes per second: the deadline of a call grows with its size by this.
const BYTES_PER_SECOND_MIN: u64 = 16 << 10;
/// Bytes of an error's body that are read: a registry answers with a short JSON, a proxy with a page.
const ERROR_BYTES_MAX: u64 = 16 << 10;
/// Bytes of a file that are sent at once.
const CHUNK_BYTES: usize = 64 << 10;

type RequestBody = UnsyncBoxBody<Bytes, io::Error>;

/// The pooled client with what it has learned about registries. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Transport(Arc<Inner>);

#[derive(Debug)]
pub(super) struct Inner {
    http: HttpClient<HttpsConnector<HttpConnector>, RequestBody>,
    pub(super) options: Options,
    /// Per repository: what the last challenge led to.
    pub(super) authorizations: Mutex<HashMap<(String, String), Authorization>>,
    /// Per registry: whom we are there.
    pub(super) accounts: Mutex<HashMap<String, Account>>,
}

/// One call; it can be sent again.
#[derive(Clone, Debug)]
pub(super) struct Call {
    method: Method,
    /// Below `/v2/REPOSITORY/`, or a whole URL.
    target: String,
    headers: Vec<(HeaderName, String)>,
    body: CallBody,
}

#[derive(Clone, Debug)]
enum CallBody {
    Bytes(Bytes),
    /// A blob of a layout, read as it is sent.
    Blob(Box<(Layout, Descriptor)>),
}

/// A whole answer.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

// === impl Call ===

impl Call {
    pub(super) fn new(method: Method, target: String) -> Self {
        Self { method, target, headers: Vec::new(), body: CallBody::Bytes(Bytes::new()) }
    }

    pub(super) fn header(mut self, name: HeaderName, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }

    pub(super) fn bytes(mut self, bytes: Bytes) -> Self {
        self.body = CallBody::Bytes(bytes);
        self
    }

    pub(super) fn blob(mut self, layout: &Layout, descriptor: &Descriptor) -> Self {
        self.body = CallBody::Blob(Box::new((layout.clone(), descriptor.clone())));
        self
    }

    fn size(&self) -> u64 {
        match &self.body {
            CallBody::Bytes(bytes) => u64::try_from(bytes.len()).unwrap_or(u64::MAX),
            CallBody::Blob(blob) => blob.1.size(),
        }
    }

    fn body(&self) -> Result<RequestBody, Problem> {
        match &self.body {
            CallBody::Bytes(bytes) => Ok(Full::new(bytes.clone()).map_err(io::Error::other).boxed_unsync()),
            CallBody::Blob(blob) => {
                let (layout, descriptor) = &**blob;
                let file = layout
                    .open_blob(descriptor)
                    .map_err(|error| Problem::Broken { message: bowline_types::chain(&error) })?;
                let file = tokio::fs::File::from_std(file);
                let chunks = futures_util::stream::try_unfold(file, |mut file| async move {
                    let mut chunk = vec![0; CHUNK_BYTES];
                    let read = file.read(&mut chunk).await?;
                    chunk.truncate(read);
                    Ok((read > 0).then(|| (Frame::data(Bytes::from(chunk)), file)))
                });
                Ok(StreamBody::new(chunks).boxed_unsync())
            }
        }
    }
}

// === impl Answer ===

impl Answer {
    /// Returns what an unexpected status means.
    pub(super) fn problem(&self) -> Problem {
        let message = message_of(&self.body);
        match self.status {
            StatusCode::FORBIDDEN => Problem::Forbidden { message },
            StatusCode::NOT_FOUND => Problem::NotFound { message },
            StatusCode::TOO_MANY_REQUESTS => Problem::RateLimited { retry_after: retry::retry_after(&self.headers) },
            status => Problem::Status { status, message },
        }
    }
}

/// Returns what a registry says in its error (distribution-spec 1.1, "Error Codes"), in one line; nothing where it is none.
fn message_of(body: &[u8]) -> String {
    const CHARACTERS_MAX: usize = 300;
    let Ok(value) = serde_json::from_slice::<serde_json::Value>(body) else { return String::new() };
    let errors = value.get("errors").and_then(serde_json::Value::as_array).cloned().unwrap_or_default();
    let text = |error: &serde_json::Value, name: &str| {
        error.get(name).and_then(serde_json::Value::as_str).unwrap_or_default().to_owned()
    };
    let lines: Vec<_> =
        errors.iter().map(|error| format!("{} {}", text(error, "code"), text(error, "message"))).collect();
    // A registry is not trusted to send text that a terminal may print.
    lines.join("; ").chars().filter(|each| !each.is_control()).take(CHARACTERS_MAX).collect()
}

// === impl Transport ===

impl std::ops::Deref for Transport {
    type Target = Inner;

    fn deref(&self) -> &Inner {
        &self.0
    }
}

impl Transport {
    pub(super) fn new(options: Options) -> Result<Self> {
        let mut connector = HttpConnector::new();
        connector.enforce_http(false);
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(CONNECT_TIMEOUT));
        let tls = HttpsConnectorBuilder::new().with_tls_config(tls(&options.certificates)?);
        let http = HttpClient::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_TIMEOUT)
            .build(tls.https_or_http().enable_http1().wrap_connector(connector));
        Ok(Self(Arc::new(Inner { http, options, authorizations: Mutex::default(), accounts: Mutex::default() })))
    }

    /// Makes a call and reads its answer up to `limit` bytes, again where that may help. Any status but a passing one is an answer.
    pub(super) async fn call(
        &self,
        repository: &Repository,
        operation: &'static str,
        call: &Call,
        limit: u64,
    ) -> Result<Answer> {
        self.retrying(repository, operation, || async move {
            let response = self.attempt(repository, call).await?;
            let limit = if response.status().is_success() { limit } else { ERROR_BYTES_MAX };
            self.whole(response, limit).await
        })
        .await
    }

    /// Runs `attempt` again while its problem is a passing one, up to the bound of attempts.
    ///
    /// The future is a type of its own, and not that of an `AsyncFn`: of one of those the compiler cannot say yet that it may move between
    /// threads, wherever it borrows.
    pub(super) async fn retrying<T, F: Future<Output = Result<T, Problem>>>(
        &self,
        repository: &Repository,
        operation: &'static str,
        attempt: impl Fn() -> F,
    ) -> Result<T> {
        for number in 1.. {
            let problem = match attempt().await {
                Ok(done) => return Ok(done),
                Err(problem) => problem,
            };
            if number >= self.options.attempts_max || !problem.is_passing() {
                return Err(repository.error(operation, problem));
            }
            let retry_after = match &problem {
                Problem::RateLimited { retry_after } => *retry_after,
                _ => None,
            };
            tracing::debug!(%repository, operation, number, %problem, "the registry is asked again");
            tokio::time::sleep(retry::wait(number, retry_after)).await;
        }
        let reason = "no attempt was allowed".to_owned();
        Err(repository.error(operation, Problem::Protocol { reason }))
    }

    /// Makes a call once: with the authorization that is known, and where the registry asks for another one, with that.
    pub(super) async fn attempt(&self, repository: &Repository, call: &Call) -> Result<Response<Incoming>, Problem> {
        let known = self.known(repository);
        let response = self.send(repository, call, known.as_ref()).await?;
        if response.status() != StatusCode::UNAUTHORIZED {
            return check(response);
        }
        let Some(challenge) = Challenge::read(response.headers()) else {
            return Err(self.unauthenticated(repository, response).await);
        };
        let Some(authorization) = self.authorize(repository, &challenge).await? else {
            return Err(self.unauthenticated(repository, response).await);
        };
        let response = self.send(repository, call, Some(&authorization)).await?;
        if response.status() == StatusCode::UNAUTHORIZED {
            return Err(self.unauthenticated(repository, response).await);
        }
        self.remember(repository, authorization);
        check(response)
    }

    async fn unauthenticated(&self, repository: &Repository, response: Response<Incoming>) -> Problem {
        let with_credentials = self.has_credentials(repository);
        match self.whole(response, ERROR_BYTES_MAX).await {
            Ok(answer) => Problem::Unauthenticated { with_credentials, message: message_of(&answer.body) },
            Err(_) => Problem::Unauthenticated { with_credentials, message: String::new() },
        }
    }

    /// Sends a call and follows redirects.
    async fn send(
        &self,
        repository: &Repository,
        call: &Call,
        authorization: Option<&Authorization>,
    ) -> Result<Response<Incoming>, Problem> {
        let scheme = if self.options.plain_http { "http" } else { "https" };
        let first = if call.target.contains("://") {
            call.target.clone()
        } else if call.target.starts_with('/') {
            format!("{scheme}://{}{}", repository.registry, call.target)
        } else {
            format!("{scheme}://{}/v2/{}/{}", repository.registry, repository.name, call.target)
        };
        let mut uri = self.checked(&first)?;
        for _ in 0..=REDIRECTS_MAX {
            let is_registry = is_at(&uri, &repository.registry);
            // Credentials of a registry are for nobody else, also where it sends us on.
            let authorization = authorization.filter(|_| is_registry);
            let response = self.once(&uri, call, authorization).await?;
            if !is_registry && response.status() == StatusCode::UNAUTHORIZED {
                // Whose challenge is answered gets the credentials, so that only the registry's own may be.
                let host = uri.host().unwrap_or_default();
                return Err(protocol(format!("it leads to `{host}`, which asks for credentials of its own")));
            }
            let is_read = call.method == Method::GET || call.method == Method::HEAD;
            if !(is_read && response.status().is_redirection()) {
                return Ok(response);
            }
            let location = response.headers().get(header::LOCATION).and_then(|value| value.to_str().ok());
            let location = location.ok_or_else(|| protocol("it redirects to nowhere"))?;
            uri = self.checked(&absolute(&uri, location))?;
        }
        Err(protocol("it redirects too often"))
    }

    async fn once(
        &self,
        uri: &Uri,
        call: &Call,
        authorization: Option<&Authorization>,
    ) -> Result<Response<Incoming>, Problem> {
        let mut request = Request::builder().method(call.method.clone()).uri(uri.clone());
        for (name, value) in &call.headers {
            request = request.header(name, value);
        }
        request = request.header(header::USER_AGENT, concat!("bowline/", env!("CARGO_PKG_VERSION")));
        if call.method == Method::PUT || call.method == Method::POST {
            request = request.header(header::CONTENT_LENGTH, call.size());
        }
        if let Some(authorization) = authorization {
            request = request.header(header::AUTHORIZATION, authorization.header()?);
        }
        let request = request.body(call.body()?).map_err(|error| protocol(error.to_string()))?;
        let after = self.deadline(call.size());
        match tokio::time::timeout(after, self.http.request(request)).await {
            Ok(answer) => answer.map_err(|error| broken(&error)),
            Err(_) => Err(Problem::Timeout { after }),
        }
    }

    /// Reads an answer whole, up to a bound.
    pub(super) async fn whole(&self, response: Response<Incoming>, limit: u64) -> Result<Answer, Problem> {
        let (head, mut body) = response.into_parts();
        let mut bytes = Vec::new();
        let read = self.each_chunk(&mut body, limit, |chunk| {
            bytes.extend_from_slice(chunk);
            Ok(())
        });
        match read.await {
            // What an error is comes with its status; the page of a proxy may be of any length.
            Err(Problem::TooLarge { .. }) if !head.status.is_success() => {}
            read => read?,
        }
        Ok(Answer { status: head.status, headers: head.headers, body: bytes.into() })
    }

    /// Hands the chunks of a body to `take`, up to a bound of bytes and in a time that fits them.
    pub(super) async fn each_chunk(
        &self,
        body: &mut Incoming,
        limit: u64,
        mut take: impl FnMut(&[u8]) -> Result<(), Problem>,
    ) -> Result<(), Problem> {
        let after = self.deadline(limit);
        let end = tokio::time::Instant::now() + after;
        let mut size = 0_u64;
        loop {
            // Neither a body that stops nor one that drips holds a pipeline up.
            let pause = (tokio::time::Instant::now() + self.options.timeout).min(end);
            let Ok(frame) = tokio::time::timeout_at(pause, body.frame()).await else {
                let passed = if pause == end { after } else { self.options.timeout };
                return Err(Problem::Timeout { after: passed });
            };
            let Some(frame) = frame else { return Ok(()) };
            let frame = frame.map_err(|error| Problem::Broken { message: bowline_types::chain(&error) })?;
            let Ok(chunk) = frame.into_data() else { continue };
            size = size.saturating_add(u64::try_from(chunk.len()).unwrap_or(u64::MAX));
            if size > limit {
                return Err(Problem::TooLarge { limit });
            }
            take(&chunk)?;
        }
    }

    /// Sends a request of the token protocol, which goes to another host than the registry.
    pub(super) async fn token_call(
        &self,
        url: &str,
        method: Method,
        authorization: Option<&Authorization>,
        form: Option<String>,
    ) -> Result<Answer, Problem> {
        const TOKEN_BYTES_MAX: u64 = 1 << 20;
        let mut call = Call::new(method, String::new());
        if let Some(form) = form {
            call = call.header(header::CONTENT_TYPE, "application/x-www-form-urlencoded").bytes(form.into());
        }
        let response = self.once(&self.checked(url)?, &call, authorization).await?;
        let limit = if response.status().is_success() { TOKEN_BYTES_MAX } else { ERROR_BYTES_MAX };
        self.whole(response, limit).await
    }

    /// Reads a URL and refuses one without TLS, unless that is meant.
    fn checked(&self, url: &str) -> Result<Uri, Problem> {
        let uri: Uri = url.parse().map_err(|_| protocol(format!("`{url}` is not a URL")))?;
        match uri.scheme_str() {
            Some("https") => Ok(uri),
            Some("http") if self.options.plain_http => Ok(uri),
            _ => Err(protocol(format!("it leads to `{url}`, which is not https"))),
        }
    }

    /// Returns how long a call may take that moves so many bytes.
    fn deadline(&self, size: u64) -> Duration {
        self.options.timeout + Duration::from_secs(size / BYTES_PER_SECOND_MIN)
    }
}

/// Lets an answer through, unless its status is a passing one.
fn check(response: Response<Incoming>) -> Result<Response<Incoming>, Problem> {
    let status = response.status();
    if !super::problem::is_passing(status) {
        return Ok(response);
    }
    Err(match status {
        StatusCode::TOO_MANY_REQUESTS => Problem::RateLimited { retry_after: retry::retry_after(response.headers()) },
        _ => Problem::Status { status, message: String::new() },
    })
}

/// Returns whether a URL is one of the registry at `authority`, whatever the case of its letters and where ports go without saying.
fn is_at(uri: &Uri, authority: &str) -> bool {
    let port = |port: Option<u16>| port.filter(|port| !matches!(port, 80 | 443));
    let registry = authority.parse::<http::uri::Authority>().ok();
    registry.zip(uri.authority()).is_some_and(|(registry, found)| {
        registry.host().eq_ignore_ascii_case(found.host()) && port(registry.port_u16()) == port(found.port_u16())
    })
}

/// Returns a location as a whole URL.
pub(super) fn absolute(from: &Uri, location: &str) -> String {
    if location.contains("://") {
        return location.to_owned();
    }
    let scheme = from.scheme_str().unwrap_or("https");
    let authority = from.authority().map(http::uri::Authority::as_str).unwrap_or_default();
    let slash = if location.starts_with('/') { "" } else { "/" };
    format!("{scheme}://{authority}{slash}{location}")
}

pub(super) fn protocol(reason: impl Into<String>) -> Problem {
    Problem::Protocol { reason: reason.into() }
}

fn broken(error: &HttpError) -> Problem {
    let message = bowline_types::chain(error);
    if error.is_connect() {
        // What rustls says of bytes that are no TLS record.
        let without_tls = message.contains("InvalidContentType");
        Problem::Connect { message, without_tls }
    } else {
        Problem::Broken { message }
    }
}

/// Returns the TLS configuration: the Mozilla roots, and certificates of one's own beside them.
fn tls(certificates: &[u8]) -> Result<rustls::ClientConfig> {
    let mut roots = rustls::RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    for certificate in CertificateDer::pem_slice_iter(certificates) {
        let refused = |reason: String| Error::Certificates { reason };
        let certificate = certificate.map_err(|error| refused(error.to_string()))?;
        roots.add(certificate).map_err(|error| refused(error.to_string()))?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = builder.map_err(|error| Error::Certificates { reason: error.to_string() })?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

/// Returns a header value that is not shown in logs.
pub(super) fn sensitive(text: &str) -> Result<HeaderValue, Problem> {
    let value = HeaderValue::from_str(text);
    let mut value =
        value.map_err(|_| Problem::Credential { reason: "the credential is no header value".to_owned() })?;
    value.set_sensitive(true);
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locations_are_made_whole() {
        let from: Uri = "https://registry.example:5000/v2/a/blobs/uploads/".parse().unwrap();
        for (location, expected) in [
            ("/v2/a/blobs/uploads/1?s=2", "https://registry.example:5000/v2/a/blobs/uploads/1?s=2"),
            ("https://store.example/x", "https://store.example/x"),
        ] {
            assert_eq!(absolute(&from, location), expected);
        }
    }

    #[test]
    fn the_registry_is_known_by_host_and_port() {
        let check = |uri: &str, registry: &str, expected: bool| {
            assert_eq!(is_at(&uri.parse().unwrap(), registry), expected, "{uri} {registry}");
        };
        check("https://ghcr.io/v2/a", "ghcr.io", true);
        check("https://GHCR.io:443/v2/a", "ghcr.io", true);
        check("https://localhost:5000/v2/a", "localhost:5000", true);
        check("https://localhost:5001/v2/a", "localhost:5000", false);
        check("https://store.ghcr.io/v2/a", "ghcr.io", false);
        check("https://ghcr.io@evil.example/v2/a", "ghcr.io", false);
    }

    #[test]
    fn messages_are_read_and_cleaned() {
        let body = br#"{"errors":[{"code":"DENIED","message":"not\u001b[31m yours"},{"code":"UNKNOWN"}]}"#;
        assert_eq!(message_of(body), "DENIED not[31m yours; UNKNOWN ");
        assert_eq!(message_of(b"<html>"), "");
    }

    #[test]
    fn certificates_must_be_certificates() {
        assert!(tls(b"").is_ok());
        let bad = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        assert!(matches!(tls(bad), Err(Error::Certificates { .. })));
    }
}
