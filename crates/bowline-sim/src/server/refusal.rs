use std::time::Duration;

use bowline_chat::{Dialect, UpstreamError};
use bowline_providers::ProviderSpec;
use bowline_types::{Clock as _, ErrorKind, SystemClock};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};

use super::body::Body;
use crate::scenario::{Fault, FaultKind};

/// An answer that reports a failure, in a provider's form.
#[derive(Debug)]
pub(super) struct Refusal {
    status: StatusCode,
    kind: ErrorKind,
    /// The `code` of OpenAI's format; the others have one word per status.
    code: &'static str,
    message: String,
    wait: Option<Duration>,
}

/// Returns an answer in plain text, for paths of no provider.
pub(super) fn plain(status: StatusCode, text: impl Into<Bytes>) -> Response<Body> {
    response(status, HeaderMap::new(), "text/plain; charset=utf-8", Body::Whole(Some(text.into())))
}

/// Returns an answer.
pub(super) fn response(
    status: StatusCode,
    headers: HeaderMap,
    content_type: &'static str,
    body: Body,
) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

// === impl Refusal ===

impl Refusal {
    /// Returns the refusal of a request that cannot be read or served.
    pub(super) const fn of_request(status: StatusCode, message: String) -> Self {
        Self { status, kind: ErrorKind::UpstreamRejected, code: "invalid_request_error", message, wait: None }
    }

    /// Returns the refusal that a fault asks for; `None` where it lets the call pass.
    pub(super) fn of_fault(fault: &Fault, dialect: Dialect) -> Option<Self> {
        let (status, code, message) = match fault.kind {
            FaultKind::RateLimited => (429, "rate_limit_exceeded", "the rate limit is reached"),
            FaultKind::ServerError => (500, "server_error", "the server had an error"),
            FaultKind::Unavailable => (503, "service_unavailable", "the service is not available now"),
            FaultKind::Overloaded if dialect == Dialect::AnthropicMessages => (529, "overloaded", "overloaded"),
            FaultKind::Overloaded => (503, "overloaded", "the model is overloaded"),
            FaultKind::SlowFirstByte | FaultKind::StreamError | FaultKind::StreamCut | FaultKind::MalformedJson => {
                return None;
            }
        };
        let status = StatusCode::from_u16(status).ok()?;
        let kind = bowline_chat::kind_of_status(status.as_u16());
        Some(Self { status, kind, code, message: format!("simulated: {message}"), wait: fault.wait() })
    }

    /// Returns the answer in the form of a provider.
    pub(super) fn into_response(self, spec: &ProviderSpec) -> Response<Body> {
        let headers = self.headers(spec.dialect);
        let error = UpstreamError {
            kind: self.kind,
            status: Some(self.status.as_u16()),
            code: (spec.dialect == Dialect::OpenAiChat).then(|| self.code.to_owned()),
            message: self.message,
            retry_after: self.wait,
        };
        let body = (spec.server.encode_error)(&error);
        response(self.status, headers, "application/json", Body::Whole(Some(body.into())))
    }

    /// Says when to come back as each provider does: Gemini within the body, which its encoder writes.
    fn headers(&self, dialect: Dialect) -> HeaderMap {
        let mut headers = HeaderMap::new();
        let Some(wait) = self.wait else { return headers };
        let limited = self.status == StatusCode::TOO_MANY_REQUESTS;
        // Whole seconds, rounded up: a client that obeys must not come too early.
        let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        match dialect {
            Dialect::OpenAiChat => {
                headers.insert(header::RETRY_AFTER, seconds.into());
                insert(&mut headers, "retry-after-ms", &wait.as_millis().to_string());
                if limited {
                    insert(&mut headers, "x-ratelimit-limit-requests", "500");
                    insert(&mut headers, "x-ratelimit-remaining-requests", "0");
                    insert(&mut headers, "x-ratelimit-reset-requests", &openai_duration(wait));
                }
            }
            Dialect::AnthropicMessages => {
                headers.insert(header::RETRY_AFTER, seconds.into());
                if limited {
                    let reset = SystemClock.now().after(Duration::from_secs(seconds));
                    insert(&mut headers, "anthropic-ratelimit-requests-limit", "50");
                    insert(&mut headers, "anthropic-ratelimit-requests-remaining", "0");
                    insert(&mut headers, "anthropic-ratelimit-requests-reset", &reset.to_string());
                }
            }
            Dialect::Gemini => {}
        }
        headers
    }
}

fn insert(headers: &mut HeaderMap, name: &'static str, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(HeaderName::from_static(name), value);
    }
}

/// Writes a duration as OpenAI does: `12ms`, `1.5s`, `1m2s`.
fn openai_duration(wait: Duration) -> String {
    let minutes = wait.as_secs() / 60;
    let rest = wait - Duration::from_secs(minutes * 60);
    match minutes {
        0 if wait < Duration::from_secs(1) => format!("{}ms", wait.as_millis()),
        0 => format!("{}s", rest.as_secs_f64()),
        _ => format!("{minutes}m{}s", rest.as_secs_f64()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_written_as_openai_does() {
        for (millis, expected) in [(12, "12ms"), (1_500, "1.5s"), (62_000, "1m2s"), (3_600_000, "60m0s")] {
            assert_eq!(openai_duration(Duration::from_millis(millis)), expected);
        }
    }
}
