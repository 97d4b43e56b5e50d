use serde_json::{Map, Value, json};

use super::DIALECT;
use crate::{
    DecodeError, Dialect, EncodeError, Fields, Message, Note, Object, Opaque, Part, Reasoning, ReasoningForm, Role,
    Signature, ToolCall, ToolResult,
};

// === Reading ===

/// Reads one message of a request.
pub(super) fn decode_message(mut fields: Fields) -> Result<Message, DecodeError> {
    let role = fields.required_string("role")?;
    let role = match role.as_str() {
        "system" => Role::System,
        "developer" => Role::Developer,
        "user" => Role::User,
        "assistant" => Role::Assistant,
        "tool" => return decode_tool_message(fields),
        // The predecessor of tool messages.
        "function" => {
            fields.put_back("role", Value::String(role));
            let message = Part::Opaque(Opaque::whole(DIALECT, fields.into_value()));
            return Ok(Message::new(Role::Tool, vec![message]));
        }
        _ => return Err(fields.invalid("role", "one of system, developer, user, assistant, tool")),
    };
    let content = decode_message_content(&mut fields)?;
    Ok(Message { role, content, opaque: fields.rest(DIALECT, "") })
}

fn decode_tool_message(mut fields: Fields) -> Result<Message, DecodeError> {
    let result = ToolResult {
        call_id: fields.required_string("tool_call_id")?,
        name: fields.string("name")?,
        content: decode_content(&mut fields)?,
        is_error: None,
        opaque: fields.rest(DIALECT, ""),
    };
    Ok(Message::new(Role::Tool, vec![Part::ToolResult(result)]))
}

/// Takes everything said out of a message: of a request, or of a choice of an answer.
pub(super) fn decode_message_content(fields: &mut Fields) -> Result<Vec<Part>, DecodeError> {
    let mut signatures = take_signatures(fields);
    let mut parts = Vec::new();
    parts.extend(signatures.redacted.take().map(|signature| {
        let form = ReasoningForm::RedactedThinking;
        Part::Reasoning(Reasoning { text: String::new(), signature: Some(signature), form, opaque: Vec::new() })
    }));
    parts.extend(take_reasoning(fields, signatures.anthropic.take()).map(Part::Reasoning));
    parts.extend(decode_content(fields)?);
    if let Some(signature) = signatures.google.take() {
        // Gemini signs the text as a whole; its compatible endpoint repeats that at the message.
        match parts
            .iter_mut()
            .rev()
            .find_map(|part| if let Part::Text { signature, .. } = part { Some(signature) } else { None })
        {
            Some(slot) => *slot = Some(signature),
            None => parts.push(Part::Text { text: String::new(), signature: Some(signature), opaque: Vec::new() }),
        }
    }
    parts.extend(fields.take_string("refusal").filter(|text| !text.is_empty()).map(Part::Refusal));
    let calls = fields.path("tool_calls");
    for (index, call) in fields.take_array("tool_calls").unwrap_or_default().into_iter().enumerate() {
        parts.push(decode_tool_call(Fields::new(call, format!("{calls}[{index}]"))?, index));
    }
    // An empty list is what SDKs send back from an answer; it says nothing.
    if fields.peek("annotations").and_then(Value::as_array).is_some_and(Vec::is_empty) {
        fields.take("annotations");
    }
    Ok(parts)
}

/// Signatures of other providers at one wire object.
#[derive(Default)]
struct Signatures {
    google: Option<Signature>,
    anthropic: Option<Signature>,
    redacted: Option<Signature>,
}

fn take_signatures(fields: &mut Fields) -> Signatures {
    let mut found = Signatures::default();
    let Some(mut extra) = fields.take_object("extra_content") else { return found };
    let mut take = |vendor: &str, key: &str, issuer| {
        let mut object = extra.take_object(vendor)?;
        let value = object.take_string(key);
        if !object.is_empty() {
            extra.put_back(vendor, object.into_value());
        }
        value.map(|value| Signature { issuer, value })
    };
    found.google = take("google", "thought_signature", Dialect::Gemini);
    found.anthropic = take("anthropic", "signature", Dialect::AnthropicMessages);
    found.redacted = take("anthropic", "redacted", Dialect::AnthropicMessages);
    if !extra.is_empty() {
        fields.put_back("extra_content", extra.into_value());
    }
    found
}

