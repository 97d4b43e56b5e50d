//! Variables with lists and files become the variables of several cases.

use std::collections::HashMap;

use bowline_prompt::Diagnostic;
use bowline_prompt::yaml;
use serde_json::{Map, Value};

use super::context::Context;
use super::files::{At, SCHEME, extension, is_code};
use super::refuse::{unsupported, user_code};

/// Files that are no text.
const BINARY: [&str; 18] = [
    "pdf", "png", "jpg", "jpeg", "gif", "bmp", "webp", "svg", "mp3", "wav", "ogg", "mp4", "webm", "avi", "mov", "mkv",
    "xlsx", "docx",
];

/// Texts of files that stand for variables.
#[derive(Default)]
pub(super) struct VarFiles {
    known: HashMap<String, Value>,
}

/// Returns every combination of the values that the variables list, the last variable changing fastest.
///
/// A list of texts lists values, any other list is one value: so does promptfoo. A text `file://…` stands for the text of the file,
/// or lists the files that it matches. `lists` says whether lists list values (`disableVarExpansion`). At most `cases_max` come back.
pub(super) fn expand(
    context: &mut Context<'_>,
    files: &mut VarFiles,
    at: At<'_>,
    vars: Map<String, Value>,
    lists: bool,
    cases_max: usize,
) -> Result<Vec<Map<String, Value>>, Diagnostic> {
    if !vars.values().any(|value| is_listing(value, lists)) {
        return Ok(vec![vars]);
    }
    let mut combinations = vec![Map::with_capacity(vars.len())];
    for (name, value) in vars {
        let mut values = match value {
            Value::Array(items) if lists && items.first().is_some_and(Value::is_string) => items,
            value => vec![value],
        };
        if values.iter().any(is_reference) {
            let mut read = Vec::with_capacity(values.len());
            for value in values {
                match value.as_str().filter(|text| text.starts_with(SCHEME)) {
                    Some(reference) => read.extend(files.values(context, at, reference)?),
                    None => read.push(value),
                }
            }
            values = read;
        }
        let Some((last, rest)) = values.split_last() else { continue };
        if combinations.len().saturating_mul(values.len()) > cases_max {
            return Err(at.error("cases", format!("the lists of variables give more than {cases_max} cases")));
        }
        let mut next = Vec::with_capacity(combinations.len() * values.len());
        for mut combination in combinations {
            for value in rest {
                let mut combination = combination.clone();
                combination.insert(name.clone(), value.clone());
                next.push(combination);
            }
            combination.insert(name.clone(), last.clone());
            next.push(combination);
        }
        combinations = next;
    }
    Ok(combinations)
}

fn is_reference(value: &Value) -> bool {
    value.as_str().is_some_and(|text| text.starts_with(SCHEME))
}

fn is_listing(value: &Value, lists: bool) -> bool {
    match value {
        Value::Array(items) => lists && items.first().is_some_and(Value::is_string),
        value => is_reference(value),
    }
}

// === impl VarFiles ===

impl VarFiles {
    /// Returns what a reference stands for: the text of one file, or of each that it matches.
    fn values(&mut self, context: &mut Context<'_>, at: At<'_>, reference: &str) -> Result<Vec<Value>, Diagnostic> {
        if is_code(reference) {
            return Err(user_code(at, "a variable made by a script"));
        }
        let folder = context.folder.clone();
        let paths = context.files.matching(&folder, reference, at)?;
        paths.into_iter().map(|path| self.value(context, at, path)).collect()
    }

    fn value(&mut self, context: &mut Context<'_>, at: At<'_>, path: String) -> Result<Value, Diagnostic> {
        if let Some(known) = self.known.get(&path) {
            return Ok(known.clone());
        }
        let extension = extension(&path);
        if BINARY.contains(&extension.as_str()) {
            return Err(unsupported(at, format!("a variable from a file such as `.{extension}`")));
        }
        let text = context.files.dataset(&path, at)?;
        let text = match extension.as_str() {
            // promptfoo gives the JSON of a YAML file, and the text of any other one.
            "yaml" | "yml" => yaml::parse(&path, &text, 0)?.to_json().to_string(),
            _ => text.trim().to_owned(),
        };
        let value = Value::String(text);
        self.known.insert(path, value.clone());
        Ok(value)
    }
}
