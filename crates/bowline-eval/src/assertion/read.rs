//! Reads the assertions of a suite.

use std::sync::Arc;

use bowline_prompt::Diagnostic;
use bowline_prompt::yaml::{Node, Value as NodeValue};
use serde_json::{Map, Value};

use super::known::{Known, known};
use super::{Assertion, AssertionNode, AssertionSet, Kind};
use crate::suite::files::{At, SCHEME, extension, is_code, join};
use crate::suite::refuse::{unknown_key, unsupported, user_code, wrong_type};
use crate::suite::{Context, check_template, judge};

const KEYS: [&str; 9] =
    ["type", "value", "threshold", "weight", "metric", "provider", "rubricPrompt", "config", "assert"];
/// Keys of promptfoo whose values are code.
const CODE_KEYS: [&str; 2] = ["transform", "contextTransform"];
/// How a set is called.
const SET: &str = "assert-set";
/// Where the parameters of an assertion's own judge are kept among its options.
pub(crate) const JUDGE_CONFIG: &str = "providerConfig";

/// Reads the value of a key `assert`.
///
/// Assertions of a dataset are `shared` by its rows, and know no place.
pub(crate) fn read_assertions(context: &mut Context<'_>, file: &str, node: &Node, shared: bool) -> Vec<AssertionNode> {
    let NodeValue::Sequence(items) = &node.value else {
        if !node.is_null() {
            context.push(wrong_type(At { file, span: node.span }, "`assert`", "a list of assertions", node.kind()));
        }
        return Vec::new();
    };
    items.iter().filter_map(|item| read_node(context, file, item, shared)).collect()
}

fn read_node(context: &mut Context<'_>, file: &str, node: &Node, shared: bool) -> Option<AssertionNode> {
    if node.get("type").and_then(Node::as_str) != Some(SET) {
        return read_assertion(context, file, node, shared).map(|one| AssertionNode::One(Arc::new(one)));
    }
    for (key, value) in node.entries() {
        let at = At { file, span: key.span };
        match key.text.as_str() {
            "type" | "assert" | "threshold" | "weight" | "metric" => {}
            "config" if value.entries().is_empty() => {}
            "config" => context.push(unsupported(at, "`config` of an `assert-set`")),
            other => context.push(unknown_key(at, other, &["type", "assert", "threshold", "weight", "metric"])),
        }
    }
    let members = node.get("assert").map(|list| (list, list.items())).filter(|(_, items)| !items.is_empty());
    let Some((_, items)) = members else {
        let error = At { file, span: node.span }.error("value", "an `assert-set` has members under `assert`");
        context.push(error.hint("add `assert:` with a list of assertions"));
        return None;
    };
    let mut read = Vec::with_capacity(items.len());
    for item in items {
        if item.get("type").and_then(Node::as_str) == Some(SET) {
            context.push(unsupported(At { file, span: item.span }, "an `assert-set` inside an `assert-set`"));
            continue;
        }
        read.extend(read_assertion(context, file, item, shared).map(Arc::new));
    }
    Some(AssertionNode::Set(Arc::new(AssertionSet {
        members: read,
        threshold: context.number(file, node, "threshold"),
        weight: weight(context, file, node),
        metric: metric(context, file, node),
    })))
}

