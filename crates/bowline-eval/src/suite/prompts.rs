//! The prompts of a suite.

use bowline_prompt::Diagnostic;
use bowline_prompt::yaml::{Node, Value as NodeValue};
use bowline_types::PromptName;
use serde_json::Value;

use super::Prompt;
use super::context::{Context, check_template, check_templates};
use super::files::{At, SCHEME, extension, is_code};
use super::refuse::{unknown_key, unsupported, user_code, wrong_type};
use super::table::Table;

/// How a prompt of the project is named.
const PROJECT: &str = "prompt:";
/// What separates prompts of a text file.
const SEPARATOR: &str = "---";
/// Prompts that other services keep.
const SERVICES: [&str; 3] = ["langfuse://", "portkey://", "helicone://"];
/// Files that promptfoo takes for prompts also without `file://`.
const EXTENSIONS: [&str; 8] = ["csv", "j2", "json", "jsonl", "md", "txt", "yaml", "yml"];
/// How much of a prompt stands in its label.
const LABEL_CHARS_MAX: usize = 60;

/// A prompt, and what tests and models may call it.
pub(super) struct Named {
    pub(super) prompt: Prompt,
    names: Vec<String>,
}

/// Reads the value of `prompts`.
pub(super) fn read_prompts(context: &mut Context<'_>, file: &str, node: Option<&Node>, root: &Node) -> Vec<Named> {
    let mut prompts = Vec::new();
    let entries: Vec<&Node> = match node.map(|node| (&node.value, node)) {
        None | Some((NodeValue::Null, _)) => {
            // What promptfoo takes where nothing is said.
            let names = vec!["{{prompt}}".to_owned()];
            let prompt = Prompt::Inline { label: "{{prompt}}".to_owned(), template: "{{prompt}}".to_owned() };
            return vec![Named { prompt, names }];
        }
        Some((NodeValue::Sequence(items), _)) => items.iter().collect(),
        Some((NodeValue::Mapping(entries), node)) if node.get("raw").is_none() && node.get("id").is_none() => {
            // The old form: what the prompt is, and its label.
            for (key, label) in entries {
                let at = At { file, span: key.span };
                read_entry(context, at, &key.text, label.as_str(), None, &mut prompts);
            }
            Vec::new()
        }
        Some((_, node)) => vec![node],
    };
    for entry in entries {
        let at = At { file, span: entry.span };
        match &entry.value {
            NodeValue::String(text) => read_entry(context, at, text, None, None, &mut prompts),
            NodeValue::Mapping(_) => read_mapping(context, file, entry, &mut prompts),
            _ => context.push(wrong_type(at, "a prompt", "text, or a mapping with `raw` or `id`", entry.kind())),
        }
    }
    if prompts.is_empty() && node.is_some_and(|node| node.items().is_empty() && !node.is_mapping()) {
        let span = node.map_or(root.span, |node| node.span);
        let error = At { file, span }.error("value", "a suite tests at least one prompt");
        context.push(error.hint("name a prompt of the project, such as `prompt:support/classify`"));
    }
    prompts
}

fn read_mapping(context: &mut Context<'_>, file: &str, entry: &Node, prompts: &mut Vec<Named>) {
    for (key, value) in entry.entries() {
        let at = At { file, span: key.span };
        match key.text.as_str() {
            "raw" | "id" | "label" => {}
            // What older files call the label.
            "display" => {}
            "config" if value.entries().is_empty() => {}
            "config" => context.push(unsupported(at, "`config` of a prompt")),
            other => context.push(unknown_key(at, other, &["id", "label", "raw"])),
        }
    }
    let label = context.text(file, entry, "label").or_else(|| context.text(file, entry, "display"));
    let id = context.text(file, entry, "id");
    let (Some(raw), Some(place)) =
        (context.text(file, entry, "raw").or_else(|| id.clone()), entry.get("raw").or_else(|| entry.get("id")))
    else {
        let error = At { file, span: entry.span }.error("missing-field", "a prompt has `raw` or `id`");
        context.push(error.hint("`raw` is its text, `id` may be `prompt:NAME` or a `file://`"));
        return;
    };
    read_entry(context, At { file, span: place.span }, &raw, label.as_deref(), id.as_deref(), prompts);
}

fn read_entry(
    context: &mut Context<'_>,
    at: At<'_>,
    raw: &str,
    label: Option<&str>,
    id: Option<&str>,
    prompts: &mut Vec<Named>,
) {
    if let Some(name) = raw.strip_prefix(PROJECT) {
        match name.parse::<PromptName>() {
            Ok(name) => {
                let names = [Some(raw), Some(name.as_str()), label, id];
                let names = names.into_iter().flatten().map(str::to_owned).collect();
                prompts.push(Named { prompt: Prompt::Project(name), names });
            }
            Err(error) => context.push(at.error("name", error.to_string()).hint("write `prompt:NAME`")),
        }
        return;
    }
    if let Some(service) = SERVICES.iter().find(|service| raw.starts_with(**service)) {
        context.push(unsupported(at, format!("a prompt from `{service}`")));
        return;
    }
    if raw.starts_with("exec:") || (is_code(raw) && !raw.contains(char::is_whitespace)) {
        context.push(user_code(at, "a prompt made by a script"));
        return;
    }
    if is_file(raw) {
        let files = context.files.matching(&context.folder.clone(), raw, at);
        let Some(files) = context.take(files) else { return };
        let several = files.len() > 1;
        for path in files {
            let label = label.map(|label| if several { format!("{label}: {path}") } else { label.to_owned() });
            let read = read_file(context, at, &path, label.as_deref(), id, prompts);
            context.take(read);
        }
        return;
    }
    check(context, at, raw);
    prompts.push(inline(raw, label.unwrap_or(raw), [label, id, Some(raw)]));
}

