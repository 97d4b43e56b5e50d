use std::sync::Arc;

use bowline_registry::SnapshotKey;
use bowline_store::{OutcomeRecord, OutcomeTarget, OutcomeValue, SCHEMA_VERSION};
use bowline_types::{Digest, ErrorKind, InferenceToken, OutcomeId};
use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use serde::Deserialize;
use serde_json::json;

use super::json as answer;
use crate::gateway::Shared;
use crate::layers::respond::Body;
use crate::layers::{Entered, enter};
use crate::recorder::Batch;
use crate::refusal::Refusal;

/// The longest name of a judgement, in bytes.
const NAME_BYTES_MAX: usize = 64;
/// The longest text of a judgement, in bytes.
const TEXT_BYTES_MAX: usize = 16 * 1024;
/// The largest body, in bytes.
const BODY_BYTES_MAX: usize = 64 * 1024;
/// The longest id of an answer, in bytes.
const ANSWER_ID_BYTES_MAX: usize = 256;

/// The body of `POST /v1/feedback`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Feedback {
    /// The header `x-bowline-inference`, or the `id` of the answer.
    inference: String,
    /// What was judged, such as `correct`.
    name: String,
    /// The judgement.
    value: OutcomeValue,
}

/// Keeps a judgement about an answer. The answer 200 means that it is durable.
///
/// # Errors
/// The body does not fit, the inference is another key's, or the control role cannot keep it now.
pub(super) async fn feedback<B>(gateway: &Arc<Shared>, request: Request<B>) -> Result<Response<Body>, Refusal>
where
    B: http_body::Body<Data = Bytes>,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let Entered { live: _, key, permit: _permit, accepted } = enter(gateway, BODY_BYTES_MAX, request).await?;
    let now = accepted.arrival.at;
    let idempotency = accepted.headers.get("idempotency-key").map(http::HeaderValue::as_bytes);
    let feedback: Feedback = serde_json::from_slice(&accepted.body).map_err(|error| {
        let hint = "hint: send {\"inference\": ID, \"name\": \"correct\", \"value\": true}; a value is a boolean, a number or a text";
        Refusal::new(ErrorKind::InvalidRequest, format!("the feedback cannot be read: {error}\n{hint}"))
    })?;
    check(&feedback)?;
    let target = target(gateway, &key, &feedback.inference)?;
    let id = idempotency.map_or_else(|| OutcomeId::generate(now), |text| same_id(&key, text, &accepted.body));
    let outcome = OutcomeRecord {
        schema_version: SCHEMA_VERSION,
        id,
        key: key.id,
        target,
        name: feedback.name,
        value: feedback.value,
        at: now,
    };
    gateway.sink.deliver(Batch { outcomes: vec![outcome], ..Batch::default() }).await.map_err(|error| {
        let message =
            format!("the feedback could not be kept: {error}\nhint: send it again with the same `Idempotency-Key`");
        Refusal {
            retry_after: Some(std::time::Duration::from_secs(1)),
            ..Refusal::new(ErrorKind::Unavailable, message)
        }
    })?;
    Ok(answer(StatusCode::OK, HeaderMap::new(), &json!({"id": id.to_string(), "status": "kept"})))
}

fn check(feedback: &Feedback) -> Result<(), Refusal> {
    let invalid =
        |parameter: &str, message: String| Err(Refusal::new(ErrorKind::InvalidRequest, message).parameter(parameter));
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    if feedback.name.is_empty() || feedback.name.len() > NAME_BYTES_MAX || !feedback.name.chars().all(allowed) {
        let message = format!("`name` must be 1 to {NAME_BYTES_MAX} letters, digits, `_`, `-` or `.`");
        return invalid("name", message);
    }
    match &feedback.value {
        OutcomeValue::Score(score) if !score.is_finite() => {
            invalid("value", "`value` must be a finite number".to_owned())
        }
        OutcomeValue::Text(text) if text.len() > TEXT_BYTES_MAX => {
            invalid("value", format!("the text of `value` is longer than {TEXT_BYTES_MAX} bytes"))
        }
        OutcomeValue::Flag(_) | OutcomeValue::Score(_) | OutcomeValue::Text(_) => Ok(()),
    }
}

/// Our own ids carry a MAC of their key; the id of an answer reaches only inferences of the key that sends it.
fn target(gateway: &Shared, key: &SnapshotKey, text: &str) -> Result<OutcomeTarget, Refusal> {
    let refusal = |kind, message: &str| Err(Refusal::new(kind, message).parameter("inference"));
    if text.starts_with("inf_") {
        return match text.parse::<InferenceToken>() {
            Ok(token) if token.verify(&gateway.token_secret.load(), key.id) => {
                Ok(OutcomeTarget::Inference(token.inference))
            }
            Ok(_) => refusal(
                ErrorKind::Forbidden,
                "the inference was not made with this key\nhint: send feedback with the key that made the call",
            ),
            Err(_) => refusal(
                ErrorKind::InvalidRequest,
                "the id is not whole\nhint: send the header `x-bowline-inference` as it came",
            ),
        };
    }
    if text.is_empty() || text.len() > ANSWER_ID_BYTES_MAX {
        return refusal(
            ErrorKind::InvalidRequest,
            "`inference` must be the header `x-bowline-inference` or the `id` of an answer",
        );
    }
    Ok(OutcomeTarget::Answer(text.to_owned()))
}

/// The same `Idempotency-Key` and body of the same key give the same id, so that a judgement sent twice is kept once.
fn same_id(key: &SnapshotKey, text: &[u8], body: &[u8]) -> OutcomeId {
    let mut bytes = b"bowline/outcome/1\n".to_vec();
    bytes.extend_from_slice(key.id.uuid().as_bytes());
    bytes.extend_from_slice(Digest::of(text).as_bytes());
    bytes.extend_from_slice(body);
    let digest = Digest::of(&bytes);
    let mut uuid = [0; 16];
    uuid.copy_from_slice(&digest.as_bytes()[..16]);
    OutcomeId::from_uuid(uuid::Uuid::from_bytes(uuid))
}
