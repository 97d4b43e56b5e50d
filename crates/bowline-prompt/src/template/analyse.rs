//! Strict analysis: every variable, helper and partial of a template against what is declared.

mod call;
mod include;
mod path;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use serde_json::Value;

use super::Partial;
use super::outline::{Argument, Call, Step};
use super::shape::{Shape, Shapes};
use crate::diagnostic::{Diagnostic, Position, Span};

/// How many steps are followed through partials that include partials.
const STEPS_MAX: usize = 50_000;

/// One text of a template and where it stands.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sheet<'a> {
    /// The file of the text.
    pub(crate) file: &'a str,
    pub(crate) source: &'a str,
    /// Where in the file the text starts.
    pub(crate) start: Position,
    pub(crate) steps: &'a [Step],
}

/// What a template may use.
#[derive(Clone, Copy)]
pub(crate) struct Declared<'a> {
    /// The input schema, if the prompt has one.
    pub(crate) schema: Option<&'a Value>,
    /// Names that have a default.
    pub(crate) defaults: &'a BTreeSet<String>,
    pub(crate) partials: &'a BTreeMap<String, Partial>,
}

/// What a template uses and does wrong.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    pub(crate) diagnostics: Vec<Diagnostic>,
    /// Variables that are used somewhere.
    pub(crate) used: BTreeSet<String>,
    /// Whether the variables are used as a whole, so that each of them is.
    pub(crate) all_used: bool,
}

/// Analyses `sheet`.
pub(crate) fn analyse<'a>(sheet: Sheet<'a>, declared: Declared<'a>) -> Findings {
    let mut analysis = Analysis {
        declared,
        sheet,
        frames: vec![Frame::new(Shape::Variables)],
        includes: Vec::new(),
        steps: 0,
        findings: Findings::default(),
    };
    analysis.walk(sheet.steps);
    analysis.leave();
    analysis.findings
}

struct Analysis<'a> {
    declared: Declared<'a>,
    /// The text the walk is in.
    sheet: Sheet<'a>,
    /// The scopes, innermost last.
    frames: Vec<Frame<'a>>,
    /// The partials the walk is in, outermost first.
    includes: Vec<Include<'a>>,
    steps: usize,
    findings: Findings,
}

/// One scope.
struct Frame<'a> {
    /// What `this` is.
    shape: Shape<'a>,
    /// Names that stand for something else than a field of `this`.
    names: BTreeMap<&'a str, Shape<'a>>,
    /// Whether `@index` and the like are set.
    in_each: bool,
    /// Partials defined in this scope.
    inline: BTreeMap<String, Inline<'a>>,
}

/// A partial defined inline.
struct Inline<'a> {
    call: &'a Call,
    body: &'a [Step],
    /// The text it stands in.
    sheet: Sheet<'a>,
    used: bool,
}

/// One inclusion of a partial.
struct Include<'a> {
    name: &'a str,
    /// The file and line of the reference.
    from: (&'a str, usize),
    /// Whether it was called with a block.
    with_block: bool,
}

// === impl Frame ===

impl<'a> Frame<'a> {
    fn new(shape: Shape<'a>) -> Self {
        Self { shape, names: BTreeMap::new(), in_each: false, inline: BTreeMap::new() }
    }
}

// === impl Analysis ===

impl<'a> Analysis<'a> {
    fn walk(&mut self, steps: &'a [Step]) {
        for step in steps {
            self.steps += 1;
            if self.steps > STEPS_MAX {
                return self.too_much();
            }
            match step {
                Step::Output(call) => self.output(call),
                Step::Block { call, parameters, body, inverse } => self.block(call, parameters, body, inverse),
                Step::Partial { call, block } => self.partial(call, block.as_deref()),
                Step::Inline { call, body } => self.inline(call, body),
            }
        }
    }

