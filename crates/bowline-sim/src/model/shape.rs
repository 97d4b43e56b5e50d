use serde_json::{Map, Value};

use super::classify::Classifier;
use super::instructions::Instructions;
use super::prose;
use crate::random::Seed;

/// How deep an answer may nest; a schema that wants more gets `null` there.
const DEPTH_MAX: usize = 16;

/// Fills the values of a JSON answer: labels by their definitions, the rest by its type.
pub(super) struct Filler<'a> {
    pub(super) instructions: &'a Instructions,
    pub(super) input: &'a str,
    pub(super) noise: f64,
    pub(super) seed: Seed,
}

// === impl Filler ===

impl Filler<'_> {
    /// Returns a value that a JSON Schema describes.
    pub(super) fn value(&self, field: &str, schema: &Value) -> Value {
        self.nested(field, schema, DEPTH_MAX)
    }

    /// Returns the label of a field that the input fits best.
    pub(super) fn label(&self, field: &str, labels: &[String]) -> Value {
        let classifier = Classifier::new(self.instructions, field, labels);
        classifier.choose(self.input, self.noise, self.seed.text(field)).map_or(Value::Null, Value::from)
    }

    fn nested(&self, field: &str, schema: &Value, depth: usize) -> Value {
        let Some(depth) = depth.checked_sub(1) else { return Value::Null };
        if let Some(constant) = schema.get("const") {
            return constant.clone();
        }
        if let Some(Value::Array(values)) = schema.get("enum") {
            let labels: Vec<String> = values.iter().filter_map(Value::as_str).map(str::to_owned).collect();
            return if labels.is_empty() {
                values.first().cloned().unwrap_or(Value::Null)
            } else {
                self.label(field, &labels)
            };
        }
        match type_of(schema).as_str() {
            "object" => self.object(schema, depth),
            "array" => {
                let items = schema.get("items").map(|items| self.nested(field, items, depth));
                Value::Array(items.into_iter().collect())
            }
            "string" => Value::from(prose::summary(self.input)),
            "integer" => Value::from(schema.get("minimum").and_then(Value::as_i64).unwrap_or(1)),
            "number" => Value::from(schema.get("minimum").and_then(Value::as_f64).unwrap_or(1.0)),
            "boolean" => Value::from(self.seed.text(field).text(self.input).uniform() < 0.5),
            _ => Value::Null,
        }
    }

    fn object(&self, schema: &Value, depth: usize) -> Value {
        let properties = schema.get("properties").and_then(Value::as_object);
        let fields = properties.into_iter().flatten();
        let filled = fields.map(|(name, schema)| (name.clone(), self.nested(name, schema, depth)));
        Value::Object(filled.collect::<Map<_, _>>())
    }
}

/// The first type that a schema allows besides `null`, in JSON Schema's lower case (Gemini writes `STRING`).
fn type_of(schema: &Value) -> String {
    let named = match schema.get("type") {
        Some(Value::String(name)) => Some(name.as_str()),
        Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).find(|name| *name != "null"),
        _ => schema.get("properties").map(|_| "object"),
    };
    named.unwrap_or("string").to_ascii_lowercase()
}
