//! The project file, `bowline.yaml`.

mod gate;
mod policy;
mod read;
#[cfg(test)]
mod tests;
mod url;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use bowline_canary::Plan;
use bowline_types::{EnvironmentName, ModelAlias, ProjectName, ProviderName, SecretRef};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

pub use gate::{GatePolicy, OnInconclusive};
pub use policy::ReleasePolicy;
pub(crate) use read::{Reading, check_plan, quoted};
pub use url::{BaseUrl, HttpUrl, UrlError};

use crate::version::ModelIdentity;

/// The project file, `bowline.yaml`: which providers, models and environments there are.
///
/// As JSON (what the control role keeps), every model is in its long form and every environment is there.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "bowline.yaml")]
pub struct Project {
    /// The name of the project: what keys belong to, and what its environments and prompts are kept under.
    #[serde(rename = "project")]
    #[schemars(schema_with = "segment")]
    pub name: ProjectName,
    /// Upstream APIs by name. Default: none.
    #[serde(default)]
    #[schemars(with = "BTreeMap<String, Provider>")]
    pub providers: BTreeMap<ProviderName, Provider>,
    /// Models by alias, as prompts and applications name them. Default: none.
    #[serde(default)]
    #[schemars(with = "BTreeMap<String, Model>")]
    pub models: BTreeMap<ModelAlias, Model>,
    /// Environments by name. `dev` is always there. Default: `dev` only.
    #[serde(default)]
    #[schemars(with = "BTreeMap<String, Environment>")]
    pub environments: BTreeMap<EnvironmentName, Environment>,
    /// What is recorded, and where it is sent.
    #[serde(default)]
    pub telemetry: Telemetry,
}

/// An upstream API.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Provider {
    /// The wire format it speaks.
    pub kind: ProviderKind,
    /// Where it is: `https`, or `http` on a loopback address. Default: the provider's own address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base_url: Option<BaseUrl>,
    /// Where its credential is kept: `env:NAME` or `file:PATH`, never the credential itself. Default: none is sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "secret_reference")]
    pub api_key: Option<SecretRef>,
    /// Whose models it serves; a part of the identity of every version that uses them. Must be given where `base_url` is not
    /// the provider's own address. Default: the kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128), regex(pattern = r"^\S+$"))]
    pub identity: Option<String>,
    /// Whether it may be stopped and starts when it is called: calls then wait for it, within the bounds of the gateway. Default: no.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub starts: bool,
}

/// The wire format of an upstream API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ProviderKind {
    /// OpenAI Chat Completions, which many other servers speak too.
    OpenAi,
    /// Anthropic Messages.
    Anthropic,
    /// Gemini `generateContent`.
    Gemini,
}

/// A model alias: the targets it routes to, in order of preference.
///
/// In the file, one target may stand alone: `fast: {provider: openai, model: gpt-5-mini}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Model {
    /// The targets; later ones are fallbacks. At least one.
    pub targets: Vec<Target>,
}

/// One upstream model that an alias routes to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Target {
    /// The provider, as `providers` names it.
    #[schemars(schema_with = "segment")]
    pub provider: ProviderName,
    /// The upstream's own name of the model.
    #[schemars(length(min = 1))]
    pub model: String,
    /// How long one attempt may take: a whole answer until its last byte, a stream from one piece to the next. Default: 60s.
    /// No part of a version.
    #[serde(default = "Target::default_timeout", with = "bowline_types::duration_text")]
    #[schemars(schema_with = "duration")]
    pub timeout: Duration,
}

/// An environment: where versions come from, and how they go live.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Environment {
    /// How versions reach it; every other way is refused. Default: `worktree` for `dev`, else `cli`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<EnvironmentSource>,
    /// Whether releases from a tree with uncommitted changes are refused. Default: no.
    pub protected: bool,
    /// How a change goes live. Default: `direct`.
    pub rollout: RolloutPolicy,
    /// What the gate of `bowline test --gate --env` decides by.
    #[serde(skip_serializing_if = "GatePolicy::is_default")]
    pub gate: GatePolicy,
    /// Other addresses and credentials of providers, in this environment only. What a model alias means cannot differ.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(with = "BTreeMap<String, EndpointOverride>")]
    pub providers: BTreeMap<ProviderName, EndpointOverride>,
    /// What is asked of a bundle before it is released here.
    #[serde(skip_serializing_if = "ReleasePolicy::is_default")]
    pub policy: ReleasePolicy,
}

