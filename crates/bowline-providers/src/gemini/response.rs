use bowline_chat::openai_chat::Envelope;
use bowline_chat::{Choice, DecodeError, EncodeError, Fields, Finish, Object, Part, Response};
use bowline_types::TokenUsage;
use serde_json::{Map, Value, json};

use crate::gemini::error::decode_error_object;
use crate::gemini::request::{decode_part, encode_part};
use crate::gemini::{DIALECT, camel_case};

// === Reading ===

/// Reads a whole answer. A prompt that was blocked has no candidates; it becomes a choice that the filter ended.
pub(super) fn decode_response(body: &[u8]) -> Result<Response, DecodeError> {
    let mut fields = camel_case(Fields::parse(body)?);
    if let Some(error) = fields.peek("error") {
        return Err(DecodeError::Upstream(decode_error_object(error, None)));
    }
    let candidates = fields.objects("candidates")?;
    let blocked = is_blocked(&fields);
    let choices = match candidates {
        Some(candidates) => candidates.into_iter().enumerate().map(decode_candidate).collect::<Result<_, _>>()?,
        None if blocked => {
            vec![Choice { index: 0, content: Vec::new(), finish: Finish::ContentFilter, opaque: Vec::new() }]
        }
        None => return Err(fields.missing("candidates")),
    };
    let mut response = Response {
        id: fields.take_string("responseId").unwrap_or_default(),
        model: fields.take_string("modelVersion").unwrap_or_default(),
        choices,
        ..Response::default()
    };
    if let Some(usage) = fields.take_object("usageMetadata") {
        let mut usage = camel_case(usage);
        response.usage = take_usage(&mut usage);
        response.opaque.extend(usage.rest(DIALECT, "/usageMetadata"));
    }
    response.opaque.extend(fields.rest(DIALECT, ""));
    Ok(response)
}

/// Returns whether the prompt was blocked.
pub(super) fn is_blocked(fields: &Fields) -> bool {
    fields.peek("promptFeedback").is_some_and(|feedback| feedback.get("blockReason").is_some())
}

fn decode_candidate((position, fields): (usize, Fields)) -> Result<Choice, DecodeError> {
    let mut fields = camel_case(fields);
    let index = take_index(&mut fields, position)?;
    let reason = fields.take("finishReason");
    let mut content = Vec::new();
    let mut opaque = Vec::new();
    if let Some(mut message) = fields.take_object("content") {
        content = message.objects("parts")?.unwrap_or_default().into_iter().map(decode_part).collect();
        message.take_constant("role", "model");
        opaque.extend(message.rest(DIALECT, "/content"));
    }
    let called = content.iter().any(|part| matches!(part, Part::ToolCall(_)));
    let finish = decode_finish(reason.as_ref(), called);
    opaque.extend(fields.rest(DIALECT, ""));
    Ok(Choice { index, content, finish, opaque })
}

/// Takes the number of a candidate, which the first one may lack.
pub(super) fn take_index(fields: &mut Fields, position: usize) -> Result<u32, DecodeError> {
    let position = u64::try_from(position).ok();
    let index = fields.take_count("index").or(position).and_then(|index| u32::try_from(index).ok());
    index.ok_or_else(|| fields.invalid("index", "a smaller number"))
}

/// Reads a finish reason, a word or the number of the enumeration. `STOP` is said of tool calls too.
pub(super) fn decode_finish(reason: Option<&Value>, called: bool) -> Finish {
    const WORDS: [&str; 6] = ["unspecified", "STOP", "MAX_TOKENS", "SAFETY", "RECITATION", "OTHER"];
    let number = |reason: &Value| WORDS.get(usize::try_from(reason.as_u64()?).ok()?).copied();
    let word = reason.and_then(|reason| reason.as_str().or_else(|| number(reason)));
    match word.unwrap_or("unspecified") {
        "STOP" if called => Finish::ToolCalls,
        "STOP" => Finish::Stop,
        "MAX_TOKENS" => Finish::Length,
        "SAFETY"
        | "RECITATION"
        | "LANGUAGE"
        | "BLOCKLIST"
        | "PROHIBITED_CONTENT"
        | "SPII"
        | "IMAGE_SAFETY"
        | "IMAGE_PROHIBITED_CONTENT"
        | "IMAGE_RECITATION"
        | "MODEL_ARMOR" => Finish::ContentFilter,
        "FINISH_REASON_UNSPECIFIED" => Finish::Other("unspecified".to_owned()),
        other => Finish::Other(other.to_owned()),
    }
}

