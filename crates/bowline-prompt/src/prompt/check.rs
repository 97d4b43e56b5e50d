//! Strict checks of one prompt.

mod schemas;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value as Json;

use super::front_matter::unknown_key;
use super::{ParsedPrompt, PromptFile};
use crate::diagnostic::{Diagnostic, Position, Span};
use crate::picoschema::{self, Resolver};
use crate::template::analyse::{Declared, Sheet, analyse};
use crate::template::tag::TagError;
use crate::template::{CompileError, Partial, Unit, closure};
use crate::yaml::Node;

/// The keys of the front matter that have a meaning.
const KNOWN: [&str; 11] = [
    "name",
    "variant",
    "version",
    "description",
    "model",
    "tools",
    "toolDefs",
    "config",
    "input",
    "output",
    "metadata",
];

/// What a prompt is checked against.
pub struct CheckContext<'a> {
    /// The partials of the project by name.
    pub partials: &'a BTreeMap<String, Partial>,
    /// Finds schemas that prompts refer to by name.
    pub schemas: &'a Resolver<'a>,
}

/// Returns everything that is wrong with `prompt` by itself and with the partials it includes.
///
/// What a project defines beside it, such as models and tools, is not looked at.
#[must_use]
pub fn check_prompt(prompt: &ParsedPrompt, context: &CheckContext<'_>) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    check_names(prompt, &mut found);
    for (key, _) in prompt.raw.entries() {
        if !key.text.contains('.') && !KNOWN.contains(&key.text.as_str()) {
            let error = unknown_key(&prompt.file, key, "the front matter", &KNOWN);
            found.push(error.hint("fields of your own go into a namespace, such as `acme.team`"));
        }
    }
    let input = schemas::check(prompt, context.schemas, &mut found);
    let unit = match Unit::parse(&prompt.body) {
        Ok(unit) => unit,
        Err(error) => {
            let sheet = Sheet { file: &prompt.file, source: &prompt.body, start: prompt.body_start, steps: &[] };
            found.push(syntax(sheet, &error));
            return found;
        }
    };
    // An input schema that is wrong says nothing about the variables.
    if let Ok(schema) = input {
        check_template(prompt, &unit, schema.as_ref(), context, &mut found);
    }
    found
}

/// Returns everything that is wrong with a partial by itself.
#[must_use]
pub fn check_partial(partial: &Partial) -> Vec<Diagnostic> {
    let (file, source) = (partial.file(), partial.source());
    let mut found = Vec::new();
    let mut lines = source.lines().skip_while(|line| line.trim().is_empty());
    if lines.next().is_some_and(|line| line.trim_end() == "---") && lines.any(|line| line.trim_end() == "---") {
        let line = source.lines().take_while(|line| line.trim().is_empty()).count() + 1;
        let error = Diagnostic::error("front-matter", file, "a partial has no front matter");
        let error = error.at(Span::on_line(line, 1, 3)).label("this would be printed");
        found.push(error.hint("the prompts that include it declare its variables; describe it in `{{!-- … --}}`"));
    }
    let sheet = Sheet { file, source, start: Position::new(1, 1), steps: &[] };
    found.extend(partial.steps().err().map(|error| syntax(sheet, error)));
    found
}

/// A prompt is called by its path; a name in the file that says otherwise misleads.
fn check_names(prompt: &ParsedPrompt, found: &mut Vec<Diagnostic>) {
    let Some(file) = PromptFile::from_path(&prompt.file) else { return };
    let last = file.name.rsplit('/').next().unwrap_or(&file.name);
    if let Some(name) = prompt.name.as_ref().filter(|name| name.value != file.name && name.value != last) {
        let message = format!("the name `{}` is not that of the file, `{}`", name.value, file.name);
        found
            .push(Diagnostic::error("name", &prompt.file, message).at(name.span).hint("remove it, or rename the file"));
    }
    let stated = prompt.variant.as_ref();
    if let Some(variant) = stated.filter(|variant| Some(&variant.value) != file.variant.as_ref()) {
        let message = format!("the variant `{}` is not that of the file", variant.value);
        let hint = format!("name the file `{last}.{}.prompt`, or remove the line", variant.value);
        found.push(Diagnostic::error("name", &prompt.file, message).at(variant.span).hint(hint));
    }
}

fn check_template(
    prompt: &ParsedPrompt,
    unit: &Unit,
    schema: Option<&Json>,
    context: &CheckContext<'_>,
    found: &mut Vec<Diagnostic>,
) {
    let defaults: BTreeSet<String> = prompt.defaults().into_iter().map(|(name, _)| name).collect();
    let sheet = Sheet { file: &prompt.file, source: &prompt.body, start: prompt.body_start, steps: &unit.steps };
    let findings = analyse(sheet, Declared { schema, defaults: &defaults, partials: context.partials });
    if findings.diagnostics.is_empty() {
        // The compiler is stricter about partials that are defined twice inline; what is accepted here compiles.
        let refused = closure(unit, &|name| context.partials.get(name).map(Partial::source)).err();
        // That a partial is no template is told in its own file.
        let refused = refused.filter(|error| !matches!(error, CompileError::Syntax { partial: Some(_), .. }));
        found.extend(refused.map(|error| Diagnostic::error("partial", &prompt.file, error.to_string())));
    }
    found.extend(findings.diagnostics);
    if findings.all_used {
        return;
    }
    let required = schema.and_then(|schema| schema.get("required")).and_then(Json::as_array);
    for name in required.into_iter().flatten().filter_map(Json::as_str).filter(|name| !findings.used.contains(*name)) {
        let message = format!("the required input `{name}` is never used");
        let mut error = Diagnostic::error("unused-input", &prompt.file, message).label("not in the template");
        let declared = prompt.input.schema.as_ref();
        error.span = declared.and_then(|schema| property_span(schema, name)).or(declared.map(|schema| schema.span));
        let hint = format!("print it as `{{{{{name}}}}}`, make it optional (`{name}?`), or remove it");
        found.push(error.hint(hint));
    }
}

/// Returns where the property `name` is declared.
fn property_span(schema: &Node, name: &str) -> Option<Span> {
    let span = picoschema::property_key(schema, name)?.span;
    let length = name.chars().count();
    // Only the name of `name?(array, …)`.
    Some(Span::on_line(span.start.line, span.start.column, length))
}

fn syntax(sheet: Sheet<'_>, error: &TagError) -> Diagnostic {
    let TagError { range, message, hint } = error;
    let error = Diagnostic::error("template", sheet.file, message).at(sheet.span(range.clone()));
    hint.iter().fold(error, |error, hint| error.hint(hint.clone()))
}
