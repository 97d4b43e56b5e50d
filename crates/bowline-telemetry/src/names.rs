//! The one table of telemetry names: the OpenTelemetry conventions for generative AI, and our own under `bowline.`.
//!
//! Source of `gen_ai.*` and of the buckets: <https://github.com/open-telemetry/semantic-conventions-genai>,
//! `docs/gen-ai/gen-ai-spans.md` and `docs/gen-ai/gen-ai-metrics.md`, read in August 2026. The conventions are unstable: a
//! proposal there replaces `gen_ai.client.token.usage` by counters. A rename is a change of this file alone.
//!
//! The conventions have no cost, prompt version, experiment arm or success; these are ours.

/// One metric.
#[derive(Clone, Copy, Debug)]
pub struct Metric {
    /// The OpenTelemetry name; Prometheus writes `_` for `.` and appends the unit `seconds`.
    pub name: &'static str,
    /// The UCUM unit.
    pub unit: &'static str,
    /// What it measures; without a full stop, which Prometheus appends.
    pub description: &'static str,
    /// The upper bounds of a histogram; empty for a counter.
    pub buckets: &'static [f64],
}

/// The buckets of every duration.
pub const DURATION_BUCKETS: &[f64] =
    &[0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92];

/// The buckets of token counts.
pub const TOKEN_BUCKETS: &[f64] = &[
    1.0,
    4.0,
    16.0,
    64.0,
    256.0,
    1_024.0,
    4_096.0,
    16_384.0,
    65_536.0,
    262_144.0,
    1_048_576.0,
    4_194_304.0,
    16_777_216.0,
    67_108_864.0,
];

/// Tokens of a call, once for its input and once for its output.
pub const TOKEN_USAGE: Metric = Metric {
    name: "gen_ai.client.token.usage",
    unit: "{token}",
    description: "Tokens of a call, as the provider counted them",
    buckets: TOKEN_BUCKETS,
};
/// How long a call took.
pub const OPERATION_DURATION: Metric = Metric {
    name: "gen_ai.client.operation.duration",
    unit: "s",
    description: "Time from the arrival of a request to the end of its answer",
    buckets: DURATION_BUCKETS,
};
/// How long a streamed call took to its first content.
pub const TIME_TO_FIRST_CHUNK: Metric = Metric {
    name: "gen_ai.client.operation.time_to_first_chunk",
    unit: "s",
    description: "Time from the arrival of a streaming request to its first content",
    buckets: DURATION_BUCKETS,
};
/// Calls by outcome.
pub const INFERENCES: Metric = Metric {
    name: "bowline.inferences",
    unit: "{inference}",
    description: "Served calls by outcome: pass, fail or unknown by the success contract when recorded, or error",
    buckets: &[],
};
/// What calls cost.
pub const COST: Metric = Metric {
    name: "bowline.cost.usd",
    unit: "USD",
    description: "Cost of the calls whose price is known, in US dollars",
    buckets: &[],
};

/// Every metric that is made from inference records.
pub const METRICS: &[Metric] = &[TOKEN_USAGE, OPERATION_DURATION, TIME_TO_FIRST_CHUNK, INFERENCES, COST];

/// The one operation there is so far; the first word of a span's name.
pub const OPERATION_CHAT: &str = "chat";
/// A value of [`attribute::TOKEN_TYPE`].
pub const TOKEN_INPUT: &str = "input";
/// A value of [`attribute::TOKEN_TYPE`].
pub const TOKEN_OUTPUT: &str = "output";
/// The provider of a call that reached none, and the name of our instrumentation scope.
pub const BOWLINE: &str = "bowline";

