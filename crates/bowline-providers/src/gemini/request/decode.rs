use bowline_chat::{
    DecodeError, Fields, ImageSource, Message, Opaque, Parameters, Part, Reasoning, ReasoningForm, Request,
    ResponseFormat, Role, Signature, Tool, ToolCall, ToolChoice, ToolResult,
};
use serde_json::Value;

use crate::gemini::{DIALECT, camel_case};

/// Reads a request; the model and whether to stream come from the path, `…/models/MODEL:METHOD`.
pub(in crate::gemini) fn decode_request(body: &[u8], path: &str) -> Result<Request, DecodeError> {
    let mut fields = camel_case(Fields::parse(body)?);
    let path = path.split_once('?').map_or(path, |(path, _)| path);
    let (resource, method) = path.rsplit_once(':').unwrap_or((path, ""));
    let mut request = Request {
        model: resource.rsplit_once("models/").map_or("", |(_, model)| model).to_owned(),
        stream: method == "streamGenerateContent",
        ..Request::default()
    };
    // Streams of this format always carry usage.
    request.include_usage = request.stream;
    if let Some(instruction) = fields.object("systemInstruction")? {
        request.messages.push(decode_content(instruction, true)?);
    }
    for content in fields.objects("contents")?.ok_or_else(|| fields.missing("contents"))? {
        request.messages.push(decode_content(content, false)?);
    }
    for tool in fields.objects("tools")?.unwrap_or_default() {
        decode_tool(tool, &mut request.tools)?;
    }
    if let Some(config) = fields.object("toolConfig")? {
        let mut config = camel_case(config);
        request.tool_choice = take_tool_choice(&mut config);
        request.opaque.extend(config.rest(DIALECT, "/toolConfig"));
    }
    if let Some(config) = fields.object("generationConfig")? {
        let mut config = camel_case(config);
        request.parameters = take_parameters(&mut config)?;
        request.response_format = take_format(&mut config);
        request.opaque.extend(config.rest(DIALECT, "/generationConfig"));
    }
    request.opaque.extend(fields.rest(DIALECT, ""));
    Ok(request)
}

fn decode_content(fields: Fields, instruction: bool) -> Result<Message, DecodeError> {
    let mut fields = camel_case(fields);
    let parts = fields.objects("parts")?.unwrap_or_default();
    let content: Vec<Part> = parts.into_iter().map(decode_part).collect();
    let only_results = !content.is_empty() && content.iter().all(|part| matches!(part, Part::ToolResult(_)));
    let role = match fields.string("role")?.as_deref() {
        _ if instruction => Role::System,
        Some("model") => Role::Assistant,
        _ if only_results => Role::Tool,
        Some("user" | "function") | None => Role::User,
        Some(_) => return Err(fields.invalid("role", "one of user, model")),
    };
    Ok(Message { role, content, opaque: fields.rest(DIALECT, "") })
}

/// Reads one part, of a request or of an answer; what is not modelled, or not as described, is opaque.
pub(in crate::gemini) fn decode_part(fields: Fields) -> Part {
    let mut fields = camel_case(fields);
    let thought = fields.peek("thought").and_then(Value::as_bool) == Some(true);
    let is_text = fields.peek("text").is_some_and(Value::is_string);
    let read = if is_text {
        let text = fields.take_string("text").unwrap_or_default();
        let signature = take_signature(&mut fields);
        fields.take("thought");
        if thought {
            let form = ReasoningForm::Thought;
            Some(Part::Reasoning(Reasoning { text, signature, form, opaque: Vec::new() }))
        } else {
            Some(Part::Text { text, signature, opaque: Vec::new() })
        }
    } else {
        take_image(&mut fields)
            .map(|source| Part::Image { source, opaque: Vec::new() })
            .or_else(|| take_call(&mut fields).map(Part::ToolCall))
            .or_else(|| take_result(&mut fields).map(Part::ToolResult))
    };
    let Some(mut part) = read else {
        return Part::Opaque(Opaque { dialect: DIALECT, path: "/parts/-".to_owned(), raw: fields.into_value() });
    };
    if let Part::Text { opaque, .. }
    | Part::Image { opaque, .. }
    | Part::ToolCall(ToolCall { opaque, .. })
    | Part::ToolResult(ToolResult { opaque, .. })
    | Part::Reasoning(Reasoning { opaque, .. }) = &mut part
    {
        opaque.extend(fields.rest(DIALECT, ""));
    }
    part
}

fn take_signature(fields: &mut Fields) -> Option<Signature> {
    fields.take_string("thoughtSignature").map(|value| Signature { issuer: DIALECT, value })
}

