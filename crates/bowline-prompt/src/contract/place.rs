//! Finds the place of a part of a schema in the front matter.

use super::Step;
use crate::diagnostic::Span;
use crate::picoschema;
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
    let key = picoschema::property_key(schema, name)?;
    let written_out = schema.get("properties").filter(|properties| properties.is_mapping());
    written_out.unwrap_or(schema).entry(&key.text)
}

fn name_span(key: &Key, name: &str) -> Span {
    let quoted = key.span.end.column.saturating_sub(key.span.start.column) > key.text.chars().count();
    if quoted || key.text == name {
        return key.span;
    }
    Span::on_line(key.span.start.line, key.span.start.column, name.chars().count())
}
