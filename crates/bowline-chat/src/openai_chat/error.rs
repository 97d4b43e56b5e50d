use std::time::Duration;

use bowline_types::ErrorKind;
use serde_json::{Value, json};

use crate::UpstreamError;
use crate::error::{kind_of_status, shortened};

/// Returns an error in OpenAI's envelope, `{error: {message, type, param, code}}`.
///
/// `code` is the stable code of the kind unless a provider's own is given.
#[must_use]
pub fn error_body(kind: ErrorKind, message: &str, parameter: Option<&str>, code: Option<&str>) -> Value {
    let code = code.unwrap_or(kind.spec().code);
    json!({"error": {"message": message, "type": error_type(kind), "param": parameter, "code": code}})
}

/// Writes an error in OpenAI's envelope.
#[must_use]
pub fn encode_error(kind: ErrorKind, message: &str, parameter: Option<&str>, code: Option<&str>) -> Vec<u8> {
    error_body(kind, message, parameter, code).to_string().into_bytes()
}

/// Returns the `type` of an error; clients tell errors apart by HTTP status first.
const fn error_type(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::InvalidRequest
        | ErrorKind::Unsupported
        | ErrorKind::PromptVariable
        | ErrorKind::NotFound
        | ErrorKind::TooLarge
        | ErrorKind::Conflict
        | ErrorKind::UpstreamRejected => "invalid_request_error",
        ErrorKind::Unauthenticated => "authentication_error",
        ErrorKind::Forbidden => "permission_error",
        ErrorKind::RateLimited | ErrorKind::UpstreamRateLimited => "rate_limit_error",
        ErrorKind::UpstreamAuth
        | ErrorKind::UpstreamUnavailable
        | ErrorKind::UpstreamTimeout
        | ErrorKind::UpstreamInvalid
        | ErrorKind::Unavailable
        | ErrorKind::Internal => "server_error",
    }
}

/// Reads the body of a failed call. `retry_after` comes from the headers.
#[must_use]
pub fn decode_error(status: u16, body: &[u8], retry_after: Option<Duration>) -> UpstreamError {
    let value: Option<Value> = serde_json::from_slice(body).ok();
    let error = value.as_ref().map_or(&Value::Null, |value| value.get("error").unwrap_or(value));
    let mut decoded = decode_error_object(error, Some(status));
    if decoded.message.is_empty() {
        decoded.message = shortened(&String::from_utf8_lossy(body));
    }
    decoded.retry_after = retry_after;
    decoded
}

/// Reads an error object: of a failed call, or within a stream or an answer of status 200.
pub(super) fn decode_error_object(error: &Value, status: Option<u16>) -> UpstreamError {
    let text = |key: &str| error.get(key).and_then(Value::as_str).map(str::to_owned);
    let number = |key: &str| error.get(key).and_then(Value::as_u64).and_then(|number| u16::try_from(number).ok());
    // Within a stream the status is a number in the object, if anything.
    let stated = || number("status_code").or_else(|| number("code")).or_else(|| number("status"));
    let status = status.or_else(|| stated().filter(|status| (400..600).contains(status)));
    let code = text("code").or_else(|| number("code").map(|code| code.to_string())).or_else(|| text("type"));
    let kind = status.map_or_else(|| kind_of_type(text("type").as_deref().or(code.as_deref())), kind_of_status);
    let message = error.as_str().map(str::to_owned).or_else(|| text("message")).or_else(|| text("detail"));
    UpstreamError { kind, status, code, message: shortened(&message.unwrap_or_default()), retry_after: None }
}

fn kind_of_type(error_type: Option<&str>) -> ErrorKind {
    match error_type {
        Some("invalid_request_error") => ErrorKind::UpstreamRejected,
        Some("authentication_error" | "permission_error" | "invalid_api_key") => ErrorKind::UpstreamAuth,
        Some("rate_limit_error" | "rate_limit_exceeded" | "tokens" | "requests") => ErrorKind::UpstreamRateLimited,
        _ => ErrorKind::UpstreamUnavailable,
    }
}