/// How versions reach an environment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum EnvironmentSource {
    /// `bowline up` serves the working tree; for `dev` only.
    Worktree,
    /// `bowline release`.
    Cli,
    /// A bundle.
    Bundle,
}

/// How a change goes live: `direct`, or the plan of a guarded rollout.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum RolloutPolicy {
    /// At once.
    #[default]
    Direct,
    /// By a rollout, with this plan where the prompt has none of its own.
    Guarded(Box<Plan>),
}

/// Another address or credential of a provider.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct EndpointOverride {
    /// Where it is: `https`, or `http` on a loopback address. Default: as in `providers`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub base_url: Option<BaseUrl>,
    /// Where its credential is kept: `env:NAME` or `file:PATH`. Default: as in `providers`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "secret_reference")]
    pub api_key: Option<SecretRef>,
    /// Whether it may be stopped and starts when it is called. Default: as in `providers`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub starts: Option<bool>,
}

/// What is recorded of calls, and where it is sent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Telemetry {
    /// Whose prompts and answers are kept. Default: `off`.
    pub content: ContentCapture,
    /// Export over OTLP. Default: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub otlp: Option<Otlp>,
}

/// Whose prompts and answers are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ContentCapture {
    /// Nobody's.
    #[default]
    Off,
    /// Those of inferences that failed a check.
    Failures,
    /// All.
    All,
}

/// Export of metrics and traces.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Otlp {
    /// The OTLP/HTTP endpoint, such as `http://127.0.0.1:4318`; `/v1/traces` and `/v1/metrics` are added.
    pub endpoint: HttpUrl,
}

// === impl Project ===

impl Project {
    /// The name of the file, at the root of a project.
    pub const FILE: &str = "bowline.yaml";

    /// Reads the text of a project file.
    ///
    /// # Errors
    /// Everything that is wrong in it, each at its place in `file`.
    pub fn parse(file: &str, text: &str) -> Result<Self, crate::Diagnostics> {
        let reading = Reading::of(file, text);
        match reading.project {
            Some(project) if !reading.diagnostics.has_errors() => Ok(project),
            _ => Err(reading.diagnostics),
        }
    }

    /// Returns the identities behind a model alias, in order; `None` where the alias is not declared.
    #[must_use]
    pub fn identities(&self, alias: &ModelAlias) -> Option<Vec<ModelIdentity>> {
        identities(&self.providers, self.models.get(alias)?)
    }

    /// Returns the identity of one target; `None` where its provider is not declared.
    #[must_use]
    pub fn identity(&self, target: &Target) -> Option<ModelIdentity> {
        identity(&self.providers, target)
    }

    /// Returns a provider as an environment reaches it: its own address and credential, or those of the environment.
    #[must_use]
    pub fn provider_in(&self, environment: &EnvironmentName, provider: &ProviderName) -> Option<Provider> {
        let mut found = self.providers.get(provider)?.clone();
        let replaced = self.environments.get(environment).and_then(|environment| environment.providers.get(provider));
        if let Some(EndpointOverride { base_url, api_key, starts }) = replaced {
            found.base_url = base_url.clone().or(found.base_url);
            found.api_key = api_key.clone().or(found.api_key);
            found.starts = starts.unwrap_or(found.starts);
        }
        Some(found)
    }

    /// Returns whether an environment reaches any provider beyond this machine: answers of a simulator are no evidence for it.
    #[must_use]
    pub fn is_real(&self, environment: &EnvironmentName) -> bool {
        let own = |name| self.provider_in(environment, name).and_then(|provider| provider.base_url);
        self.providers.keys().any(|name| own(name).is_none_or(|url| !url.is_loopback()))
    }

    /// Returns how versions reach an environment; `None` where it is not declared.
    #[must_use]
    pub fn source(&self, environment: &EnvironmentName) -> Option<EnvironmentSource> {
        let default = if environment.as_str() == DEV { EnvironmentSource::Worktree } else { EnvironmentSource::Cli };
        Some(self.environments.get(environment)?.source.unwrap_or(default))
    }
}

type Providers = BTreeMap<ProviderName, Provider>;

fn identities(providers: &Providers, model: &Model) -> Option<Vec<ModelIdentity>> {
    model.targets.iter().map(|target| identity(providers, target)).collect()
}

