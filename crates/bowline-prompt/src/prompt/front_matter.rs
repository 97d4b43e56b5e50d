//! Splits a file into front matter and body, and reads the known keys.

use super::{Extension, InputSection, OutputSection, ParsedPrompt, Spanned, ToolDefinition};
use crate::diagnostic::{Diagnostic, Position, Span};
use crate::yaml::{Key, Node, Value};

/// The line that opens and closes the front matter.
const FENCE: &str = "---";

pub(super) struct Split {
    pub(super) front_matter: String,
    /// The line of the file on which the front matter starts.
    pub(super) front_matter_line: usize,
    pub(super) body: String,
    pub(super) body_start: Position,
}

/// Splits `text`. Blank lines and `#` comments may stand before the front matter, for a licence.
///
/// Without front matter the whole text is the body as it stands; with it, the body is trimmed. Line ends become `\n`,
/// so that a prompt renders the same wherever it was checked out.
pub(super) fn split(file: &str, text: &str) -> Result<Split, Diagnostic> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text).replace("\r\n", "\n");
    let mut lines = text.split_inclusive('\n').enumerate();
    let mut offset = 0;
    let opening = loop {
        let Some((index, line)) = lines.next() else { break None };
        offset += line.len();
        let trimmed = line.trim_end();
        if trimmed == FENCE {
            break Some((index, offset));
        }
        if !trimmed.trim_start().is_empty() && !line.starts_with('#') {
            break None;
        }
    };
    let Some((opening_index, front_start)) = opening else {
        return Ok(Split {
            front_matter: String::new(),
            front_matter_line: 1,
            body: text,
            body_start: Position::new(1, 1),
        });
    };
    for (_, line) in lines {
        let front_end = offset;
        offset += line.len();
        if line.trim_end() == FENCE {
            let rest = text.get(offset..).unwrap_or_default();
            let body = rest.trim_start();
            let body_offset = text.len() - body.len();
            return Ok(Split {
                front_matter: text.get(front_start..front_end).unwrap_or_default().to_owned(),
                front_matter_line: opening_index + 2,
                body: body.trim_end().to_owned(),
                body_start: Position::of_offset(&text, body_offset),
            });
        }
    }
    Err(Diagnostic::error("front-matter", file, "the front matter is not closed")
        .at(Span::on_line(opening_index + 1, 1, FENCE.len()))
        .label("opened here")
        .hint("put a line `---` between the front matter and the template"))
}

/// Reads the known keys of `raw`.
pub(super) fn read(file: &str, raw: Node, body: String, body_start: Position) -> Result<ParsedPrompt, Vec<Diagnostic>> {
    if !raw.is_mapping() && !raw.is_null() {
        let message = format!("the front matter must be keys and values, not {}", raw.kind());
        return Err(vec![Diagnostic::error("front-matter", file, message).at(raw.span)]);
    }
    let mut reader = Reader { file, found: Vec::new() };
    let mut prompt = empty(file, body, body_start, raw.span);
    for (key, value) in raw.entries() {
        match key.text.as_str() {
            "name" => prompt.name = reader.text(key, value),
            "variant" => prompt.variant = reader.text(key, value),
            "version" => prompt.version = reader.text(key, value),
            "description" => prompt.description = reader.text(key, value),
            "model" => prompt.model = reader.text(key, value),
            "tools" => prompt.tools = reader.texts(key, value),
            "toolDefs" => prompt.tool_definitions = reader.tool_definitions(key, value),
            "config" => prompt.config = reader.mapping(key, value),
            "metadata" => prompt.metadata = reader.mapping(key, value),
            "input" => prompt.input = reader.input(key, value),
            "output" => prompt.output = reader.output(key, value),
            dotted => {
                if let Some((namespace, field)) = dotted.rsplit_once('.') {
                    prompt.extensions.push(Extension {
                        namespace: namespace.to_owned(),
                        field: field.to_owned(),
                        key: key.clone(),
                        value: value.clone(),
                    });
                }
            }
        }
    }
    prompt.raw = raw;
    if reader.found.is_empty() { Ok(prompt) } else { Err(reader.found) }
}

fn empty(file: &str, body: String, body_start: Position, span: Span) -> ParsedPrompt {
    ParsedPrompt {
        file: file.to_owned(),
        name: None,
        variant: None,
        version: None,
        description: None,
        model: None,
        tools: Vec::new(),
        tool_definitions: Vec::new(),
        config: None,
        input: InputSection::default(),
        output: OutputSection::default(),
        metadata: None,
        extensions: Vec::new(),
        raw: Node { value: Value::Null, span },
        body,
        body_start,
    }
}

