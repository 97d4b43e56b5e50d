//! From an inline prompt to messages.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{TemplateError, engine, has_tags, resolve};

/// A message of a rendered inline prompt.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PromptMessage {
    /// `system`, `user`, `assistant` or another role, as the prompt says.
    pub role: String,
    /// Text, or a list of parts as the prompt has them.
    #[serde(default)]
    pub content: Value,
    /// What else the message has, such as `tool_calls`.
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

/// Renders an inline prompt over the variables of a case, with the `prefix` and `suffix` of its options around it.
///
/// A prompt that is a JSON list of messages, or is rendered to one (in JSON, or in YAML that begins with `- role:`), gives those
/// messages; any other one is a message of the user. In a JSON prompt every text is rendered by itself, so that quotes in variables
/// cannot break it.
///
/// # Errors
/// When it is no template, when these variables do not fit it, or when what looks like messages is none.
pub fn render_prompt(
    template: &str,
    prefix: &str,
    suffix: &str,
    vars: Map<String, Value>,
) -> Result<Vec<PromptMessage>, TemplateError> {
    let template = format!("{prefix}{template}{suffix}");
    let vars = resolve(vars);
    let scope = engine::scope(&vars);
    if looks_like_json(&template)
        && let Ok(value) = serde_json::from_str::<Value>(&template)
    {
        let value = engine::render_value(&value, &scope)?;
        return messages(&value, || value.to_string());
    }
    let scope = if vars.values().any(|value| value.as_str().is_some_and(has_tags)) {
        let rendered = vars.iter().map(|(name, value)| {
            // A variable that does not render by itself stays as it is: it may be text about templates.
            let text = value.as_str().filter(|text| has_tags(text));
            let text = text.and_then(|text| engine::render(text, &scope).ok()).map(Value::String);
            (name.clone(), text.unwrap_or_else(|| value.clone()))
        });
        engine::scope(&rendered.collect())
    } else {
        scope
    };
    let text = engine::render(&template, &scope)?;
    let trimmed = text.trim();
    if trimmed.starts_with("- role:") {
        let node =
            bowline_prompt::yaml::parse("prompt", &text, 0).map_err(|error| TemplateError::Messages(error.message))?;
        return messages(&node.to_json(), || text.clone());
    }
    if looks_like_json(trimmed) {
        let value = serde_json::from_str(trimmed)
            .map_err(|error| TemplateError::Messages(format!("it looks like JSON, but {error}")))?;
        return messages(&value, || text.clone());
    }
    Ok(vec![user(text)])
}

fn user(text: String) -> PromptMessage {
    PromptMessage { role: "user".to_owned(), content: Value::String(text), rest: Map::new() }
}

/// A list in which something has a `role` is a list of messages; any other JSON is a text like another.
fn messages(value: &Value, text: impl FnOnce() -> String) -> Result<Vec<PromptMessage>, TemplateError> {
    let Some(items) = value.as_array().filter(|items| items.iter().any(|item| item.get("role").is_some())) else {
        return Ok(vec![user(text())]);
    };
    let message = |item: &Value| PromptMessage::deserialize(item);
    items.iter().map(message).collect::<Result<_, _>>().map_err(|error| TemplateError::Messages(error.to_string()))
}

/// As promptfoo decides it: `[INST] …` is text, `[{"role": …}]` is JSON.
fn looks_like_json(text: &str) -> bool {
    let text = text.trim();
    if text.starts_with('{') {
        // `{{variable}}` is a template.
        return text.ends_with('}') && !text.starts_with("{{") && !text.starts_with("{%");
    }
    let Some(inside) = text.strip_prefix('[').filter(|_| text.ends_with(']')) else { return false };
    let inside = inside.trim_start();
    let starts = |word: &str| inside.starts_with(word);
    inside == "]"
        || ["\"", "{", "[", "-", "true", "false", "null"].into_iter().any(starts)
        || inside.starts_with(|c: char| c.is_ascii_digit())
}
