//! One entry of `tests`, of `defaultTest` or of a scenario, as it stands in the file.

use std::sync::Arc;

use bowline_prompt::Span;
use bowline_prompt::yaml::{Node, Value as NodeValue};
use bowline_types::closest;
use serde_json::{Map, Value, json};

use super::context::{Context, check_template};
use super::files::{At, SCHEME, folder};
use super::models::judge;
use super::pool::Pools;
use super::refuse::{unknown_key, unsupported, user_code, wrong_type};
use crate::assertion::{AssertionNode, read_assertions, read_text_or_file};

const KEYS: [&str; 8] = ["description", "vars", "assert", "options", "threshold", "metadata", "prompts", "providers"];
/// Options of a case that Bowline knows; any other one is a parameter of the call.
pub(super) const OPTIONS: [&str; 10] = [
    "prefix",
    "suffix",
    "provider",
    "rubricPrompt",
    "factuality",
    "disableVarExpansion",
    "disableDefaultAsserts",
    "disableConversationVar",
    "runSerially",
    "repeat",
];
/// Options whose values are code.
const CODE_OPTIONS: [&str; 3] = ["transform", "transformVars", "postprocess"];
/// What a judge may be asked for, where `options.provider` names several.
const JUDGES: [&str; 4] = ["text", "embedding", "classification", "moderation"];

/// An entry, before the defaults are worked in.
#[derive(Clone, Default)]
pub(super) struct Draft {
    pub(super) description: Option<String>,
    pub(super) vars: Map<String, Value>,
    pub(super) assertions: Arc<[AssertionNode]>,
    /// Those that no other row has, [packed](crate::assertion::pack); they follow the others.
    pub(super) own: Option<String>,
    /// Whether the assertions of `defaultTest` are among them already.
    pub(super) is_complete: bool,
    pub(super) threshold: Option<f64>,
    pub(super) metadata: Map<String, Value>,
    pub(super) options: Map<String, Value>,
    pub(super) prompts: Option<Vec<String>>,
    pub(super) providers: Option<Vec<String>>,
    pub(super) span: Option<Span>,
}

/// What the rows of a dataset share.
pub(super) struct Shared<'a> {
    pub(super) pools: &'a mut Pools,
    pub(super) default: &'a Draft,
}

/// Reads an entry. `shared` is there for the row of a dataset.
pub(super) fn read_draft(
    context: &mut Context<'_>,
    file: &str,
    node: &Node,
    shared: Option<Shared<'_>>,
) -> Option<Draft> {
    if !node.is_mapping() {
        context.push(wrong_type(At { file, span: node.span }, "a test", "a mapping", node.kind()));
        return None;
    }
    let mut draft = Draft { span: Some(node.span), ..Draft::default() };
    for (key, value) in node.entries() {
        let at = At { file, span: key.span };
        match key.text.as_str() {
            "description" | "threshold" | "prompts" | "providers" | "assert" => {}
            "vars" => draft.vars = read_vars(context, file, value),
            "options" => draft.options = read_options(context, file, value),
            "metadata" => draft.metadata = read_metadata(context, file, value),
            "assertScoringFunction" => context.push(user_code(at, "`assertScoringFunction` of a test")),
            "provider" => context.push(unsupported(at, "`provider` of a test")),
            "providerOutput" => context.push(unsupported(at, "`providerOutput` of a test")),
            other => context.push(unknown_key(at, other, &KEYS)),
        }
    }
    draft.description = context.text(file, node, "description");
    draft.threshold = context.number(file, node, "threshold");
    draft.prompts = context.texts(file, node, "prompts");
    draft.providers = context.texts(file, node, "providers");
    if let Some(list) = node.get("assert") {
        match shared {
            None => draft.assertions = read_assertions(context, file, list, false).into(),
            Some(shared) => {
                draft.is_complete = true;
                let whole = draft.wants_defaults().then_some(&shared.default.assertions);
                let key = format!("{}{}", u8::from(whole.is_some()), list.to_json());
                let read = || read_assertions(context, file, list, true);
                (draft.assertions, draft.own) = shared.pools.assertions(&key, whole, read);
            }
        }
    }
    Some(draft)
}

/// Returns the assertions of both.
pub(super) fn joined(first: &[AssertionNode], second: &[AssertionNode]) -> Arc<[AssertionNode]> {
    first.iter().chain(second).cloned().collect()
}

/// Variables stand in the entry, or in files whose mappings are merged.
fn read_vars(context: &mut Context<'_>, file: &str, node: &Node) -> Map<String, Value> {
    let mut vars = Map::new();
    match &node.value {
        NodeValue::Null => {}
        NodeValue::Mapping(_) => {
            if let Value::Object(own) = node.to_json() {
                vars = own;
            }
        }
        NodeValue::String(_) | NodeValue::Sequence(_) => {
            let single = std::slice::from_ref(node);
            for item in if node.as_str().is_some() { single } else { node.items() } {
                let at = At { file, span: item.span };
                let Some(reference) = item.as_str() else {
                    context.push(wrong_type(at, "a file of variables", "a path", item.kind()));
                    continue;
                };
                let paths = context.files.matching(folder(file), reference, at);
                for path in context.take(paths).unwrap_or_default() {
                    let read = context.files.dataset(&path, at).and_then(|_| context.files.node(&path, at));
                    match context.take(read).map(|node| node.to_json()) {
                        Some(Value::Object(own)) => vars.extend(own),
                        Some(_) => context.push(at.error("type", format!("`{path}` is not a mapping of variables"))),
                        None => {}
                    }
                }
            }
        }
        _ => context.push(wrong_type(At { file, span: node.span }, "`vars`", "a mapping", node.kind())),
    }
    vars
}