/// Keys of attributes.
pub mod attribute {
    /// `gen_ai.operation.name`
    pub const OPERATION_NAME: &str = "gen_ai.operation.name";
    /// `gen_ai.provider.name`
    pub const PROVIDER_NAME: &str = "gen_ai.provider.name";
    /// `gen_ai.request.model`
    pub const REQUEST_MODEL: &str = "gen_ai.request.model";
    /// `gen_ai.request.stream`
    pub const REQUEST_STREAM: &str = "gen_ai.request.stream";
    /// `gen_ai.response.model`
    pub const RESPONSE_MODEL: &str = "gen_ai.response.model";
    /// `gen_ai.response.id`
    pub const RESPONSE_ID: &str = "gen_ai.response.id";
    /// `gen_ai.response.finish_reasons`
    pub const RESPONSE_FINISH_REASONS: &str = "gen_ai.response.finish_reasons";
    /// `gen_ai.response.time_to_first_chunk`, in seconds
    pub const RESPONSE_TIME_TO_FIRST_CHUNK: &str = "gen_ai.response.time_to_first_chunk";
    /// `gen_ai.usage.input_tokens`, cache reads and writes included
    pub const USAGE_INPUT_TOKENS: &str = "gen_ai.usage.input_tokens";
    /// `gen_ai.usage.output_tokens`, reasoning included
    pub const USAGE_OUTPUT_TOKENS: &str = "gen_ai.usage.output_tokens";
    /// `gen_ai.usage.cache_read.input_tokens`
    pub const USAGE_CACHE_READ: &str = "gen_ai.usage.cache_read.input_tokens";
    /// `gen_ai.usage.cache_creation.input_tokens`
    pub const USAGE_CACHE_CREATION: &str = "gen_ai.usage.cache_creation.input_tokens";
    /// `gen_ai.usage.reasoning.output_tokens`
    pub const USAGE_REASONING: &str = "gen_ai.usage.reasoning.output_tokens";
    /// `gen_ai.token.type`
    pub const TOKEN_TYPE: &str = "gen_ai.token.type";
    /// `gen_ai.prompt.name`
    pub const PROMPT_NAME: &str = "gen_ai.prompt.name";
    /// `error.type`, a code of `bowline_types::ErrorKind`
    pub const ERROR_TYPE: &str = "error.type";
    /// `http.response.status_code`, as the client saw it
    pub const HTTP_STATUS: &str = "http.response.status_code";
    /// `service.name`, of the resource
    pub const SERVICE_NAME: &str = "service.name";
    /// `service.version`, of the resource
    pub const SERVICE_VERSION: &str = "service.version";
    /// `service.instance.id`, of the resource
    pub const SERVICE_INSTANCE: &str = "service.instance.id";

    /// The inference.
    pub const INFERENCE: &str = "bowline.inference.id";
    /// The project.
    pub const PROJECT: &str = "bowline.project";
    /// The environment.
    pub const ENVIRONMENT: &str = "bowline.environment";
    /// The version of the prompt, a digest.
    pub const PROMPT_VERSION: &str = "bowline.prompt.version";
    /// The rollout.
    pub const ROLLOUT: &str = "bowline.rollout.id";
    /// The arm of the rollout.
    pub const ARM: &str = "bowline.rollout.arm";
    /// The stage of the rollout.
    pub const STAGE: &str = "bowline.rollout.stage";
    /// Where the unit came from; the unit itself may name a person and is left out.
    pub const UNIT_KIND: &str = "bowline.unit.kind";
    /// The provider as the project names it.
    pub const PROVIDER: &str = "bowline.provider";
    /// The model alias.
    pub const MODEL_ALIAS: &str = "bowline.model.alias";
    /// The client's dialect.
    pub const DIALECT: &str = "bowline.dialect";
    /// `pass`, `fail` or `unknown`, when recorded.
    pub const SUCCESS: &str = "bowline.success";
    /// The names of the checks that failed.
    pub const CHECKS_FAILED: &str = "bowline.checks.failed";
    /// `pass`, `fail`, `unknown` or `error`.
    pub const OUTCOME: &str = "bowline.outcome";
    /// The cost in US dollars.
    pub const COST: &str = "bowline.cost.usd";
    /// How many upstream calls it took.
    pub const ATTEMPTS: &str = "bowline.attempts";
    /// Whether another model than the first of the alias answered.
    pub const FALLBACK: &str = "bowline.fallback";
    /// Whether a simulator answered.
    pub const SIMULATED: &str = "bowline.simulated";
}

// === impl Metric ===

impl Metric {
    /// Returns the name in Prometheus, without the suffixes of its unit and type.
    #[must_use]
    pub fn prometheus(&self) -> String {
        self.name.replace('.', "_")
    }
}

/// Returns the conventions' name of a kind of provider; a kind they do not know is its own name.
#[must_use]
pub fn provider(kind: Option<&str>) -> &str {
    match kind.unwrap_or(BOWLINE) {
        "gemini" => "gcp.gemini",
        "vertex" => "gcp.vertex_ai",
        "bedrock" => "aws.bedrock",
        "azure-openai" => "azure.ai.openai",
        "mistral" => "mistral_ai",
        "xai" => "x_ai",
        "moonshot" => "moonshot_ai",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_grow_and_names_are_unique() {
        for (index, metric) in METRICS.iter().enumerate() {
            assert!(metric.buckets.is_sorted_by(|a, b| a < b), "{}", metric.name);
            assert!(METRICS.iter().skip(index + 1).all(|other| other.name != metric.name));
        }
    }

    #[test]
    fn providers_have_the_names_of_the_conventions() {
        for (kind, name) in [
            (Some("openai"), "openai"),
            (Some("anthropic"), "anthropic"),
            (Some("gemini"), "gcp.gemini"),
            (Some("openai-compatible"), "openai-compatible"),
            (None, "bowline"),
        ] {
            assert_eq!(provider(kind), name);
        }
    }
}
