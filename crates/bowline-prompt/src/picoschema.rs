//! Picoschema: a compact way to write a JSON Schema in YAML.
//!
//! A property is `name: type, description`; `name?` makes it optional and nullable; `name(array, …)`, `name(object, …)`
//! and `name(enum, …)` nest; `(*)` is every other property; any other type name refers to a named schema.

#[cfg(test)]
mod tests;

use serde_json::{Map, Value as Json, json};

use crate::diagnostic::{Diagnostic, Span};
use crate::yaml::{Key, Node, Value};

const SCALARS: [&str; 6] = ["any", "boolean", "integer", "null", "number", "string"];
const NESTING: [&str; 2] = ["object", "array"];
/// The property that stands for all others.
const WILDCARD: &str = "(*)";

/// Finds schemas that a prompt refers to by name.
pub type Resolver<'a> = dyn Fn(&str) -> Option<Json> + 'a;

/// Returns the JSON Schema that `schema` of `file` writes, in Picoschema or as it is; `None` if it is empty.
///
/// # Errors
/// What is neither Picoschema nor JSON Schema, at its place.
pub fn compile(file: &str, schema: &Node, named: &Resolver<'_>) -> Result<Option<Json>, Diagnostic> {
    let compiler = Compiler { file, named };
    match &schema.value {
        Value::Null => Ok(None),
        Value::String(text) if text.is_empty() => Ok(None),
        Value::String(text) => compiler.type_name(text, schema.span).map(Some),
        Value::Mapping(_) if is_json_schema(schema) => Ok(Some(schema.to_json())),
        Value::Mapping(_) if schema.get("properties").is_some_and(Node::is_mapping) => {
            let mut schema = schema.to_json();
            if let Some(object) = schema.as_object_mut() {
                object.insert("type".to_owned(), json!("object"));
            }
            Ok(Some(schema))
        }
        _ => compiler.value(schema).map(Some),
    }
}

/// Whether a mapping is JSON Schema rather than Picoschema.
///
/// A `type` that names a JSON type decides, as in the reference implementation, and so does a keyword with a value that
/// no property of Picoschema can have.
#[must_use]
pub fn is_json_schema(schema: &Node) -> bool {
    let json_type = |node: &Node| node.as_str().is_some_and(|name| SCALARS.contains(&name) || NESTING.contains(&name));
    schema.entries().iter().any(|(key, value)| match key.text.as_str() {
        "type" => json_type(value) || (!value.items().is_empty() && value.items().iter().all(json_type)),
        "anyOf" | "oneOf" | "allOf" | "enum" => matches!(value.value, Value::Sequence(_)),
        other => other.starts_with('$'),
    })
}

/// Returns the key that declares the property `name` at the top of `schema`.
#[must_use]
pub fn property_key<'n>(schema: &'n Node, name: &str) -> Option<&'n Key> {
    let written_out = schema.get("properties").filter(|properties| properties.is_mapping());
    if let Some(properties) = written_out {
        return properties.entry(name).map(|(key, _)| key);
    }
    let keys = schema.entries().iter().map(|(key, _)| key);
    keys.into_iter().find(|key| {
        let declared = key.text.split('(').next().unwrap_or_default();
        declared.strip_suffix('?').unwrap_or(declared) == name
    })
}

struct Compiler<'a> {
    file: &'a str,
    named: &'a Resolver<'a>,
}

/// A property key: `name?(type, description)`.
struct Property<'a> {
    name: &'a str,
    optional: bool,
    nesting: Option<(&'a str, Option<&'a str>)>,
}

// === impl Compiler ===