fn read_metadata(context: &mut Context<'_>, file: &str, node: &Node) -> Map<String, Value> {
    match node.to_json() {
        Value::Object(metadata) => {
            if let Some(must_pass) = node.get("must_pass")
                && !matches!(must_pass.value, NodeValue::Bool(_))
            {
                let at = At { file, span: must_pass.span };
                context.push(wrong_type(at, "`metadata.must_pass`", "true or false", must_pass.kind()));
            }
            metadata
        }
        Value::Null => Map::new(),
        _ => {
            context.push(wrong_type(At { file, span: node.span }, "`metadata`", "a mapping", node.kind()));
            Map::new()
        }
    }
}

fn read_options(context: &mut Context<'_>, file: &str, node: &Node) -> Map<String, Value> {
    let Value::Object(mut options) = node.to_json() else {
        if !node.is_null() {
            context.push(wrong_type(At { file, span: node.span }, "`options`", "a mapping", node.kind()));
        }
        return Map::new();
    };
    for (key, value) in node.entries() {
        let at = At { file, span: key.span };
        let place = At { file, span: value.span };
        match key.text.as_str() {
            "provider" => {
                if let Some(judges) = read_judges(context, file, value) {
                    options.insert(key.text.clone(), judges);
                }
            }
            "rubricPrompt" => {
                if let Some(prompt) = read_text_or_file(context, file, value) {
                    options.insert(key.text.clone(), prompt);
                }
            }
            "repeat" => {
                context.count(file, node, "repeat", 1..=super::REPEAT_MAX);
            }
            "prefix" | "suffix" => {
                if let Some(text) = context.text(file, node, &key.text) {
                    check_template(context, place, &text);
                }
            }
            "disableVarExpansion" | "disableDefaultAsserts" | "disableConversationVar" | "runSerially" => {
                context.flag(file, node, &key.text);
            }
            "factuality" => {
                if !value.is_mapping() {
                    context.push(wrong_type(place, "`factuality`", "a mapping of scores", value.kind()));
                }
            }
            "storeOutputAs" => context.push(unsupported(at, "`storeOutputAs` of a test")),
            other if CODE_OPTIONS.contains(&other) => {
                context.push(user_code(at, format!("`{other}` of a test")));
            }
            other => {
                // Parameters of a call have names of their own; one letter off an option is a slip.
                if closest(other, OPTIONS).is_some() {
                    context.push(unknown_key(at, other, &OPTIONS));
                } else if value.as_str().is_some_and(|text| text.starts_with(SCHEME)) {
                    let mut read = value.to_json();
                    let replaced = super::models::replace_files(context, place, &mut read);
                    context.take(replaced);
                    options.insert(key.text.clone(), read);
                }
            }
        }
    }
    options
}

/// A judge for all, or one for each thing a judge is asked for; each becomes an object with `id` and `config`.
fn read_judges(context: &mut Context<'_>, file: &str, node: &Node) -> Option<Value> {
    let one = |context: &mut Context<'_>, node: &Node| {
        judge(context, file, node).map(|judge| json!({ "id": judge.id, "config": judge.config }))
    };
    if !node.is_mapping() || node.get("id").is_some() {
        return one(context, node);
    }
    let mut judges = Map::new();
    for (key, value) in node.entries() {
        if JUDGES.contains(&key.text.as_str()) {
            judges.extend(one(context, value).map(|judge| (key.text.clone(), judge)));
        } else {
            context.push(unknown_key(At { file, span: key.span }, &key.text, &JUDGES));
        }
    }
    Some(Value::Object(judges))
}

// === impl Draft ===

impl Draft {
    /// Returns whether the assertions of `defaultTest` hold for it too.
    pub(super) fn wants_defaults(&self) -> bool {
        self.options.get("disableDefaultAsserts") != Some(&Value::Bool(true))
    }

    /// Returns `over` on top of this: what it says goes before, lists of assertions follow each other.
    pub(super) fn under(&self, over: Self) -> Self {
        let merged = |below: &Map<String, Value>, above: Map<String, Value>| {
            let mut merged = below.clone();
            merged.extend(above);
            merged
        };
        Self {
            description: over.description.or_else(|| self.description.clone()),
            vars: merged(&self.vars, over.vars),
            assertions: joined(&self.assertions, &over.assertions),
            // Only rows of datasets have their own, and those are under nothing.
            own: None,
            is_complete: false,
            threshold: over.threshold.or(self.threshold),
            metadata: merged(&self.metadata, over.metadata),
            options: merged(&self.options, over.options),
            prompts: over.prompts.or_else(|| self.prompts.clone()),
            providers: over.providers.or_else(|| self.providers.clone()),
            span: over.span.or(self.span),
        }
    }
}
