//! Handlebars templates: compiled once with their partials, rendered many times to messages.

pub(crate) mod analyse;
pub(crate) mod helper;
pub(crate) mod outline;
mod partial;
mod rewrite;
mod shape;
pub(crate) mod tag;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io;
use std::sync::Arc;

use handlebars::template::Template;
use handlebars::{Context, Handlebars, Output, RenderContext, RenderErrorReason, Renderable, TemplateErrorReason};
use serde_json::{Map, Value, json};
use thiserror::Error;

pub use partial::Partial;

use crate::diagnostic::{Position, Span};
use crate::render::{Markers, Message};
use outline::Step;
use tag::TagError;

/// The most text that one render may make.
const OUTPUT_MAX: usize = 8 << 20;
/// How deep partials may include each other.
pub(crate) const INCLUDE_DEPTH_MAX: usize = 32;

/// A template with its partials, ready to render. Cloning shares it.
#[derive(Clone)]
pub struct CompiledTemplate {
    inner: Arc<Inner>,
}

struct Inner {
    engine: Handlebars<'static>,
    root: Template,
    partials: BTreeSet<String>,
}

/// What a render does with a variable that is neither given nor has a default.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// It is empty, as in every Dotprompt runtime: right where an input schema has checked the variables before.
    Empty,
    /// It is an error that names it.
    Refuse,
}

/// What a render works on.
#[derive(Clone, Copy, Debug)]
pub struct RenderInput<'a> {
    /// The variables of the caller.
    pub variables: &'a Map<String, Value>,
    /// What stands in for variables the caller leaves out.
    pub defaults: &'a Map<String, Value>,
    /// Values beside the variables: `@name` in the template.
    pub context: &'a Map<String, Value>,
    /// The messages before this one.
    pub history: &'a [Message],
    /// A number nobody who writes a variable can know; it keeps variables from forging roles. With the same input, the
    /// same nonce gives the same result.
    pub nonce: u128,
}

/// Why a template does not compile.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum CompileError {
    /// The text of the template or of a partial is not Handlebars.
    #[error("{}line {}, column {}: {message}", in_partial(.partial), .span.start.line, .span.start.column)]
    Syntax {
        /// The partial it is in, or none for the template itself.
        partial: Option<String>,
        /// Where in that text.
        span: Span,
        /// What is wrong.
        message: String,
        /// What to do about it.
        hint: Option<String>,
    },
    /// A partial is not among those given.
    #[error("the partial `{name}` does not exist")]
    PartialMissing {
        /// The partial.
        name: String,
    },
    /// The name of a partial is computed, so that nobody could say which version of it is used.
    #[error("{}the name of a partial must be written out", in_partial(.partial))]
    PartialDynamic {
        /// The partial it is in, or none for the template itself.
        partial: Option<String>,
    },
    /// Partials include each other.
    #[error("partials include each other: {}", .names.join(" → "))]
    PartialCycle {
        /// The way round; the first is also the last.
        names: Vec<String>,
    },
    /// Partials include each other too deep.
    #[error("partials include each other more than {INCLUDE_DEPTH_MAX} levels deep")]
    PartialDepth,
}

/// Why a template does not render.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum RenderError {
    /// A variable is neither given nor has a default.
    #[error("the variable `{name}` is missing")]
    VariableMissing {
        /// The variable, as the template writes it.
        name: String,
    },
    /// The text would be too long.
    #[error("the rendered text is longer than {OUTPUT_MAX} bytes")]
    TooLong,
    /// Anything else that a template does wrong with the values it got.
    #[error("{}{message}", place(.partial, .position))]
    Template {
        /// The partial it is in, or none for the template itself.
        partial: Option<String>,
        /// Where in that text.
        position: Option<Position>,
        /// What is wrong.
        message: String,
    },
}

/// One text and what it says.
#[derive(Clone, Debug)]
pub(crate) struct Unit {
    template: Template,
    pub(crate) steps: Vec<Step>,
}

// === impl CompiledTemplate ===

