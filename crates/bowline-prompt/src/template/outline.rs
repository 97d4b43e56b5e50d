//! What a template says, with places: the engine's tree beside the tokens of its tags.

use std::collections::BTreeSet;
use std::ops::Range;

use handlebars::Path;
use handlebars::template::{
    BlockParam, DecoratorTemplate, HelperTemplate, Parameter, Subexpression, Template, TemplateElement,
};
use serde_json::Value;

use super::PARTIAL_BLOCK;
use super::tag::{Tag, TagKind, spelled_out};

/// One thing a template does, in the order of the text.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// `{{x}}` or `{{helper x}}`.
    Output(Call),
    /// `{{#helper x as |y|}}…{{else}}…{{/helper}}`.
    Block { call: Call, parameters: Vec<String>, body: Vec<Self>, inverse: Vec<Self> },
    /// `{{> name}}` or `{{#> name}}…{{/name}}`.
    Partial { call: Call, block: Option<Vec<Self>> },
    /// `{{#*inline "name"}}…{{/inline}}`.
    Inline { call: Call, body: Vec<Self> },
}

/// A name and what it is called with.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    /// The name; `None` where it is computed.
    pub(crate) name: Option<String>,
    /// The place of the name.
    pub(crate) range: Range<usize>,
    /// The name as a path, where it can be one.
    pub(crate) path: Option<PathUse>,
    /// A name that is computed.
    pub(crate) computed: Option<Box<Self>>,
    pub(crate) parameters: Vec<Argument>,
    /// In the order of the text.
    pub(crate) hash: Vec<(String, Argument)>,
}

#[derive(Clone, Debug)]
pub(crate) enum Argument {
    Path(PathUse),
    Literal(Value, Range<usize>),
    Call(Call),
}

/// A path and its place.
#[derive(Clone, Debug)]
pub(crate) struct PathUse {
    pub(crate) text: String,
    pub(crate) range: Range<usize>,
    pub(crate) base: Base,
    /// The names after the base, each with its place.
    pub(crate) names: Vec<(String, Range<usize>)>,
}

/// Where a path starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Base {
    /// The scope this many levels up.
    Scope(usize),
    /// `@root`.
    Root,
    /// `@name`, this many levels up: set by a block or given beside the variables.
    Data(usize),
}

// === impl Argument ===

impl Argument {
    pub(crate) fn range(&self) -> Range<usize> {
        match self {
            Self::Path(path) => path.range.clone(),
            Self::Literal(_, range) => range.clone(),
            Self::Call(call) => call.range.clone(),
        }
    }
}

/// Returns the steps of `template`, which was parsed from a text with `tags`.
pub(crate) fn outline(template: &Template, tags: &[Tag]) -> Vec<Step> {
    let opening = |tag: &&Tag| matches!(tag.kind, TagKind::Inline | TagKind::Open | TagKind::ElseChain);
    Outliner { tags: tags.iter().filter(opening) }.steps(template)
}

/// Returns what `steps`, the text called `name`, include, and what every partial they define inline includes; `None`
/// where a name is computed.
pub(crate) fn inclusions(name: &str, steps: &[Step]) -> Option<Vec<(String, BTreeSet<String>)>> {
    let mut texts: Vec<(String, BTreeSet<String>)> = vec![(name.to_owned(), BTreeSet::new())];
    // Steps that are left, and the text they belong to.
    let mut rest: Vec<(usize, &Step)> = steps.iter().map(|step| (0, step)).collect();
    while let Some((text, step)) = rest.pop() {
        match step {
            Step::Output(_) => {}
            Step::Block { body, inverse, .. } => rest.extend(body.iter().chain(inverse).map(|step| (text, step))),
            Step::Partial { call, block } => {
                let name = call.name.clone()?;
                if name != PARTIAL_BLOCK {
                    texts.get_mut(text)?.1.insert(name);
                }
                rest.extend(block.iter().flatten().map(|step| (text, step)));
            }
            Step::Inline { call, body } => {
                texts.push((inline_name(call)?, BTreeSet::new()));
                rest.extend(body.iter().map(|step| (texts.len() - 1, step)));
            }
        }
    }
    Some(texts)
}