fn read_assertion(context: &mut Context<'_>, file: &str, node: &Node, shared: bool) -> Option<Assertion> {
    let (kind, negated) = read_kind(context, file, node)?;
    let mut config = Map::new();
    let mut provider = None;
    for (key, value) in node.entries() {
        let at = At { file, span: key.span };
        match key.text.as_str() {
            "type" | "value" | "threshold" | "weight" | "metric" | "rubricPrompt" => {}
            "provider" => {
                if let Some(judge) = judge(context, file, value) {
                    provider = Some(judge.id.into());
                    if !judge.config.is_empty() {
                        config.insert(JUDGE_CONFIG.to_owned(), Value::Object(judge.config));
                    }
                }
            }
            "config" if value.is_mapping() => {
                if let Value::Object(entries) = value.to_json() {
                    config.extend(entries);
                }
            }
            "config" if value.is_null() => {}
            "config" => context.push(wrong_type(At { file, span: value.span }, "`config`", "a mapping", value.kind())),
            key if CODE_KEYS.contains(&key) => context.push(user_code(at, format!("`{key}` of an assertion"))),
            key => context.push(unknown_key(at, key, &KEYS[..8])),
        }
    }
    let mut value = read_value(context, file, node)?;
    if matches!(kind, Kind::ContainsAll | Kind::ContainsAny | Kind::IContainsAll | Kind::IContainsAny)
        && let Value::Array(items) = &mut value
    {
        // What is looked for is text.
        items.iter_mut().filter(|item| item.is_number()).for_each(|item| *item = Value::String(item.to_string()));
    }
    let assertion = Assertion {
        kind,
        negated,
        value,
        threshold: context.number(file, node, "threshold"),
        weight: weight(context, file, node),
        metric: metric(context, file, node),
        provider,
        rubric_prompt: node
            .get("rubricPrompt")
            .and_then(|prompt| read_text_or_file(context, file, prompt))
            .map(Arc::new),
        config: if config.is_empty() { context.nothing() } else { Arc::new(config) },
        file: context.name(file),
        span: (!shared).then_some(node.span),
    };
    let place = node.get("value").map_or(node.span, |value| value.span);
    if let Some(expected) = assertion.missing() {
        let error = At { file, span: place }.error("value", format!("`{}` needs {expected}", assertion.kind.as_str()));
        context.push(error);
        return None;
    }
    Some(assertion)
}

/// Reads `type`, and refuses what is not there.
fn read_kind(context: &mut Context<'_>, file: &str, node: &Node) -> Option<(Kind, bool)> {
    let Some(kind) = node.get("type") else {
        let at = At { file, span: node.span };
        context.push(match node.get("$ref") {
            Some(target) => {
                let error = At { file, span: target.span }.error("reference", "this `$ref` points to nothing");
                error.hint("assertions to refer to stand in `assertionTemplates`: `#/assertionTemplates/NAME`")
            }
            None if node.is_mapping() => at.error("missing-field", "the key `type` of an assertion is missing"),
            None => wrong_type(at, "an assertion", "a mapping with `type`", node.kind()),
        });
        return None;
    };
    let at = At { file, span: kind.span };
    let Some(name) = kind.as_str() else {
        context.push(wrong_type(at, "`type`", "text", kind.kind()));
        return None;
    };
    match known(name) {
        Known::Kind(kind, negated) => Some((kind, negated)),
        Known::Refused(refusal) => {
            context.push(refusal.diagnostic(at, name));
            None
        }
    }
}

/// Reads `value`; a file it refers to takes its place.
fn read_value(context: &mut Context<'_>, file: &str, node: &Node) -> Option<Value> {
    let Some(value) = node.get("value") else { return Some(Value::Null) };
    let read = match &value.value {
        NodeValue::Sequence(items) => {
            let read = items.iter().map(|item| match item.as_str() {
                Some(text) if text.starts_with(SCHEME) => read_text_or_file(context, file, item),
                _ => Some(item.to_json()),
            });
            Value::Array(read.collect::<Option<_>>()?)
        }
        NodeValue::String(_) => read_text_or_file(context, file, value)?,
        _ => return Some(value.to_json()),
    };
    let texts = if let Value::Array(items) = &read { items.as_slice() } else { std::slice::from_ref(&read) };
    for text in texts.iter().filter_map(Value::as_str) {
        check_template(context, At { file, span: value.span }, text);
    }
    Some(read)
}

/// Returns a text or list as it stands, or what stands in the file that it refers to, relative to the suite.
pub(crate) fn read_text_or_file(context: &mut Context<'_>, file: &str, node: &Node) -> Option<Value> {
    let Some(reference) = node.as_str().filter(|text| text.starts_with(SCHEME)) else { return Some(node.to_json()) };
    let at = At { file, span: node.span };
    let read = read_file_value(context, reference, at);
    context.take(read)
}