impl Compiler<'_> {
    fn value(&self, node: &Node) -> Result<Json, Diagnostic> {
        match &node.value {
            Value::String(text) => self.type_name(text, node.span),
            Value::Mapping(entries) => self.object(entries),
            Value::Null | Value::Bool(_) | Value::Integer(_) | Value::Float(_) | Value::Sequence(_) => Err(self
                .error(node.span, format!("a schema is a type name or keys and values, not {}", node.kind()))
                .hint("for example `name: string, what it is`, or `tags(array): string`")),
        }
    }

    /// `type, description`.
    fn type_name(&self, text: &str, span: Span) -> Result<Json, Diagnostic> {
        let (name, description) = described(text);
        let mut schema = match name {
            "any" => Map::new(),
            scalar if SCALARS.contains(&scalar) => Map::from_iter([("type".to_owned(), json!(scalar))]),
            other => match (self.named)(other) {
                Some(Json::Object(schema)) => schema,
                Some(other) if description.is_none() => return Ok(other),
                Some(_) => Map::new(),
                None => return Err(self.unknown_type(other, span)),
            },
        };
        if let Some(description) = description {
            schema.insert("description".to_owned(), json!(description));
        }
        Ok(Json::Object(schema))
    }

    fn unknown_type(&self, name: &str, span: Span) -> Diagnostic {
        let near = bowline_types::closest(name, SCALARS);
        let hint = match near {
            Some(near) => format!("did you mean `{near}`?"),
            None if NESTING.contains(&name) => format!("put it behind the name: `name({name}): …`"),
            None => format!("types are {}, or the name of a schema of the project", SCALARS.join(", ")),
        };
        self.error(span, format!("unknown type `{name}`")).label("no such type").hint(hint)
    }

    fn object(&self, entries: &[(Key, Node)]) -> Result<Json, Diagnostic> {
        let mut properties = Map::new();
        let mut required = Vec::new();
        let mut additional = Json::Bool(false);
        for (key, value) in entries {
            if key.text == WILDCARD {
                additional = self.value(value)?;
                continue;
            }
            let property = self.property_key(key)?;
            if !property.optional {
                required.push(json!(property.name));
            }
            let schema = self.property(&property, key, value)?;
            if properties.insert(property.name.to_owned(), schema).is_some() {
                return Err(self.error(key.span, format!("the property `{}` stands twice", property.name)));
            }
        }
        let mut schema = Map::new();
        schema.insert("type".to_owned(), json!("object"));
        schema.insert("properties".to_owned(), Json::Object(properties));
        if !required.is_empty() {
            schema.insert("required".to_owned(), Json::Array(required));
        }
        schema.insert("additionalProperties".to_owned(), additional);
        Ok(Json::Object(schema))
    }

    fn property_key<'k>(&self, key: &'k Key) -> Result<Property<'k>, Diagnostic> {
        let (name, nesting) = match key.text.split_once('(') {
            None => (key.text.as_str(), None),
            Some((name, nesting)) => match nesting.strip_suffix(')') {
                Some(nesting) => (name, Some(described(nesting))),
                None => return Err(self.error(key.span, "a `)` is missing").hint("write `name(array, what it is)`")),
            },
        };
        let (name, optional) = name.strip_suffix('?').map_or((name, false), |name| (name, true));
        if name.is_empty() {
            return Err(self.error(key.span, "a property needs a name"));
        }
        Ok(Property { name, optional, nesting })
    }

    fn property(&self, property: &Property<'_>, key: &Key, value: &Node) -> Result<Json, Diagnostic> {
        let Some((nesting, description)) = property.nesting else {
            let mut schema = self.value(value)?;
            make_nullable(&mut schema, property.optional);
            return Ok(schema);
        };
        let mut schema = match nesting {
            "array" => json!({"type": "array", "items": self.value(value)?}),
            "object" => self.value(value)?,
            "enum" => self.enumeration(value, property.optional)?,
            other => {
                return Err(self
                    .error(key.span, format!("`{other}` cannot stand in parentheses"))
                    .hint("the types in parentheses are array, object and enum"));
            }
        };
        make_nullable(&mut schema, property.optional);
        if let (Some(object), Some(description)) = (schema.as_object_mut(), description) {
            object.insert("description".to_owned(), json!(description));
        }
        Ok(schema)
    }

    fn enumeration(&self, value: &Node, optional: bool) -> Result<Json, Diagnostic> {
        if value.items().is_empty() {
            return Err(self.error(value.span, format!("an enum is a list of values, not {}", value.kind())));
        }
        let mut values: Vec<Json> = value.items().iter().map(Node::to_json).collect();
        if optional && !values.contains(&Json::Null) {
            values.push(Json::Null);
        }
        Ok(json!({ "enum": values }))
    }

    fn error(&self, span: Span, message: impl Into<String>) -> Diagnostic {
        Diagnostic::error("schema", self.file, message).at(span)
    }
}

/// `type, description` at the first comma.
fn described(text: &str) -> (&str, Option<&str>) {
    match text.split_once(',') {
        None => (text.trim(), None),
        Some((name, description)) => {
            let description = description.trim_start_matches(' ');
            (name.trim(), (!description.is_empty()).then_some(description))
        }
    }
}

/// An optional property may also be null.
fn make_nullable(schema: &mut Json, optional: bool) {
    if !optional {
        return;
    }
    if let Some(Json::String(name)) = schema.get("type") {
        let both = json!([name, "null"]);
        if let Some(object) = schema.as_object_mut() {
            object.insert("type".to_owned(), both);
        }
    }
}
