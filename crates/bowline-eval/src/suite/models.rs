//! The models of a suite, and its judges.

use bowline_prompt::Diagnostic;
use bowline_prompt::yaml::{Node, Value as NodeValue};
use serde_json::{Map, Value};

use super::Model;
use super::context::Context;
use super::files::{At, SCHEME, extension, folder, is_code, join};
use super::prompts::{Named, is_meant};
use super::refuse::{address, unknown_key, unsupported, user_code, wrong_type};

const KEYS: [&str; 5] = ["id", "label", "config", "prompts", "delay"];
/// How deep files of models may refer to files of models.
const FILES_DEPTH_MAX: usize = 4;
/// How deep files in parameters may refer to files.
const CONFIG_DEPTH_MAX: usize = 8;

/// Beginnings of ids that run code.
const CODE: [&str; 7] = ["exec:", "python:", "golang:", "ruby:", "package:", "script:", "javascript:"];
/// Beginnings of ids that are addresses.
const ADDRESSES: [&str; 6] = ["http:", "https:", "ws:", "wss:", "webhook:", "websocket:"];
/// Ids, or their beginnings, that mean something else than one call of a model.
const LATER: [&str; 9] = [
    "browser",
    "promptfoo:",
    "mcp",
    "sequence",
    "slack",
    "manual-input",
    "agentic:",
    "openai:assistant:",
    "azure:assistant:",
];
/// Parameters whose values are code.
const CODE_PARAMETERS: [&str; 12] = [
    "functionToolCallbacks",
    "functionCallbacks",
    "transform",
    "transformRequest",
    "transformResponse",
    "requestTransform",
    "responseTransform",
    "responseParser",
    "streamResponse",
    "sessionParser",
    "postprocess",
    "callback",
];
/// Parameters that would hold a key.
const KEY_PARAMETERS: [&str; 4] = ["apiKey", "api_key", "accessToken", "secretAccessKey"];

/// A judge as a suite names it.
pub(crate) struct Judge {
    /// An alias of the project, or an id in promptfoo's words.
    pub(crate) id: String,
    /// Parameters of its calls.
    pub(crate) config: Map<String, Value>,
}

/// Reads the value of `providers` or `targets`.
pub(super) fn read_models(context: &mut Context<'_>, file: &str, node: &Node, prompts: &[Named]) -> Vec<Model> {
    let mut models = Vec::new();
    read_any(context, file, node, prompts, 0, &mut models);
    models
}

fn read_any(
    context: &mut Context<'_>,
    file: &str,
    node: &Node,
    prompts: &[Named],
    depth: usize,
    models: &mut Vec<Model>,
) {
    let at = At { file, span: node.span };
    match &node.value {
        NodeValue::Sequence(items) => {
            for item in items {
                read_any(context, file, item, prompts, depth, models);
            }
        }
        NodeValue::String(id) if id.starts_with(SCHEME) && !is_code(id) => {
            if depth >= FILES_DEPTH_MAX {
                context.push(at.error("file", "files of models refer to files of models too deep"));
                return;
            }
            let paths = context.files.matching(folder(file), id, at);
            for path in context.take(paths).unwrap_or_default() {
                let read = context.files.node(&path, at);
                if let Some(inner) = context.take(read) {
                    read_any(context, &path, &inner, prompts, depth + 1, models);
                }
            }
        }
        NodeValue::String(id) => {
            if let Some(error) = refusal(id, at) {
                context.push(error);
            } else {
                models.push(Model::new(id));
            }
        }
        NodeValue::Mapping(_) if node.get("id").is_some() => {
            models.extend(read_model(context, file, node, None, prompts))
        }
        // The other form: the id, and its options below.
        NodeValue::Mapping(entries) => match entries.as_slice() {
            [(key, options)] if options.is_mapping() || options.is_null() => {
                models.extend(read_model(
                    context,
                    file,
                    options,
                    Some((&key.text, At { file, span: key.span })),
                    prompts,
                ));
            }
            _ => context.push(at.error("missing-field", "a model has an `id`")),
        },
        _ => context.push(wrong_type(at, "a model", "its id, or a mapping with `id`", node.kind())),
    }
}

