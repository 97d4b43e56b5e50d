//! The schemas of a prompt, and the defaults of its variables.

use serde_json::{Map, Value as Json, json};

use crate::diagnostic::Diagnostic;
use crate::input_schema::{InputSchema, SchemaError, compile_schema};
use crate::picoschema::{self, Resolver};
use crate::prompt::ParsedPrompt;
use crate::yaml::Node;

/// Checks every schema of `prompt` and returns the one of its variables, or an error if that one is wrong.
pub(super) fn check(
    prompt: &ParsedPrompt,
    named: &Resolver<'_>,
    found: &mut Vec<Diagnostic>,
) -> Result<Option<Json>, ()> {
    let tools = prompt.tool_definitions.iter().flat_map(|tool| [&tool.input_schema, &tool.output_schema]);
    for schema in tools.chain([&prompt.output.schema]).flatten() {
        // An error is told; nothing else needs these schemas here.
        let _told = checked(&prompt.file, schema, named, found);
    }
    let Some(node) = &prompt.input.schema else { return Ok(None) };
    let Some(schema) = checked(&prompt.file, node, named, found)? else { return Ok(None) };
    if !describes_object(&schema) {
        let error = Diagnostic::error("schema", &prompt.file, "the input schema must describe named variables");
        found.push(error.at(node.span).hint("write one line per variable, such as `ticket: string`"));
        return Err(());
    }
    check_defaults(prompt, &schema, found);
    Ok(Some(schema))
}

/// Compiles one schema; an error is told.
fn checked(file: &str, node: &Node, named: &Resolver<'_>, found: &mut Vec<Diagnostic>) -> Result<Option<Json>, ()> {
    let schema = picoschema::compile(file, node, named).map_err(|error| found.push(error))?;
    let Some(schema) = schema else { return Ok(None) };
    match compile_schema(&schema) {
        Ok(_) => Ok(Some(schema)),
        Err(SchemaError { pointer, message }) => {
            let message = format!("this is not JSON Schema: {message}");
            found.push(Diagnostic::error("schema", file, message).at(at_pointer(node, &pointer).span));
            Err(())
        }
    }
}

fn describes_object(schema: &Json) -> bool {
    match schema.get("type") {
        None => true,
        Some(Json::Array(kinds)) => kinds.contains(&json!("object")),
        Some(kind) => kind == "object",
    }
}

/// Returns the node at a JSON pointer, or the innermost one on the way that is written here.
fn at_pointer<'n>(node: &'n Node, pointer: &str) -> &'n Node {
    let mut at = node;
    for step in pointer.split('/').skip(1) {
        let step = step.replace("~1", "/").replace("~0", "~");
        let inner = at.get(&step).or_else(|| at.items().get(step.parse::<usize>().ok()?));
        let Some(inner) = inner else { break };
        at = inner;
    }
    at
}

/// A default is a declared variable and a value of it.
fn check_defaults(prompt: &ParsedPrompt, schema: &Json, found: &mut Vec<Diagnostic>) {
    let Some(defaults) = &prompt.input.default else { return };
    // Defaults alone need not be complete.
    let mut partial = schema.clone();
    if let Some(object) = partial.as_object_mut() {
        object.remove("required");
    }
    let Ok(validator) = InputSchema::new(partial, Map::new()) else { return };
    let values = Map::from_iter(defaults.entries().iter().map(|(key, value)| (key.text.clone(), value.to_json())));
    for error in validator.validate(&values).err().unwrap_or_default() {
        let span = defaults.entry(&error.variable).map_or(defaults.span, |(key, _)| key.span);
        let message = format!("the default of `{}` {}", error.variable, error.message);
        found.push(Diagnostic::error("default", &prompt.file, message).at(span));
    }
}