fn identity(providers: &Providers, target: &Target) -> Option<ModelIdentity> {
    let provider = providers.get(&target.provider)?.identity().to_owned();
    Some(ModelIdentity { provider, model: target.model.clone() })
}

/// The environment that every project has.
const DEV: &str = "dev";

// === impl Provider ===

impl Provider {
    /// Returns whose models it serves: the declared identity, else the kind.
    #[must_use]
    pub fn identity(&self) -> &str {
        self.identity.as_deref().unwrap_or(self.kind.as_str())
    }
}

// === impl ProviderKind ===

impl ProviderKind {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::OpenAi, Self::Anthropic, Self::Gemini];

    /// Returns the word used in files.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::OpenAi => "openai",
            Self::Anthropic => "anthropic",
            Self::Gemini => "gemini",
        }
    }

    /// Returns the host of the provider's own address; regional hosts stand below it.
    const fn own_host(self) -> &'static str {
        match self {
            Self::OpenAi => "api.openai.com",
            Self::Anthropic => "api.anthropic.com",
            Self::Gemini => "generativelanguage.googleapis.com",
        }
    }
}

impl fmt::Display for ProviderKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

// === impl Model ===

impl JsonSchema for Model {
    fn schema_name() -> Cow<'static, str> {
        "Model".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let target = generator.subschema_for::<Target>();
        json_schema!({
            "description": "A model alias: one target, or targets in order of preference.",
            "anyOf": [
                target,
                {
                    "type": "object",
                    "properties": { "targets": {
                        "description": "The targets; later ones are fallbacks.", "type": "array", "items": target, "minItems": 1
                    } },
                    "required": ["targets"],
                    "additionalProperties": false
                }
            ]
        })
    }
}

// === impl Target ===

impl Target {
    const fn default_timeout() -> Duration {
        Duration::from_secs(60)
    }
}

// === impl Environment ===

impl Environment {
    /// Returns the plan of the rollout that a change of a prompt goes through here; `None` where it goes live at once.
    ///
    /// The environment says whether rollouts are guarded; the prompt's own plan goes before the environment's.
    #[must_use]
    pub fn plan(&self, of_prompt: Option<&Plan>) -> Option<Plan> {
        match &self.rollout {
            RolloutPolicy::Direct => None,
            RolloutPolicy::Guarded(plan) => Some(of_prompt.unwrap_or(plan).clone()),
        }
    }
}

// === impl EnvironmentSource ===

impl EnvironmentSource {
    /// Returns the word used in files.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Worktree => "worktree",
            Self::Cli => "cli",
            Self::Bundle => "bundle",
        }
    }
}

impl fmt::Display for EnvironmentSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

// === impl RolloutPolicy ===

const DIRECT: &str = "direct";

impl Serialize for RolloutPolicy {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Direct => serializer.serialize_str(DIRECT),
            Self::Guarded(plan) => plan.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for RolloutPolicy {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = RolloutPolicy;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("`direct` or the plan of a guarded rollout")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<RolloutPolicy, E> {
                if text == DIRECT { Ok(RolloutPolicy::Direct) } else { Err(E::unknown_variant(text, &[DIRECT])) }
            }

            fn visit_map<A: serde::de::MapAccess<'de>>(self, map: A) -> Result<RolloutPolicy, A::Error> {
                let plan = Plan::deserialize(serde::de::value::MapAccessDeserializer::new(map))?;
                Ok(RolloutPolicy::Guarded(Box::new(plan)))
            }
        }

        deserializer.deserialize_any(Visitor)
    }
}

impl JsonSchema for RolloutPolicy {
    fn schema_name() -> Cow<'static, str> {
        "RolloutPolicy".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let plan = generator.subschema_for::<Plan>();
        json_schema!({
            "description": "How a change goes live: `direct`, or the plan of a guarded rollout.",
            "anyOf": [{ "const": DIRECT }, plan]
        })
    }
}

fn segment(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "pattern": "^[a-z0-9][a-z0-9._-]{0,63}$" })
}

fn secret_reference(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "pattern": "^(env:[A-Za-z_][A-Za-z0-9_]*|file:.+)$", "examples": ["env:OPENAI_API_KEY"] })
}

fn duration(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "pattern": "^[0-9]+(ms|s|m|h|d)$", "examples": ["30s", "5m"] })
}
