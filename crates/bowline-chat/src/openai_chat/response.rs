use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::DIALECT;
use super::error::decode_error_object;
use super::message::{Said, decode_message_content};
use super::usage::{decode_usage, encode_usage};
use crate::{Choice, DecodeError, EncodeError, Fields, Finish, Object, Opaque, Part, Response};

/// What an answer is called toward the client; the gateway knows it, whatever the provider said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    /// The id of the answer.
    pub id: String,
    /// The model that answered.
    pub model: String,
    /// When, in seconds since 1970.
    pub created: i64,
}

// === Reading ===

/// Reads a whole answer.
///
/// # Errors
/// The body is no JSON object, has no choices, or reports a failure of the provider.
pub fn decode_response(body: &[u8]) -> Result<Response, DecodeError> {
    let mut fields = Fields::parse(body)?;
    if let Some(error) = fields.peek("error") {
        return Err(DecodeError::Upstream(decode_error_object(error, None)));
    }
    let choices = fields.objects("choices")?.ok_or_else(|| fields.missing("choices"))?;
    let mut response = Response {
        id: fields.take_string("id").unwrap_or_default(),
        model: fields.take_string("model").unwrap_or_default(),
        created: fields.integer("created")?,
        choices: choices.into_iter().enumerate().map(decode_choice).collect::<Result<_, _>>()?,
        ..Response::default()
    };
    fields.take_constant("object", "chat.completion");
    if let Some(mut usage) = fields.take_object("usage") {
        response.usage = decode_usage(&mut usage);
        response.opaque.extend(usage.rest(DIALECT, "/usage"));
    }
    response.opaque.extend(fields.rest(DIALECT, ""));
    Ok(response)
}

fn decode_choice((position, mut fields): (usize, Fields)) -> Result<Choice, DecodeError> {
    let position = u64::try_from(position).ok();
    let index = fields.take_count("index").or(position).and_then(|index| u32::try_from(index).ok());
    let index = index.ok_or_else(|| fields.invalid("index", "a smaller number"))?;
    let mut message = fields.object("message")?.ok_or_else(|| fields.missing("message"))?;
    let content = decode_message_content(&mut message)?;
    let refused = content.iter().any(|part| matches!(part, Part::Refusal(_)));
    let finish = decode_finish(&fields.take_string("finish_reason").unwrap_or_default(), refused);
    message.take_constant("role", "assistant");
    let mut opaque = message.rest(DIALECT, "/message");
    opaque.extend(fields.rest(DIALECT, ""));
    Ok(Choice { index, content, finish, opaque })
}

/// Reads a finish reason. A refusal ends with `stop` in this dialect; the refusal itself tells.
pub(super) fn decode_finish(reason: &str, refused: bool) -> Finish {
    match reason {
        "stop" if refused => Finish::Refusal,
        // `eos` is Together's.
        "stop" | "eos" => Finish::Stop,
        "length" => Finish::Length,
        "tool_calls" | "function_call" => Finish::ToolCalls,
        "content_filter" => Finish::ContentFilter,
        "" => Finish::Other("unspecified".to_owned()),
        other => Finish::Other(other.to_owned()),
    }
}

// === Writing ===

/// Writes a whole answer for a client.
///
/// # Errors
/// The content holds an opaque piece of another dialect.
pub fn encode_response(response: &Response, envelope: &Envelope) -> Result<Value, EncodeError> {
    response.check_opaque(DIALECT)?;
    let choices: Vec<Value> = response.choices.iter().map(|choice| encode_choice(choice, envelope)).collect();
    let usage = Some(&response.usage).filter(|usage| !usage.is_empty());
    let mut body = Object::new()
        .with("id", envelope.id.as_str())
        .with("object", "chat.completion")
        .with("created", envelope.created)
        .with("model", envelope.model.as_str())
        .with("choices", choices)
        .with_some("usage", usage.map(encode_usage));
    restore_metadata(&response.opaque, &mut body);
    Ok(body.into())
}

fn encode_choice(choice: &Choice, envelope: &Envelope) -> Value {
    let mut said = Said::default();
    let mut calls = 0;
    for part in &choice.content {
        match part {
            Part::ToolCall(call) if call.id.is_empty() => {
                let id = call_id(envelope, calls);
                said.part(&Part::ToolCall(crate::ToolCall { id, ..call.clone() }));
            }
            _ => said.part(part),
        }
        said.signature(part);
        calls += u32::from(matches!(part, Part::ToolCall(_)));
    }
    let refused = choice.content.iter().any(|part| matches!(part, Part::Refusal(_)));
    let mut fields = Object::new()
        .with("index", choice.index)
        .with("message", said.into_answer())
        .with("finish_reason", encode_finish(&choice.finish, refused))
        .with_opaque(DIALECT, &choice.opaque);
    restore_metadata(&choice.metadata(DIALECT), &mut fields);
    fields.into()
}

/// Returns the id of a tool call for which the provider gave none; clients cannot answer a call without.
pub(super) fn call_id(envelope: &Envelope, index: u32) -> String {
    format!("call_{}_{index}", envelope.id)
}

/// Writes a finish reason; `refused` says whether a refusal was written beside it.
pub(super) fn encode_finish(finish: &Finish, refused: bool) -> &str {
    match finish {
        Finish::Refusal if refused => "stop",
        // The provider ended the answer without words for it.
        Finish::Refusal => "content_filter",
        // Servers that give no reason write none; to claim one would be an invention.
        Finish::Other(reason) if reason == "unspecified" => "",
        finish => finish.as_str(),
    }
}

/// Writes metadata: of this dialect where it stood, of others under `provider_fields`.
pub(super) fn restore_metadata(opaque: &[Opaque], fields: &mut Object) {
    let mut foreign: BTreeMap<&str, Map<String, Value>> = BTreeMap::new();
    for opaque in opaque {
        // What stood within the choices of a chunk has no place of its own there.
        if opaque.dialect == DIALECT && !opaque.path.starts_with("/choices/") {
            opaque.restore(fields.fields());
        } else {
            opaque.restore(foreign.entry(opaque.dialect.as_str()).or_default());
        }
    }
    if !foreign.is_empty() {
        fields.set("provider_fields", json!(foreign));
    }
}
