//! `is-json` and `contains-json`, and JSON inside of text.

use bowline_prompt::yaml;
use serde_json::Value;

use super::schema::{Fit, Schema};
use super::verdict;
use crate::assertion::Kind;
use crate::subject::{Grade, Subject};

/// The longest object that is looked for in a text, in bytes.
const OBJECT_BYTES_MAX: usize = 100_000;

/// The most bytes that are read in looking for objects in one text: braces without partners make every one of them be read again.
const SCAN_BYTES_MAX: usize = 4 * 1024 * 1024;

/// `is-json`.
pub(super) struct IsJson(Option<Schema>);

// === impl IsJson ===

impl IsJson {
    pub(super) fn new(value: &Value) -> Result<Self, String> {
        Schema::of_value(value, Kind::IsJson.as_str()).map(Self)
    }

    pub(super) fn grade(&self, subject: &Subject, negated: bool) -> Result<Grade, String> {
        let Ok(json) = serde_json::from_str::<Value>(&subject.text) else {
            return Ok(verdict(false, negated, || "expected the answer to be JSON".to_owned()));
        };
        let Self(Some(schema)) = self else {
            return Ok(verdict(true, negated, || "expected the answer not to be JSON".to_owned()));
        };
        Ok(match schema.check(&json)? {
            Fit::Fits => verdict(true, negated, || "the answer is JSON that fits the schema".to_owned()),
            Fit::Violates(how) => verdict(false, negated, || format!("the JSON does not fit the schema: {how}")),
        })
    }
}

/// `contains-json`.
pub(super) struct ContainsJson(Option<Schema>);

// === impl ContainsJson ===

impl ContainsJson {
    pub(super) fn new(value: &Value) -> Result<Self, String> {
        Schema::of_value(value, Kind::ContainsJson.as_str()).map(Self)
    }

    pub(super) fn grade(&self, subject: &Subject, negated: bool) -> Result<Grade, String> {
        let objects = objects(&subject.text)?;
        if objects.is_empty() {
            return Ok(verdict(false, negated, || "expected the answer to contain a JSON object".to_owned()));
        }
        let Self(Some(schema)) = self else {
            return Ok(verdict(true, negated, || "expected the answer not to contain a JSON object".to_owned()));
        };
        let mut violations = String::new();
        for object in &objects {
            match schema.check(object)? {
                Fit::Fits => {
                    return Ok(verdict(true, negated, || "the answer contains JSON that fits the schema".to_owned()));
                }
                Fit::Violates(how) => violations = how,
            }
        }
        Ok(verdict(false, negated, || format!("the JSON does not fit the schema: {violations}")))
    }
}

/// Returns the objects in a text, outermost first, as lenient as models are careless: JSON, or what YAML reads in braces (comments,
/// other quotes, none, commas at the end). An object that is cut off at the end of the text is closed.
///
/// # Errors
/// Says that the text has too many braces without partners.
pub(super) fn objects(text: &str) -> Result<Vec<Value>, String> {
    let bytes = text.as_bytes();
    let (mut objects, mut at, mut scanned) = (Vec::new(), 0, 0);
    while let Some(start) = text.get(at..).and_then(|rest| rest.find('{')).map(|offset| at + offset) {
        let most = bytes.len().min(start + OBJECT_BYTES_MAX);
        let (mut depth, mut end) = (1_usize, start + 1);
        while depth > 0 && end < most {
            match bytes.get(end) {
                Some(b'{') => depth += 1,
                Some(b'}') => depth -= 1,
                _ => {}
            }
            end += 1;
        }
        scanned += end - start;
        if scanned > SCAN_BYTES_MAX {
            return Err("the answer has too many opening braces to look for JSON in it".to_owned());
        }
        let end = text.floor_char_boundary(end);
        // A brace at the very end opens nothing.
        let object = text.get(start..end).filter(|found| found.len() > 1).and_then(|found| object(found, depth));
        at = if object.is_some() { end } else { start + 1 };
        objects.extend(object);
    }
    Ok(objects)
}

/// Reads an object of which `open` braces are not closed.
fn object(text: &str, open: usize) -> Option<Value> {
    /// Nothing that a parser accepts is nested deeper.
    const OPEN_MAX: usize = 128;
    let closed;
    let text = match open {
        0 => text,
        1..=OPEN_MAX => {
            closed = format!("{text}{}", "}".repeat(open));
            &closed
        }
        _ => return None,
    };
    if let Ok(value) = serde_json::from_str::<Value>(text) {
        return Some(value);
    }
    let read = |text: &str| yaml::parse("the answer", text, 0).ok().map(|node| node.to_json());
    read(text).or_else(|| read(&without_comments(text))).filter(Value::is_object)
}

/// Drops comments after `//`, which models write into JSON, outside of quotes and of addresses.
fn without_comments(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        let (mut quote, mut before, mut end) = (None, ' ', line.len());
        for (at, character) in line.char_indices() {
            match (quote, character) {
                (None, '"') => quote = Some('"'),
                (None, '\'') if !before.is_ascii_alphabetic() => quote = Some('\''),
                (Some(open), _) if character == open && before != '\\' => quote = None,
                (None, '/') if before == '/' => {
                    let token = line.get(..at).and_then(|head| head.rsplit(char::is_whitespace).next()).unwrap_or("");
                    if !token.contains(":/") {
                        end = at - 1;
                        break;
                    }
                }
                _ => {}
            }
            before = character;
        }
        out.push_str(line.get(..end).unwrap_or(line));
        if end < line.len() {
            out.push('\n');
        }
    }
    out
}