/// Returns the name that `{{#*inline "name"}}` defines, if it is written out.
pub(crate) fn inline_name(call: &Call) -> Option<String> {
    match call.parameters.first() {
        Some(Argument::Literal(Value::String(name), _)) => Some(name.clone()),
        _ => None,
    }
}

/// Pairs the nodes of the tree with the tags of the text: both come in the same order.
struct Outliner<I> {
    tags: I,
}

/// The tokens of one tag; each is the place of one node at most.
struct Places<'a> {
    tag: Option<&'a Tag>,
    taken: Vec<bool>,
}

// === impl Outliner ===

impl<'a, I: Iterator<Item = &'a Tag>> Outliner<I> {
    fn steps(&mut self, template: &Template) -> Vec<Step> {
        template.elements.iter().filter_map(|element| self.step(element)).collect()
    }

    fn step(&mut self, element: &TemplateElement) -> Option<Step> {
        Some(match element {
            TemplateElement::Expression(helper) | TemplateElement::HtmlExpression(helper) => {
                let mut places = self.places();
                Step::Output(helper_call(helper, &mut places))
            }
            TemplateElement::HelperBlock(helper) => {
                let mut places = self.places();
                let call = helper_call(helper, &mut places);
                let body = helper.template.as_ref().map(|body| self.steps(body)).unwrap_or_default();
                let inverse = helper.inverse.as_ref().map(|inverse| self.steps(inverse)).unwrap_or_default();
                Step::Block { call, parameters: block_parameters(helper), body, inverse }
            }
            TemplateElement::PartialExpression(partial) => {
                let mut places = self.places();
                Step::Partial { call: decorator_call(partial, &mut places), block: None }
            }
            TemplateElement::PartialBlock(partial) => {
                let mut places = self.places();
                let call = decorator_call(partial, &mut places);
                let block = partial.template.as_ref().map(|body| self.steps(body)).unwrap_or_default();
                Step::Partial { call, block: Some(block) }
            }
            TemplateElement::DecoratorExpression(decorator) | TemplateElement::DecoratorBlock(decorator) => {
                let mut places = self.places();
                let call = decorator_call(decorator, &mut places);
                let body = decorator.template.as_ref().map(|body| self.steps(body)).unwrap_or_default();
                Step::Inline { call, body }
            }
            _ => return None,
        })
    }

    fn places(&mut self) -> Places<'a> {
        let tag = self.tags.next();
        Places { tag, taken: vec![false; tag.map_or(0, |tag| tag.tokens.len())] }
    }
}

// === impl Places ===

impl Places<'_> {
    /// Takes the first token that reads as `wanted`; the whole tag stands in for one that is not found.
    fn take(&mut self, wanted: impl Fn(&str) -> bool) -> Range<usize> {
        let Some(tag) = self.tag else { return 0..0 };
        let mut tokens = tag.tokens.iter().zip(&mut self.taken);
        match tokens.find(|(token, taken)| !**taken && wanted(&token.text)) {
            Some((token, taken)) => {
                *taken = true;
                token.range.clone()
            }
            None => tag.range.clone(),
        }
    }
}

fn helper_call(helper: &HelperTemplate, places: &mut Places<'_>) -> Call {
    call(&helper.name, &helper.params, &helper.hash, places)
}

fn decorator_call(decorator: &DecoratorTemplate, places: &mut Places<'_>) -> Call {
    call(&decorator.name, &decorator.params, &decorator.hash, places)
}