    fn block(&mut self, call: &'a Call, parameters: &'a [String], body: &'a [Step], inverse: &'a [Step]) {
        let first = self.call(call, true);
        let shape = first.unwrap_or(Shape::Any);
        let frame = match call.name.as_deref() {
            Some("each") => Some(self.each_frame(call, shape, parameters)),
            Some("with") => Some(Self::with_frame(shape, parameters)),
            Some(name) if super::helper::signature(name).is_some() => None,
            // What an unknown block would do with its scope is unknown too; one error about it is enough.
            _ => Some(Frame::new(Shape::Any)),
        };
        if let Some(frame) = frame {
            self.frames.push(frame);
            self.walk(body);
            self.leave();
        } else {
            self.walk(body);
        }
        self.walk(inverse);
    }

    /// Leaves the innermost scope. What it defined and nobody used was never looked into.
    fn leave(&mut self) {
        let inline = self.frames.pop().map(|frame| frame.inline).unwrap_or_default();
        for (name, inline) in inline.into_iter().filter(|(_, inline)| !inline.used) {
            let sheet = std::mem::replace(&mut self.sheet, inline.sheet);
            let message = format!("the inline partial `{name}` is never used");
            self.report(self.error("unused-partial", inline.call.range.clone(), message));
            self.sheet = sheet;
        }
    }

    fn each_frame(&mut self, call: &'a Call, shape: Shape<'a>, parameters: &'a [String]) -> Frame<'a> {
        let element = match (shape, self.shapes()) {
            (Shape::Schema(schema), Some(shapes)) => {
                if let Some(kind @ ("string" | "number" | "integer" | "boolean")) = shapes.only_kind(schema) {
                    let range = call.parameters.first().map_or_else(|| call.range.clone(), Argument::range);
                    let error = self.error("type", range, format!("`each` goes through a list, and this is a {kind}"));
                    self.findings.diagnostics.push(error);
                }
                shapes.element(schema)
            }
            _ => Shape::Any,
        };
        let mut frame = Frame::new(element);
        frame.in_each = true;
        let mut names = parameters.iter().map(String::as_str);
        frame.names.extend(names.next().map(|value| (value, element)));
        frame.names.extend(names.next().map(|key| (key, Shape::Any)));
        frame
    }

    fn with_frame(shape: Shape<'a>, parameters: &'a [String]) -> Frame<'a> {
        let mut frame = Frame::new(shape);
        frame.names.extend(parameters.first().map(|name| (name.as_str(), shape)));
        frame
    }

    /// Partials that include others several times over multiply; no prompt is meant to be that.
    fn too_much(&mut self) {
        if self.steps == STEPS_MAX + 1 {
            let message = format!("the prompt comes to more than {STEPS_MAX} steps with its partials");
            self.findings.diagnostics.push(Diagnostic::error("partial", self.sheet.file, message));
        }
    }

    fn shapes(&self) -> Option<Shapes<'a>> {
        self.declared.schema.map(|root| Shapes { root })
    }

    fn report(&mut self, diagnostic: Diagnostic) {
        self.findings.diagnostics.push(diagnostic);
    }

    /// Returns an error at bytes `range` of the text the walk is in.
    fn error(&self, code: &'static str, range: Range<usize>, message: impl Into<String>) -> Diagnostic {
        let mut error = Diagnostic::error(code, self.sheet.file, message).at(self.sheet.span(range));
        if let Some(Include { from: (file, line), .. }) = self.includes.first() {
            error = error.hint(format!("included by {file}:{line}"));
        }
        error
    }
}

// === impl Sheet ===

impl Sheet<'_> {
    /// Returns the place in the file of bytes `range` of the text.
    pub(crate) fn span(&self, range: Range<usize>) -> Span {
        let Span { start, end } = Span::of_range(self.source, range);
        let in_file = |at: Position| {
            let column = if at.line == 1 { at.column + self.start.column - 1 } else { at.column };
            Position::new(at.line + self.start.line - 1, column)
        };
        Span::new(in_file(start), in_file(end))
    }
}
