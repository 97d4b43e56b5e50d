//! Helpers: whether they exist and are called as they want.

use std::ops::Range;

use serde_json::Value;

use super::Analysis;
use crate::render::Role;
use crate::template::helper::{ROLE_HINT, SIGNATURES, Signature, signature};
use crate::template::outline::{Argument, Call};
use crate::template::shape::Shape;

// === impl Analysis ===

impl<'a> Analysis<'a> {
    /// `{{x}}` prints a variable, unless there is a helper of that name or an argument.
    pub(super) fn output(&mut self, call: &'a Call) {
        let alone = call.parameters.is_empty() && call.hash.is_empty();
        let helper = call.name.as_deref().and_then(signature);
        match &call.path {
            Some(path) if alone && helper.is_none() => {
                let shape = self.resolve_whole(path);
                self.check_printable(shape, &path.text, &path.range);
            }
            _ => {
                self.call(call, false);
            }
        }
    }

    /// Checks a call and its arguments, and returns what is known of the first one.
    pub(super) fn call(&mut self, call: &'a Call, block: bool) -> Option<Shape<'a>> {
        if let Some(computed) = &call.computed {
            self.call(computed, false);
        }
        let shapes: Vec<Shape<'a>> = call.parameters.iter().map(|argument| self.argument(argument)).collect();
        for (_, argument) in &call.hash {
            self.argument(argument);
        }
        match call.name.as_deref().map(|name| (name, signature(name))) {
            None => {}
            Some((_, Some(signature))) => self.check_signature(call, signature, block),
            Some((name, None)) => self.unknown_helper(call, name, block),
        }
        shapes.first().copied()
    }

    /// Resolves one argument.
    pub(super) fn argument(&mut self, argument: &'a Argument) -> Shape<'a> {
        match argument {
            Argument::Path(path) => self.resolve_whole(path),
            Argument::Literal(..) => Shape::Any,
            Argument::Call(call) => {
                self.call(call, false);
                Shape::Any
            }
        }
    }

    fn check_signature(&mut self, call: &'a Call, signature: &'static Signature, block: bool) {
        let Signature { name, parameters, hash, .. } = signature;
        if signature.block != block {
            let message = if signature.block {
                format!("`{name}` is a block: `{{{{#{name} …}}}}…{{{{/{name}}}}}`")
            } else {
                format!("`{name}` is not a block: `{{{{{name} …}}}}`")
            };
            self.report(self.error("helper", call.range.clone(), message));
            return;
        }
        if call.parameters.len() != *parameters {
            let message = format!("`{name}` takes {}, not {}", count(*parameters), call.parameters.len());
            let error = self.error("helper", call.range.clone(), message);
            let variable = call.parameters.is_empty() && call.hash.is_empty();
            let hint = format!("to print a variable of that name, write `{{{{this.{name}}}}}`");
            self.report(if variable { error.hint(hint) } else { error });
            return;
        }
        for (key, argument) in &call.hash {
            if let Some(known) = hash.filter(|known| !known.contains(&key.as_str())) {
                let message = format!("`{name}` has no argument `{key}`");
                let error = self.error("helper", argument.range(), message);
                let near = bowline_types::closest(key, known.iter().copied());
                self.report(near.iter().fold(error, |error, near| error.hint(format!("did you mean `{near}`?"))));
            }
        }
        match *name {
            "role" => self.check_role(call),
            "media" if !call.hash.iter().any(|(key, _)| key == "url") => {
                let error = self.error("helper", call.range.clone(), "`media` needs a `url`");
                self.report(error.hint("write `{{media url=…}}`"));
            }
            _ => {}
        }
    }

    /// Who speaks is written in the template, so that no variable can decide it.
    fn check_role(&mut self, call: &'a Call) {
        let known = match call.parameters.first() {
            Some(Argument::Literal(Value::String(name), _)) => Role::from_name(name).is_some(),
            _ => false,
        };
        if let (false, Some(argument)) = (known, call.parameters.first()) {
            let error = self.error("role", argument.range(), "this is not a role");
            let assistant = matches!(argument, Argument::Literal(Value::String(name), _) if name == "assistant");
            self.report(error.hint(if assistant { "the role of the model is called \"model\"" } else { ROLE_HINT }));
        }
    }

    fn unknown_helper(&mut self, call: &'a Call, name: &str, block: bool) {
        let names = SIGNATURES.iter().filter(|signature| signature.block == block).map(|signature| signature.name);
        let error = self.error("unknown-helper", call.range.clone(), format!("unknown helper `{name}`"));
        let error = error.label("no such helper");
        let hint = match bowline_types::closest(name, names.clone()) {
            Some(near) => format!("did you mean `{near}`?"),
            None if block && call.parameters.is_empty() => {
                format!("for a variable, write `{{{{#if {name}}}}}`, `{{{{#each {name}}}}}` or `{{{{#with {name}}}}}`")
            }
            None => format!("helpers here are {}", names.collect::<Vec<_>>().join(", ")),
        };
        self.report(error.hint(hint));
        if let Some(path) = call.path.as_ref().filter(|_| block) {
            self.findings.used.extend(path.names.first().map(|(name, _)| name.clone()));
        }
    }

    /// A list or an object has no text of its own.
    fn check_printable(&mut self, shape: Shape<'a>, text: &str, range: &Range<usize>) {
        let kind = match (shape, self.shapes()) {
            (Shape::Variables, _) => Some("object"),
            (Shape::Schema(schema), Some(shapes)) => shapes.only_kind(schema),
            _ => None,
        };
        let (what, hint) = match kind {
            Some("array") => ("a list", format!("write `{{{{#each {text}}}}}…{{{{/each}}}}` or `{{{{json {text}}}}}`")),
            Some("object") => ("an object", format!("print a field of it, or all of it as `{{{{json {text}}}}}`")),
            _ => return,
        };
        let error = self.error("type", range.clone(), format!("`{text}` is {what}, which has no text of its own"));
        self.report(error.hint(hint));
    }
}

fn count(parameters: usize) -> String {
    match parameters {
        0 => "no argument".to_owned(),
        1 => "one argument".to_owned(),
        many => format!("{many} arguments"),
    }
}