/// Takes the reasoning under either name; some servers send both for a while. An empty one is kept: it may have to go back.
fn take_reasoning(fields: &mut Fields, signature: Option<Signature>) -> Option<Reasoning> {
    let named = |key: &str| fields.peek(key).and_then(Value::as_str);
    let (content, other) = (named("reasoning_content"), named("reasoning"));
    let same = content == other;
    let use_other = content.is_none_or(str::is_empty) && other.is_some_and(|text| !text.is_empty());
    let (key, form) = match signature {
        _ if use_other => ("reasoning", ReasoningForm::Reasoning),
        Some(_) => ("reasoning_content", ReasoningForm::Thinking),
        None => ("reasoning_content", ReasoningForm::ReasoningContent),
    };
    let text = fields.take_string(key);
    if same {
        fields.take("reasoning");
    }
    if text.is_none() && signature.is_none() {
        return None;
    }
    Some(Reasoning { text: text.unwrap_or_default(), signature, form, opaque: Vec::new() })
}

fn decode_content(fields: &mut Fields) -> Result<Vec<Part>, DecodeError> {
    let path = fields.path("content");
    match fields.take("content") {
        None => Ok(Vec::new()),
        Some(Value::String(text)) => Ok(vec![Part::text(text)]),
        Some(Value::Array(items)) => {
            let part = |(index, item)| Ok(decode_part(Fields::new(item, format!("{path}[{index}]"))?));
            items.into_iter().enumerate().map(part).collect()
        }
        Some(_) => Err(fields.invalid("content", "a string or an array of parts")),
    }
}

/// Reads one part of a content list; what is not modelled, or not as described, is opaque.
fn decode_part(mut fields: Fields) -> Part {
    match fields.peek("type").and_then(Value::as_str) {
        Some("text") => {
            if let Some(text) = fields.take_string("text") {
                fields.take("type");
                return Part::Text { text, signature: None, opaque: fields.rest(DIALECT, "") };
            }
        }
        Some("image_url") => {
            if let Some(mut image) = fields.take_object("image_url") {
                let Some(url) = image.take_string("url") else {
                    fields.put_back("image_url", image.into_value());
                    return item("/content/-", fields);
                };
                fields.take("type");
                let mut opaque = image.rest(DIALECT, "/image_url");
                opaque.extend(fields.rest(DIALECT, ""));
                return Part::Image { source: crate::ImageSource::from_url(url, None), opaque };
            }
        }
        Some("refusal") => {
            if let Some(text) = fields.take_string("refusal") {
                return Part::Refusal(text);
            }
        }
        _ => {}
    }
    item("/content/-", fields)
}

fn decode_tool_call(mut fields: Fields, position: usize) -> Part {
    let is_function = fields.peek("type").is_none_or(|kind| kind == "function");
    let Some(mut function) = fields.take_object("function").filter(|_| is_function) else {
        return item("/tool_calls/-", fields);
    };
    let (Some(name), arguments) = (function.take_string("name"), function.take_string("arguments")) else {
        fields.put_back("function", function.into_value());
        return item("/tool_calls/-", fields);
    };
    fields.take("type");
    // SDKs send the position back that streams carry; the order says it already.
    if fields.peek("index").and_then(Value::as_u64) == u64::try_from(position).ok() {
        fields.take("index");
    }
    let signature = take_signatures(&mut fields).google;
    let id = fields.take_string("id").unwrap_or_default();
    let mut opaque = function.rest(DIALECT, "/function");
    opaque.extend(fields.rest(DIALECT, ""));
    Part::ToolCall(ToolCall { id, name, arguments: arguments.unwrap_or_default(), signature, opaque })
}

