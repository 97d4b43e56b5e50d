//! What a registry answers, and what its status means.

use bytes::Bytes;
use http::{HeaderMap, Response, StatusCode};
use hyper::body::Incoming;

use super::problem::{self, Problem};
use super::retry;

/// A whole answer.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
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
pub(super) fn message_of(body: &[u8]) -> String {
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

/// Lets an answer through, unless its status is a passing one.
pub(super) fn check(response: Response<Incoming>) -> Result<Response<Incoming>, Problem> {
    let status = response.status();
    if !problem::is_passing(status) {
        return Ok(response);
    }
    Err(match status {
        StatusCode::TOO_MANY_REQUESTS => Problem::RateLimited { retry_after: retry::retry_after(response.headers()) },
        _ => Problem::Status { status, message: String::new() },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_read_and_cleaned() {
        let body = br#"{"errors":[{"code":"DENIED","message":"not\u001b[31m yours"},{"code":"UNKNOWN"}]}"#;
        assert_eq!(message_of(body), "DENIED not[31m yours; UNKNOWN ");
        assert_eq!(message_of(b"<html>"), "");
    }
}
