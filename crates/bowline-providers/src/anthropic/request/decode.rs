use bowline_chat::{
    DecodeError, Fields, ImageSource, Message, Opaque, Parameters, Part, Reasoning, ReasoningForm, Request,
    ResponseFormat, Role, Signature, Tool, ToolCall, ToolChoice, ToolResult,
};
use serde_json::Value;

use crate::anthropic::DIALECT;

/// Reads a request.
pub(in crate::anthropic) fn decode_request(body: &[u8], _path: &str) -> Result<Request, DecodeError> {
    let mut fields = Fields::parse(body)?;
    let mut request = Request { model: fields.required_string("model")?, ..Request::default() };
    if fields.peek("system").is_some() {
        request.messages.push(Message::new(Role::System, decode_content(&mut fields, "system")?));
    }
    for message in fields.objects("messages")?.ok_or_else(|| fields.missing("messages"))? {
        request.messages.push(decode_message(message)?);
    }
    request.parameters = Parameters {
        max_output_tokens: fields.count("max_tokens")?,
        temperature: fields.number("temperature")?,
        top_p: fields.number("top_p")?,
        top_k: fields.count("top_k")?,
        stop: fields.strings("stop_sequences")?.unwrap_or_default(),
        ..Parameters::default()
    };
    request.tools = fields.objects("tools")?.unwrap_or_default().into_iter().map(decode_tool).collect();
    take_tool_choice(&mut fields, &mut request);
    request.stream = fields.bool("stream")?.unwrap_or(false);
    // Streams of this format always carry usage.
    request.include_usage = request.stream;
    if let Some(mut metadata) = fields.object("metadata")? {
        request.user = metadata.take_string("user_id");
        request.opaque.extend(metadata.rest(DIALECT, "/metadata"));
    }
    if let Some(mut config) = fields.object("output_config")? {
        request.response_format = take_format(&mut config);
        request.opaque.extend(config.rest(DIALECT, "/output_config"));
    }
    request.opaque.extend(fields.rest(DIALECT, ""));
    Ok(request)
}

fn decode_message(mut fields: Fields) -> Result<Message, DecodeError> {
    let content = decode_content(&mut fields, "content")?;
    let only_results = !content.is_empty() && content.iter().all(|part| matches!(part, Part::ToolResult(_)));
    let role = match fields.required_string("role")?.as_str() {
        "user" if only_results => Role::Tool,
        "user" => Role::User,
        "assistant" => Role::Assistant,
        "system" => Role::System,
        _ => return Err(fields.invalid("role", "one of user, assistant, system")),
    };
    Ok(Message { role, content, opaque: fields.rest(DIALECT, "") })
}

fn decode_content(fields: &mut Fields, key: &str) -> Result<Vec<Part>, DecodeError> {
    match fields.peek(key) {
        Some(Value::String(_)) => Ok(vec![Part::text(fields.required_string(key)?)]),
        _ => Ok(fields.objects(key)?.unwrap_or_default().into_iter().map(decode_block).collect()),
    }
}

/// Reads one content block, of a request or of an answer; what is not modelled, or not as described, is opaque.
pub(in crate::anthropic) fn decode_block(mut fields: Fields) -> Part {
    let kind = fields.peek("type").and_then(Value::as_str).unwrap_or_default().to_owned();
    let read = match kind.as_str() {
        "text" => fields.take_string("text").map(Part::text),
        "image" => take_image(&mut fields).map(|source| Part::Image { source, opaque: Vec::new() }),
        "tool_use" => take_tool_call(&mut fields).map(Part::ToolCall),
        "tool_result" => take_tool_result(&mut fields).map(Part::ToolResult),
        "thinking" | "redacted_thinking" => take_reasoning(&mut fields, &kind).map(Part::Reasoning),
        _ => None,
    };
    let Some(mut part) = read else { return Part::Opaque(whole(fields)) };
    fields.take("type");
    if let Part::Text { opaque, .. }
    | Part::Image { opaque, .. }
    | Part::ToolCall(ToolCall { opaque, .. })
    | Part::ToolResult(ToolResult { opaque, .. })
    | Part::Reasoning(Reasoning { opaque, .. }) = &mut part
    {
        *opaque = fields.rest(DIALECT, "");
    }
    part
}

fn whole(fields: Fields) -> Opaque {
    Opaque { dialect: DIALECT, path: "/content/-".to_owned(), raw: fields.into_value() }
}

