//! The helpers of Dotprompt over the engine's own.

use handlebars::{
    Context, Handlebars, Helper, HelperDef, HelperResult, Output, RenderContext, RenderError, RenderErrorReason,
    Renderable, ScopedJson, no_escape,
};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::render::{Markers, Role};

/// What a template may call, and how.
pub(crate) struct Signature {
    pub(crate) name: &'static str,
    /// How many arguments it takes.
    pub(crate) parameters: usize,
    /// The named arguments; `None` where any are taken.
    pub(crate) hash: Option<&'static [&'static str]>,
    pub(crate) block: bool,
}

/// Everything a template may call: what every Dotprompt runtime has, and nothing that only this engine has.
pub(crate) const SIGNATURES: [Signature; 12] = [
    Signature { name: "role", parameters: 1, hash: None, block: false },
    Signature { name: "history", parameters: 0, hash: Some(&[]), block: false },
    Signature { name: "section", parameters: 1, hash: Some(&[]), block: false },
    Signature { name: "media", parameters: 0, hash: Some(&["url", "contentType"]), block: false },
    Signature { name: "json", parameters: 1, hash: Some(&["indent"]), block: false },
    Signature { name: "lookup", parameters: 2, hash: Some(&[]), block: false },
    Signature { name: "ifEquals", parameters: 2, hash: Some(&[]), block: true },
    Signature { name: "unlessEquals", parameters: 2, hash: Some(&[]), block: true },
    Signature { name: "if", parameters: 1, hash: Some(&["includeZero"]), block: true },
    Signature { name: "unless", parameters: 1, hash: Some(&["includeZero"]), block: true },
    Signature { name: "each", parameters: 1, hash: Some(&[]), block: true },
    Signature { name: "with", parameters: 1, hash: Some(&[]), block: true },
];

/// What the engine brings beyond that. As helpers they would shadow variables of the same name.
const ENGINE_ONLY: [&str; 12] = ["raw", "log", "eq", "ne", "gt", "gte", "lt", "lte", "and", "or", "not", "len"];

/// Returns the helper called `name`.
pub(crate) fn signature(name: &str) -> Option<&'static Signature> {
    SIGNATURES.iter().find(|signature| signature.name == name)
}

/// Returns an engine with the helpers that need nothing of a render. Text is not HTML: nothing is escaped.
pub(super) fn engine(strict: bool) -> Handlebars<'static> {
    let mut engine = Handlebars::new();
    engine.set_strict_mode(strict);
    engine.register_escape_fn(no_escape);
    for name in ENGINE_ONLY {
        engine.unregister_helper(name);
    }
    engine.register_helper("json", Box::new(JsonHelper));
    engine.register_helper("ifEquals", Box::new(EqualsHelper { name: "ifEquals", wanted: true }));
    engine.register_helper("unlessEquals", Box::new(EqualsHelper { name: "unlessEquals", wanted: false }));
    engine
}

/// Adds the helpers that leave a marker in the text to one render.
pub(super) fn register_markers<'rc>(context: &mut RenderContext<'_, 'rc>, markers: &'rc Markers) {
    context.register_local_helper("role", Box::new(RoleHelper { markers }));
    context.register_local_helper("history", Box::new(HistoryHelper { markers }));
    context.register_local_helper("section", Box::new(SectionHelper { markers }));
    context.register_local_helper("media", Box::new(MediaHelper { markers }));
}

struct JsonHelper;

struct EqualsHelper {
    name: &'static str,
    wanted: bool,
}

struct RoleHelper<'rc> {
    markers: &'rc Markers,
}

struct HistoryHelper<'rc> {
    markers: &'rc Markers,
}

struct SectionHelper<'rc> {
    markers: &'rc Markers,
}

struct MediaHelper<'rc> {
    markers: &'rc Markers,
}

// === impl JsonHelper ===

impl HelperDef for JsonHelper {
    fn call_inner<'reg: 'rc, 'rc>(
        &self,
        helper: &Helper<'rc>,
        engine: &'reg Handlebars<'reg>,
        _: &'rc Context,
        _: &mut RenderContext<'reg, 'rc>,
    ) -> Result<ScopedJson<'rc>, RenderError> {
        let value = helper.param(0).ok_or(RenderErrorReason::ParamNotFoundForIndex("json", 0))?;
        if engine.strict_mode() && value.is_value_missing() {
            return Err(RenderError::strict_error(value.relative_path()));
        }
        let indent = match helper.hash_get("indent").map(|indent| indent.value()) {
            None | Some(Value::Null) => String::new(),
            Some(Value::String(indent)) => indent.chars().take(10).collect(),
            Some(indent) => {
                let spaces = indent.as_u64().and_then(|spaces| usize::try_from(spaces).ok());
                " ".repeat(spaces.ok_or_else(|| other("the indent of json must be a number or text"))?.min(10))
            }
        };
        let text = if indent.is_empty() {
            serde_json::to_string(value.value()).map_err(RenderErrorReason::from)?
        } else {
            indented(value.value(), &indent)?
        };
        Ok(Value::String(text).into())
    }
}