struct Reader<'a> {
    file: &'a str,
    found: Vec<Diagnostic>,
}

// === impl Reader ===

impl Reader<'_> {
    fn wrong(&mut self, key: &Key, value: &Node, expected: &str) {
        let message = format!("`{}` must be {expected}, not {}", key.text, value.kind());
        self.found.push(Diagnostic::error("front-matter", self.file, message).at(value.span));
    }

    /// Text, or a number that is meant as text, such as `version: 2`.
    fn text(&mut self, key: &Key, value: &Node) -> Option<Spanned<String>> {
        let text = match &value.value {
            Value::Null => return None,
            Value::String(text) => text.clone(),
            Value::Integer(number) => number.to_string(),
            Value::Float(number) => number.to_string(),
            Value::Bool(_) | Value::Sequence(_) | Value::Mapping(_) => {
                self.wrong(key, value, "text");
                return None;
            }
        };
        Some(Spanned { value: text, span: value.span })
    }

    fn texts(&mut self, key: &Key, value: &Node) -> Vec<Spanned<String>> {
        match &value.value {
            Value::Null => Vec::new(),
            Value::Sequence(items) => items.iter().filter_map(|item| self.text(key, item)).collect(),
            _ => {
                self.wrong(key, value, "a list of names");
                Vec::new()
            }
        }
    }

    fn mapping(&mut self, key: &Key, value: &Node) -> Option<Node> {
        match &value.value {
            Value::Null => None,
            Value::Mapping(_) => Some(value.clone()),
            _ => {
                self.wrong(key, value, "keys and values");
                None
            }
        }
    }

    fn section(&mut self, key: &Key, value: &Node, known: &'static [&'static str]) -> Option<Node> {
        let section = self.mapping(key, value)?;
        for (inner, _) in section.entries() {
            if !known.contains(&inner.text.as_str()) {
                self.found.push(unknown_key(self.file, inner, &key.text, known));
            }
        }
        Some(section)
    }

    fn input(&mut self, key: &Key, value: &Node) -> InputSection {
        let Some(section) = self.section(key, value, &["default", "schema"]) else { return InputSection::default() };
        let default = section.entry("default").and_then(|(key, value)| self.mapping(key, value));
        InputSection { default, schema: schema(&section, "schema") }
    }

    fn output(&mut self, key: &Key, value: &Node) -> OutputSection {
        let Some(section) = self.section(key, value, &["format", "schema"]) else { return OutputSection::default() };
        let format = section.entry("format").and_then(|(key, value)| self.text(key, value));
        OutputSection { format, schema: schema(&section, "schema") }
    }

    fn tool_definitions(&mut self, key: &Key, value: &Node) -> Vec<ToolDefinition> {
        match &value.value {
            Value::Null => Vec::new(),
            Value::Sequence(items) => items.iter().filter_map(|item| self.tool_definition(key, item)).collect(),
            _ => {
                self.wrong(key, value, "a list of tools");
                Vec::new()
            }
        }
    }

    fn tool_definition(&mut self, key: &Key, value: &Node) -> Option<ToolDefinition> {
        let known = &["name", "description", "inputSchema", "outputSchema"];
        let section = self.section(key, value, known)?;
        let Some(name) = section.entry("name").and_then(|(key, value)| self.text(key, value)) else {
            let missing = Diagnostic::error("front-matter", self.file, "a tool needs a `name`").at(value.span);
            self.found.push(missing);
            return None;
        };
        let description = section.entry("description").and_then(|(key, value)| self.text(key, value));
        Some(ToolDefinition {
            name,
            description: description.map(|text| text.value),
            input_schema: schema(&section, "inputSchema"),
            output_schema: schema(&section, "outputSchema"),
        })
    }
}

fn schema(section: &Node, key: &str) -> Option<Node> {
    section.get(key).filter(|node| !node.is_null()).cloned()
}

/// An error about a key that `place` does not have.
pub(super) fn unknown_key(file: &str, key: &Key, place: &str, known: &[&str]) -> Diagnostic {
    let list = known.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    let near = bowline_types::closest(&key.text, known.iter().copied());
    let hint = near.map_or_else(String::new, |near| format!("did you mean `{near}`? "));
    Diagnostic::error("unknown-field", file, format!("unknown key `{}` in {place}", key.text))
        .at(key.span)
        .label("not known here")
        .hint(format!("{hint}known here: {list}"))
}