/// Returns an item of a list that is not modelled; the path says which list.
fn item(list: &str, fields: Fields) -> Part {
    Part::Opaque(Opaque { dialect: DIALECT, path: list.to_owned(), raw: fields.into_value() })
}

// === Writing ===

/// Writes messages as a request carries them.
///
/// Signatures go to their issuer only, so they are left out here, as is reasoning that came from another wire form; both are
/// noted. Results that stand among a user's words become messages of their own.
///
/// # Errors
/// A message holds an opaque piece of another dialect, or a part that cannot stand where it stands.
pub fn encode_messages(messages: &[Message], notes: &mut Vec<Note>) -> Result<Vec<Value>, EncodeError> {
    let mut out = Vec::with_capacity(messages.len());
    for (index, message) in messages.iter().enumerate() {
        let path = format!("messages[{index}]");
        crate::request::check_message(message, &path, DIALECT)?;
        encode_message(message, &path, notes, &mut out)?;
    }
    Ok(out)
}

fn encode_message(
    message: &Message,
    path: &str,
    notes: &mut Vec<Note>,
    out: &mut Vec<Value>,
) -> Result<(), EncodeError> {
    let mut said = Said::default();
    for part in &message.content {
        match part {
            Part::Opaque(opaque) if opaque.path.is_empty() => out.push(opaque.raw.clone()),
            Part::ToolResult(result) => {
                if !said.is_empty() {
                    out.push(std::mem::take(&mut said).into_message(message.role.as_str(), &[]));
                }
                out.push(encode_tool_result(result, path, notes));
            }
            Part::ToolCall(_) if message.role != Role::Assistant => {
                let problem = "holds a tool call, which only the assistant can make";
                return Err(EncodeError::Invalid { path: path.to_owned(), problem });
            }
            Part::Reasoning(reasoning) => match reasoning.form {
                ReasoningForm::ReasoningContent | ReasoningForm::Reasoning => said.reasoning(reasoning),
                ReasoningForm::Thinking | ReasoningForm::RedactedThinking | ReasoningForm::Thought => {
                    notes.push(Note::new(path, "reasoning of another provider was left out"));
                }
            },
            _ => said.part(part),
        }
    }
    let only_results = !message.content.is_empty() && message.role != Role::Assistant;
    if !(said.is_empty() && only_results) {
        out.push(said.into_message(message.role.as_str(), &message.opaque));
    }
    Ok(())
}

fn encode_tool_result(result: &ToolResult, path: &str, notes: &mut Vec<Note>) -> Value {
    if result.is_error == Some(true) {
        notes.push(Note::new(path, "the mark that the tool failed was left out; its text remains"));
    }
    let mut said = Said::default();
    for part in &result.content {
        said.part(part);
    }
    Object::new()
        .with("role", "tool")
        .with("tool_call_id", result.call_id.as_str())
        .with_some("name", result.name.as_deref())
        // A result must have content, even where the tool said nothing.
        .with("content", if said.content.is_empty() { "".into() } else { said.content() })
        .with_opaque(DIALECT, &result.opaque)
        .into()
}

/// What one message says, sorted into its fields.
#[derive(Default)]
pub(super) struct Said {
    content: Vec<Value>,
    reasoning: Map<String, Value>,
    refusal: Option<String>,
    tool_calls: Vec<Value>,
    signed: Map<String, Value>,
}

// === impl Said ===

impl Said {
    fn is_empty(&self) -> bool {
        self.content.is_empty() && self.reasoning.is_empty() && self.refusal.is_none() && self.tool_calls.is_empty()
    }