fn call<'a>(
    name: &Parameter,
    parameters: &[Parameter],
    hash: impl IntoIterator<Item = (&'a String, &'a Parameter)>,
    places: &mut Places<'_>,
) -> Call {
    let (path, computed, literal) = match argument(name, places) {
        Argument::Path(path) => (Some(path), None, None),
        Argument::Call(call) => (None, Some(Box::new(call)), None),
        Argument::Literal(value, range) => (None, None, Some((value, range))),
    };
    let named = path.as_ref().map(|path| path.text.clone()).or_else(|| literal.as_ref().map(|(v, _)| v.to_string()));
    let range = match (&path, &computed, &literal) {
        (Some(path), _, _) => path.range.clone(),
        (_, Some(call), _) => call.range.clone(),
        (_, _, Some((_, range))) => range.clone(),
        (None, None, None) => 0..0,
    };
    let parameters = parameters.iter().map(|parameter| argument(parameter, places)).collect();
    let mut hash: Vec<_> = hash.into_iter().map(|(key, value)| (key.clone(), argument(value, places))).collect();
    hash.sort_by(|(left_key, left), (right_key, right)| {
        left.range().start.cmp(&right.range().start).then_with(|| left_key.cmp(right_key))
    });
    Call { name: named, range, path, computed, parameters, hash }
}

fn argument(parameter: &Parameter, places: &mut Places<'_>) -> Argument {
    match parameter {
        Parameter::Name(name) => Argument::Path(path_use(name, None, places)),
        Parameter::Path(path) => {
            let (Path::Relative((_, text)) | Path::Local((_, _, text))) = path;
            Argument::Path(path_use(text, Some(path), places))
        }
        Parameter::Literal(value) => {
            let written = value.to_string();
            let range = places.take(|token| match value {
                // Either quotes.
                Value::String(text) => token.len() >= 2 && token.get(1..token.len() - 1) == Some(text),
                _ => token == written,
            });
            Argument::Literal(value.clone(), range)
        }
        Parameter::Subexpression(Subexpression { element, .. }) => match element.as_ref() {
            TemplateElement::Expression(helper) => Argument::Call(helper_call(helper, places)),
            // The grammar has nothing else here.
            _ => Argument::Literal(Value::Null, 0..0),
        },
        // The engine may get further kinds; they name nothing that is known here.
        _ => Argument::Literal(Value::Null, 0..0),
    }
}

fn path_use(text: &str, path: Option<&Path>, places: &mut Places<'_>) -> PathUse {
    let range = places.take(|token| spelled_out(token) == text);
    let (base, skipped) = match path {
        Some(Path::Local((level, _, _))) if text.starts_with("@root") && *level == 0 => (Base::Root, "@root".len()),
        Some(Path::Local((level, _, _))) => (Base::Data(*level), 1),
        _ if text.starts_with("@root") => (Base::Root, "@root".len()),
        _ => (Base::Scope(0), 0),
    };
    let (ups, names) = steps_of(text, skipped, range.start);
    let base = if base == Base::Scope(0) { Base::Scope(ups) } else { base };
    PathUse { text: text.to_owned(), range, base, names }
}

/// Returns how often a path goes up, and its names with their places, for a path that starts at byte `start`.
fn steps_of(text: &str, skipped: usize, start: usize) -> (usize, Vec<(String, Range<usize>)>) {
    let (mut ups, mut names, mut at) = (0, Vec::new(), skipped);
    while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
        if let Some(inner) = rest.strip_prefix("..") {
            ups += 1;
            at += 2 + usize::from(inner.starts_with('/'));
            continue;
        }
        if rest.starts_with(['.', '/']) {
            at += 1;
            continue;
        }
        let bracketed = rest.strip_prefix('[').and_then(|inner| inner.find(']'));
        let (name, length) = match bracketed {
            Some(end) => (rest.get(1..=end).unwrap_or_default(), end + 2),
            None => {
                let end = rest.find(['.', '/']).unwrap_or(rest.len());
                (rest.get(..end).unwrap_or_default(), end)
            }
        };
        // The engine drops every `this`.
        if name != "this" {
            names.push((name.to_owned(), start + at..start + at + length));
        }
        at += length;
    }
    (ups, names)
}

fn block_parameters(helper: &HelperTemplate) -> Vec<String> {
    let name = |parameter: &Parameter| parameter.as_name().map(str::to_owned);
    match &helper.block_param {
        None => Vec::new(),
        Some(BlockParam::Single(only)) => name(only).into_iter().collect(),
        Some(BlockParam::Pair((value, key))) => name(value).into_iter().chain(name(key)).collect(),
        Some(_) => Vec::new(),
    }
}
