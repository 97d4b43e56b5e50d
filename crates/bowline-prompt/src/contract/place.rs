//! Finds the place of a part of a schema in the front matter.

use super::Step;
use crate::diagnostic::Span;
use crate::prompt::ParsedPrompt;
use crate::yaml::{Key, Node};

/// Returns the place of `path` in the schema of `section` (`input` or `output`), or of the nearest thing above it.
pub(super) fn of(prompt: &ParsedPrompt, section: &str, path: &[Step]) -> Span {
    let start = prompt.body_start;
    let Some((key, node)) = prompt.raw.entry(section) else { return Span::new(start, start) };
    let Some((schema_key, schema)) = node.entry("schema") else { return key.span };
    let (mut span, mut node) = (schema_key.span, Some(schema));
    for step in path {
        let Some(inner) = node else { break };
        match step {
            Step::Property(name) => match property(inner, name) {
                Some((key, value)) => {
                    span = name_span(key, name);
                    node = Some(value);
                }
                None => break,
            },
            // In Picoschema, the items of `name(array): …` stand where the array does.
            Step::Items => node = inner.get("items").or(Some(inner)),
        }
    }
    span
}

fn property<'a>(schema: &'a Node, name: &str) -> Option<(&'a Key, &'a Node)> {
    let json_schema = schema.get("properties").filter(|properties| properties.is_mapping());
    match json_schema.and_then(|properties| properties.entry(name)) {
        Some(found) => Some(found),
        None => schema.entries().iter().find(|(key, _)| written_name(key) == name).map(|(key, value)| (key, value)),
    }
}

/// Returns the name in a key of Picoschema: `name?(array, …)`.
fn written_name(key: &Key) -> &str {
    let name = key.text.split_once('(').map_or(key.text.as_str(), |(name, _)| name);
    name.strip_suffix('?').unwrap_or(name)
}

fn name_span(key: &Key, name: &str) -> Span {
    let quoted = key.span.end.column.saturating_sub(key.span.start.column) > key.text.chars().count();
    if quoted || key.text == name {
        return key.span;
    }
    Span::on_line(key.span.start.line, key.span.start.column, name.chars().count())
}
