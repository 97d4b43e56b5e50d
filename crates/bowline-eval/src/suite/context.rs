//! What every part of the reader needs: the files, and where to put what is wrong.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use bowline_prompt::yaml::{Node, Value as NodeValue};
use bowline_prompt::{Diagnostic, Diagnostics, Severity, Source};
use serde_json::{Map, Value};

use super::files::{At, Files, folder};
use super::refuse::{ENVIRONMENT, unsupported, wrong_type};
use crate::template::{self, TemplateError};

/// How many errors are told; a dataset may have as many as rows.
const ERRORS_MAX: usize = 50;

/// The state of reading one suite.
pub(crate) struct Context<'a> {
    /// The files around it.
    pub(crate) files: Files<'a>,
    /// The folder of the suite, which paths are relative to.
    pub(crate) folder: String,
    found: Diagnostics,
    untold: usize,
    names: HashMap<String, Arc<str>>,
    nothing: Arc<Map<String, Value>>,
}

// === impl Context ===

impl<'a> Context<'a> {
    pub(super) fn new(source: &'a dyn Source, file: &str) -> Self {
        Self {
            files: Files::new(source),
            folder: folder(file).to_owned(),
            found: Diagnostics::new(),
            untold: 0,
            names: HashMap::new(),
            nothing: Arc::default(),
        }
    }

    /// Adds a finding, as long as there are not too many.
    pub(crate) fn push(&mut self, diagnostic: Diagnostic) {
        let is_told = |finding: &Diagnostic| {
            finding.code == diagnostic.code && finding.file == diagnostic.file && finding.span == diagnostic.span
        };
        if diagnostic.code == ENVIRONMENT && self.found.as_slice().iter().any(is_told) {
            // The file and its templates are searched for it: one place, one error.
            return;
        }
        if diagnostic.severity == Severity::Error && self.found.count(Severity::Error) >= ERRORS_MAX {
            self.untold += 1;
        } else {
            self.found.push(diagnostic);
        }
    }

    /// Adds the error of `result` if it is one, and returns its value otherwise.
    pub(crate) fn take<T>(&mut self, result: Result<T, Diagnostic>) -> Option<T> {
        result.map_err(|diagnostic| self.push(diagnostic)).ok()
    }

    /// Returns whether something is wrong.
    pub(super) fn has_errors(&self) -> bool {
        self.found.has_errors()
    }

    /// Returns whether more errors would only be counted.
    pub(super) const fn is_full(&self) -> bool {
        self.untold > 0
    }

    /// Returns what was found and the files it was found in.
    pub(super) fn finish(mut self, file: &str) -> (Files<'a>, Diagnostics) {
        if self.untold > 0 {
            let message = format!("{ERRORS_MAX} errors are shown, and there are more");
            self.found.push(Diagnostic::error("more", file, message).hint("mend these first"));
        }
        (self.files, hide_secrets(self.found))
    }

    /// Returns the name of a file, shared by what stands in it.
    pub(crate) fn name(&mut self, file: &str) -> Arc<str> {
        if let Some(name) = self.names.get(file) {
            return Arc::clone(name);
        }
        let name: Arc<str> = file.into();
        self.names.insert(file.to_owned(), Arc::clone(&name));
        name
    }

    /// Returns the one empty map.
    pub(crate) fn nothing(&self) -> Arc<Map<String, Value>> {
        Arc::clone(&self.nothing)
    }

    /// Returns the number at `key`, if there is one.
    pub(crate) fn number(&mut self, file: &str, node: &Node, key: &str) -> Option<f64> {
        let value = node.get(key).filter(|value| !value.is_null())?;
        let number = match value.value {
            NodeValue::Integer(number) => Some(number as f64),
            NodeValue::Float(number) => Some(number),
            _ => None,
        };
        if number.is_none() {
            self.push(wrong_type(At { file, span: value.span }, &format!("`{key}`"), "a number", value.kind()));
        }
        number
    }

