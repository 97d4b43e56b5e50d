use bowline_chat::{
    Dialect, EncodeError, ImageSource, Message, Note, Object, Part, Reasoning, ReasoningForm, Request, ResponseFormat,
    Role, Tool, ToolCall, ToolChoice, ToolResult,
};
use serde_json::{Map, Value, json};

use crate::anthropic::{ANTHROPIC_MAX_TOKENS_DEFAULT, DIALECT};
use crate::spec::WireRequest;

/// Writes a request. What the format cannot say at all was refused before, by the capabilities of the provider.
///
/// Instructions at the beginning become `system`; later ones stay messages, which newer models accept.
pub(in crate::anthropic) fn encode_request(request: &Request, model: &str) -> Result<WireRequest, EncodeError> {
    request.check_opaque(DIALECT)?;
    let mut notes = Vec::new();
    let leading = request.messages.iter().take_while(|message| message.role.is_instruction()).count();
    let (instructions, conversation) = request.messages.split_at(leading);
    let parameters = &request.parameters;
    let max_tokens = parameters.max_output_tokens.unwrap_or_else(|| {
        notes
            .push(Note::new("max_tokens", format!("set to {ANTHROPIC_MAX_TOKENS_DEFAULT}, as the provider needs one")));
        ANTHROPIC_MAX_TOKENS_DEFAULT
    });
    let stop: Vec<Value> = parameters.stop.iter().map(|text| text.as_str().into()).collect();
    let tools: Vec<Value> = request.tools.iter().map(encode_tool).collect();
    let body = Object::new()
        .with("model", model)
        .with("max_tokens", max_tokens)
        .with_some("system", encode_system(instructions, &mut notes)?)
        .with("messages", encode_messages(conversation, leading, &mut notes)?)
        .with_some("temperature", parameters.temperature)
        .with_some("top_p", parameters.top_p)
        .with_some("top_k", parameters.top_k)
        .with_some("stop_sequences", some_list(stop))
        .with_some("tools", some_list(tools))
        .with_some("tool_choice", encode_tool_choice(request))
        .with_some("output_config", encode_output_config(request))
        .with_some("metadata", request.user.as_deref().map(|user| json!({"user_id": user})))
        .with_some("stream", Some(true).filter(|_| request.stream))
        .with_opaque(DIALECT, &request.opaque);
    let body = Value::from(body).to_string().into_bytes();
    Ok(WireRequest { path: "/v1/messages".to_owned(), body, notes })
}

fn some_list(items: Vec<Value>) -> Option<Vec<Value>> {
    if items.is_empty() { None } else { Some(items) }
}

fn encode_system(messages: &[Message], notes: &mut Vec<Note>) -> Result<Option<Value>, EncodeError> {
    let mut blocks = Vec::new();
    for (index, message) in messages.iter().enumerate() {
        encode_content(message, &format!("messages[{index}]"), notes, &mut blocks)?;
    }
    Ok(if blocks.is_empty() { None } else { Some(shortest(blocks)) })
}

/// Writes the conversation. Results of parallel calls come in one message, as the format demands.
fn encode_messages(messages: &[Message], offset: usize, notes: &mut Vec<Note>) -> Result<Vec<Value>, EncodeError> {
    let mut out: Vec<(Role, Vec<Value>, &Message)> = Vec::with_capacity(messages.len());
    for (index, message) in messages.iter().enumerate() {
        let path = format!("messages[{}]", offset + index);
        match out.last_mut() {
            Some((Role::Tool, blocks, _)) if message.role == Role::Tool => {
                encode_content(message, &path, notes, blocks)?
            }
            _ => {
                let mut blocks = Vec::new();
                encode_content(message, &path, notes, &mut blocks)?;
                out.push((message.role, blocks, message));
            }
        }
    }
    let message = |(role, blocks, message): (Role, Vec<Value>, &Message)| {
        let role = match role {
            Role::System | Role::Developer => "system",
            Role::User | Role::Tool => "user",
            Role::Assistant => "assistant",
        };
        Object::new().with("role", role).with("content", shortest(blocks)).with_opaque(DIALECT, &message.opaque).into()
    };
    Ok(out.into_iter().map(message).collect())
}

/// Returns content in its shortest form: one plain text as a string.
fn shortest(blocks: Vec<Value>) -> Value {
    match blocks.as_slice() {
        [Value::Object(block)] if block.len() == 2 && block.get("type").is_some_and(|kind| kind == "text") => {
            block.get("text").cloned().unwrap_or_default()
        }
        _ => blocks.into(),
    }
}

fn encode_content(
    message: &Message,
    path: &str,
    notes: &mut Vec<Note>,
    blocks: &mut Vec<Value>,
) -> Result<(), EncodeError> {
    for part in &message.content {
        match part {
            Part::ToolCall(_) if message.role != Role::Assistant => {
                let problem = "holds a tool call, which only the assistant can make";
                return Err(EncodeError::Invalid { path: path.to_owned(), problem });
            }
            Part::Reasoning(reasoning) if !is_own(reasoning) => {
                notes.push(Note::new(path, "reasoning of another provider was left out"));
            }
            // The format refuses empty texts; other dialects have them beside tool calls.
            Part::Text { text, opaque, .. } if text.is_empty() && opaque.is_empty() => {}
            part => blocks.push(encode_block(part, path)?),
        }
    }
    Ok(())
}