impl CompiledTemplate {
    /// Compiles the template `body` and the partials it needs out of `partials`.
    ///
    /// # Errors
    /// The first thing that is wrong; the checks of a project tell all of them.
    pub fn compile(body: &str, partials: &BTreeMap<String, String>, missing: Missing) -> Result<Self, CompileError> {
        let root = Unit::parse(body).map_err(|error| syntax(body, None, error))?;
        let units = closure(&root, &|name| partials.get(name).map(String::as_str))?;
        let used = units.keys().cloned().collect();
        let mut engine = helper::engine(missing == Missing::Refuse);
        for (name, unit) in units {
            let mut template = unit.template;
            template.name = Some(name.clone());
            rewrite::rewrite(&mut template);
            engine.register_template(&name, template);
        }
        let mut template = root.template;
        rewrite::rewrite(&mut template);
        Ok(Self { inner: Arc::new(Inner { engine, root: template, partials: used }) })
    }

    /// Returns the names of the partials that are part of it, directly or through another.
    #[must_use]
    pub fn partials(&self) -> &BTreeSet<String> {
        &self.inner.partials
    }

    /// Renders to messages. Pure: the same input gives the same messages.
    ///
    /// # Errors
    /// A variable that is missing, where that is refused; values that the template cannot use; too much text.
    pub fn render(&self, input: &RenderInput<'_>) -> Result<Vec<Message>, RenderError> {
        let markers = Markers::new(input.nonce);
        let text = self.render_text(input, &markers)?;
        Ok(markers.messages(&text, input.history))
    }

    fn render_text(&self, input: &RenderInput<'_>, markers: &Markers) -> Result<String, RenderError> {
        let mut variables = input.defaults.clone();
        variables.extend(input.variables.iter().map(|(name, value)| (name.clone(), value.clone())));
        let data = Map::from_iter([
            (rewrite::VARIABLES.to_owned(), Value::Object(variables)),
            (rewrite::CONTEXT.to_owned(), json!(input.context)),
        ]);
        let context = Context::from(Value::Object(data));
        let mut render = RenderContext::new(None);
        if let Some(block) = render.block_mut() {
            block.base_path_mut().push(rewrite::VARIABLES.to_owned());
        }
        helper::register_markers(&mut render, markers);
        let mut out = BoundedOutput { text: String::new(), too_long: false };
        match self.inner.root.render(&self.inner.engine, &context, &mut render, &mut out) {
            Ok(()) => Ok(out.text),
            Err(_) if out.too_long => Err(RenderError::TooLong),
            Err(error) => Err(render_error(&error)),
        }
    }
}

impl fmt::Debug for CompiledTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CompiledTemplate").field("partials", &self.inner.partials).finish_non_exhaustive()
    }
}

// === impl Unit ===

impl Unit {
    /// Parses one text.
    pub(crate) fn parse(source: &str) -> Result<Self, TagError> {
        let tags = tag::scan(source)?;
        let spelled = tag::spell_out_dots(source, &tags);
        let template = Template::compile(&spelled).map_err(|error| engine_error(source, &error))?;
        let steps = outline::outline(&template, &tags);
        Ok(Self { template, steps })
    }
}

/// Returns the partials that `root` needs, directly or through another.
pub(crate) fn closure<'a>(root: &Unit, find: &'a PartialFinder<'a>) -> Result<BTreeMap<String, Unit>, CompileError> {
    Loader { find, units: BTreeMap::new(), includes: BTreeMap::new() }.load(root)
}

/// Finds the text of a partial by its name.
pub(crate) type PartialFinder<'a> = dyn Fn(&str) -> Option<&'a str> + 'a;

/// Collects partials, and what includes what.
struct Loader<'a> {
    find: &'a PartialFinder<'a>,
    units: BTreeMap<String, Unit>,
    /// What each partial includes. Partials that are defined inline are found by name from wherever they are included
    /// below, so that all of one name are one here.
    includes: BTreeMap<String, BTreeSet<String>>,
}

// === impl Loader ===