    /// Adds a part. Reasoning, results and whole messages are the caller's.
    pub(super) fn part(&mut self, part: &Part) {
        match part {
            Part::Text { text, opaque, .. } => {
                let fields = Object::new().with("type", "text").with("text", text.as_str());
                self.content.push(fields.with_opaque(DIALECT, opaque).into());
            }
            Part::Image { source, opaque } => {
                let image = json!({"url": source.to_url()});
                let fields = Object::new().with("type", "image_url").with("image_url", image);
                self.content.push(fields.with_opaque(DIALECT, opaque).into());
            }
            Part::Refusal(text) => self.refusal.get_or_insert_default().push_str(text),
            Part::ToolCall(call) => self.tool_calls.push(encode_tool_call(call)),
            Part::Opaque(opaque) if opaque.path == "/tool_calls/-" => self.tool_calls.push(opaque.raw.clone()),
            Part::Opaque(opaque) => self.content.push(opaque.raw.clone()),
            Part::Reasoning(reasoning) => self.reasoning(reasoning),
            Part::ToolResult(_) => {}
        }
    }

    /// Adds reasoning under the name it came with, `reasoning_content` by default.
    pub(super) fn reasoning(&mut self, reasoning: &Reasoning) {
        let key = if reasoning.form == ReasoningForm::Reasoning { "reasoning" } else { "reasoning_content" };
        match self.reasoning.get_mut(key) {
            Some(Value::String(text)) => text.push_str(&reasoning.text),
            _ => {
                self.reasoning.insert(key.to_owned(), reasoning.text.as_str().into());
            }
        }
    }

    /// Adds the signature of a part, for a client that will send it back.
    pub(super) fn signature(&mut self, part: &Part) {
        match part {
            Part::Text { signature: Some(signature), .. } => sign(&mut self.signed, signature),
            Part::Reasoning(Reasoning { signature: Some(signature), form, .. }) => {
                let redacted = *form == ReasoningForm::RedactedThinking;
                sign_as(&mut self.signed, signature, if redacted { "redacted" } else { "signature" });
            }
            Part::ToolCall(ToolCall { signature: Some(signature), .. }) => {
                if let Some(Value::Object(call)) = self.tool_calls.last_mut() {
                    sign(call, signature);
                }
            }
            _ => {}
        }
    }

    /// Returns the content: text alone as a string, since servers exist that know no other form.
    fn content(&mut self) -> Value {
        let only_text = match self.content.as_slice() {
            [Value::Object(part)] if part.len() == 2 => part.get("text").cloned(),
            _ => None,
        };
        only_text.unwrap_or_else(|| Value::Array(std::mem::take(&mut self.content)))
    }

    /// Returns the message of an answer.
    pub(super) fn into_answer(self) -> Value {
        self.into_message("assistant", &[])
    }

    /// Returns the message.
    fn into_message(mut self, role: &str, opaque: &[Opaque]) -> Value {
        let content = if self.content.is_empty() { Value::Null } else { self.content() };
        let mut fields = Object::new().with("role", role).with("content", content);
        fields.fields().extend(self.reasoning);
        fields.set_some("refusal", self.refusal);
        if !self.tool_calls.is_empty() {
            fields.set("tool_calls", self.tool_calls);
        }
        fields.fields().extend(self.signed);
        fields.with_opaque(DIALECT, opaque).into()
    }
}

fn encode_tool_call(call: &ToolCall) -> Value {
    let function = json!({"name": call.name, "arguments": call.arguments});
    let fields = Object::new().with("id", call.id.as_str()).with("type", "function").with("function", function);
    fields.with_opaque(DIALECT, &call.opaque).into()
}

/// Writes a signature into `extra_content` of a wire object.
pub(super) fn sign(fields: &mut Map<String, Value>, signature: &Signature) {
    sign_as(fields, signature, "signature");
}

fn sign_as(fields: &mut Map<String, Value>, signature: &Signature, anthropic_key: &str) {
    let path = match signature.issuer {
        Dialect::Gemini => "/extra_content/google/thought_signature".to_owned(),
        Dialect::AnthropicMessages => format!("/extra_content/anthropic/{anthropic_key}"),
        // OpenAI Chat has no signatures.
        Dialect::OpenAiChat => return,
    };
    Opaque { dialect: signature.issuer, path, raw: signature.value.as_str().into() }.restore(fields);
}