/// Text with white space is a prompt, whatever it ends with.
fn is_file(raw: &str) -> bool {
    raw.starts_with(SCHEME)
        || (!raw.contains(char::is_whitespace) && !raw.contains("{{") && EXTENSIONS.contains(&extension(raw).as_str()))
}

fn inline<const N: usize>(template: &str, label: &str, names: [Option<&str>; N]) -> Named {
    let names = names.into_iter().flatten().map(str::to_owned).collect();
    Named { prompt: Prompt::Inline { label: short(label), template: template.to_owned() }, names }
}

/// Returns the beginning of a label on one line.
fn short(label: &str) -> String {
    let line = label.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.chars().count() <= LABEL_CHARS_MAX {
        return line;
    }
    line.chars().take(LABEL_CHARS_MAX - 1).chain(['…']).collect()
}

fn read_file(
    context: &mut Context<'_>,
    at: At<'_>,
    path: &str,
    label: Option<&str>,
    id: Option<&str>,
    prompts: &mut Vec<Named>,
) -> Result<(), Diagnostic> {
    let templates: Vec<(String, Option<String>)> = match extension(path).as_str() {
        "txt" => split(&context.files.text(path, at)?).into_iter().map(|text| (text, None)).collect(),
        "md" | "j2" => vec![(context.files.text(path, at)?, None)],
        "json" => vec![(json(context, at, path)?, None)],
        "jsonl" => {
            let text = context.files.text(path, at)?;
            text.lines().filter(|line| !line.trim().is_empty()).map(|line| (line.to_owned(), None)).collect()
        }
        "yaml" | "yml" => vec![(context.files.node(path, at)?.to_json().to_string(), None)],
        "csv" => table(&context.files.text(path, at)?, path)?,
        "prompt" => {
            let error = at.error("file", "a prompt of the project is named, not read from its file");
            return Err(error.hint("write `prompt:NAME`; its file is `prompts/NAME.prompt`"));
        }
        _ => return Err(unsupported(at, format!("a prompt in a file such as `{path}`"))),
    };
    if templates.is_empty() {
        return Err(at.error("value", format!("`{path}` holds no prompt")));
    }
    let several = templates.len() > 1;
    for (number, (template, own)) in templates.iter().enumerate() {
        check(context, at, template);
        let name = own.as_deref().or(label).unwrap_or(path);
        let shown = if several && own.is_none() { format!("{name} #{}", number + 1) } else { name.to_owned() };
        prompts.push(inline(template, &shown, [Some(&shown), label, id, Some(path)]));
    }
    Ok(())
}

/// Checks the templates of a prompt: of its texts where it is JSON, else of the whole.
fn check(context: &mut Context<'_>, at: At<'_>, template: &str) {
    match serde_json::from_str::<Value>(template) {
        Ok(value) => check_templates(context, at, &value),
        Err(_) => check_template(context, at, template),
    }
}

/// Splits a text file at its lines `---`.
fn split(text: &str) -> Vec<String> {
    let mut prompts = vec![String::new()];
    for line in text.lines() {
        match prompts.last_mut() {
            Some(prompt) if line.trim() != SEPARATOR => {
                prompt.push_str(line);
                prompt.push('\n');
            }
            _ => prompts.push(String::new()),
        }
    }
    prompts.into_iter().map(|prompt| prompt.trim().to_owned()).filter(|prompt| !prompt.is_empty()).collect()
}

/// A JSON prompt, as compact as promptfoo writes it; texts in it that refer to files are replaced by what stands there.
fn json(context: &mut Context<'_>, at: At<'_>, path: &str) -> Result<String, Diagnostic> {
    let text = context.files.text(path, at)?;
    let Ok(mut value) = serde_json::from_str::<Value>(&text) else { return Ok(text) };
    super::models::replace_files(context, at, &mut value)?;
    Ok(value.to_string())
}

/// Prompts in a column `prompt`, or one on each line.
fn table(text: &str, path: &str) -> Result<Vec<(String, Option<String>)>, Diagnostic> {
    let lines = || {
        let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty()).peekable();
        lines.next_if(|line| line.eq_ignore_ascii_case("prompt"));
        lines.map(|line| (line.to_owned(), None)).collect()
    };
    if !text.contains(',') {
        return Ok(lines());
    }
    let mut table = Table::new(path, text)?;
    let column = |name: &str, table: &Table<'_>| table.header().iter().position(|header| header == name);
    let (Some(prompt), label) = (column("prompt", &table), column("label", &table)) else { return Ok(lines()) };
    let mut prompts = Vec::new();
    while let Some((_, row)) = table.next_row()? {
        let cell = |column: usize| row.get(column).map(str::trim).filter(|cell| !cell.is_empty());
        if let Some(prompt) = cell(prompt) {
            prompts.push((prompt.to_owned(), label.and_then(cell).map(str::to_owned)));
        }
    }
    Ok(prompts)
}

// === impl Named ===

impl Named {
    /// Returns whether `reference` means this prompt: its label or id, the beginning of one before a colon, or before a `*`.
    pub(super) fn is_meant_by(&self, reference: &str) -> bool {
        is_meant(&self.names, reference)
    }
}

/// Returns whether `reference` means something that has these names.
pub(super) fn is_meant(names: &[String], reference: &str) -> bool {
    names.iter().any(|name| match reference.strip_suffix('*') {
        Some(prefix) => name.starts_with(prefix),
        None => name.strip_prefix(reference).is_some_and(|rest| rest.is_empty() || rest.starts_with(':')),
    })
}