/// Returns what stands in the file that `reference` means, relative to the suite.
pub(crate) fn read_file_value(context: &mut Context<'_>, reference: &str, at: At<'_>) -> Result<Value, Diagnostic> {
    if is_code(reference) {
        return Err(user_code(at, format!("the script `{reference}`")));
    }
    let path = join(&context.folder, reference, at)?;
    Ok(match extension(&path).as_str() {
        "json" | "yaml" | "yml" => context.files.node(&path, at)?.to_json(),
        "txt" | "md" | "j2" => Value::String(context.files.text(&path, at)?.trim().to_owned()),
        _ => {
            let error = at.error("file", format!("`{path}` is of no type that can stand here"));
            return Err(error.hint("use a .txt, .md, .j2, .json or .yaml file"));
        }
    })
}

fn weight(context: &mut Context<'_>, file: &str, node: &Node) -> f64 {
    let weight = context.number(file, node, "weight").unwrap_or(1.0);
    if weight < 0.0 {
        let span = node.get("weight").map_or(node.span, |weight| weight.span);
        context.push(At { file, span }.error("value", "a weight is 0 or more"));
    }
    weight
}

fn metric(context: &mut Context<'_>, file: &str, node: &Node) -> Option<Arc<str>> {
    context.text(file, node, "metric").map(Arc::from)
}

// === impl Assertion ===

impl Assertion {
    /// Returns what this assertion needs and has not; `None` where nothing is missing.
    pub(crate) fn missing(&self) -> Option<&'static str> {
        let value = &self.value;
        let text = |value: &Value| value.is_string() || value.is_number();
        let texts = |value: &Value| value.as_array().is_some_and(|items| !items.is_empty() && items.iter().all(text));
        let filled = |value: &Value| value.as_str().is_some_and(|text| !text.is_empty());
        match self.kind {
            Kind::Equals => value.is_null().then_some("a `value`"),
            Kind::Contains | Kind::IContains | Kind::StartsWith | Kind::Regex => {
                (!text(value)).then_some("a `value` that is text")
            }
            Kind::Levenshtein | Kind::RougeN | Kind::Factuality | Kind::FinishReason | Kind::Cel => {
                (!text(value)).then_some("a `value` that is text")
            }
            Kind::ContainsAll | Kind::ContainsAny | Kind::IContainsAll | Kind::IContainsAny => {
                (!texts(value) && !filled(value)).then_some("a `value` that is a list of texts")
            }
            Kind::Bleu | Kind::Similar => {
                (!texts(value) && !text(value)).then_some("a `value` that is text or a list of texts")
            }
            Kind::IsJson | Kind::ContainsJson => {
                let fits = value.is_null() || value.is_object() || value.is_string() || value.is_boolean();
                (!fits).then_some("a `value` that is a JSON Schema, or none")
            }
            Kind::IsXml | Kind::ContainsXml => {
                let fits = value.is_null() || value.is_object() || value.is_string() || texts(value);
                (!fits).then_some("a `value` with the required elements, or none")
            }
            Kind::IsSql | Kind::ContainsSql => {
                let fits = value.is_null() || value.is_object() || value.as_str() == Some("");
                (!fits).then_some("a `value` with `databaseType`, `allowedTables` and `allowedColumns`, or none")
            }
            Kind::WordCount => {
                let range = ["min", "max"].iter().any(|key| value.get(key).is_some_and(Value::is_number));
                (!range && !text(value)).then_some("a `value` that is a number, or has `min` or `max`")
            }
            Kind::LlmRubric => {
                (value.is_null() && self.rubric_prompt.is_none()).then_some("a `value` that says what is wanted")
            }
            Kind::Cost => self.threshold.is_none().then_some("a `threshold`, in USD"),
            Kind::Latency => self.threshold.is_none().then_some("a `threshold`, in milliseconds"),
            Kind::IsRefusal | Kind::IsValidOpenAiToolsCall | Kind::Perplexity | Kind::PerplexityScore => None,
        }
    }
}
