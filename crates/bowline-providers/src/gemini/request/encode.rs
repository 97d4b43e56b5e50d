use bowline_chat::{
    EncodeError, ImageSource, Message, Note, Object, Part, Reasoning, ReasoningForm, Request, ResponseFormat, Role,
    Signature, Tool, ToolCall, ToolChoice, ToolResult,
};
use serde_json::{Map, Value, json};

use crate::gemini::{DIALECT, KIND};
use crate::spec::WireRequest;

/// Writes a request; the model and whether to stream are in the path.
///
/// Instructions must come first, as the format has one place for them.
pub(in crate::gemini) fn encode_request(request: &Request, model: &str) -> Result<WireRequest, EncodeError> {
    request.check_opaque(DIALECT)?;
    let mut notes = Vec::new();
    if request.user.is_some() {
        notes.push(Note::new("user", "left out, as the provider has no field for the end user"));
    }
    let leading = request.messages.iter().take_while(|message| message.role.is_instruction()).count();
    let (instructions, conversation) = request.messages.split_at(leading);
    let system = instructions.iter().flat_map(|message| &message.content).map(|part| encode_part(part, "system", None));
    let system = system.collect::<Result<Vec<_>, _>>()?;
    let body = Object::new()
        .with_some(
            "systemInstruction",
            Some(system).filter(|parts| !parts.is_empty()).map(|parts| json!({"parts": parts})),
        )
        .with("contents", encode_contents(conversation, leading, &mut notes)?)
        .with_some("tools", encode_tools(&request.tools, &mut notes))
        .with_some("toolConfig", request.tool_choice.as_ref().map(encode_tool_choice))
        .with_some("generationConfig", encode_config(request))
        .with_opaque(DIALECT, &request.opaque);
    let model = model.strip_prefix("models/").unwrap_or(model);
    let method = if request.stream { "streamGenerateContent?alt=sse" } else { "generateContent" };
    let body = Value::from(body).to_string().into_bytes();
    Ok(WireRequest { path: format!("/v1beta/models/{model}:{method}"), body, notes })
}

/// Writes the conversation. Results of parallel calls come in one content, as the format demands.
fn encode_contents(messages: &[Message], offset: usize, notes: &mut Vec<Note>) -> Result<Vec<Value>, EncodeError> {
    let mut out: Vec<(&Message, Vec<Value>)> = Vec::with_capacity(messages.len());
    for (index, message) in messages.iter().enumerate() {
        let path = format!("messages[{}]", offset + index);
        if message.role.is_instruction() {
            let parameter = format!("{path}.role");
            return Err(EncodeError::Unsupported { parameter, provider: KIND });
        }
        let before = messages.get(..index).unwrap_or_default();
        let parts = encode_parts(message, before, &path, notes)?;
        match out.last_mut() {
            Some((last, merged)) if last.role == Role::Tool && message.role == Role::Tool => merged.extend(parts),
            _ => out.push((message, parts)),
        }
    }
    let content = |(message, parts): (&Message, Vec<Value>)| {
        let role = if message.role == Role::Assistant { "model" } else { "user" };
        Object::new().with("role", role).with("parts", parts).with_opaque(DIALECT, &message.opaque).into()
    };
    Ok(out.into_iter().map(content).collect())
}

fn encode_parts(
    message: &Message,
    before: &[Message],
    path: &str,
    notes: &mut Vec<Note>,
) -> Result<Vec<Value>, EncodeError> {
    let mut parts = Vec::with_capacity(message.content.len());
    for part in &message.content {
        match part {
            Part::ToolCall(_) if message.role != Role::Assistant => {
                let problem = "holds a tool call, which only the assistant can make";
                return Err(EncodeError::Invalid { path: path.to_owned(), problem });
            }
            Part::Reasoning(reasoning) if reasoning.form != ReasoningForm::Thought => {
                notes.push(Note::new(path, "reasoning of another provider was left out"));
            }
            Part::ToolResult(result) => {
                if result.is_error == Some(true) {
                    notes.push(Note::new(path, "the mark that the tool failed was left out; its text remains"));
                }
                let called = result.name.as_deref().or_else(|| called_name(before, &result.call_id));
                parts.push(encode_part(part, path, called)?);
            }
            part => parts.push(encode_part(part, path, None)?),
        }
    }
    Ok(parts)
}

/// Finds the tool that a result belongs to, from the last call with its id; the format wants the name with the result.
fn called_name<'a>(before: &'a [Message], id: &str) -> Option<&'a str> {
    let calls = before.iter().rev().flat_map(|message| message.content.iter().rev());
    calls.into_iter().find_map(|part| match part {
        Part::ToolCall(call) if call.id == id => Some(call.name.as_str()),
        _ => None,
    })
}

