//! What counts as the same request: each dialect has several ways to say one thing, and the encoders write one of them.

use bowline_chat::Dialect;
use serde_json::{Map, Value, json};

/// Returns a request in the one form that is compared. In every dialect `null` is the same as nothing, `1` as `1.0`, and
/// `stream: false` as no `stream`.
pub(super) fn request(dialect: Dialect, mut body: Value) -> Value {
    if let Value::Object(fields) = &mut body {
        if fields.get("stream") == Some(&Value::Bool(false)) {
            fields.shift_remove("stream");
        }
        match dialect {
            Dialect::OpenAiChat => openai(fields),
            Dialect::AnthropicMessages => anthropic(fields),
            Dialect::Gemini => gemini(fields),
        }
    }
    plain(body)
}

/// Leaves out `null` and writes every number as a float.
fn plain(value: Value) -> Value {
    match value {
        Value::Object(fields) => {
            let said = fields.into_iter().filter(|(_, value)| !value.is_null());
            said.map(|(key, value)| (key, plain(value))).collect::<Map<_, _>>().into()
        }
        Value::Array(items) => items.into_iter().map(plain).collect(),
        Value::Number(number) => number.as_f64().map_or(Value::Number(number), Value::from),
        other => other,
    }
}

fn rename(fields: &mut Map<String, Value>, from: &str, to: &str) {
    if let Some(value) = fields.shift_remove(from) {
        fields.insert(to.to_owned(), value);
    }
}

/// A text and a list of one text are the same content.
fn content_list(fields: &mut Map<String, Value>, key: &str) {
    if let Some(Value::String(text)) = fields.get(key) {
        let list = json!([{"type": "text", "text": text}]);
        fields.insert(key.to_owned(), list);
    }
}

fn without_empty(fields: &mut Map<String, Value>, key: &str) {
    if fields.get(key) == Some(&json!([])) {
        fields.shift_remove(key);
    }
}

fn objects<'a>(fields: &'a mut Map<String, Value>, key: &str) -> impl Iterator<Item = &'a mut Map<String, Value>> {
    let items = fields.get_mut(key).and_then(Value::as_array_mut);
    items.map_or(&mut [][..], Vec::as_mut_slice).iter_mut().filter_map(Value::as_object_mut)
}

/// `max_tokens` is the older name of `max_completion_tokens`; usage is asked for on every stream; one stop text may stand
/// alone; `type: function` goes without saying; the number of a tool call is its place; empty lists say nothing.
fn openai(fields: &mut Map<String, Value>) {
    without_empty(fields, "tools");
    if !fields.contains_key("max_completion_tokens") {
        rename(fields, "max_tokens", "max_completion_tokens");
    }
    fields.shift_remove("stream_options");
    if let Some(Value::String(text)) = fields.get("stop") {
        let list = json!([text]);
        fields.insert("stop".to_owned(), list);
    }
    let function = |object: &mut Map<String, Value>| {
        if object.contains_key("function") {
            object.insert("type".to_owned(), "function".into());
        }
    };
    objects(fields, "tools").for_each(function);
    if let Some(Value::Object(choice)) = fields.get_mut("tool_choice") {
        function(choice);
    }
    for message in objects(fields, "messages") {
        content_list(message, "content");
        for key in ["content", "tool_calls", "annotations"] {
            without_empty(message, key);
        }
        for call in objects(message, "tool_calls") {
            call.shift_remove("index");
            function(call);
        }
    }
}

/// A tool call by the model itself needs no `caller`; calls in parallel are what no field says too.
fn anthropic(fields: &mut Map<String, Value>) {
    content_list(fields, "system");
    for message in objects(fields, "messages") {
        content_list(message, "content");
        for block in objects(message, "content") {
            if block.get("type").is_some_and(|kind| kind == "tool_result") {
                content_list(block, "content");
            }
            if block.get("caller") == Some(&json!({"type": "direct"})) {
                block.shift_remove("caller");
            }
        }
    }
    if let Some(Value::Object(choice)) = fields.get_mut("tool_choice")
        && choice.get("disable_parallel_tool_use") == Some(&Value::Bool(false))
    {
        choice.shift_remove("disable_parallel_tool_use");
    }
}

/// Keys may be in `snake_case`; functions may be spread over several tools; a content without role is the user's; the role of
/// the instruction says nothing.
fn gemini(fields: &mut Map<String, Value>) {
    camel_case(fields);
    let mut functions = Vec::new();
    let mut tools = Vec::new();
    for mut tool in fields.shift_remove("tools").and_then(|tools| tools.as_array().cloned()).unwrap_or_default() {
        if let Some(Value::Array(more)) =
            tool.as_object_mut().and_then(|tool| tool.shift_remove("functionDeclarations"))
        {
            functions.extend(more);
        }
        if tool.as_object().is_some_and(|tool| !tool.is_empty()) {
            tools.push(tool);
        }
    }
    fields.insert("tools".to_owned(), json!({"functions": functions, "others": tools}));
    if let Some(Value::Object(instruction)) = fields.get_mut("systemInstruction") {
        instruction.shift_remove("role");
    }
    for content in objects(fields, "contents") {
        content.entry("role").or_insert_with(|| "user".into());
    }
    if fields.get("generationConfig") == Some(&json!({})) {
        fields.shift_remove("generationConfig");
    }
}

/// Renames keys to `camelCase`, save within what the application wrote itself: arguments, results and schemas.
fn camel_case(fields: &mut Map<String, Value>) {
    const OWN: [&str; 6] =
        ["args", "response", "parametersJsonSchema", "parameters", "responseJsonSchema", "responseSchema"];
    *fields = std::mem::take(fields)
        .into_iter()
        .map(|(key, mut value)| {
            let mut words = key.split('_');
            let mut name = words.next().unwrap_or_default().to_owned();
            for word in words {
                let mut letters = word.chars();
                name.extend(letters.next().map(|first| first.to_ascii_uppercase()));
                name.push_str(letters.as_str());
            }
            if !OWN.contains(&name.as_str()) {
                within(&mut value);
            }
            (name, value)
        })
        .collect();
}

fn within(value: &mut Value) {
    match value {
        Value::Object(fields) => camel_case(fields),
        Value::Array(items) => items.iter_mut().for_each(within),
        _ => {}
    }
}
