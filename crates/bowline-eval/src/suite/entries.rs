//! The entries of `tests`, `defaultTest` and `scenarios`, and the files that they stand in.

use bowline_prompt::yaml::{Node, Value as NodeValue};

use super::cases::Cases;
use super::context::Context;
use super::dataset::read_dataset;
use super::draft::{Draft, read_draft};
use super::files::{At, SCHEME, folder, is_code, join};
use super::refuse::{unknown_key, unsupported, user_code, wrong_type};

/// How many cases one scenario may give, its lists of variables not counted.
const SCENARIO_CASES_MAX: usize = 100_000;

/// Reads `defaultTest`, which may stand in a file of its own.
pub(super) fn read_default(context: &mut Context<'_>, file: &str, node: Option<&Node>) -> Draft {
    let Some(node) = node.filter(|node| !node.is_null()) else { return Draft::default() };
    let (path, node) = match entry_of(context, file, node) {
        Some(Entry::Here) => (file.to_owned(), node.clone()),
        Some(Entry::File(path, inner)) => (path, inner),
        None => return Draft::default(),
    };
    if let Some((key, _)) = node.entry("description") {
        let error = At { file: &path, span: key.span }.error("value", "the default of cases has no `description`");
        context.push(error.hint("a comment says it as well"));
    }
    read_draft(context, &path, &node, None).unwrap_or_default()
}

/// Where an entry stands.
enum Entry {
    Here,
    File(String, Node),
}

/// Returns where an entry stands that may be a reference to a file.
fn entry_of(context: &mut Context<'_>, file: &str, node: &Node) -> Option<Entry> {
    let Some(reference) = node.as_str().filter(|text| text.starts_with(SCHEME)) else { return Some(Entry::Here) };
    let at = At { file, span: node.span };
    if is_code(reference) {
        context.push(user_code(at, "a test made by a script"));
        return None;
    }
    let path = join(folder(file), reference, at);
    let path = context.take(path)?;
    let inner = context.files.node(&path, at);
    context.take(inner).map(|inner| Entry::File(path, inner))
}

/// Reads `tests` and `scenarios`.
pub(super) fn read_tests(context: &mut Context<'_>, cases: &mut Cases<'_>, file: &str, root: &Node) {
    let tests = root.get("tests").filter(|node| !node.is_null());
    match tests.map(|node| (&node.value, node)) {
        None => {}
        Some((NodeValue::Sequence(items), _)) => {
            for item in items {
                entry(context, cases, file, item);
            }
        }
        Some((NodeValue::String(_) | NodeValue::Mapping(_), node)) => entry(context, cases, file, node),
        Some((_, node)) => {
            let at = At { file, span: node.span };
            context.push(wrong_type(at, "`tests`", "a list of tests, or the file of a dataset", node.kind()));
        }
    }
    let scenarios = root.get("scenarios").filter(|node| !node.is_null());
    for node in scenarios.map(Node::items).unwrap_or_default() {
        scenario(context, cases, file, node);
    }
    if let Some(node) = scenarios.filter(|node| !matches!(node.value, NodeValue::Sequence(_))) {
        context.push(wrong_type(At { file, span: node.span }, "`scenarios`", "a list", node.kind()));
    }
    if tests.is_none_or(|node| node.items().is_empty() && node.as_str().is_none())
        && scenarios.is_none()
        && cases.len() == 0
    {
        // A suite without tests calls each prompt once.
        cases.add(context, file, Draft::default());
    }
}

/// An entry of `tests`: a case, or the file of a dataset.
fn entry(context: &mut Context<'_>, cases: &mut Cases<'_>, file: &str, node: &Node) {
    let at = At { file, span: node.span };
    if let Some(reference) = node.as_str() {
        read_dataset(context, cases, at, reference);
    } else if let Some(path) = node.get("path") {
        for (key, value) in node.entries() {
            let at = At { file, span: key.span };
            match key.text.as_str() {
                "path" => {}
                "config" if value.entries().is_empty() => {}
                "config" if path.as_str().is_some_and(|path| !is_code(path)) => {
                    context.push(unsupported(at, "`config` of a dataset"));
                }
                "config" => {}
                other => context.push(unknown_key(at, other, &["path", "config"])),
            }
        }
        if let Some(reference) = context.text(file, node, "path") {
            read_dataset(context, cases, At { file, span: path.span }, &reference);
        }
    } else if let Some(draft) = read_draft(context, file, node, None) {
        cases.add(context, file, draft);
    }
}

/// Scenarios in the files that a reference means; each holds one or several.
fn scenario_files(context: &mut Context<'_>, cases: &mut Cases<'_>, at: At<'_>, reference: &str) {
    if is_code(reference) {
        context.push(user_code(at, "a scenario made by a script"));
        return;
    }
    let paths = context.files.matching(folder(at.file), reference, at);
    for path in context.take(paths).unwrap_or_default() {
        let read = context.files.node(&path, at);
        let Some(node) = context.take(read) else { continue };
        let several = if let NodeValue::Sequence(items) = &node.value { items } else { std::slice::from_ref(&node) };
        for node in several {
            if node.as_str().is_some() {
                let at = At { file: &path, span: node.span };
                context.push(wrong_type(at, "a scenario", "a mapping", node.kind()));
            } else {
                scenario(context, cases, &path, node);
            }
        }
    }
}

/// A scenario: every entry of `config` with every entry of `tests`.
fn scenario(context: &mut Context<'_>, cases: &mut Cases<'_>, file: &str, node: &Node) {
    if let Some(reference) = node.as_str() {
        scenario_files(context, cases, At { file, span: node.span }, reference);
        return;
    }
    if !node.is_mapping() {
        context.push(wrong_type(At { file, span: node.span }, "a scenario", "a mapping", node.kind()));
        return;
    }
    for (key, _) in node.entries() {
        if !["description", "config", "tests"].contains(&key.text.as_str()) {
            context.push(unknown_key(At { file, span: key.span }, &key.text, &["description", "config", "tests"]));
        }
    }
    let config = drafts(context, file, node, "config");
    let tests = drafts(context, file, node, "tests");
    if config.len().saturating_mul(tests.len()) > SCENARIO_CASES_MAX {
        let at = At { file, span: node.span };
        context.push(at.error("cases", format!("a scenario gives at most {SCENARIO_CASES_MAX} cases")));
        return;
    }
    for (below_file, below) in &config {
        for (test_file, test) in &tests {
            cases.add(context, if test.span.is_some() { test_file } else { below_file }, below.under(test.clone()));
        }
    }
}

/// Reads the entries of a list of a scenario, which may stand in files; none is one that says nothing.
fn drafts(context: &mut Context<'_>, file: &str, node: &Node, key: &str) -> Vec<(String, Draft)> {
    let Some(list) = node.get(key).filter(|list| !list.is_null()) else {
        return vec![(file.to_owned(), Draft::default())];
    };
    let single = std::slice::from_ref(list);
    let mut drafts = Vec::new();
    for item in if matches!(list.value, NodeValue::Sequence(_)) { list.items() } else { single } {
        let (path, inner) = match entry_of(context, file, item) {
            Some(Entry::Here) => (file.to_owned(), item.clone()),
            Some(Entry::File(path, inner)) => (path, inner),
            None => continue,
        };
        let entries = if let NodeValue::Sequence(items) = &inner.value { items } else { std::slice::from_ref(&inner) };
        for entry in entries {
            drafts.extend(read_draft(context, &path, entry, None).map(|draft| (path.clone(), draft)));
        }
    }
    drafts
}