    /// Returns the whole number at `key`, if there is one, checked to lie within `range`.
    pub(super) fn count(
        &mut self,
        file: &str,
        node: &Node,
        key: &str,
        range: std::ops::RangeInclusive<u32>,
    ) -> Option<u32> {
        let value = node.get(key).filter(|value| !value.is_null())?;
        let count = match value.value {
            NodeValue::Integer(count) => u32::try_from(count).ok().filter(|count| range.contains(count)),
            _ => None,
        };
        if count.is_none() {
            let message = format!("`{key}` is a whole number from {} to {}", range.start(), range.end());
            self.push(At { file, span: value.span }.error("value", message));
        }
        count
    }

    /// Returns the text at `key`, if there is one.
    pub(crate) fn text(&mut self, file: &str, node: &Node, key: &str) -> Option<String> {
        let value = node.get(key).filter(|value| !value.is_null())?;
        match &value.value {
            NodeValue::String(text) => Some(text.clone()),
            NodeValue::Integer(_) | NodeValue::Float(_) | NodeValue::Bool(_) => Some(value.to_json().to_string()),
            _ => {
                self.push(wrong_type(At { file, span: value.span }, &format!("`{key}`"), "text", value.kind()));
                None
            }
        }
    }

    /// Returns the truth value at `key`, if there is one.
    pub(super) fn flag(&mut self, file: &str, node: &Node, key: &str) -> Option<bool> {
        let value = node.get(key).filter(|value| !value.is_null())?;
        match value.value {
            NodeValue::Bool(flag) => Some(flag),
            _ => {
                let what = format!("`{key}`");
                self.push(wrong_type(At { file, span: value.span }, &what, "true or false", value.kind()));
                None
            }
        }
    }

    /// Returns the texts at `key`, if there are some; one alone is a list of one.
    pub(super) fn texts(&mut self, file: &str, node: &Node, key: &str) -> Option<Vec<String>> {
        let value = node.get(key).filter(|value| !value.is_null())?;
        let items = if value.as_str().is_some() { std::slice::from_ref(value) } else { value.items() };
        let texts: Option<Vec<String>> = items.iter().map(|item| item.as_str().map(str::to_owned)).collect();
        if texts.is_none() || (items.is_empty() && !matches!(value.value, NodeValue::Sequence(_))) {
            let what = format!("`{key}`");
            self.push(wrong_type(At { file, span: value.span }, &what, "a list of texts", value.kind()));
            return None;
        }
        texts
    }
}

/// Keeps a line with a secret out of every finding about it.
fn hide_secrets(found: Diagnostics) -> Diagnostics {
    let line = |finding: &Diagnostic| finding.span.map(|span| (finding.file.clone(), span.start.line));
    let hidden: HashSet<_> = found.as_slice().iter().filter(|finding| finding.line_hidden).filter_map(line).collect();
    let hide = |finding: Diagnostic| match line(&finding) {
        Some(place) if hidden.contains(&place) => finding.hide_line(),
        _ => finding,
    };
    found.into_iter().map(hide).collect()
}

/// Checks a template as far as that goes before there are variables.
pub(crate) fn check_template(context: &mut Context<'_>, at: At<'_>, template: &str) {
    if let Err(error) = template::check(template) {
        context.push(match error {
            TemplateError::Environment => {
                let error = at.error(ENVIRONMENT, error.to_string()).label("not seen here");
                error.hint("write the value as a variable; keys and endpoints belong into bowline.yaml")
            }
            TemplateError::Conversation => unsupported(at, "`_conversation` in a template"),
            TemplateError::Unsupported { reason, .. } => {
                unsupported(at, format!("what the template asks for ({reason})"))
            }
            other => at.error("template", other.to_string()),
        });
    }
}

/// Checks every template in `value`.
pub(super) fn check_templates(context: &mut Context<'_>, at: At<'_>, value: &Value) {
    match value {
        Value::String(text) => check_template(context, at, text),
        Value::Array(items) => items.iter().for_each(|item| check_templates(context, at, item)),
        Value::Object(entries) => entries.values().for_each(|item| check_templates(context, at, item)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}
