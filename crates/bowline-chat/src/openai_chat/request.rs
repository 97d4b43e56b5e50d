use serde_json::{Map, Value, json};

use super::DIALECT;
use super::message::{decode_message, encode_messages};
use crate::{
    DecodeError, EncodeError, Fields, ModelRef, Note, Object, Opaque, Parameters, Request, ResponseFormat, Tool,
    ToolChoice,
};

/// What a client of Bowline sends: a chat request whose `model` may name a prompt.
#[derive(Clone, Debug, PartialEq)]
pub struct ClientRequest {
    /// What `model` names.
    pub model: ModelRef,
    /// The top-level field `variables`, which is Bowline's own; `None` if it is not there.
    pub variables: Option<Map<String, Value>>,
    /// The rest, with `model` as the client wrote it. `messages` may be missing if the model is a prompt.
    pub request: Request,
}

// === Reading ===

/// Reads a request to Bowline.
///
/// # Errors
/// The body is no JSON object, a key of its top level repeats, or a modelled field has a wrong type.
pub fn decode_client_request(body: &[u8]) -> Result<ClientRequest, DecodeError> {
    let mut fields = Fields::parse(body)?;
    let model = fields.peek("model").ok_or_else(|| fields.missing("model"))?;
    let model = model.as_str().ok_or_else(|| fields.invalid("model", "a string"))?;
    let model: ModelRef = model.parse().map_err(DecodeError::ModelRef)?;
    let variables = match fields.take("variables") {
        None => None,
        Some(Value::Object(variables)) => Some(variables),
        Some(_) => return Err(fields.invalid("variables", "an object")),
    };
    if matches!(model, ModelRef::Prompt { .. }) && fields.peek("messages").is_none() {
        fields.put_back("messages", json!([]));
    }
    Ok(ClientRequest { model, variables, request: decode(fields)? })
}

/// Reads a request to OpenAI.
///
/// # Errors
/// The body is no JSON object, a key of its top level repeats, or a modelled field has a wrong type.
pub fn decode_request(body: &[u8]) -> Result<Request, DecodeError> {
    decode(Fields::parse(body)?)
}

fn decode(mut fields: Fields) -> Result<Request, DecodeError> {
    let model = fields.required_string("model")?;
    let messages = fields.objects("messages")?.ok_or_else(|| fields.missing("messages"))?;
    let messages = messages.into_iter().map(decode_message).collect::<Result<_, _>>()?;
    let parameters = decode_parameters(&mut fields)?;
    let tools = fields.objects("tools")?.unwrap_or_default().into_iter().map(decode_tool).collect();
    let tool_choice = take_tool_choice(&mut fields);
    let parallel_tool_calls = fields.bool("parallel_tool_calls")?;
    let mut opaque = Vec::new();
    let response_format = take_response_format(&mut fields, &mut opaque);
    let stream = fields.bool("stream")?.unwrap_or(false);
    let mut include_usage = false;
    if let Some(mut options) = fields.object("stream_options")? {
        include_usage = options.bool("include_usage")?.unwrap_or(false);
        opaque.extend(options.rest(DIALECT, "/stream_options"));
    }
    let user = fields.string("user")?;
    opaque.extend(fields.rest(DIALECT, ""));
    Ok(Request {
        model,
        messages,
        parameters,
        tools,
        tool_choice,
        parallel_tool_calls,
        response_format,
        stream,
        include_usage,
        user,
        opaque,
    })
}

fn decode_parameters(fields: &mut Fields) -> Result<Parameters, DecodeError> {
    // `max_tokens` is the older name. A body with both keeps the older one as opaque.
    let newer = fields.count("max_completion_tokens")?;
    let max_output_tokens = if newer.is_some() { newer } else { fields.count("max_tokens")? };
    let stop = match fields.peek("stop") {
        Some(Value::String(_)) => fields.string("stop")?.into_iter().collect(),
        _ => fields.strings("stop")?.unwrap_or_default(),
    };
    let choices = fields.count("n")?;
    let choices = choices.map(|n| u32::try_from(n).map_err(|_| fields.invalid("n", "a smaller number"))).transpose()?;
    Ok(Parameters {
        max_output_tokens,
        temperature: fields.number("temperature")?,
        top_p: fields.number("top_p")?,
        top_k: fields.count("top_k")?,
        stop,
        seed: fields.integer("seed")?,
        presence_penalty: fields.number("presence_penalty")?,
        frequency_penalty: fields.number("frequency_penalty")?,
        choices,
    })
}

fn decode_tool(mut fields: Fields) -> Tool {
    let is_function = fields.peek("type").is_none_or(|kind| kind == "function");
    let Some(mut function) = fields.take_object("function").filter(|_| is_function) else {
        return Tool::Opaque(Opaque::whole(DIALECT, fields.into_value()));
    };
    let Some(name) = function.take_string("name") else {
        fields.put_back("function", function.into_value());
        return Tool::Opaque(Opaque::whole(DIALECT, fields.into_value()));
    };
    fields.take("type");
    let description = function.take_string("description");
    let parameters = function.take("parameters");
    let strict = function.peek("strict").and_then(Value::as_bool);
    if strict.is_some() {
        function.take("strict");
    }
    let mut opaque = function.rest(DIALECT, "/function");
    opaque.extend(fields.rest(DIALECT, ""));
    Tool::Function { name, description, parameters, strict, opaque }
}