/// Writes one part, of a request or of an answer; `called` is the tool of a result.
pub(in crate::gemini) fn encode_part(part: &Part, path: &str, called: Option<&str>) -> Result<Value, EncodeError> {
    let object = match part {
        Part::Text { text, signature, .. } => signed(Object::new().with("text", text.as_str()), signature.as_ref()),
        Part::Refusal(text) => Object::new().with("text", text.as_str()),
        Part::Image { source, .. } => encode_image(source),
        Part::Reasoning(Reasoning { text, signature, .. }) => {
            signed(Object::new().with("text", text.as_str()).with("thought", true), signature.as_ref())
        }
        Part::ToolCall(call) => {
            let id = Some(call.id.as_str()).filter(|id| !id.is_empty());
            let function = Object::new().with_some("id", id).with("name", call.name.as_str());
            let function = function.with("args", arguments(call, path)?);
            signed(Object::new().with("functionCall", function), call.signature.as_ref())
        }
        Part::ToolResult(result) => Object::new().with("functionResponse", encode_result(result, path, called)?),
        Part::Opaque(opaque) => return Ok(opaque.raw.clone()),
    };
    Ok(object.with_opaque(DIALECT, part.opaque()).into())
}

/// Adds a signature, if it is Gemini's own.
fn signed(object: Object, signature: Option<&Signature>) -> Object {
    let own = signature.filter(|signature| signature.issuer == DIALECT);
    object.with_some("thoughtSignature", own.map(|signature| signature.value.as_str()))
}

fn encode_image(source: &ImageSource) -> Object {
    match source {
        ImageSource::Url { url, media_type } => {
            let data = Object::new().with_some("mimeType", media_type.as_deref()).with("fileUri", url.as_str());
            Object::new().with("fileData", data)
        }
        ImageSource::Data { media_type, base64 } => {
            let data = Object::new().with("mimeType", media_type.as_str()).with("data", base64.as_str());
            Object::new().with("inlineData", data)
        }
    }
}

/// Writes the result of a call. The format takes an object; any other result becomes its `output`.
fn encode_result(result: &ToolResult, path: &str, called: Option<&str>) -> Result<Object, EncodeError> {
    let problem = "holds the result of a tool call that is not in the conversation";
    let name = called.ok_or_else(|| EncodeError::Invalid { path: path.to_owned(), problem })?;
    let mut text = String::new();
    let mut parts = Vec::new();
    for part in &result.content {
        match part {
            Part::Text { text: more, .. } => text.push_str(more),
            part => parts.push(encode_part(part, path, None)?),
        }
    }
    let response: Map<String, Value> = serde_json::from_str(&text).unwrap_or_else(|_| {
        let output: Value = serde_json::from_str(&text).unwrap_or_else(|_| text.as_str().into());
        Map::from_iter([("output".to_owned(), output)])
    });
    let id = Some(result.call_id.as_str()).filter(|id| !id.is_empty());
    Ok(Object::new()
        .with_some("id", id)
        .with("name", name)
        .with("response", response)
        .with_some("parts", Some(parts).filter(|parts| !parts.is_empty())))
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

fn encode_tools(tools: &[Tool], notes: &mut Vec<Note>) -> Option<Vec<Value>> {
    let mut functions = Vec::new();
    let mut others = Vec::new();
    for (index, tool) in tools.iter().enumerate() {
        match tool {
            Tool::Opaque(opaque) => others.push(opaque.raw.clone()),
            Tool::Function { name, description, parameters, strict, opaque } => {
                if *strict == Some(true) {
                    let path = format!("tools[{index}].strict");
                    notes.push(Note::new(path, "left out, as the provider cannot hold arguments to a schema"));
                }
                let function = Object::new()
                    .with("name", name.as_str())
                    .with_some("description", description.as_deref())
                    .with_some("parametersJsonSchema", parameters.clone());
                functions.push(Value::from(function.with_opaque(DIALECT, opaque)));
            }
        }
    }
    if !functions.is_empty() {
        others.insert(0, json!({"functionDeclarations": functions}));
    }
    Some(others).filter(|tools| !tools.is_empty())
}

fn encode_tool_choice(choice: &ToolChoice) -> Value {
    let config = match choice {
        ToolChoice::Auto => json!({"mode": "AUTO"}),
        ToolChoice::None => json!({"mode": "NONE"}),
        ToolChoice::Required => json!({"mode": "ANY"}),
        ToolChoice::Function(name) => json!({"mode": "ANY", "allowedFunctionNames": [name]}),
    };
    json!({"functionCallingConfig": config})
}

fn encode_config(request: &Request) -> Option<Value> {
    let parameters = &request.parameters;
    let (media_type, schema) = match &request.response_format {
        None => (None, None),
        Some(ResponseFormat::Text) => (Some("text/plain"), None),
        Some(ResponseFormat::JsonObject) => (Some("application/json"), None),
        // The name of a schema is a label that only OpenAI has; here schemas are always held.
        Some(ResponseFormat::JsonSchema { schema, .. }) => (Some("application/json"), Some(schema.clone())),
    };
    let stop: Vec<Value> = parameters.stop.iter().map(|text| text.as_str().into()).collect();
    let config = Object::new()
        .with_some("temperature", parameters.temperature)
        .with_some("topP", parameters.top_p)
        .with_some("topK", parameters.top_k)
        .with_some("candidateCount", parameters.choices)
        .with_some("maxOutputTokens", parameters.max_output_tokens)
        .with_some("stopSequences", Some(stop).filter(|stop| !stop.is_empty()))
        .with_some("seed", parameters.seed)
        .with_some("presencePenalty", parameters.presence_penalty)
        .with_some("frequencyPenalty", parameters.frequency_penalty)
        .with_some("responseMimeType", media_type)
        .with_some("responseJsonSchema", schema);
    if config.is_empty() { None } else { Some(config.into()) }
}