/// Takes an image; other media stay opaque.
fn take_image(fields: &mut Fields) -> Option<ImageSource> {
    let key = ["inlineData", "fileData"].into_iter().find(|key| fields.peek(key).is_some())?;
    let mut data = camel_case(fields.take_object(key)?);
    let is_image = data.peek("mimeType").and_then(Value::as_str).is_some_and(|kind| kind.starts_with("image/"));
    let bytes = if key == "inlineData" { "data" } else { "fileUri" };
    let plain = data.len() == 2 && data.peek(bytes).is_some_and(Value::is_string);
    if !(is_image && plain) {
        fields.put_back(key, data.into_value());
        return None;
    }
    let media_type = data.take_string("mimeType")?;
    let bytes = data.take_string(bytes)?;
    Some(match key {
        "inlineData" => ImageSource::Data { media_type, base64: bytes },
        _ => ImageSource::Url { url: bytes, media_type: Some(media_type) },
    })
}

fn take_call(fields: &mut Fields) -> Option<ToolCall> {
    let mut call = fields.take_object("functionCall")?;
    let Some(name) = call.take_string("name") else {
        fields.put_back("functionCall", call.into_value());
        return None;
    };
    let arguments = call.take("args").map_or_else(|| "{}".to_owned(), |args| args.to_string());
    let id = call.take_string("id").unwrap_or_default();
    let signature = take_signature(fields);
    Some(ToolCall { id, name, arguments, signature, opaque: call.rest(DIALECT, "/functionCall") })
}

fn take_result(fields: &mut Fields) -> Option<ToolResult> {
    let mut result = fields.take_object("functionResponse")?;
    let (Some(name), Some(response)) = (result.take_string("name"), result.take("response")) else {
        fields.put_back("functionResponse", result.into_value());
        return None;
    };
    let call_id = result.take_string("id").unwrap_or_default();
    let content = vec![Part::text(response.to_string())];
    let opaque = result.rest(DIALECT, "/functionResponse");
    Some(ToolResult { call_id, name: Some(name), content, is_error: None, opaque })
}

fn decode_tool(fields: Fields, tools: &mut Vec<Tool>) -> Result<(), DecodeError> {
    let mut fields = camel_case(fields);
    for function in fields.objects("functionDeclarations")?.unwrap_or_default() {
        let mut function = camel_case(function);
        let name = function.required_string("name")?;
        let description = function.take_string("description");
        let parameters = function.take("parametersJsonSchema");
        let opaque = function.rest(DIALECT, "");
        tools.push(Tool::Function { name, description, parameters, strict: None, opaque });
    }
    if !fields.is_empty() {
        tools.push(Tool::Opaque(Opaque::whole(DIALECT, fields.into_value())));
    }
    Ok(())
}

fn take_tool_choice(config: &mut Fields) -> Option<ToolChoice> {
    let mut calling = camel_case(config.take_object("functionCallingConfig")?);
    let allowed = calling.peek("allowedFunctionNames").and_then(Value::as_array);
    let allowed: Option<Vec<&str>> = allowed.map(|names| names.iter().filter_map(Value::as_str).collect());
    let choice = match (calling.peek("mode").and_then(Value::as_str), allowed.as_deref()) {
        (Some("AUTO"), None) => Some(ToolChoice::Auto),
        (Some("NONE"), None) => Some(ToolChoice::None),
        (Some("ANY"), None) => Some(ToolChoice::Required),
        (Some("ANY"), Some([name])) => Some(ToolChoice::Function((*name).to_owned())),
        _ => None,
    };
    if choice.is_some() {
        calling.take("mode");
        calling.take("allowedFunctionNames");
    }
    if !calling.is_empty() {
        config.put_back("functionCallingConfig", calling.into_value());
    }
    choice
}

fn take_parameters(config: &mut Fields) -> Result<Parameters, DecodeError> {
    let choices = config.count("candidateCount")?;
    let choices = choices.map(|n| u32::try_from(n).map_err(|_| config.invalid("candidateCount", "a smaller number")));
    Ok(Parameters {
        max_output_tokens: config.count("maxOutputTokens")?,
        temperature: config.number("temperature")?,
        top_p: config.number("topP")?,
        top_k: config.count("topK")?,
        stop: config.strings("stopSequences")?.unwrap_or_default(),
        seed: config.integer("seed")?,
        presence_penalty: config.number("presencePenalty")?,
        frequency_penalty: config.number("frequencyPenalty")?,
        choices: choices.transpose()?,
    })
}

/// Takes the form of the answer; the older `responseSchema`, which is no JSON Schema, stays opaque with its media type.
fn take_format(config: &mut Fields) -> Option<ResponseFormat> {
    let media_type = config.peek("responseMimeType").and_then(Value::as_str)?;
    let format = match (media_type, config.peek("responseJsonSchema"), config.peek("responseSchema")) {
        ("text/plain", None, None) => ResponseFormat::Text,
        ("application/json", None, None) => ResponseFormat::JsonObject,
        ("application/json", Some(schema), None) => {
            ResponseFormat::JsonSchema { name: None, schema: schema.clone(), strict: None }
        }
        _ => return None,
    };
    config.take("responseMimeType");
    config.take("responseJsonSchema");
    Some(format)
}
