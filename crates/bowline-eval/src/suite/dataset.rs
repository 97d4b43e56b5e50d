//! Files of cases: YAML, JSON, JSON lines and CSV.

use bowline_prompt::yaml::{self, Node, Value};
use bowline_prompt::{Diagnostic, Position, Span};
use serde_json::Map;
use serde_json::value::RawValue;

use super::cases::Cases;
use super::context::Context;
use super::draft::read_draft;
use super::files::{At, extension, is_code};
use super::refuse::{unsupported, user_code};
use super::{json, resolve, rows};

/// Datasets that other services keep, by the beginning of their address.
const SERVICES: [&str; 5] = ["huggingface://", "langfuse://", "az://", "https://", "http://"];

/// Reads the cases of the files that a reference means, relative to the suite.
pub(super) fn read_dataset(context: &mut Context<'_>, cases: &mut Cases<'_>, at: At<'_>, reference: &str) {
    if let Some(service) = SERVICES.iter().find(|service| reference.starts_with(**service)) {
        context.push(unsupported(at, format!("a dataset from `{service}`")));
        return;
    }
    if is_code(reference) {
        context.push(user_code(at, "a dataset made by a script"));
        return;
    }
    let folder = context.folder.clone();
    let paths = context.files.matching(&folder, reference, at);
    for path in context.take(paths).unwrap_or_default() {
        let read = read_file(context, cases, at, &path);
        context.take(read);
    }
}

fn read_file(context: &mut Context<'_>, cases: &mut Cases<'_>, at: At<'_>, path: &str) -> Result<(), Diagnostic> {
    match extension(path).split('#').next().unwrap_or_default() {
        "yaml" | "yml" => {
            let text = context.files.dataset(path, at)?;
            let large = |error: Diagnostic| error.hint("save a large dataset as JSON lines, one case on each line");
            let root = yaml::parse(path, &text, 0).map_err(large)?;
            let root = resolve::resolve(path, root)?;
            let entries = if root.is_mapping() { std::slice::from_ref(&root) } else { root.items() };
            for entry in entries {
                if let Some(draft) = read_draft(context, path, entry, None) {
                    cases.add(context, path, draft);
                }
            }
            Ok(())
        }
        "json" => {
            let text = context.files.dataset(path, at)?;
            read_json(context, cases, path, &text)
        }
        "jsonl" => {
            let text = context.files.dataset(path, at)?;
            read_lines(context, cases, path, &text);
            Ok(())
        }
        "csv" => {
            let text = context.files.dataset(path, at)?;
            rows::read_rows(context, cases, path, &text)
        }
        "xlsx" | "xls" => Err(unsupported(at, "a dataset in a spreadsheet").hint("save it as CSV")),
        _ => {
            let error = at.error("file", format!("`{path}` is of no type that cases are read from"));
            Err(error.hint("datasets are .yaml, .json, .jsonl and .csv files"))
        }
    }
}

/// One case on each line.
fn read_lines(context: &mut Context<'_>, cases: &mut Cases<'_>, path: &str, text: &str) {
    cases.reserve(text.bytes().filter(|byte| *byte == b'\n').count() + 1);
    for (number, line) in text.lines().enumerate() {
        if context.is_full() {
            return;
        }
        if !line.trim().is_empty() {
            read_row(context, cases, path, line, Position::new(number + 1, 1));
        }
    }
}

/// A list of cases, or one.
fn read_json(context: &mut Context<'_>, cases: &mut Cases<'_>, path: &str, text: &str) -> Result<(), Diagnostic> {
    let wrong = |error: &serde_json::Error| {
        let place = Position::new(error.line(), error.column());
        Diagnostic::error("json", path, format!("not valid JSON: {error}")).at(Span::new(place, place))
    };
    if !text.trim_start().starts_with('[') {
        read_row(context, cases, path, text, Position::new(1, 1));
        return Ok(());
    }
    let rows: Vec<&RawValue> = serde_json::from_str(text).map_err(|error| wrong(&error))?;
    cases.reserve(rows.len());
    let (mut line, mut from) = (1, 0);
    for row in rows {
        if context.is_full() {
            return Ok(());
        }
        // A row is borrowed from the text: how far it is from its beginning says on which line it stands.
        let offset = row.get().as_ptr().addr().saturating_sub(text.as_ptr().addr());
        let between = text.get(from..offset).unwrap_or_default();
        line += between.bytes().filter(|byte| *byte == b'\n').count();
        from = offset;
        read_row(context, cases, path, row.get(), Position::new(line, 1));
    }
    Ok(())
}

fn read_row(context: &mut Context<'_>, cases: &mut Cases<'_>, path: &str, text: &str, start: Position) {
    let read = row_node(path, text, start);
    let Some(mut node) = context.take(read) else { return };
    let vars = take_vars(&mut node);
    if let Some(mut draft) = read_draft(context, path, &node, Some(cases.shared())) {
        if let Some(vars) = vars {
            draft.vars = vars;
        }
        cases.add(context, path, draft);
    }
}

/// Takes the variables out of a row where they are a mapping, which is nearly all of it.
fn take_vars(node: &mut Node) -> Option<Map<String, serde_json::Value>> {
    let Value::Mapping(entries) = &mut node.value else { return None };
    let place = entries.iter().position(|(key, value)| key.text == "vars" && value.is_mapping())?;
    match json::into_json(entries.swap_remove(place).1) {
        serde_json::Value::Object(vars) => Some(vars),
        _ => None,
    }
}

fn row_node(path: &str, text: &str, start: Position) -> Result<Node, Diagnostic> {
    let length = text.lines().next().unwrap_or_default().chars().count();
    let span = Span::on_line(start.line, start.column, length);
    json::node(text, span).map_err(|error| {
        let column = if error.line() <= 1 { start.column + error.column().saturating_sub(1) } else { error.column() };
        let place = Position::new(start.line + error.line().saturating_sub(1), column.max(1));
        let message = error.to_string();
        // The place stands beside the message, and not in it again.
        let message = message.rsplit_once(" at line ").map_or(message.as_str(), |(message, _)| message);
        Diagnostic::error("json", path, format!("not valid JSON: {message}")).at(Span::new(place, place))
    })
}
