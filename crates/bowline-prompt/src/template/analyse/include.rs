//! Partials: whether they exist, end, and find what they use.

use std::collections::BTreeMap;

use super::{Analysis, Frame, Include, Inline, Sheet};
use crate::diagnostic::Position;
use crate::template::outline::{Argument, Call, Step, inline_name};
use crate::template::shape::Shape;
use crate::template::{INCLUDE_DEPTH_MAX, PARTIAL_BLOCK};

// === impl Analysis ===

impl<'a> Analysis<'a> {
    pub(super) fn inline(&mut self, call: &'a Call, body: &'a [Step]) {
        if call.name.as_deref() != Some("inline") {
            let error = self.error("unknown-helper", call.range.clone(), "the only decorator is `inline`");
            self.report(error.hint("write `{{#*inline \"name\"}}…{{/inline}}`"));
            return;
        }
        let Some(name) = inline_name(call) else {
            self.report(self.error("partial", call.range.clone(), "the name of an inline partial must be written out"));
            return;
        };
        let sheet = self.sheet;
        if let Some(frame) = self.frames.last_mut() {
            frame.inline.insert(name, Inline { call, body, sheet, used: false });
        }
    }

    pub(super) fn partial(&mut self, call: &'a Call, block: Option<&'a [Step]>) {
        let Some(name) = call.name.as_deref() else {
            let error = self.error("partial", call.range.clone(), "the name of a partial must be written out");
            self.report(
                error.hint("which partials a prompt uses is part of its version; choose between them with `{{#if …}}`"),
            );
            return;
        };
        if name == PARTIAL_BLOCK {
            if !self.includes.last().is_some_and(|include| include.with_block) {
                let error = self.error("partial", call.range.clone(), "there is no block here");
                self.report(error.hint("a partial has one where it is called as `{{#> name}}…{{/name}}`"));
            }
            return;
        }
        let frame = self.partial_frame(call);
        let Some(target) = self.target(call, name) else { return };
        let line = self.sheet.span(call.range.clone()).start.line;
        self.frames.push(frame);
        // The block is in the scope of the partial, and what it defines is found there.
        self.walk(block.unwrap_or_default());
        let sheet = std::mem::replace(&mut self.sheet, target);
        self.includes.push(Include { name, from: (sheet.file, line), with_block: block.is_some() });
        self.walk(target.steps);
        self.includes.pop();
        self.sheet = sheet;
        self.leave();
    }

    /// The scope of a partial: the one it stands in or the one it is given, and the names it is given.
    fn partial_frame(&mut self, call: &'a Call) -> Frame<'a> {
        let outer = self.frames.last().map_or(Shape::Any, |frame| frame.shape);
        let shape = match call.parameters.first() {
            None => outer,
            Some(Argument::Path(path)) => self.resolve(path),
            Some(other) => self.argument(other),
        };
        if let Some(extra) = call.parameters.get(1) {
            let error = self.error("partial", extra.range(), "a partial takes one scope and named values");
            self.report(error.hint("write `{{> name scope key=value}}`"));
        }
        let names: BTreeMap<_, _> =
            call.hash.iter().map(|(name, argument)| (name.as_str(), self.argument(argument))).collect();
        let in_each = self.frames.last().is_some_and(|frame| frame.in_each);
        Frame { names, in_each, ..Frame::new(shape) }
    }

    /// Returns the text of the partial `name`, if it is there and can be followed.
    fn target(&mut self, call: &'a Call, name: &'a str) -> Option<Sheet<'a>> {
        if self.includes.iter().any(|include| include.name == name) {
            let from = self.includes.iter().skip_while(|include| include.name != name).map(|include| include.name);
            let round = from.chain([name]).collect::<Vec<_>>().join(" → ");
            self.report(self.error(
                "partial-cycle",
                call.range.clone(),
                format!("partials include each other: {round}"),
            ));
            return None;
        }
        if self.includes.len() >= INCLUDE_DEPTH_MAX {
            let message = format!("partials include each other more than {INCLUDE_DEPTH_MAX} levels deep");
            self.report(self.error("partial", call.range.clone(), message));
            return None;
        }
        if let Some(inline) = self.frames.iter_mut().rev().find_map(|frame| frame.inline.get_mut(name)) {
            inline.used = true;
            return Some(Sheet { steps: inline.body, ..inline.sheet });
        }
        let partials = self.declared.partials;
        let Some(partial) = partials.get(name) else {
            let error =
                self.error("unknown-partial", call.range.clone(), format!("the partial `{name}` does not exist"));
            let hint = match bowline_types::closest(name, partials.keys().map(String::as_str)) {
                Some(near) => format!("did you mean `{near}`?"),
                None => {
                    let (folder, file) = name.rsplit_once('/').map_or(("", name), |(folder, file)| (folder, file));
                    let slash = if folder.is_empty() { "" } else { "/" };
                    format!("it would be in prompts/{folder}{slash}_{file}.prompt")
                }
            };
            self.report(error.label("not found").hint(hint));
            return None;
        };
        // A partial that is no template has its own error.
        let steps = partial.steps().ok()?;
        Some(Sheet { file: partial.file(), source: partial.source(), start: Position::new(1, 1), steps })
    }
}
