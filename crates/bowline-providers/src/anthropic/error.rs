use bowline_chat::{UpstreamError, kind_of_status, shortened};
use bowline_types::ErrorKind;
use http::HeaderMap;
use serde_json::{Value, json};

use crate::retry::retry_after;

/// Reads `{type: "error", error: {type, message}, request_id}`. Overload is status 529.
pub(super) fn decode_error(status: u16, headers: &HeaderMap, body: &[u8]) -> UpstreamError {
    let value: Value = serde_json::from_slice(body).unwrap_or_default();
    let mut error = decode_error_object(value.get("error").unwrap_or(&Value::Null));
    error.kind = kind_of_status(status);
    error.status = Some(status);
    error.retry_after = retry_after(status, headers);
    if error.message.is_empty() {
        error.message = shortened(&String::from_utf8_lossy(body));
    }
    error
}

/// Reads the error object of an `error` event, which has no status.
pub(super) fn decode_error_object(error: &Value) -> UpstreamError {
    let text = |key: &str| error.get(key).and_then(Value::as_str);
    let kind = match text("type") {
        Some("invalid_request_error" | "request_too_large" | "not_found_error") => ErrorKind::UpstreamRejected,
        Some("authentication_error" | "permission_error" | "billing_error") => ErrorKind::UpstreamAuth,
        Some("rate_limit_error") => ErrorKind::UpstreamRateLimited,
        Some("timeout_error") => ErrorKind::UpstreamTimeout,
        _ => ErrorKind::UpstreamUnavailable,
    };
    UpstreamError {
        kind,
        status: None,
        code: text("type").map(str::to_owned),
        message: shortened(text("message").unwrap_or_default()),
        retry_after: None,
    }
}

pub(super) fn error_value(error: &UpstreamError) -> Value {
    let kind = error.code.as_deref().unwrap_or(match error.kind {
        ErrorKind::UpstreamAuth => "authentication_error",
        ErrorKind::UpstreamRateLimited | ErrorKind::RateLimited => "rate_limit_error",
        ErrorKind::UpstreamUnavailable if error.status == Some(529) => "overloaded_error",
        kind if kind.spec().status < 500 => "invalid_request_error",
        _ => "api_error",
    });
    json!({"type": "error", "error": {"type": kind, "message": error.message}})
}

pub(super) fn encode_error(error: &UpstreamError) -> Vec<u8> {
    error_value(error).to_string().into_bytes()
}