fn take_image(fields: &mut Fields) -> Option<ImageSource> {
    let source = fields.peek("source")?.as_object()?;
    let text = |key: &str| source.get(key).and_then(Value::as_str).map(str::to_owned);
    let image = match text("type")?.as_str() {
        "base64" if source.len() == 3 => ImageSource::Data { media_type: text("media_type")?, base64: text("data")? },
        "url" if source.len() == 2 => ImageSource::Url { url: text("url")?, media_type: None },
        _ => return None,
    };
    fields.take("source");
    Some(image)
}

fn take_tool_call(fields: &mut Fields) -> Option<ToolCall> {
    let input = fields.peek("input").filter(|input| input.is_object())?.to_string();
    fields.peek("name").and_then(Value::as_str)?;
    fields.take("input");
    let name = fields.take_string("name")?;
    let id = fields.take_string("id").unwrap_or_default();
    // Who called, where that was the model itself, says nothing.
    if fields.peek("caller").is_some_and(|caller| *caller == serde_json::json!({"type": "direct"})) {
        fields.take("caller");
    }
    Some(ToolCall { id, name, arguments: input, ..ToolCall::default() })
}

fn take_tool_result(fields: &mut Fields) -> Option<ToolResult> {
    let is_error = fields.peek("is_error").and_then(Value::as_bool);
    // Blocks of the content that are no objects make the whole result opaque.
    let content = match fields.peek("content") {
        None => Vec::new(),
        Some(Value::String(text)) => vec![Part::text(text.as_str())],
        Some(Value::Array(items)) => {
            let read = |item: &Value| Fields::new(item.clone(), "content").ok().map(decode_block);
            items.iter().map(read).collect::<Option<_>>()?
        }
        Some(_) => return None,
    };
    let call_id = fields.take_string("tool_use_id")?;
    fields.take("content");
    fields.take("is_error");
    Some(ToolResult { call_id, content, is_error, ..ToolResult::default() })
}

fn take_reasoning(fields: &mut Fields, kind: &str) -> Option<Reasoning> {
    let redacted = kind == "redacted_thinking";
    let text = if redacted { String::new() } else { fields.take_string("thinking")? };
    let signature = fields.take_string(if redacted { "data" } else { "signature" });
    let signature = signature.map(|value| Signature { issuer: DIALECT, value });
    let form = if redacted { ReasoningForm::RedactedThinking } else { ReasoningForm::Thinking };
    Some(Reasoning { text, signature, form, opaque: Vec::new() })
}

fn decode_tool(mut fields: Fields) -> Tool {
    let is_function = fields.peek("type").is_none_or(|kind| kind == "custom");
    let named = if is_function && fields.peek("input_schema").is_some() { fields.take_string("name") } else { None };
    let Some(name) = named else {
        return Tool::Opaque(Opaque::whole(DIALECT, fields.into_value()));
    };
    let description = fields.take_string("description");
    let parameters = fields.take("input_schema");
    let strict = fields.peek("strict").and_then(Value::as_bool);
    if strict.is_some() {
        fields.take("strict");
    }
    Tool::Function { name, description, parameters, strict, opaque: fields.rest(DIALECT, "") }
}

fn take_tool_choice(fields: &mut Fields, request: &mut Request) {
    let Some(mut choice) = fields.take_object("tool_choice") else { return };
    let kind = choice.peek("type").and_then(Value::as_str).unwrap_or_default().to_owned();
    let read = match kind.as_str() {
        "auto" => Some(ToolChoice::Auto),
        "any" => Some(ToolChoice::Required),
        "none" => Some(ToolChoice::None),
        "tool" => choice.take_string("name").map(ToolChoice::Function),
        _ => None,
    };
    if read.is_none() {
        fields.put_back("tool_choice", choice.into_value());
        return;
    }
    choice.take("type");
    request.tool_choice = read;
    if let Some(single) = choice.peek("disable_parallel_tool_use").and_then(Value::as_bool) {
        choice.take("disable_parallel_tool_use");
        request.parallel_tool_calls = Some(!single);
    }
    request.opaque.extend(choice.rest(DIALECT, "/tool_choice"));
}

fn take_format(config: &mut Fields) -> Option<ResponseFormat> {
    let format = config.peek("format")?.as_object()?;
    if format.len() != 2 || format.get("type").is_none_or(|kind| kind != "json_schema") {
        return None;
    }
    let schema = format.get("schema")?.clone();
    config.take("format");
    Some(ResponseFormat::JsonSchema { name: None, schema, strict: None })
}
