//! The immutable closure of a prompt, and its identity.

mod canonical;
mod config;
mod identity;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;

use bowline_types::{Digest, ModelAlias};
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value, json};

use crate::input_schema::{InputSchema, SchemaError};
use crate::template::{CompileError, CompiledTemplate, Missing};
pub use canonical::canonical_json;
pub(crate) use canonical::inexact_integer;
pub use config::ModelConfig;

/// The immutable closure of a prompt: all that a gateway needs to serve it, without any file.
///
/// Two versions are the same exactly when their [`Version::digest`] is. The name of the prompt, its owners, suite, success
/// contract, rollout plan and the description are no part of it; neither is what an environment may change (endpoints,
/// credentials, timeouts).
///
/// As JSON, a field at its default is left out. Every field but `schema_version` is hashed, so a field that later versions of
/// Bowline add must be left out at its default too: then what was hashed before keeps its digest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Version {
    /// [`Version::SCHEMA`] at the time of writing; another one is refused.
    #[serde(deserialize_with = "supported_schema")]
    pub schema_version: u32,
    /// The model.
    pub model: VersionModel,
    /// The parameters of the call.
    #[serde(default, skip_serializing_if = "ModelConfig::is_empty")]
    pub config: ModelConfig,
    /// What applications send.
    #[serde(default, skip_serializing_if = "VersionInput::is_empty")]
    pub input: VersionInput,
    /// What applications get.
    #[serde(default, skip_serializing_if = "VersionOutput::is_empty")]
    pub output: VersionOutput,
    /// What the model may call, in the order in which it is told.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tools: Vec<VersionTool>,
    /// The template, with LF line ends.
    pub body: String,
    /// The partials that the template reaches, directly or not, by name; LF line ends.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub partials: BTreeMap<String, String>,
}

/// The model of a version: the alias as the prompt names it, and what was behind it when the version was made.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VersionModel {
    /// The alias.
    pub alias: ModelAlias,
    /// Whose models, in order of preference; later ones are fallbacks. At least one.
    pub identities: Vec<ModelIdentity>,
}

/// Which model answers, wherever it is reached.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelIdentity {
    /// The kind of the provider, such as `openai`; for another upstream, the identity that the project declares for it.
    pub provider: String,
    /// The upstream's own name of the model.
    pub model: String,
}

/// The input of a version.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VersionInput {
    /// JSON Schema of the variables; `None` where the prompt takes none.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "exact_schema")]
    pub schema: Option<Value>,
    /// Values of the variables that an application leaves out.
    #[serde(default, skip_serializing_if = "Map::is_empty", deserialize_with = "exact_map")]
    pub default: Map<String, Value>,
}

/// The output of a version.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VersionOutput {
    /// The form; `None` leaves it to the model, which means text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<OutputFormat>,
    /// JSON Schema of the answer.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "exact_schema")]
    pub schema: Option<Value>,
}

/// The form of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OutputFormat {
    /// Any text.
    Text,
    /// JSON; of the output schema where there is one.
    Json,
}

/// A tool that the model may call; its definition stands in the prompt.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VersionTool {
    /// Its name.
    pub name: String,
    /// What it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// JSON Schema of its arguments; `None` takes none.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "exact_schema")]
    pub input: Option<Value>,
    /// JSON Schema of its result, as far as the prompt declares it.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "exact_schema")]
    pub output: Option<Value>,
}

// === impl Version ===

impl Version {
    /// The schema version that new versions carry.
    pub const SCHEMA: u32 = 1;

    /// Returns the identity: SHA-256 of the line `bowline/version/1` and the canonical encoding.
    #[must_use]
    pub fn digest(&self) -> Digest {
        Digest::of(format!("{}\n{}", identity::DOMAIN, self.canonical()).as_bytes())
    }

    /// Returns the canonical encoding: RFC 8785 JSON in which the order of schema properties is kept, as models follow it.
    #[must_use]
    pub fn canonical(&self) -> String {
        canonical_json(&identity::of(self))
    }

    /// Compiles the template with its partials.
    ///
    /// # Errors
    /// What is wrong with the template; nothing in a version that a check has made.
    pub fn template(&self) -> Result<CompiledTemplate, CompileError> {
        CompiledTemplate::compile(&self.body, &self.partials, Missing::Empty)
    }

    /// Compiles the input schema, with the defaults.
    ///
    /// # Errors
    /// What is wrong with the schema; nothing in a version that a check has made.
    pub fn input_schema(&self) -> Result<InputSchema, SchemaError> {
        InputSchema::new(self.input.accepted(), self.input.default.clone())
    }
}

// === impl ModelIdentity ===

impl fmt::Display for ModelIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.provider, self.model)
    }
}

// === impl VersionInput ===

impl VersionInput {
    /// Returns the JSON Schema of what is accepted: the declared one, else one of no variables at all.
    #[must_use]
    pub fn accepted(&self) -> Value {
        let nothing = || json!({"type": "object", "properties": {}, "additionalProperties": false});
        self.schema.clone().unwrap_or_else(nothing)
    }

    fn is_empty(&self) -> bool {
        self.schema.is_none() && self.default.is_empty()
    }
}

// === impl VersionOutput ===

impl VersionOutput {
    fn is_empty(&self) -> bool {
        self.format.is_none() && self.schema.is_none()
    }
}

// === impl OutputFormat ===

impl OutputFormat {
    /// Returns the word used in files.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Json => "json",
        }
    }
}

fn supported_schema<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    match u32::deserialize(deserializer)? {
        Version::SCHEMA => Ok(Version::SCHEMA),
        other => Err(serde::de::Error::custom(format_args!(
            "a version of schema {other} cannot be read here, only of schema {}",
            Version::SCHEMA
        ))),
    }
}

/// RFC 8785 writes numbers as doubles, so two large integers may have one encoding: without them, one digest is one content.
fn exact<E: serde::de::Error>(value: &Value) -> Result<(), E> {
    match inexact_integer(value) {
        Some(number) => Err(E::custom(format_args!("the integer {number} is beyond ±(2^53 - 1)"))),
        None => Ok(()),
    }
}

fn exact_schema<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    let schema = Value::deserialize(deserializer)?;
    exact(&schema).map(|()| Some(schema))
}

fn exact_map<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Map<String, Value>, D::Error> {
    let map = Map::deserialize(deserializer)?;
    map.values().try_for_each(exact).map(|()| map)
}
