//! The variables of a prompt, checked against its input schema.

use std::collections::BTreeMap;
use std::fmt;

use jsonschema::error::ValidationErrorKind;
use jsonschema::{ValidationError, Validator};
use serde_json::{Map, Value};
use thiserror::Error;

/// The input schema of a prompt, compiled once.
pub struct InputSchema {
    schema: Value,
    defaults: Map<String, Value>,
    validator: Validator,
}

/// What is wrong with one variable. The message never holds the value.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("variable `{variable}` {message}")]
pub struct VariableError {
    /// The variable, or empty where it is about all of them.
    pub variable: String,
    /// What is wrong with it, to be read behind its name.
    pub message: String,
}

/// A schema that is not a schema.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{message}")]
pub struct SchemaError {
    /// Where in the schema, as a JSON pointer.
    pub pointer: String,
    /// What is wrong.
    pub message: String,
}

// === impl InputSchema ===

impl InputSchema {
    /// Compiles `schema`; `defaults` stand in for variables that a caller leaves out.
    ///
    /// # Errors
    /// What is not JSON Schema.
    pub fn new(schema: Value, defaults: Map<String, Value>) -> Result<Self, SchemaError> {
        let validator = compile_schema(&schema)?;
        Ok(Self { schema, defaults, validator })
    }

    /// Returns the JSON Schema.
    #[must_use]
    pub const fn schema(&self) -> &Value {
        &self.schema
    }

    /// Returns the defaults.
    #[must_use]
    pub const fn defaults(&self) -> &Map<String, Value> {
        &self.defaults
    }

    /// Returns the declared variables and the schema of each.
    pub fn properties(&self) -> impl Iterator<Item = (&str, &Value)> {
        let properties = self.schema.get("properties").and_then(Value::as_object);
        properties.into_iter().flatten().map(|(name, schema)| (name.as_str(), schema))
    }

    /// Returns the variables that a caller must give.
    pub fn required(&self) -> impl Iterator<Item = &str> {
        let required = self.schema.get("required").and_then(Value::as_array);
        let names = required.into_iter().flatten().filter_map(Value::as_str);
        names.filter(|name| !self.defaults.contains_key(*name))
    }

    /// Checks the variables of a caller, with the defaults below them.
    ///
    /// # Errors
    /// Everything that is wrong, one entry per variable and reason.
    pub fn validate(&self, variables: &Map<String, Value>) -> Result<(), Vec<VariableError>> {
        let mut merged = self.defaults.clone();
        merged.extend(variables.iter().map(|(name, value)| (name.clone(), value.clone())));
        let merged = Value::Object(merged);
        let mut errors: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for error in self.validator.iter_errors(&merged) {
            for (variable, message) in self.explain(&error) {
                let messages = errors.entry(variable).or_default();
                if !messages.contains(&message) {
                    messages.push(message);
                }
            }
        }
        let all = errors.into_iter().flat_map(|(variable, messages)| {
            messages.into_iter().map(move |message| VariableError { variable: variable.clone(), message })
        });
        let all: Vec<_> = all.collect();
        if all.is_empty() { Ok(()) } else { Err(all) }
    }

    fn explain(&self, error: &ValidationError<'_>) -> Vec<(String, String)> {
        let pointer = error.instance_path().as_str();
        let mut steps = pointer.split('/').skip(1).map(unescape);
        let Some(variable) = steps.next() else { return self.explain_all(error) };
        let inner: Vec<String> = steps.collect();
        let place = if inner.is_empty() { String::new() } else { format!("at `{}`: ", inner.join(".")) };
        vec![(variable, format!("is not as declared: {place}{}", error.masked_with("the value")))]
    }

    /// An error about the variables as a whole: which of them are missing or unknown.
    fn explain_all(&self, error: &ValidationError<'_>) -> Vec<(String, String)> {
        match error.kind() {
            ValidationErrorKind::Required { property } => {
                let name = property.as_str().map_or_else(|| property.to_string(), str::to_owned);
                vec![(name, "is missing".to_owned())]
            }
            ValidationErrorKind::AdditionalProperties { unexpected } => {
                let declared: Vec<&str> = self.properties().map(|(name, _)| name).collect();
                let explain = |name: &String| {
                    let hint = match bowline_types::closest(name, declared.iter().copied()) {
                        Some(near) => format!("; did you mean `{near}`?"),
                        None if declared.is_empty() => "; there are none".to_owned(),
                        None => format!("; inputs are {}", quoted(&declared)),
                    };
                    (name.clone(), format!("is not an input{hint}"))
                };
                unexpected.iter().map(explain).collect()
            }
            _ => vec![(String::new(), error.masked_with("the input").to_string())],
        }
    }
}

impl fmt::Debug for InputSchema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InputSchema").field("schema", &self.schema).finish_non_exhaustive()
    }
}

/// Compiles a JSON Schema. Nothing is fetched: a reference to elsewhere is an error.
///
/// # Errors
/// What is not JSON Schema, and where.
pub fn compile_schema(schema: &Value) -> Result<Validator, SchemaError> {
    jsonschema::validator_for(schema)
        .map_err(|error| SchemaError { pointer: error.instance_path().as_str().to_owned(), message: error.to_string() })
}

fn unescape(step: &str) -> String {
    step.replace("~1", "/").replace("~0", "~")
}

fn quoted(names: &[&str]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn schema() -> InputSchema {
        let schema = json!({
            "type": "object",
            "properties": {
                "ticket": {"type": "string", "maxLength": 5},
                "customer": {"type": ["object", "null"], "properties": {"age": {"type": "integer"}}},
                "tone": {"type": "string"}
            },
            "required": ["ticket", "tone"],
            "additionalProperties": false
        });
        let Value::Object(defaults) = json!({"tone": "calm"}) else { unreachable!() };
        InputSchema::new(schema, defaults).unwrap()
    }

    fn check(variables: Value, expected: &[&str]) {
        let Value::Object(variables) = variables else { unreachable!() };
        let errors = schema().validate(&variables).err().unwrap_or_default();
        assert_eq!(errors.iter().map(ToString::to_string).collect::<Vec<_>>(), expected, "{variables:?}");
    }

    #[test]
    fn variables_are_checked_one_by_one() {
        check(json!({"ticket": "a"}), &[]);
        check(json!({"ticket": "a", "customer": null}), &[]);
        check(json!({}), &["variable `ticket` is missing"]);
        check(
            json!({"tiket": "a"}),
            &["variable `ticket` is missing", "variable `tiket` is not an input; did you mean `ticket`?"],
        );
        check(
            json!({"ticket": "secret", "zebra": 1}),
            &[
                "variable `ticket` is not as declared: the value is longer than 5 characters",
                "variable `zebra` is not an input; inputs are `ticket`, `customer`, `tone`",
            ],
        );
        check(
            json!({"ticket": "a", "customer": {"age": "x"}}),
            &["variable `customer` is not as declared: at `age`: the value is not of type \"integer\""],
        );
    }

    #[test]
    fn defaults_make_a_variable_optional() {
        assert_eq!(schema().required().collect::<Vec<_>>(), ["ticket"]);
    }

    #[test]
    fn what_is_no_schema_is_refused() {
        let error = InputSchema::new(json!({"type": "object", "properties": {"a": {"type": "strin"}}}), Map::new());
        assert_eq!(error.unwrap_err().pointer, "/properties/a/type");
        assert!(InputSchema::new(json!({"$ref": "https://example.com/schema.json"}), Map::new()).is_err());
    }
}
