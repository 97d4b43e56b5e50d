//! JSON Schemas of assertions and tools, as strict as promptfoo's validator: draft 7 unless they say otherwise, formats are checked,
//! and a keyword that is none is an error, never a check that is skipped.

use bowline_prompt::yaml;
use jsonschema::error::ValidationErrorKind;
use jsonschema::{Draft, PatternOptions, Validator};
use serde_json::Value;

use crate::subject::shorten;

/// How often a `pattern` may backtrack on one text.
const BACKTRACKS_MAX: usize = 100_000;

/// The most violations that a reason lists, and the most bytes of each.
const VIOLATIONS_MAX: usize = 3;
const VIOLATION_BYTES_MAX: usize = 200;

/// The deepest nesting of a schema.
const DEPTH_MAX: usize = 64;

/// A compiled schema.
pub(super) struct Schema(Validator);

/// What a value is to a schema.
pub(super) enum Fit {
    Fits,
    /// In what it does not.
    Violates(String),
}

// === impl Schema ===

impl Schema {
    /// Compiles the value of an assertion: a schema, or its YAML or JSON as text. `None` where there is no schema.
    pub(super) fn of_value(value: &Value, kind: &str) -> Result<Option<Self>, String> {
        match value {
            Value::Null => Ok(None),
            Value::String(text) if text.is_empty() => Ok(None),
            Value::String(text) => {
                let node = yaml::parse("the schema", text, 0)
                    .map_err(|error| format!("the schema of `{kind}` is no YAML: {}", error.message))?;
                Self::compile(&node.to_json()).map(Some)
            }
            Value::Object(_) => Self::compile(value).map(Some),
            _ => Err(format!("`{kind}` needs a JSON Schema as its value, or none")),
        }
    }

    /// Compiles a schema whose keywords are all known.
    fn compile(schema: &Value) -> Result<Self, String> {
        keywords(schema, 0)?;
        Self::of_tool(schema)
    }

    /// Compiles the parameters of a tool, in which providers have keywords of their own.
    pub(super) fn of_tool(schema: &Value) -> Result<Self, String> {
        let mut options = jsonschema::options()
            .should_validate_formats(true)
            .with_pattern_options(PatternOptions::fancy_regex().backtrack_limit(BACKTRACKS_MAX));
        if schema.get("$schema").is_none() {
            options = options.with_draft(Draft::Draft7);
        }
        options.build(schema).map(Self).map_err(|error| {
            let message = shorten(error.to_string(), VIOLATION_BYTES_MAX);
            format!("the schema is none: {message} at `{}`", error.instance_path())
        })
    }

    /// Holds a value against the schema.
    ///
    /// # Errors
    /// Says that a pattern of the schema backtracked too often.
    pub(super) fn check(&self, value: &Value) -> Result<Fit, String> {
        let mut violations = Vec::new();
        for error in self.0.iter_errors(value).take(VIOLATIONS_MAX) {
            if let ValidationErrorKind::BacktrackLimitExceeded { .. } | ValidationErrorKind::RegexEngineFailure { .. } =
                error.kind()
            {
                return Err(format!(
                    "a `pattern` of the schema backtracked more than {BACKTRACKS_MAX} times on this answer"
                ));
            }
            let message = shorten(error.to_string(), VIOLATION_BYTES_MAX);
            let path = error.instance_path().to_string();
            violations.push(if path.is_empty() { message } else { format!("{message} at `{path}`") });
        }
        Ok(if violations.is_empty() { Fit::Fits } else { Fit::Violates(violations.join("; ")) })
    }
}

/// Keywords whose value is a schema, a list of schemas, or schemas by name.
const ONE: &[&str] = &[
    "additionalItems",
    "additionalProperties",
    "contains",
    "contentSchema",
    "else",
    "if",
    "items",
    "not",
    "propertyNames",
    "then",
    "unevaluatedItems",
    "unevaluatedProperties",
];
const LISTS: &[&str] = &["allOf", "anyOf", "items", "oneOf", "prefixItems"];
const BY_NAME: &[&str] =
    &["$defs", "definitions", "dependencies", "dependentSchemas", "patternProperties", "properties"];

/// The other keywords of drafts 4 to 2020-12.
const PLAIN: &[&str] = &[
    "$anchor",
    "$comment",
    "$dynamicAnchor",
    "$dynamicRef",
    "$id",
    "$recursiveAnchor",
    "$recursiveRef",
    "$ref",
    "$schema",
    "$vocabulary",
    "const",
    "contentEncoding",
    "contentMediaType",
    "default",
    "dependentRequired",
    "deprecated",
    "description",
    "enum",
    "examples",
    "exclusiveMaximum",
    "exclusiveMinimum",
    "format",
    "id",
    "maxContains",
    "maxItems",
    "maxLength",
    "maxProperties",
    "maximum",
    "minContains",
    "minItems",
    "minLength",
    "minProperties",
    "minimum",
    "multipleOf",
    "pattern",
    "readOnly",
    "required",
    "title",
    "type",
    "uniqueItems",
    "writeOnly",
];

/// Checks that every keyword of a schema is one.
fn keywords(schema: &Value, depth: usize) -> Result<(), String> {
    if depth > DEPTH_MAX {
        return Err(format!("the schema is nested more than {DEPTH_MAX} levels deep"));
    }
    let Value::Object(members) = schema else {
        return match schema {
            Value::Bool(_) => Ok(()),
            other => Err(format!("`{}` stands where a schema is expected", shorten(other.to_string(), 60))),
        };
    };
    for (keyword, value) in members {
        let name = keyword.as_str();
        match value {
            Value::Array(items) if LISTS.contains(&name) => {
                items.iter().try_for_each(|item| keywords(item, depth + 1))?
            }
            Value::Object(members) if BY_NAME.contains(&name) => {
                // In `dependencies`, a list names members that are required too.
                let schemas = members.values().filter(|member| !(name == "dependencies" && member.is_array()));
                schemas.into_iter().try_for_each(|member| keywords(member, depth + 1))?;
            }
            _ if ONE.contains(&name) => keywords(value, depth + 1)?,
            _ if LISTS.contains(&name) || BY_NAME.contains(&name) || PLAIN.contains(&name) => {}
            _ => {
                let known = ONE.iter().chain(LISTS).chain(BY_NAME).chain(PLAIN).copied();
                let hint =
                    bowline_types::closest(name, known).map_or_else(String::new, |near| format!("; hint: `{near}`?"));
                return Err(format!("the schema has an unknown keyword `{name}`{hint}"));
            }
        }
    }
    Ok(())
}