fn indented(value: &Value, indent: &str) -> Result<String, RenderError> {
    let mut out = Vec::new();
    let formatter = serde_json::ser::PrettyFormatter::with_indent(indent.as_bytes());
    let mut serializer = serde_json::Serializer::with_formatter(&mut out, formatter);
    value.serialize(&mut serializer).map_err(RenderErrorReason::from)?;
    Ok(String::from_utf8(out)?)
}

// === impl EqualsHelper ===

impl HelperDef for EqualsHelper {
    fn call<'reg: 'rc, 'rc>(
        &self,
        helper: &Helper<'rc>,
        engine: &'reg Handlebars<'reg>,
        context: &'rc Context,
        render: &mut RenderContext<'reg, 'rc>,
        out: &mut dyn Output,
    ) -> HelperResult {
        let parameter = |index| helper.param(index).ok_or(RenderErrorReason::ParamNotFoundForIndex(self.name, index));
        let (left, right) = (parameter(0)?, parameter(1)?);
        // A variable that is not there equals another one that is not there, and nothing else, not even null.
        let equal = match (left.is_value_missing(), right.is_value_missing()) {
            (false, false) => equals(left.value(), right.value()),
            (left_missing, right_missing) => left_missing && right_missing,
        };
        let branch = if equal == self.wanted { helper.template() } else { helper.inverse() };
        branch.map_or(Ok(()), |branch| branch.render(engine, context, render, out))
    }
}

/// Strict equality, with one kind of number: 5 equals 5.0, but not "5".
fn equals(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Number(left), Value::Number(right)) => left == right || left.as_f64() == right.as_f64(),
        _ => left == right,
    }
}

// === impl RoleHelper ===

impl HelperDef for RoleHelper<'_> {
    fn call_inner<'reg: 'rc, 'rc>(
        &self,
        helper: &Helper<'rc>,
        _: &'reg Handlebars<'reg>,
        _: &'rc Context,
        _: &mut RenderContext<'reg, 'rc>,
    ) -> Result<ScopedJson<'rc>, RenderError> {
        let role = helper.param(0).ok_or(RenderErrorReason::ParamNotFoundForIndex("role", 0))?;
        // A role is written in the template: no value of a variable decides who speaks.
        let name = role.try_get_constant_value().and_then(Value::as_str);
        let role = name.and_then(Role::from_name).ok_or_else(|| other(ROLE_HINT))?;
        let metadata = helper.hash().iter().map(|(key, value)| ((*key).to_owned(), value.value().clone()));
        Ok(Value::String(self.markers.role(role, metadata.collect::<Map<_, _>>())).into())
    }
}

/// What the argument of `role` must be.
pub(crate) const ROLE_HINT: &str = "a role is one of \"system\", \"user\", \"model\" and \"tool\", written out";

// === impl HistoryHelper ===

impl HelperDef for HistoryHelper<'_> {
    fn call_inner<'reg: 'rc, 'rc>(
        &self,
        _: &Helper<'rc>,
        _: &'reg Handlebars<'reg>,
        _: &'rc Context,
        _: &mut RenderContext<'reg, 'rc>,
    ) -> Result<ScopedJson<'rc>, RenderError> {
        Ok(Value::String(self.markers.history()).into())
    }
}

// === impl SectionHelper ===

impl HelperDef for SectionHelper<'_> {
    fn call_inner<'reg: 'rc, 'rc>(
        &self,
        helper: &Helper<'rc>,
        _: &'reg Handlebars<'reg>,
        _: &'rc Context,
        _: &mut RenderContext<'reg, 'rc>,
    ) -> Result<ScopedJson<'rc>, RenderError> {
        let name = helper.param(0).and_then(|name| name.value().as_str());
        let name = name.ok_or_else(|| other("a section needs a name"))?;
        Ok(Value::String(self.markers.section(name)).into())
    }
}

// === impl MediaHelper ===

impl HelperDef for MediaHelper<'_> {
    fn call_inner<'reg: 'rc, 'rc>(
        &self,
        helper: &Helper<'rc>,
        _: &'reg Handlebars<'reg>,
        _: &'rc Context,
        _: &mut RenderContext<'reg, 'rc>,
    ) -> Result<ScopedJson<'rc>, RenderError> {
        let text = |name| helper.hash_get(name).and_then(|value| value.value().as_str());
        let url = text("url").filter(|url| !url.is_empty()).ok_or_else(|| other("media needs a `url`"))?;
        let content_type = text("contentType").filter(|content_type| !content_type.is_empty());
        Ok(Value::String(self.markers.media(url, content_type)).into())
    }
}

fn other(message: &str) -> RenderError {
    RenderErrorReason::Other(message.to_owned()).into()
}
