//! Variables: what a path leads to.

use std::ops::Range;

use super::{Analysis, Frame};
use crate::template::outline::{Base, PathUse};
use crate::template::shape::{Field, Shape};

/// What only a block sets.
const SET_BY_BLOCKS: [&str; 4] = ["index", "key", "first", "last"];

// === impl Analysis ===

impl<'a> Analysis<'a> {
    /// Returns what is known of the value at `path`, and reports where it leads nowhere.
    pub(super) fn resolve(&mut self, path: &'a PathUse) -> Shape<'a> {
        let (mut shape, skipped) = match path.base {
            Base::Root => (Shape::Variables, 0),
            Base::Data(_) => {
                self.check_data(path);
                return Shape::Any;
            }
            Base::Scope(ups) => match self.named(path) {
                Some(shape) => (shape, 1),
                None => match self.frames.iter().rev().nth(ups) {
                    Some(frame) => (frame.shape, 0),
                    None => {
                        let error = self.error("scope", path.range.clone(), "`..` leads out of the template");
                        self.report(error.label("there is no scope above this one"));
                        return Shape::Any;
                    }
                },
            },
        };
        let mut owner = path.names.iter().take(skipped).map(|(name, _)| name.clone()).collect::<String>();
        for (name, range) in path.names.iter().skip(skipped) {
            shape = self.field(shape, &owner, name, range);
            owner.clone_from(name);
        }
        shape
    }

    /// Resolves a path whose value is used as a whole.
    pub(super) fn resolve_whole(&mut self, path: &'a PathUse) -> Shape<'a> {
        let shape = self.resolve(path);
        if matches!(shape, Shape::Variables) {
            self.findings.all_used = true;
        }
        shape
    }

    /// Returns what the first name of `path` stands for, where a block or an inclusion has given it a meaning.
    fn named(&self, path: &PathUse) -> Option<Shape<'a>> {
        let (first, _) = path.names.first()?;
        self.frames.iter().rev().find_map(|frame| frame.names.get(first.as_str()).copied())
    }

    /// `@index` and the like need an `each`; any other `@name` comes with the request.
    fn check_data(&mut self, path: &PathUse) {
        let Some((name, _)) = path.names.first() else { return };
        let in_each = self.frames.iter().any(|frame: &Frame<'_>| frame.in_each);
        if SET_BY_BLOCKS.contains(&name.as_str()) && !in_each {
            let error = self.error("scope", path.range.clone(), format!("`@{name}` is set only inside `each`"));
            self.report(error);
        }
    }

    fn field(&mut self, shape: Shape<'a>, owner: &str, name: &'a str, range: &Range<usize>) -> Shape<'a> {
        match shape {
            Shape::Any => Shape::Any,
            Shape::Variables => self.variable(name, range),
            Shape::Schema(schema) => {
                let Some(shapes) = self.shapes() else { return Shape::Any };
                match shapes.field(schema, name) {
                    Field::Declared(shape) => return shape,
                    Field::Undeclared(declared) => {
                        let place = if owner.is_empty() { "this value".to_owned() } else { format!("`{owner}`") };
                        let message = format!("`{name}` is not in the schema of {place}");
                        let error = self.error("unknown-variable", range.clone(), message).label("not declared");
                        self.report(error.hint(suggestion("declared fields", name, &declared)));
                    }
                    Field::NoFields(kind) => {
                        let message = format!("`{owner}` is {kind} and has no `{name}`");
                        let error = self.error("unknown-variable", range.clone(), message);
                        let list = kind == "a list";
                        self.report(if list { error.hint("go through it with `{{#each …}}`") } else { error });
                    }
                }
                Shape::Any
            }
        }
    }

    /// A variable of the prompt.
    fn variable(&mut self, name: &'a str, range: &Range<usize>) -> Shape<'a> {
        self.findings.used.insert(name.to_owned());
        let Some((schema, shapes)) = self.declared.schema.zip(self.shapes()) else {
            if !self.declared.defaults.contains(name) {
                let message = format!("variable `{name}` is not declared: the prompt has no input schema");
                let error = self.error("unknown-variable", range.clone(), message).label("not declared");
                self.report(error.hint(format!("declare it under `input: schema:`, for example `{name}: string`")));
            }
            return Shape::Any;
        };
        match shapes.field(schema, name) {
            Field::Declared(shape) => shape,
            Field::Undeclared(declared) => {
                let message = format!("variable `{name}` is not in the input schema");
                let error = self.error("unknown-variable", range.clone(), message).label("not declared");
                self.report(error.hint(suggestion("declared inputs", name, &declared)));
                Shape::Any
            }
            // That the schema is not one of variables is an error of the schema.
            Field::NoFields(_) => Shape::Any,
        }
    }
}

/// ``declared inputs are `a`, `b`; did you mean `a`?``
fn suggestion(what: &str, name: &str, declared: &[&str]) -> String {
    if declared.is_empty() {
        return format!("there are no {what}");
    }
    let list = declared.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    // A name that goes on where a declared one ends, such as `ticket_text`, was meant as that one.
    let near = bowline_types::closest(name, declared.iter().copied());
    let near = near.or_else(|| declared.iter().copied().find(|candidate| name.starts_with(candidate)));
    let near = near.map_or_else(String::new, |near| format!("; did you mean `{near}`?"));
    format!("{what} are {list}{near}")
}