impl Loader<'_> {
    /// Loads everything that `root` refers to and returns the partials.
    fn load(mut self, root: &Unit) -> Result<BTreeMap<String, Unit>, CompileError> {
        let mut wanted = self.read(None, root)?;
        let mut inline_only = BTreeSet::new();
        while let Some(name) = wanted.pop_first() {
            if self.units.contains_key(&name) {
                continue;
            }
            let Some(source) = (self.find)(&name) else {
                inline_only.insert(name);
                continue;
            };
            let unit = Unit::parse(source).map_err(|error| syntax(source, Some(&name), error))?;
            wanted.extend(self.read(Some(&name), &unit)?);
            self.units.insert(name, unit);
        }
        if let Some(name) = inline_only.into_iter().find(|name| !self.includes.contains_key(name)) {
            return Err(CompileError::PartialMissing { name });
        }
        let mut depths = BTreeMap::new();
        for name in self.includes.keys() {
            self.depth(name, &mut Vec::new(), &mut depths)?;
        }
        Ok(self.units)
    }

    /// Notes what a text includes, and returns that together with what its inline partials include.
    fn read(&mut self, partial: Option<&str>, unit: &Unit) -> Result<BTreeSet<String>, CompileError> {
        let dynamic = || CompileError::PartialDynamic { partial: partial.map(str::to_owned) };
        let mut all = BTreeSet::new();
        let inclusions = outline::inclusions(partial.unwrap_or_default(), &unit.steps).ok_or_else(dynamic)?;
        for (name, included) in inclusions {
            all.extend(included.iter().cloned());
            self.includes.entry(name).or_default().extend(included);
        }
        Ok(all)
    }

    /// Returns how many levels of inclusion are below `name`.
    fn depth<'n>(
        &'n self,
        name: &'n str,
        path: &mut Vec<&'n str>,
        depths: &mut BTreeMap<&'n str, usize>,
    ) -> Result<usize, CompileError> {
        if let Some(from) = path.iter().position(|including| *including == name) {
            let round = path.iter().copied().skip(from).chain([name]);
            return Err(CompileError::PartialCycle { names: round.map(str::to_owned).collect() });
        }
        if let Some(depth) = depths.get(name) {
            return Ok(*depth);
        }
        if path.len() > INCLUDE_DEPTH_MAX {
            return Err(CompileError::PartialDepth);
        }
        path.push(name);
        let mut depth = 0;
        for included in self.includes.get(name).into_iter().flatten() {
            depth = depth.max(1 + self.depth(included, path, depths)?);
        }
        path.pop();
        depths.insert(name, depth);
        if depth > INCLUDE_DEPTH_MAX { Err(CompileError::PartialDepth) } else { Ok(depth) }
    }
}

/// The name under which a partial finds the block it was called with.
pub(crate) const PARTIAL_BLOCK: &str = "@partial-block";

/// Text up to a bound.
struct BoundedOutput {
    text: String,
    too_long: bool,
}

// === impl BoundedOutput ===

impl Output for BoundedOutput {
    fn write(&mut self, segment: &str) -> Result<(), io::Error> {
        if self.text.len() + segment.len() > OUTPUT_MAX {
            self.too_long = true;
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, "the rendered text is too long"));
        }
        self.text.push_str(segment);
        Ok(())
    }
}

fn engine_error(source: &str, error: &handlebars::TemplateError) -> TagError {
    let at = error.pos().map_or(0, |(line, column)| offset_of(source, Position::new(line, column)));
    let message = match error.reason() {
        TemplateErrorReason::InvalidSyntax(_) => "this is not Handlebars".to_owned(),
        other => other.to_string(),
    };
    let end = source.get(at..).and_then(|rest| rest.chars().next()).map_or(at, |c| at + c.len_utf8());
    TagError { range: at..end, message, hint: None }
}

fn offset_of(source: &str, position: Position) -> usize {
    let line_start: usize = source.split_inclusive('\n').take(position.line - 1).map(str::len).sum();
    let line = source.get(line_start..).unwrap_or_default();
    line_start + line.char_indices().nth(position.column - 1).map_or(line.len(), |(at, _)| at)
}

fn syntax(source: &str, partial: Option<&str>, error: TagError) -> CompileError {
    let TagError { range, message, hint } = error;
    CompileError::Syntax { partial: partial.map(str::to_owned), span: Span::of_range(source, range), message, hint }
}

fn render_error(error: &handlebars::RenderError) -> RenderError {
    if let RenderErrorReason::MissingVariable(name) = error.reason() {
        let name = name.as_deref().map_or_else(|| "?".to_owned(), rewrite::as_written);
        return RenderError::VariableMissing { name };
    }
    let position = error.line_no.zip(error.column_no).map(|(line, column)| Position::new(line, column));
    RenderError::Template { partial: error.template_name.clone(), position, message: error.reason().to_string() }
}

fn in_partial(partial: &Option<String>) -> String {
    partial.as_ref().map_or_else(String::new, |name| format!("in the partial `{name}`: "))
}

fn place(partial: &Option<String>, position: &Option<Position>) -> String {
    let position = position.map_or_else(String::new, |at| format!("line {}, column {}: ", at.line, at.column));
    format!("{}{position}", in_partial(partial))
}
