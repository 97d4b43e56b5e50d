use std::collections::BTreeMap;

use anyhow::Context;
use bowline_prompt::{CheckedPrompt, CompiledTemplate, InputSchema, Message, Missing, Part, RenderInput};
use bowline_types::{Clock, InstanceId, SystemClock};
use serde_json::{Map, Value, json};

use super::find;
use crate::cli::{Global, PromptRender};
use crate::failure::{Failure, Result};
use crate::output::{Format, json, line};
use crate::project;
use crate::style::{Paint, Style};
use crate::variables;

/// Prints the messages that a prompt becomes.
///
/// # Errors
/// There is no such prompt, or the variables are not those it takes.
pub(crate) fn run(global: &Global, render: &PromptRender) -> Result<()> {
    let loaded = project::load(global.dir.as_deref())?;
    let prompt = find(&loaded, &render.prompt)?;
    let given = variables::read(&render.variables, prompt.version.input.schema.as_ref())?;
    let messages = messages(prompt, &given)?;
    match global.output {
        Format::Json => json(&messages),
        Format::Text => {
            print(&messages, Style::of_stdout());
            Ok(())
        }
    }
}

fn messages(prompt: &CheckedPrompt, given: &Map<String, Value>) -> Result<Vec<Message>> {
    let version = &prompt.version;
    check(prompt, given)?;
    let partials: BTreeMap<String, String> = version.partials.clone();
    let template =
        CompiledTemplate::compile(&version.body, &partials, Missing::Empty).context("the prompt does not compile")?;
    let input = RenderInput {
        variables: given,
        defaults: &version.input.default,
        context: &Map::new(),
        history: &[],
        // Random enough that nobody who wrote a variable could know it.
        nonce: InstanceId::generate(SystemClock.now()).uuid().as_u128(),
    };
    Ok(template.render(&input).with_context(|| format!("the prompt `{}` does not render", prompt.name))?)
}

/// Refuses variables that the prompt does not take, all of them at once.
fn check(prompt: &CheckedPrompt, given: &Map<String, Value>) -> Result<()> {
    // A prompt without an input schema takes no variables.
    let schema = prompt.version.input.schema.clone();
    let schema = schema.unwrap_or_else(|| json!({"type": "object", "properties": {}, "additionalProperties": false}));
    let schema = InputSchema::new(schema, prompt.version.input.default.clone()).context("the input schema is none")?;
    let Err(errors) = schema.validate(given) else { return Ok(()) };
    let errors = errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n  ");
    let hint = "hint: `--var NAME=VALUE` gives a variable; `bowline prompt list` shows which there are";
    Err(Failure::user(format!("the variables do not fit `{}`\n  {errors}\n{hint}", prompt.name)))
}

fn print(messages: &[Message], style: Style) {
    for (index, message) in messages.iter().enumerate() {
        if index > 0 {
            line("");
        }
        line(style.paint(Paint::Bold, &format!("[{}]", message.role.name())));
        message.content.iter().map(words).for_each(line);
    }
}

fn words(part: &Part) -> String {
    match part {
        Part::Text { text, .. } => text.trim_matches('\n').to_owned(),
        Part::Media { media, .. } => format!("({} {})", media.content_type.as_deref().unwrap_or("media"), media.url),
        Part::ToolRequest { tool_request, .. } => format!("({} called with {})", tool_request.name, tool_request.input),
        Part::ToolResponse { tool_response, .. } => {
            format!("({} answered {})", tool_response.name, tool_response.output)
        }
        Part::Pending { metadata } => format!("(left open: {})", Value::Object(metadata.clone())),
    }
}