/// Takes the counts out of a usage object, and leaves in it what is not modelled.
///
/// The prompt includes what came from a cache, but neither it nor the candidates include the tokens of server-side tools and
/// thoughts; [`TokenUsage`] does. Where candidates are not counted, the total tells.
pub(super) fn take_usage(fields: &mut Fields) -> TokenUsage {
    let prompt = fields.take_count("promptTokenCount");
    let tools = fields.take_count("toolUsePromptTokenCount");
    let candidates = fields.take_count("candidatesTokenCount");
    let thoughts = fields.take_count("thoughtsTokenCount");
    let total = fields.take_count("totalTokenCount");
    let input = prompt.map(|prompt| prompt.saturating_add(tools.unwrap_or(0)));
    let output = match (candidates, total, input) {
        (Some(candidates), _, _) => Some(candidates.saturating_add(thoughts.unwrap_or(0))),
        (None, Some(total), Some(input)) => Some(total.saturating_sub(input)),
        (None, _, _) => thoughts,
    };
    TokenUsage {
        input,
        output,
        cache_read: fields.take_count("cachedContentTokenCount"),
        reasoning: thoughts,
        input_audio: audio(fields.peek("promptTokensDetails")),
        output_audio: audio(fields.peek("candidatesTokensDetails")),
        ..TokenUsage::default()
    }
}

/// Returns the tokens of audio in a list of `{modality, tokenCount}`.
fn audio(details: Option<&Value>) -> Option<u64> {
    let entry = details?.as_array()?.iter().find(|entry| entry.get("modality").is_some_and(|kind| kind == "AUDIO"))?;
    entry.get("tokenCount")?.as_u64()
}

// === Writing ===

/// Writes a whole answer.
pub(super) fn encode_response(response: &Response, envelope: &Envelope) -> Result<Vec<u8>, EncodeError> {
    response.check_opaque(DIALECT)?;
    let candidates = response.choices.iter().map(encode_candidate).collect::<Result<Vec<_>, _>>()?;
    let body = body(candidates, &response.usage, envelope).with_opaque(DIALECT, &response.opaque);
    Ok(Value::from(body).to_string().into_bytes())
}

/// Returns the body of an answer, or of one chunk of a stream.
pub(super) fn body(candidates: Vec<Value>, usage: &TokenUsage, envelope: &Envelope) -> Object {
    Object::new()
        .with("candidates", candidates)
        .with("usageMetadata", encode_usage(usage))
        .with("modelVersion", envelope.model.as_str())
        .with("responseId", envelope.id.as_str())
}

fn encode_candidate(choice: &Choice) -> Result<Value, EncodeError> {
    let path = format!("choices[{}]", choice.index);
    let parts = choice.content.iter().map(|part| encode_part(part, &path, None)).collect::<Result<Vec<_>, _>>()?;
    Ok(candidate(choice.index, parts, Some(&choice.finish)).with_opaque(DIALECT, &choice.opaque).into())
}

/// Returns one candidate, of an answer or of one chunk of a stream.
pub(super) fn candidate(index: u32, parts: Vec<Value>, finish: Option<&Finish>) -> Object {
    Object::new()
        .with("content", json!({"role": "model", "parts": parts}))
        .with_some("finishReason", finish.map(encode_finish))
        .with("index", index)
}

fn encode_finish(finish: &Finish) -> &str {
    match finish {
        Finish::Stop | Finish::ToolCalls => "STOP",
        Finish::Length => "MAX_TOKENS",
        Finish::ContentFilter | Finish::Refusal => "SAFETY",
        Finish::Other(reason) if reason == "unspecified" => "FINISH_REASON_UNSPECIFIED",
        Finish::Other(reason) => reason,
    }
}

fn encode_usage(usage: &TokenUsage) -> Map<String, Value> {
    let output = usage.output.map(|output| output.saturating_sub(usage.reasoning.unwrap_or(0)));
    let total = usage.input.map(|input| input.saturating_add(usage.output.unwrap_or(0)));
    Object::new()
        .with_some("promptTokenCount", usage.input)
        .with_some("candidatesTokenCount", output)
        .with_some("totalTokenCount", total)
        .with_some("cachedContentTokenCount", usage.cache_read)
        .with_some("thoughtsTokenCount", usage.reasoning)
        .into_map()
}
