use std::collections::HashMap;

use ::cel::Context;
use ::cel::common::types::{CelBool, CelDouble, CelInt, CelList, CelMap, CelMapKey, CelNull, CelString};
use ::cel::common::value::Val;
use serde_json::{Map, Value};

use super::cost::Size;

/// The most values (numbers, texts, lists, objects, …) of what an expression reads.
const VALUES_MAX: u64 = 10_000;

/// The most bytes of text of what an expression reads.
const BYTES_MAX: u64 = 512 * 1024;

/// What an expression sees.
#[derive(Clone, Copy, Debug)]
pub struct Inputs<'a> {
    /// The text of the answer.
    pub text: &'a str,
    /// The answer as JSON, where it is JSON.
    pub output: Option<&'a Value>,
    /// The variables of the prompt.
    pub variables: &'a Map<String, Value>,
    /// Why the model stopped, or an empty text.
    pub finish: &'a str,
}

/// The sizes of what an expression reads; zero for what it does not.
#[derive(Clone, Copy, Default)]
pub(super) struct Sizes {
    pub(super) text: Size,
    pub(super) output: Size,
    pub(super) variables: Size,
    pub(super) finish: Size,
}

// === impl Inputs ===

impl<'a> Inputs<'a> {
    /// Returns the sizes of what is read, or `None` above the bounds.
    pub(super) fn measure(&self, reads: impl Fn(&str) -> bool) -> Option<Sizes> {
        let mut sizes = Sizes::default();
        let text = Size::of_text(self.text);
        if reads("text") {
            sizes.text = text;
        }
        if reads("output") {
            sizes.output = text;
            if let Some(json) = self.output {
                sizes.output = Size::default();
                measure(json, &mut sizes.output)?;
            }
        }
        if reads("variables") {
            sizes.variables.values = 1;
            for (name, value) in self.variables {
                sizes.variables = sizes.variables.plus(Size::of_text(name));
                measure(value, &mut sizes.variables)?;
            }
        }
        if reads("finish") {
            sizes.finish = Size::of_text(self.finish);
        }
        let all = sizes.text.plus(sizes.output).plus(sizes.variables).plus(sizes.finish);
        within(all).then_some(sizes)
    }

    /// Binds what is read; texts are borrowed, not copied.
    pub(super) fn bind(&self, reads: impl Fn(&str) -> bool, context: &mut Context<'_, 'a>) {
        let text = || Box::new(CelString::from(self.text)) as Box<dyn Val + 'a>;
        if reads("text") {
            context.add_variable_as_val("text", text());
        }
        if reads("output") {
            context.add_variable_as_val("output", self.output.map_or_else(text, value));
        }
        if reads("variables") {
            context.add_variable_as_val("variables", object(self.variables));
        }
        if reads("finish") {
            context.add_variable_as_val("finish", Box::new(CelString::from(self.finish)));
        }
    }
}

const fn within(size: Size) -> bool {
    size.values <= VALUES_MAX && size.bytes <= BYTES_MAX
}

/// Adds the size of a value, or returns `None` as soon as the sum exceeds a bound. JSON is parsed to a bounded depth.
fn measure(value: &Value, sum: &mut Size) -> Option<()> {
    match value {
        Value::String(text) => *sum = sum.plus(Size::of_text(text)),
        Value::Array(items) => {
            sum.values += 1;
            items.iter().try_for_each(|item| measure(item, sum))?;
        }
        Value::Object(members) => {
            sum.values += 1;
            for (name, member) in members {
                *sum = sum.plus(Size::of_text(name));
                measure(member, sum)?;
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => sum.values += 1,
    }
    within(*sum).then_some(())
}

/// Returns the CEL value of JSON. An integer is an `int`, so that `output.count == 3` holds as written.
fn value<'a>(json: &'a Value) -> Box<dyn Val + 'a> {
    match json {
        Value::Null => Box::new(CelNull),
        Value::Bool(flag) => Box::new(CelBool::from(*flag)),
        Value::Number(number) => match number.as_i64() {
            Some(integer) => Box::new(CelInt::from(integer)),
            None => Box::new(CelDouble::from(number.as_f64().unwrap_or(f64::NAN))),
        },
        Value::String(text) => Box::new(CelString::from(text.as_str())),
        Value::Array(items) => Box::new(CelList::from(items.iter().map(value).collect::<Vec<_>>())),
        Value::Object(members) => object(members),
    }
}

fn object<'a>(members: &'a Map<String, Value>) -> Box<dyn Val + 'a> {
    let members = members.iter().map(|(name, member)| (CelMapKey::from(name.as_str()), value(member)));
    Box::new(CelMap::from(members.collect::<HashMap<_, _>>()))
}