fn is_own(reasoning: &Reasoning) -> bool {
    let own = matches!(reasoning.form, ReasoningForm::Thinking | ReasoningForm::RedactedThinking);
    own && reasoning.signature.as_ref().is_some_and(|signature| signature.issuer == Dialect::AnthropicMessages)
}

/// Writes one content block, of a request or of an answer.
pub(in crate::anthropic) fn encode_block(part: &Part, path: &str) -> Result<Value, EncodeError> {
    let block = match part {
        Part::Text { text, .. } | Part::Refusal(text) => Object::new().with("type", "text").with("text", text.as_str()),
        Part::Image { source, .. } => Object::new().with("type", "image").with("source", encode_image(source)),
        Part::ToolCall(call) => Object::new()
            .with("type", "tool_use")
            .with("id", call.id.as_str())
            .with("name", call.name.as_str())
            .with("input", arguments(call, path)?),
        Part::ToolResult(result) => encode_tool_result(result, path)?,
        Part::Reasoning(reasoning) => encode_reasoning(reasoning),
        Part::Opaque(opaque) => return Ok(opaque.raw.clone()),
    };
    Ok(block.with_opaque(DIALECT, part.opaque()).into())
}

fn encode_reasoning(reasoning: &Reasoning) -> Object {
    let signature = reasoning.signature.as_ref().map_or("", |signature| signature.value.as_str());
    if reasoning.form == ReasoningForm::RedactedThinking {
        return Object::new().with("type", "redacted_thinking").with("data", signature);
    }
    Object::new().with("type", "thinking").with("thinking", reasoning.text.as_str()).with("signature", signature)
}

fn encode_tool_result(result: &ToolResult, path: &str) -> Result<Object, EncodeError> {
    let blocks = result.content.iter().map(|part| encode_block(part, path)).collect::<Result<Vec<_>, _>>()?;
    let content = if blocks.is_empty() { None } else { Some(shortest(blocks)) };
    Ok(Object::new()
        .with("type", "tool_result")
        .with("tool_use_id", result.call_id.as_str())
        .with_some("content", content)
        .with_some("is_error", result.is_error))
}

fn encode_image(source: &ImageSource) -> Value {
    match source {
        ImageSource::Url { url, .. } => json!({"type": "url", "url": url}),
        ImageSource::Data { media_type, base64 } => {
            json!({"type": "base64", "media_type": media_type, "data": base64})
        }
    }
}

/// Reads the arguments of a call, which the format carries as an object; none at all is the empty object.
fn arguments(call: &ToolCall, path: &str) -> Result<Map<String, Value>, EncodeError> {
    if call.arguments.trim().is_empty() {
        return Ok(Map::new());
    }
    serde_json::from_str(&call.arguments).map_err(|_| EncodeError::Invalid {
        path: path.to_owned(),
        problem: "holds a tool call whose arguments are no JSON object",
    })
}

fn encode_tool(tool: &Tool) -> Value {
    match tool {
        Tool::Opaque(opaque) => opaque.raw.clone(),
        Tool::Function { name, description, parameters, strict, opaque } => Object::new()
            .with("name", name.as_str())
            .with_some("description", description.as_deref())
            .with("input_schema", parameters.clone().unwrap_or_else(|| json!({"type": "object"})))
            .with_some("strict", *strict)
            .with_opaque(DIALECT, opaque)
            .into(),
    }
}

fn encode_tool_choice(request: &Request) -> Option<Value> {
    let single = request.parallel_tool_calls == Some(false);
    let choice = match &request.tool_choice {
        None if single && !request.tools.is_empty() => Object::new().with("type", "auto"),
        None => return None,
        Some(ToolChoice::Auto) => Object::new().with("type", "auto"),
        Some(ToolChoice::Required) => Object::new().with("type", "any"),
        Some(ToolChoice::Function(name)) => Object::new().with("type", "tool").with("name", name.as_str()),
        // No call at all is no parallel call either, and the format takes no second field here.
        Some(ToolChoice::None) => return Some(json!({"type": "none"})),
    };
    Some(choice.with_some("disable_parallel_tool_use", Some(true).filter(|_| single)).into())
}

/// Writes the answer's form. The name of a schema is a label that only OpenAI has; here schemas are always strict.
fn encode_output_config(request: &Request) -> Option<Value> {
    match &request.response_format {
        Some(ResponseFormat::JsonSchema { schema, .. }) => {
            Some(json!({"format": {"type": "json_schema", "schema": schema}}))
        }
        None | Some(ResponseFormat::Text | ResponseFormat::JsonObject) => None,
    }
}
