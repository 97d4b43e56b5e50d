use std::collections::BTreeMap;

use bowline_types::{
    Arm, CheckResult, Digest, EnvironmentName, ErrorKind, InferenceId, KeyId, ModelAlias, ProjectName, PromptName,
    ProviderName, RolloutId, Timestamp, TokenUsage, Unit, Usd,
};
use serde::{Deserialize, Serialize};

use crate::{OutcomeRecord, OutcomeValue, SCHEMA_VERSION};

/// One served call. Written once by a gateway; only its `feedback:` checks are revised later, by outcomes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct InferenceRecord {
    /// [`SCHEMA_VERSION`] at the time of writing.
    pub schema_version: u32,
    /// The id.
    pub id: InferenceId,
    /// The project of the key.
    pub project: ProjectName,
    /// The environment that was served.
    pub environment: EnvironmentName,
    /// The key that called.
    pub key: KeyId,
    /// The prompt; `None` where the application named a model.
    pub prompt: Option<PromptName>,
    /// The version that was rendered.
    pub version: Option<Digest>,
    /// The rollout that assigned the arm.
    pub rollout: Option<RolloutId>,
    /// The arm.
    pub arm: Option<Arm>,
    /// The stage of the rollout.
    pub stage: Option<u16>,
    /// What was randomised, and where it came from.
    pub unit: Unit,
    /// The client's dialect, such as `openai-chat`.
    pub dialect: String,
    /// The provider as the project names it; `None` where none was reached.
    pub provider: Option<ProviderName>,
    /// The kind of the provider, such as `anthropic`.
    pub provider_kind: Option<String>,
    /// The model alias.
    pub model: ModelAlias,
    /// The model asked of the provider.
    pub upstream_model: Option<String>,
    /// The model that the provider says answered.
    pub response_model: Option<String>,
    /// The id in the answer's body, by which feedback may name it.
    pub answer_id: Option<String>,
    /// When the request arrived.
    pub started_at: Timestamp,
    /// Microseconds from arrival to the first content byte for the client.
    pub first_byte_us: Option<u64>,
    /// Microseconds from arrival to the end of the answer.
    pub duration_us: u64,
    /// Whether the client asked for a stream.
    pub stream: bool,
    /// The HTTP status that the client saw.
    pub status: u16,
    /// What went wrong, a break in mid-stream included.
    pub error: Option<ErrorKind>,
    /// Why the model stopped, in the neutral words (`stop`, `length`, `tool_calls`, …).
    pub finish: Option<String>,
    /// Tokens as the provider counted them.
    pub usage: TokenUsage,
    /// What it cost; `None` where no price is known, which is not zero.
    pub cost: Option<Usd>,
    /// The checks of the success contract by name, in the words of `bowline_types::Check::name`.
    pub checks: BTreeMap<String, CheckResult>,
    /// How many upstream calls it took.
    pub attempts: u32,
    /// Whether another model than the first of the alias answered; kept out of verdicts.
    pub fallback: bool,
    /// Whether a simulator answered.
    pub simulated: bool,
    /// Input and output as they were, where the project captures content.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<Content>,
}

/// Captured content. Off by default.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Content {
    /// The rendered messages, as JSON text.
    pub input: String,
    /// The answer's text.
    pub output: String,
}

/// Which inferences to list, newest first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct InferenceFilter {
    /// Only this project.
    pub project: Option<ProjectName>,
    /// Only this environment.
    pub environment: Option<EnvironmentName>,
    /// Only this prompt.
    pub prompt: Option<PromptName>,
    /// Only this version.
    pub version: Option<Digest>,
    /// Only this rollout.
    pub rollout: Option<RolloutId>,
    /// Only ids before this one.
    pub before: Option<InferenceId>,
    /// Only ids after this one; the list then starts at the oldest, for tailing.
    pub after: Option<InferenceId>,
    /// At most this many rows, and never more than [`crate::LIST_ROWS_MAX`].
    pub limit: u32,
}

// === impl InferenceRecord ===

impl InferenceRecord {
    /// The schema version that new records carry.
    pub const SCHEMA: u32 = SCHEMA_VERSION;

    /// Returns whether the inference was a success, by the conjunction of its checks; unknown where it has none.
    #[must_use]
    pub fn success(&self) -> CheckResult {
        if self.checks.is_empty() { CheckResult::Unknown } else { CheckResult::all(self.checks.values().copied()) }
    }

    /// Applies an outcome to the check `feedback:NAME`, where the contract has it.
    ///
    /// Returns whether anything changed. A later outcome of the same name replaces an earlier one; a text judges nothing, so it
    /// replaces nothing.
    pub fn revise(&mut self, outcome: &OutcomeRecord) -> bool {
        if matches!(outcome.value, OutcomeValue::Text(_)) {
            return false;
        }
        let Some(check) = self.checks.get_mut(&format!("feedback:{}", outcome.name)) else { return false };
        let result = outcome.value.result();
        std::mem::replace(check, result) != result
    }
}

// === impl Content ===

impl std::fmt::Debug for Content {
    /// Shows sizes only, as content never reaches a log.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Content({} B in, {} B out)", self.input.len(), self.output.len())
    }
}
