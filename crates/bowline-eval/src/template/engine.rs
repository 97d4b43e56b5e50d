//! MiniJinja, set up to do as Nunjucks does.

use std::borrow::Cow;
use std::sync::LazyLock;

use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Serde, Value as Item, ValueKind};
use minijinja::{Environment, Error, ErrorKind, UndefinedBehavior};
use serde_json::{Map, Value};

use super::{TemplateError, has_tags, rewrite};

/// How many steps one rendering may take.
const STEPS_MAX: u64 = 5_000_000;
/// The longest integer that a JavaScript number holds exactly, and so prints without a fraction.
const INTEGER_MAX: f64 = 9_007_199_254_740_991.0;
/// What promptfoo calls the environment in templates.
const ENVIRONMENT: &str = "env";
/// What promptfoo calls earlier answers in templates.
const CONVERSATION: &str = "_conversation";

static ENGINE: LazyLock<Environment<'static>> = LazyLock::new(engine);

fn engine() -> Environment<'static> {
    let mut engine = Environment::new();
    engine.set_undefined_behavior(UndefinedBehavior::Chainable);
    engine.set_fuel(Some(STEPS_MAX));
    engine.set_debug(false);
    // The default delimiters are always valid.
    if let Ok(syntax) = SyntaxConfig::builder().keep_trailing_newline(true).build() {
        engine.set_syntax(syntax);
    }
    engine.set_formatter(|out, _, value| out.write_str(&printed(value)?).map_err(Error::from));
    engine.add_global("null", Item::from(()));
    engine.add_filter("dump", dump);
    engine.add_filter("join", join);
    engine.add_filter("load", load);
    engine.add_filter("pairs", pairs);
    engine.add_filter("round", round);
    engine.add_filter("truncate", truncate);
    engine.add_filter("wordcount", |text: Cow<'_, str>| text.split_whitespace().count());
    engine.add_filter("nl2br", |text: Cow<'_, str>| text.replace('\n', "<br />\n"));
    engine.add_filter("forceescape", minijinja::filters::escape);
    engine.remove_filter("tojson");
    engine
}

/// Returns variables as templates see them.
pub(super) fn scope(vars: &Map<String, Value>) -> Item {
    Item::from(Serde(vars))
}

pub(super) fn render(template: &str, scope: &Item) -> Result<String, TemplateError> {
    for (name, error) in [(ENVIRONMENT, TemplateError::Environment), (CONVERSATION, TemplateError::Conversation)] {
        // What is not there is empty: these two would be, without anybody being told.
        if template.contains(name)
            && scope.get_attr(name).is_ok_and(|value| value.is_undefined())
            && reads(template, name)
        {
            return Err(error);
        }
    }
    let template = rewrite::rewrite(template);
    ENGINE.render_str(&template, scope.clone()).map_err(|error| TemplateError::of(&error))
}

pub(super) fn render_value(value: &Value, scope: &Item) -> Result<Value, TemplateError> {
    Ok(match value {
        Value::String(text) if has_tags(text) => Value::String(render(text, scope)?),
        Value::Array(items) => {
            Value::Array(items.iter().map(|item| render_value(item, scope)).collect::<Result<_, _>>()?)
        }
        Value::Object(entries) => {
            let entries = entries.iter().map(|(key, item)| Ok((key.clone(), render_value(item, scope)?)));
            Value::Object(entries.collect::<Result<_, TemplateError>>()?)
        }
        other => other.clone(),
    })
}

/// Returns whether a template reads a variable of this name.
fn reads(template: &str, name: &str) -> bool {
    let template = rewrite::rewrite(template);
    ENGINE.template_from_str(&template).is_ok_and(|template| template.undeclared_variables(false).contains(name))
}

pub(super) fn check(template: &str) -> Result<(), TemplateError> {
    let rewritten = rewrite::rewrite(template);
    let parsed = ENGINE.template_from_str(&rewritten).map_err(|error| TemplateError::of(&error))?;
    let names = parsed.undeclared_variables(false);
    if names.contains(ENVIRONMENT) {
        return Err(TemplateError::Environment);
    }
    if names.contains(CONVERSATION) {
        return Err(TemplateError::Conversation);
    }
    // What is not there is empty, so that most templates also render without variables: the names of filters come to light.
    match parsed.render(()).map_err(|error| TemplateError::of(&error)) {
        Err(error @ TemplateError::Unsupported { .. }) => Err(error),
        _ => Ok(()),
    }
}

/// Returns the text that `value` is printed as.
pub(super) fn text_of(value: &Value) -> Result<String, Error> {
    printed(&Item::from(Serde(value))).map(Cow::into_owned)
}

// === impl TemplateError ===

impl TemplateError {
    fn of(error: &Error) -> Self {
        let line = error.line().unwrap_or(1);
        let detail = error.detail().map_or_else(|| error.kind().to_string(), str::to_owned);
        match error.kind() {
            ErrorKind::SyntaxError => Self::Syntax { line, reason: format!("syntax error: {detail}") },
            ErrorKind::UnknownFilter
            | ErrorKind::UnknownTest
            | ErrorKind::UnknownFunction
            | ErrorKind::UnknownMethod => Self::Unsupported { line, reason: detail },
            ErrorKind::OutOfFuel => {
                Self::Render { line, reason: format!("the template takes more than {STEPS_MAX} steps") }
            }
            _ => Self::Render { line, reason: detail },
        }
    }
}

/// Returns what JavaScript would make of a value as text.
fn printed(value: &Item) -> Result<Cow<'_, str>, Error> {
    Ok(match value.kind() {
        ValueKind::Undefined | ValueKind::None => Cow::Borrowed(""),
        ValueKind::Bool => Cow::Borrowed(if value.is_true() { "true" } else { "false" }),
        ValueKind::Number => Cow::Owned(number(value)),
        ValueKind::Map => {
            return Err(Error::new(
                ErrorKind::InvalidOperation,
                "an object has no text of its own; write `| dump` for its JSON, or name one of its fields",
            ));
        }
        ValueKind::Seq | ValueKind::Iterable => {
            let items: Vec<Item> = value.try_iter()?.collect();
            let texts: Vec<String> =
                items.iter().map(|item| printed(item).map(Cow::into_owned)).collect::<Result<_, _>>()?;
            Cow::Owned(texts.join(","))
        }
        _ => match value.as_str() {
            Some(text) => Cow::Borrowed(text),
            None => Cow::Owned(value.to_string()),
        },
    })
}

