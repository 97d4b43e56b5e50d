use bowline_chat::{UpstreamError, kind_of_status, shortened};
use bowline_types::ErrorKind;
use http::HeaderMap;
use serde_json::{Value, json};

use crate::retry::{duration, retry_after};

/// Reads a `google.rpc.Status`: `{error: {code, message, status, details}}`, within an array where a stream was asked for
/// without `alt=sse`. The wait is in the details, not in a header.
pub(super) fn decode_error(status: u16, headers: &HeaderMap, body: &[u8]) -> UpstreamError {
    let value: Value = serde_json::from_slice(body).unwrap_or_default();
    let value = value.get(0).unwrap_or(&value);
    let mut error = decode_error_object(value.get("error").unwrap_or(&Value::Null), Some(status));
    error.retry_after = error.retry_after.or_else(|| retry_after(status, headers));
    if error.message.is_empty() {
        error.message = shortened(&String::from_utf8_lossy(body));
    }
    error
}

/// Reads the error object, which states its HTTP status as `code`.
pub(super) fn decode_error_object(error: &Value, status: Option<u16>) -> UpstreamError {
    let text = |key: &str| error.get(key).and_then(Value::as_str);
    let code = || error.get("code").and_then(Value::as_u64).and_then(|code| u16::try_from(code).ok());
    let status = status.or_else(code);
    let details = error.get("details").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let detail = |key: &str| details.iter().find_map(|detail| detail.get(key)?.as_str());
    // An invalid key is a 400 here.
    let kind = match detail("reason") {
        Some("API_KEY_INVALID" | "API_KEY_EXPIRED") => ErrorKind::UpstreamAuth,
        _ => status.map_or(ErrorKind::UpstreamUnavailable, kind_of_status),
    };
    UpstreamError {
        kind,
        status,
        code: text("status").map(str::to_owned),
        message: shortened(text("message").unwrap_or_default()),
        retry_after: detail("retryDelay").and_then(duration),
    }
}

pub(super) fn error_value(error: &UpstreamError) -> Value {
    let status = error.status.unwrap_or(error.kind.spec().status);
    let name = error.code.as_deref().unwrap_or(match status {
        400 => "INVALID_ARGUMENT",
        401 => "UNAUTHENTICATED",
        403 => "PERMISSION_DENIED",
        404 => "NOT_FOUND",
        429 => "RESOURCE_EXHAUSTED",
        503 => "UNAVAILABLE",
        504 => "DEADLINE_EXCEEDED",
        _ => "INTERNAL",
    });
    let mut value = json!({"error": {"code": status, "message": error.message, "status": name}});
    if let (Some(wait), Some(error)) = (error.retry_after, value.get_mut("error").and_then(Value::as_object_mut)) {
        let delay = format!("{}s", wait.as_secs_f64());
        let info = json!([{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": delay}]);
        error.insert("details".to_owned(), info);
    }
    value
}

pub(super) fn encode_error(error: &UpstreamError) -> Vec<u8> {
    error_value(error).to_string().into_bytes()
}