fn take_tool_choice(fields: &mut Fields) -> Option<ToolChoice> {
    let choice = match fields.peek("tool_choice")? {
        Value::String(word) => match word.as_str() {
            "auto" => ToolChoice::Auto,
            "none" => ToolChoice::None,
            "required" => ToolChoice::Required,
            _ => return None,
        },
        Value::Object(object) if object.get("type").is_none_or(|kind| kind == "function") => {
            ToolChoice::Function(object.get("function")?.get("name")?.as_str()?.to_owned())
        }
        _ => return None,
    };
    fields.take("tool_choice");
    Some(choice)
}

fn take_response_format(fields: &mut Fields, opaque: &mut Vec<Opaque>) -> Option<ResponseFormat> {
    let mut format = fields.take_object("response_format")?;
    let kind = format.peek("type").and_then(Value::as_str).unwrap_or_default().to_owned();
    let read = match kind.as_str() {
        "text" => Some(ResponseFormat::Text),
        "json_object" => Some(ResponseFormat::JsonObject),
        "json_schema" => format.take_object("json_schema").and_then(|mut schema| {
            let Some(body) = schema.take("schema") else {
                format.put_back("json_schema", schema.into_value());
                return None;
            };
            let name = schema.take_string("name");
            let strict = schema.take("strict").and_then(|strict| strict.as_bool());
            opaque.extend(schema.rest(DIALECT, "/response_format/json_schema"));
            Some(ResponseFormat::JsonSchema { name, schema: body, strict })
        }),
        _ => None,
    };
    if read.is_some() {
        format.take("type");
        opaque.extend(format.rest(DIALECT, "/response_format"));
    } else {
        fields.put_back("response_format", format.into_value());
    }
    read
}

// === Writing ===

/// Writes a request for `model`. Usage is asked for on every stream, whether or not the client did.
///
/// # Errors
/// The request holds something that this dialect cannot say.
pub fn encode_request(request: &Request, model: &str, notes: &mut Vec<Note>) -> Result<Value, EncodeError> {
    request.check_opaque(DIALECT)?;
    let list = |items: Vec<Value>| if items.is_empty() { None } else { Some(items) };
    let mut body = Object::new()
        .with("model", model)
        .with("messages", encode_messages(&request.messages, notes)?)
        .with_some("max_completion_tokens", request.parameters.max_output_tokens)
        .with_some("temperature", request.parameters.temperature)
        .with_some("top_p", request.parameters.top_p)
        .with_some("top_k", request.parameters.top_k)
        .with_some("stop", list(request.parameters.stop.iter().map(|text| text.as_str().into()).collect()))
        .with_some("seed", request.parameters.seed)
        .with_some("presence_penalty", request.parameters.presence_penalty)
        .with_some("frequency_penalty", request.parameters.frequency_penalty)
        .with_some("n", request.parameters.choices)
        .with_some("tools", list(request.tools.iter().map(encode_tool).collect()))
        .with_some("tool_choice", request.tool_choice.as_ref().map(encode_tool_choice))
        .with_some("parallel_tool_calls", request.parallel_tool_calls)
        .with_some("response_format", request.response_format.as_ref().map(encode_response_format))
        .with_some("user", request.user.as_deref());
    if request.stream {
        body = body.with("stream", true).with("stream_options", json!({"include_usage": true}));
    }
    Ok(body.with_opaque(DIALECT, &request.opaque).into())
}

fn encode_tool(tool: &Tool) -> Value {
    let (name, description, parameters, strict, opaque) = match tool {
        Tool::Opaque(opaque) => return opaque.raw.clone(),
        Tool::Function { name, description, parameters, strict, opaque } => {
            (name, description, parameters, strict, opaque)
        }
    };
    let function = Object::new()
        .with("name", name.as_str())
        .with_some("description", description.as_deref())
        .with_some("parameters", parameters.clone())
        .with_some("strict", *strict);
    Object::new().with("type", "function").with("function", function).with_opaque(DIALECT, opaque).into()
}

fn encode_tool_choice(choice: &ToolChoice) -> Value {
    match choice {
        ToolChoice::Auto => "auto".into(),
        ToolChoice::None => "none".into(),
        ToolChoice::Required => "required".into(),
        ToolChoice::Function(name) => json!({"type": "function", "function": {"name": name}}),
    }
}

fn encode_response_format(format: &ResponseFormat) -> Value {
    match format {
        ResponseFormat::Text => json!({"type": "text"}),
        ResponseFormat::JsonObject => json!({"type": "json_object"}),
        ResponseFormat::JsonSchema { name, schema, strict } => {
            // The API wants a name; it is a label for the model only.
            let body = Object::new()
                .with("name", name.as_deref().unwrap_or("answer"))
                .with("schema", schema.clone())
                .with_some("strict", *strict);
            let body = Value::from(body);
            json!({"type": "json_schema", "json_schema": body})
        }
    }
}
