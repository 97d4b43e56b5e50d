use std::time::Duration;

use bowline_types::Secret;
use bytes::Bytes;
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceResponse;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use prost::Message as _;
use tokio::time::{Instant, sleep, timeout_at};

use super::OtlpBuildError;

/// The most bytes of an answer of a collector that are read.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// The pause before the first retry; it doubles with each further one.
const PAUSE_FIRST: Duration = Duration::from_millis(200);

/// What is exported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Signal {
    Traces,
    Metrics,
}

/// The other side: a client of one collector.
#[derive(Debug)]
pub(super) struct Collector {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    endpoint: Uri,
    headers: HeaderMap,
}

/// Why a request did not get through.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    #[error("the collector did not answer in time")]
    Timeout,
    #[error("could not reach the collector")]
    Unreachable {
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    #[error("the collector answered {status}")]
    Refused { status: StatusCode, retry_after: Option<Duration> },
    #[error("could not make a request to the collector")]
    Request {
        #[source]
        source: http::Error,
    },
}

// === impl Signal ===

impl Signal {
    pub(super) const fn path(self) -> &'static str {
        match self {
            Self::Traces => "/v1/traces",
            Self::Metrics => "/v1/metrics",
        }
    }

    /// Returns how many items an answer of status 200 says were rejected.
    fn rejected(self, answer: Bytes) -> u64 {
        let rejected = match self {
            Self::Traces => {
                let answer = ExportTraceServiceResponse::decode(answer).unwrap_or_default();
                answer.partial_success.map_or(0, |partial| partial.rejected_spans)
            }
            Self::Metrics => {
                let answer = ExportMetricsServiceResponse::decode(answer).unwrap_or_default();
                answer.partial_success.map_or(0, |partial| partial.rejected_data_points)
            }
        };
        u64::try_from(rejected).unwrap_or(0)
    }
}

// === impl Collector ===

impl Collector {
    pub(super) fn new(endpoint: &Uri, headers: &[(HeaderName, Secret)]) -> Result<Self, OtlpBuildError> {
        if !matches!(endpoint.scheme_str(), Some("http" | "https")) || endpoint.authority().is_none() {
            return Err(OtlpBuildError::Endpoint { endpoint: endpoint.clone() });
        }
        let mut map = HeaderMap::new();
        for (name, secret) in headers {
            let mut value =
                HeaderValue::from_str(secret.expose()).map_err(|_| OtlpBuildError::Header { name: name.clone() })?;
            value.set_sensitive(true);
            map.insert(name.clone(), value);
        }
        map.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"));
        let connector = HttpsConnectorBuilder::new()
            .with_provider_and_webpki_roots(rustls::crypto::ring::default_provider())
            .map_err(|source| OtlpBuildError::Tls { source })?
            .https_or_http()
            .enable_http1()
            .build();
        let client = Client::builder(TokioExecutor::new()).build(connector);
        Ok(Self { client, endpoint: endpoint.clone(), headers: map })
    }

    /// Sends a message, again where the collector is busy or away, until `limit` is over. Returns how much of it was rejected.
    pub(super) async fn send(&self, signal: Signal, message: Vec<u8>, limit: Duration) -> Result<u64, Failure> {
        let deadline = Instant::now() + limit;
        let message = Bytes::from(message);
        let mut pause = PAUSE_FIRST;
        loop {
            let Ok(result) = timeout_at(deadline, self.post(signal, message.clone())).await else {
                return Err(Failure::Timeout);
            };
            let failure = match result {
                Ok(answer) => return Ok(signal.rejected(answer)),
                Err(failure) => failure,
            };
            let Some(wait) = failure.retry_after(pause).filter(|wait| Instant::now() + *wait < deadline) else {
                return Err(failure);
            };
            sleep(wait).await;
            pause *= 2;
        }
    }

    async fn post(&self, signal: Signal, message: Bytes) -> Result<Bytes, Failure> {
        let unreachable = |source| Failure::Unreachable { source };
        let mut request = Request::new(Full::new(message));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.target(signal).map_err(|source| Failure::Request { source })?;
        *request.headers_mut() = self.headers.clone();
        let answer = self.client.request(request).await.map_err(|error| unreachable(error.into()))?;
        let status = answer.status();
        if status != StatusCode::OK {
            let seconds = answer.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.trim().parse().ok());
            return Err(Failure::Refused { status, retry_after: seconds.map(Duration::from_secs) });
        }
        let body = Limited::new(answer.into_body(), ANSWER_BYTES_MAX).collect().await.map_err(unreachable)?;
        Ok(body.to_bytes())
    }

    fn target(&self, signal: Signal) -> Result<Uri, http::Error> {
        let base = self.endpoint.path().trim_end_matches('/');
        let path = PathAndQuery::try_from(format!("{base}{}", signal.path()))?;
        let mut parts = self.endpoint.clone().into_parts();
        parts.path_and_query = Some(path);
        Ok(Uri::from_parts(parts)?)
    }
}

// === impl Failure ===

impl Failure {
    /// Returns how long to wait before a retry, or `None` where the protocol forbids one.
    fn retry_after(&self, pause: Duration) -> Option<Duration> {
        match self {
            Self::Unreachable { .. } => Some(pause),
            Self::Refused { status, retry_after } if matches!(status.as_u16(), 429 | 502 | 503 | 504) => {
                Some(retry_after.map_or(pause, |asked| asked.max(pause)))
            }
            Self::Refused { .. } | Self::Timeout | Self::Request { .. } => None,
        }
    }
}
