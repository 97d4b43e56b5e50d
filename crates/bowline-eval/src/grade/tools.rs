//! `is-valid-openai-tools-call`.

use serde_json::Value;

use super::schema::{Fit, Schema};
use super::verdict;
use crate::subject::{Grade, Subject, ToolCall};

/// `offered` are tools in OpenAI's form, `{type: function, function: {name, parameters}}`.
///
/// Unlike promptfoo 0.121, which ignores it here, `not-` turns the verdict around.
pub(super) fn grade(subject: &Subject, offered: &[Value], negated: bool) -> Result<Grade, String> {
    if subject.tool_calls.is_empty() {
        return Ok(verdict(false, negated, || "the answer calls no tool".to_owned()));
    }
    for call in &subject.tool_calls {
        if let Some(fault) = fault(call, offered)? {
            return Ok(verdict(false, negated, || fault));
        }
    }
    Ok(verdict(true, negated, || "every call of a tool in the answer is valid".to_owned()))
}

/// Says what is wrong with a call, `None` where nothing is.
fn fault(call: &ToolCall, offered: &[Value]) -> Result<Option<String>, String> {
    let name = &call.name;
    let functions = offered.iter().filter(|tool| tool.get("type").and_then(Value::as_str) == Some("function"));
    let mut functions = functions.filter_map(|tool| tool.get("function"));
    let function = functions.find(|function| function.get("name").and_then(Value::as_str) == Some(name));
    let Some(parameters) = function.and_then(|function| function.get("parameters")) else {
        return Ok(Some(format!("the answer calls `{name}`, and no tool of that name was offered")));
    };
    let arguments: Value = match serde_json::from_str(&call.arguments) {
        Ok(arguments) => arguments,
        Err(error) => return Ok(Some(format!("the arguments of the call of `{name}` are no JSON: {error}"))),
    };
    let schema = Schema::of_tool(parameters).map_err(|reason| format!("the tool `{name}`: {reason}"))?;
    Ok(match schema.check(&arguments)? {
        Fit::Fits => None,
        Fit::Violates(how) => Some(format!("the arguments of the call of `{name}` do not fit: {how}")),
    })
}
