//! Templates of suites: promptfoo's subset of Nunjucks.
//!
//! What is not there is empty, `{{ x.y.z }}` included. `null` prints nothing, a list prints its items with commas, as JavaScript
//! does; an object is an error, where Nunjucks would print `[object Object]`. Templates see the variables of their case and nothing
//! else: not the environment of the process, nor earlier answers.
//!
//! Source: <https://mozilla.github.io/nunjucks/templating.html>, read 2026-11-25.

mod engine;
mod prompt;
mod rewrite;
#[cfg(test)]
mod tests;

use serde_json::{Map, Value};

pub use prompt::{PromptMessage, render_prompt};

/// Why a template gives no text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// It is not a template.
    #[error("line {line} of the template: {reason}")]
    Syntax {
        /// The line of the template, from 1.
        line: usize,
        /// What is wrong.
        reason: String,
    },
    /// It asks for something that is not there yet, such as a filter of Nunjucks.
    #[error("line {line} of the template: {reason}")]
    Unsupported {
        /// The line of the template, from 1.
        line: usize,
        /// What is asked for.
        reason: String,
    },
    /// It asks for the environment of the process.
    #[error("the template reads the environment (`env`), which suites do not see")]
    Environment,
    /// It asks for earlier answers.
    #[error("the template asks for earlier answers (`_conversation`), which is not there yet")]
    Conversation,
    /// These variables do not fit it.
    #[error("line {line} of the template: {reason}")]
    Render {
        /// The line of the template, from 1.
        line: usize,
        /// What went wrong.
        reason: String,
    },
    /// It is rendered to what looks like messages and is none.
    #[error("the rendered prompt is no list of messages: {0}")]
    Messages(String),
}

/// Renders `template` over the variables of a case.
///
/// # Errors
/// When it is no template, or these variables do not fit it.
pub fn render(template: &str, vars: &Map<String, Value>) -> Result<String, TemplateError> {
    if !has_tags(template) {
        return Ok(template.to_owned());
    }
    engine::render(template, &engine::scope(vars))
}

/// Renders every text in `value` over the variables of a case.
///
/// # Errors
/// Those of [`render`].
pub fn render_value(value: &Value, vars: &Map<String, Value>) -> Result<Value, TemplateError> {
    engine::render_value(value, &engine::scope(vars))
}

/// Checks `template` as far as that goes without variables.
///
/// # Errors
/// When it is no template, or asks for what templates do not have.
pub fn check(template: &str) -> Result<(), TemplateError> {
    if has_tags(template) { engine::check(template) } else { Ok(()) }
}

/// Puts variables into the variables that refer to them, and takes the last line end off each, as promptfoo does before rendering.
///
/// A variable that refers to itself, also through others, is left after a few rounds.
#[must_use]
pub fn resolve(mut vars: Map<String, Value>) -> Map<String, Value> {
    /// How often references of references are followed, as in promptfoo.
    const ROUNDS_MAX: usize = 5;
    for value in vars.values_mut() {
        if let Value::String(text) = value
            && text.ends_with('\n')
        {
            text.pop();
        }
    }
    for _ in 0..ROUNDS_MAX {
        if !vars.values().any(|value| value.as_str().is_some_and(|text| text.contains("{{"))) {
            break;
        }
        let mut changed = false;
        let names: Vec<String> = vars.keys().cloned().collect();
        for name in names {
            let Some(Value::String(text)) = vars.get(&name) else { continue };
            let Some((place, other)) = reference(text) else { continue };
            let Some(value) = vars.get(other) else { continue };
            let Ok(value) = engine::text_of(value) else { continue };
            let mut text = text.clone();
            text.replace_range(place, &value);
            vars.insert(name, Value::String(text));
            changed = true;
        }
        if !changed {
            break;
        }
    }
    vars
}

/// Returns where the first plain `{{ name }}` stands in `text`, and its name.
fn reference(text: &str) -> Option<(std::ops::Range<usize>, &str)> {
    let mut from = 0;
    while let Some(start) = text.get(from..)?.find("{{").map(|at| from + at) {
        let inside = text.get(start + 2..)?;
        let end = inside.find("}}")?;
        let name = inside.get(..end)?.trim();
        if !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
            return Some((start..start + 2 + end + 2, name));
        }
        from = start + 2;
    }
    None
}

fn has_tags(text: &str) -> bool {
    text.contains("{{") || text.contains("{%") || text.contains("{#")
}