fn read_model(
    context: &mut Context<'_>,
    file: &str,
    node: &Node,
    outer: Option<(&str, At<'_>)>,
    prompts: &[Named],
) -> Option<Model> {
    let id = context.text(file, node, "id");
    let at = node.get("id").map_or(At { file, span: node.span }, |id| At { file, span: id.span });
    let (id, at) = match (id, outer) {
        (Some(id), _) => (id, at),
        (None, Some((id, at))) => (id.to_owned(), at),
        (None, None) => return None,
    };
    if let Some(error) = refusal(&id, at) {
        context.push(error);
        return None;
    }
    let mut model = Model::new(&id);
    for (key, value) in node.entries() {
        let at = At { file, span: key.span };
        match key.text.as_str() {
            "id" | "label" | "config" | "prompts" | "delay" => {}
            "transform" => context.push(user_code(at, "`transform` of a model")),
            "env" if value.entries().is_empty() => {}
            "env" => context.push(unsupported(at, "`env` of a model")),
            "inputs" => context.push(unsupported(at, "`inputs` of a model")),
            other => context.push(unknown_key(at, other, &KEYS)),
        }
    }
    if let Some(label) = context.text(file, node, "label") {
        model.label = label;
    }
    if let Some(config) = node.get("config") {
        model.config = read_config(context, file, config);
    }
    model.delay_ms = context.count(file, node, "delay", 0..=u32::MAX).map_or(0, u64::from);
    if let Some(wanted) = context.texts(file, node, "prompts") {
        let span = node.get("prompts").map_or(node.span, |node| node.span);
        model.prompts =
            Some(indices(context, At { file, span }, &wanted, "prompt", prompts.len(), |index, reference| {
                prompts.get(index).is_some_and(|prompt| prompt.is_meant_by(reference))
            }));
    }
    Some(model)
}

/// Returns which of `count` things the references mean; one that means nothing is an error.
pub(super) fn indices(
    context: &mut Context<'_>,
    at: At<'_>,
    references: &[String],
    what: &str,
    count: usize,
    is_meant: impl Fn(usize, &str) -> bool,
) -> Vec<usize> {
    if references.is_empty() {
        context.push(at.error("reference", format!("the list of {what}s is empty, so that nothing would be tested")));
    }
    for reference in references {
        if !(0..count).any(|index| is_meant(index, reference)) {
            context.push(at.error("reference", format!("no {what} of this suite is called `{reference}`")));
        }
    }
    (0..count).filter(|index| references.iter().any(|reference| is_meant(*index, reference))).collect()
}

/// Reads the parameters of a call; files they refer to are worked in.
fn read_config(context: &mut Context<'_>, file: &str, node: &Node) -> Map<String, Value> {
    let at = At { file, span: node.span };
    for (key, value) in node.entries() {
        let at = At { file, span: key.span };
        if CODE_PARAMETERS.contains(&key.text.as_str()) && !matches!(value.value, NodeValue::Bool(_)) {
            context.push(user_code(at, format!("`{}` of a model", key.text)));
        } else if KEY_PARAMETERS.contains(&key.text.as_str()) && !value.to_json().to_string().contains("{{") {
            let error = At { file, span: value.span }.error("secret", "a key stands in the suite").hide_line();
            context.push(error.hint("keys are references of providers in bowline.yaml, such as `env:OPENAI_API_KEY`"));
        }
    }
    let mut config = node.to_json();
    let replaced = replace_files(context, at, &mut config);
    context.take(replaced);
    match config {
        Value::Object(config) => config,
        Value::Null => Map::new(),
        _ => {
            context.push(wrong_type(at, "`config`", "a mapping", node.kind()));
            Map::new()
        }
    }
}

/// Puts the content of files in the place of texts that refer to them.
pub(super) fn replace_files(context: &mut Context<'_>, at: At<'_>, value: &mut Value) -> Result<(), Diagnostic> {
    replace(context, at, value, 0)
}

fn replace(context: &mut Context<'_>, at: At<'_>, value: &mut Value, depth: usize) -> Result<(), Diagnostic> {
    if depth > CONFIG_DEPTH_MAX * 8 {
        return Err(at.error("file", "files refer to files too deep"));
    }
    match value {
        Value::String(text) if text.starts_with(SCHEME) => {
            if is_code(text) {
                return Err(user_code(at, "a parameter made by a script"));
            }
            let path = join(&context.folder, text, at)?;
            *value = match extension(&path).as_str() {
                "json" | "yaml" | "yml" => context.files.node(&path, at)?.to_json(),
                _ => Value::String(context.files.text(&path, at)?.trim().to_owned()),
            };
            // A step of its own, so that files which refer to each other end.
            replace(context, at, value, depth + 8)
        }
        Value::Array(items) => items.iter_mut().try_for_each(|item| replace(context, at, item, depth)),
        Value::Object(entries) => entries.values_mut().try_for_each(|item| replace(context, at, item, depth)),
        _ => Ok(()),
    }
}

/// Reads a judge: an id, or a mapping with `id` and `config`.
pub(crate) fn judge(context: &mut Context<'_>, file: &str, node: &Node) -> Option<Judge> {
    let at = At { file, span: node.span };
    match &node.value {
        NodeValue::String(id) => match refusal(id, at) {
            Some(error) => {
                context.push(error);
                None
            }
            None if id.starts_with(SCHEME) => {
                let mut models = Vec::new();
                read_any(context, file, node, &[], 0, &mut models);
                models.pop().map(|model| Judge { id: model.id, config: model.config })
            }
            None => Some(Judge { id: id.clone(), config: Map::new() }),
        },
        NodeValue::Mapping(_) if node.get("id").is_some() => {
            read_model(context, file, node, None, &[]).map(|model| Judge { id: model.id, config: model.config })
        }
        _ => {
            context.push(wrong_type(at, "a judge", "its id, or a mapping with `id`", node.kind()));
            None
        }
    }
}

/// Returns why an id names no model that can be called; `None` where it may.
fn refusal(id: &str, at: At<'_>) -> Option<Diagnostic> {
    let scheme = |schemes: &[&'static str]| -> Option<&'static str> {
        schemes.iter().copied().find(|scheme| id.starts_with(scheme) || id == scheme.trim_end_matches(':'))
    };
    if is_code(id) {
        return Some(user_code(at, "a model made by a script"));
    }
    if let Some(code) = scheme(&CODE) {
        return Some(user_code(at, format!("a model by `{code}`")));
    }
    if let Some(scheme) = scheme(&ADDRESSES) {
        return Some(address(at, format!("a model by `{scheme}`")));
    }
    if id.trim().is_empty() {
        return Some(at.error("value", "the id of a model is empty"));
    }
    let later = LATER.iter().find(|name| {
        id.strip_prefix(**name).is_some_and(|rest| name.ends_with(':') || rest.is_empty() || rest.starts_with(':'))
    });
    later.map(|name| unsupported(at, format!("the provider `{}`", name.trim_end_matches(':'))))
}

// === impl Model ===

impl Model {
    fn new(id: &str) -> Self {
        Self { id: id.to_owned(), label: id.to_owned(), config: Map::new(), prompts: None, delay_ms: 0 }
    }

    /// Returns whether the prompt at `index` of the suite is tested on it.
    #[must_use]
    pub fn takes(&self, index: usize) -> bool {
        self.prompts.as_ref().is_none_or(|prompts| prompts.contains(&index))
    }

    /// Returns whether `reference` means this model: its label or id, the beginning of one before a colon, or before a `*`.
    pub(super) fn is_meant_by(&self, reference: &str) -> bool {
        is_meant(&[self.label.clone(), self.id.clone()], reference)
    }
}
