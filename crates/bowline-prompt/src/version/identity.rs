//! What of a version is hashed: everything but the number of its schema.

use serde_json::{Map, Value};

use super::{ModelConfig, ModelIdentity, Version, VersionInput, VersionModel, VersionOutput, VersionTool};

/// The domain of the digest. It changes only if the encoding of what exists today does, and then all digests do.
pub(super) const DOMAIN: &str = "bowline/version/1";

/// Keywords whose value is a schema or a list of schemas.
const SCHEMA_KEYWORDS: [&str; 17] = [
    "additionalItems",
    "additionalProperties",
    "allOf",
    "anyOf",
    "contains",
    "contentSchema",
    "else",
    "if",
    "items",
    "not",
    "oneOf",
    "prefixItems",
    "propertyNames",
    "then",
    "unevaluatedItems",
    "unevaluatedProperties",
    "extends",
];

/// Keywords whose value maps names to schemas, in no order that a model would follow.
const NAMED_SCHEMA_KEYWORDS: [&str; 5] =
    ["$defs", "definitions", "dependencies", "dependentSchemas", "patternProperties"];

/// Returns the value whose canonical encoding is hashed. Every field is named here, so that none is forgotten.
pub(super) fn of(version: &Version) -> Value {
    let Version { schema_version: _, model, config, input, output, tools, body, partials } = version;
    let mut fields = Fields::default();
    fields.put("model", model_of(model));
    fields.put_map("config", config_of(config));
    fields.put_map("input", input_of(input));
    fields.put_map("output", output_of(output));
    if !tools.is_empty() {
        fields.put("tools", tools.iter().map(tool_of).collect::<Value>());
    }
    fields.put("body", body.as_str());
    fields.put_map("partials", partials.iter().map(|(name, text)| (name.clone(), text.as_str().into())).collect());
    Value::Object(fields.0)
}

/// An object under construction, in which what says nothing is left out.
#[derive(Default)]
struct Fields(Map<String, Value>);

// === impl Fields ===

impl Fields {
    fn put(&mut self, name: &str, value: impl Into<Value>) {
        self.0.insert(name.to_owned(), value.into());
    }

    fn put_some(&mut self, name: &str, value: Option<impl Into<Value>>) {
        if let Some(value) = value {
            self.put(name, value);
        }
    }

    fn put_map(&mut self, name: &str, map: Map<String, Value>) {
        if !map.is_empty() {
            self.put(name, map);
        }
    }
}

fn model_of(model: &VersionModel) -> Value {
    let VersionModel { alias, identities } = model;
    let mut fields = Fields::default();
    fields.put("alias", alias.as_str());
    fields.put("identities", identities.iter().map(identity_of).collect::<Value>());
    Value::Object(fields.0)
}

fn identity_of(identity: &ModelIdentity) -> Value {
    let ModelIdentity { provider, model } = identity;
    let mut fields = Fields::default();
    fields.put("provider", provider.as_str());
    fields.put("model", model.as_str());
    Value::Object(fields.0)
}

fn config_of(config: &ModelConfig) -> Map<String, Value> {
    let ModelConfig {
        temperature,
        top_p,
        top_k,
        max_output_tokens,
        stop_sequences,
        seed,
        presence_penalty,
        frequency_penalty,
    } = config;
    let mut fields = Fields::default();
    fields.put_some("temperature", *temperature);
    fields.put_some("topP", *top_p);
    fields.put_some("topK", *top_k);
    fields.put_some("maxOutputTokens", *max_output_tokens);
    if !stop_sequences.is_empty() {
        fields.put("stopSequences", stop_sequences.clone());
    }
    fields.put_some("seed", *seed);
    fields.put_some("presencePenalty", *presence_penalty);
    fields.put_some("frequencyPenalty", *frequency_penalty);
    fields.0
}

fn input_of(input: &VersionInput) -> Map<String, Value> {
    let VersionInput { schema, default } = input;
    let mut fields = Fields::default();
    fields.put_some("schema", schema.as_ref().map(schema_of));
    fields.put_map("default", default.clone());
    fields.0
}

fn output_of(output: &VersionOutput) -> Map<String, Value> {
    let VersionOutput { format, schema } = output;
    let mut fields = Fields::default();
    fields.put_some("format", format.map(super::OutputFormat::as_str));
    fields.put_some("schema", schema.as_ref().map(schema_of));
    fields.0
}

fn tool_of(tool: &VersionTool) -> Value {
    let VersionTool { name, description, input, output } = tool;
    let mut fields = Fields::default();
    fields.put("name", name.as_str());
    fields.put_some("description", description.as_deref());
    fields.put_some("input", input.as_ref().map(schema_of));
    fields.put_some("output", output.as_ref().map(schema_of));
    Value::Object(fields.0)
}

/// Returns a schema in which `properties` is `{"ordered": [[name, schema], …]}`, as the canonical form sorts keys.
///
/// A value that is an object becomes such an object and any other value stays, so different schemas stay different.
fn schema_of(schema: &Value) -> Value {
    let Value::Object(keywords) = schema else { return schema.clone() };
    let keyword = |(keyword, value): (&String, &Value)| {
        let value = match (keyword.as_str(), value) {
            ("properties", Value::Object(properties)) => {
                let pair = |(name, schema): (&String, &Value)| {
                    Value::from(vec![Value::from(name.as_str()), schema_of(schema)])
                };
                let pairs: Value = properties.iter().map(pair).collect();
                Value::Object(Map::from_iter([("ordered".to_owned(), pairs)]))
            }
            (name, Value::Object(schemas)) if NAMED_SCHEMA_KEYWORDS.contains(&name) => {
                Value::Object(schemas.iter().map(|(name, schema)| (name.clone(), schema_of(schema))).collect())
            }
            (name, Value::Array(schemas)) if SCHEMA_KEYWORDS.contains(&name) => schemas.iter().map(schema_of).collect(),
            (name, schema) if SCHEMA_KEYWORDS.contains(&name) => schema_of(schema),
            (_, value) => value.clone(),
        };
        (keyword.clone(), value)
    };
    Value::Object(keywords.iter().map(keyword).collect())
}
