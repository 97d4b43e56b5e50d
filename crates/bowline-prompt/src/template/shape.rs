//! What a schema says about the values a template meets.

use serde_json::Value;

/// How many references are followed in a row.
const REFERENCES_MAX: usize = 8;

/// What is known of a value.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Shape<'a> {
    /// The variables as a whole.
    Variables,
    /// A value of this schema.
    Schema(&'a Value),
    /// Anything.
    Any,
}

/// A field of a value.
#[derive(Debug)]
pub(crate) enum Field<'a> {
    /// It may be there, and this is known of it.
    Declared(Shape<'a>),
    /// The schema does not have it; it has these.
    Undeclared(Vec<&'a str>),
    /// The value has no fields, for it is this.
    NoFields(&'static str),
}

/// Looks into one schema and what it refers to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shapes<'a> {
    /// The whole schema, where references point into.
    pub(crate) root: &'a Value,
}

// === impl Shapes ===

impl<'a> Shapes<'a> {
    /// Returns the field `name` of a value of `schema`.
    ///
    /// What a schema lists is what a template may use: a schema that lists properties and says nothing of others is read as
    /// if there were none, for a name outside of it is nearly always a mistake.
    pub(crate) fn field(self, schema: &'a Value, name: &str) -> Field<'a> {
        let schema = self.resolve(schema);
        let properties = schema.get("properties").and_then(Value::as_object);
        if let Some(property) = properties.and_then(|properties| properties.get(name)) {
            return Field::Declared(Shape::Schema(property));
        }
        if is_composed(schema) {
            return Field::Declared(Shape::Any);
        }
        match schema.get("additionalProperties") {
            Some(Value::Bool(false)) => return undeclared(schema),
            Some(Value::Bool(true)) => return Field::Declared(Shape::Any),
            Some(other) => return Field::Declared(Shape::Schema(other)),
            None if properties.is_some() => return undeclared(schema),
            None => {}
        }
        match self.only_kind(schema) {
            Some("array") if name.chars().all(|c| c.is_ascii_digit()) => Field::Declared(self.element(schema)),
            Some("array") => Field::NoFields("a list"),
            Some("string") => Field::NoFields("text"),
            Some("number" | "integer") => Field::NoFields("a number"),
            Some("boolean") => Field::NoFields("a boolean"),
            _ => Field::Declared(Shape::Any),
        }
    }

    /// Returns what is known of the items of a list or the values of an object.
    pub(crate) fn element(self, schema: &'a Value) -> Shape<'a> {
        let schema = self.resolve(schema);
        let element = schema.get("items").or_else(|| schema.get("additionalProperties"));
        element.filter(|element| element.is_object()).map_or(Shape::Any, Shape::Schema)
    }

    /// Returns the one type a value of `schema` has beside null, if there is only one.
    pub(crate) fn only_kind(self, schema: &'a Value) -> Option<&'a str> {
        let schema = self.resolve(schema);
        match schema.get("type")? {
            Value::String(kind) => Some(kind),
            Value::Array(kinds) => {
                let mut kinds = kinds.iter().filter_map(Value::as_str).filter(|kind| *kind != "null");
                kinds.next().filter(|_| kinds.next().is_none())
            }
            _ => None,
        }
    }

    fn resolve(self, schema: &'a Value) -> &'a Value {
        let mut resolved = schema;
        for _ in 0..REFERENCES_MAX {
            let target = resolved.get("$ref").and_then(Value::as_str).and_then(|reference| reference.strip_prefix('#'));
            let Some(target) = target.and_then(|pointer| self.root.pointer(pointer)) else { break };
            resolved = target;
        }
        resolved
    }
}

/// Whether properties may come from elsewhere than the schema's own list.
fn is_composed(schema: &Value) -> bool {
    ["anyOf", "oneOf", "allOf", "if", "$ref", "patternProperties"].iter().any(|keyword| schema.get(keyword).is_some())
}

fn undeclared(schema: &Value) -> Field<'_> {
    let properties = schema.get("properties").and_then(Value::as_object);
    Field::Undeclared(properties.into_iter().flatten().map(|(name, _)| name.as_str()).collect())
}