fn number(value: &Item) -> String {
    match f64::try_from(value.clone()) {
        Ok(float) if float.fract() == 0.0 && float.abs() <= INTEGER_MAX => format!("{float:.0}"),
        _ => value.to_string(),
    }
}

// === filters ===

fn dump(value: Item, indent: Option<usize>) -> Result<String, Error> {
    /// JavaScript's own bound.
    const INDENT_MAX: usize = 10;
    if value.is_undefined() {
        return Ok(String::new());
    }
    let failed = |error: serde_json::Error| Error::new(ErrorKind::BadSerialization, error.to_string());
    let value = plain(serde_json::to_value(&value).map_err(failed)?);
    match indent {
        None | Some(0) => serde_json::to_string(&value).map_err(failed),
        Some(width) => {
            let indent = " ".repeat(width.min(INDENT_MAX));
            let mut out = Vec::new();
            let formatter = serde_json::ser::PrettyFormatter::with_indent(indent.as_bytes());
            let mut serializer = serde_json::Serializer::with_formatter(&mut out, formatter);
            serde::Serialize::serialize(&value, &mut serializer).map_err(failed)?;
            Ok(String::from_utf8_lossy(&out).into_owned())
        }
    }
}

fn join(value: Item, separator: Option<Cow<'_, str>>, field: Option<Cow<'_, str>>) -> Result<String, Error> {
    let mut texts = Vec::new();
    for item in value.try_iter()? {
        let item = field.as_deref().map_or_else(|| Ok(item.clone()), |field| item.get_attr(field))?;
        texts.push(printed(&item)?.into_owned());
    }
    Ok(texts.join(separator.as_deref().unwrap_or_default()))
}

fn load(text: Cow<'_, str>) -> Result<Item, Error> {
    let value: Value = serde_json::from_str(&text)
        .map_err(|error| Error::new(ErrorKind::InvalidOperation, format!("`load` reads JSON: {error}")))?;
    Ok(Item::from(Serde(&value)))
}

/// What `for a, b in x` goes over: the entries of an object, else the items.
fn pairs(value: Item) -> Result<Item, Error> {
    if value.kind() != ValueKind::Map {
        return Ok(value);
    }
    let mut entries = Vec::new();
    for key in value.try_iter()? {
        let item = value.get_item(&key)?;
        entries.push(Item::from(vec![key, item]));
    }
    Ok(Item::from(entries))
}

/// Writes whole numbers without a fraction, as JavaScript does.
fn plain(value: Value) -> Value {
    match value {
        Value::Number(number) => {
            #[expect(clippy::cast_possible_truncation, reason = "it is whole and small enough")]
            let whole = number
                .as_f64()
                .filter(|float| float.fract() == 0.0 && float.abs() <= INTEGER_MAX)
                .map(|float| float as i64);
            if number.is_f64() { whole.map_or(Value::Number(number), Value::from) } else { Value::Number(number) }
        }
        Value::Array(items) => items.into_iter().map(plain).collect(),
        Value::Object(entries) => entries.into_iter().map(|(key, item)| (key, plain(item))).collect(),
        other => other,
    }
}

/// Rounds half up, as JavaScript does, or with `ceil` or `floor`.
fn round(value: f64, precision: Option<i32>, method: Option<Cow<'_, str>>) -> f64 {
    /// A double has no more digits.
    const PRECISION_MAX: i32 = 15;
    let factor = 10_f64.powi(precision.unwrap_or(0).clamp(-PRECISION_MAX, PRECISION_MAX));
    let scaled = value * factor;
    let rounded = match method.as_deref() {
        Some("ceil") => scaled.ceil(),
        Some("floor") => scaled.floor(),
        _ => (scaled + 0.5).floor(),
    };
    rounded / factor
}

fn truncate(text: Cow<'_, str>, length: Option<usize>, cut_words: Option<bool>, end: Option<Cow<'_, str>>) -> String {
    /// What Nunjucks takes where nothing is said.
    const LENGTH: usize = 255;
    let length = length.unwrap_or(LENGTH);
    if text.chars().count() <= length {
        return text.into_owned();
    }
    let mut kept: String = text.chars().take(length).collect();
    if !cut_words.unwrap_or(false)
        && let Some(space) = kept.rfind(' ')
    {
        kept.truncate(space);
    }
    kept.push_str(end.as_deref().unwrap_or("..."));
    kept
}
