use bowline_types::{Arm, Digest, PromptName, RolloutId, Scope, Timestamp, Usd};
use serde::{Deserialize, Serialize};

/// What to summarise. Summaries read rollups, not rows, so their cost does not grow with traffic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SummaryFilter {
    /// The environment.
    pub scope: Scope,
    /// Only this prompt.
    pub prompt: Option<PromptName>,
    /// Only this rollout.
    pub rollout: Option<RolloutId>,
    /// Only minutes from this one on.
    pub since: Option<Timestamp>,
}

/// Inferences of one prompt, version, rollout and arm, summed. Late outcomes move counts between `pass`, `fail` and `unknown`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SummaryRow {
    /// The prompt; `None` for calls by model alias.
    pub prompt: Option<PromptName>,
    /// The version.
    pub version: Option<Digest>,
    /// The rollout.
    pub rollout: Option<RolloutId>,
    /// The arm.
    pub arm: Option<Arm>,
    /// Calls.
    pub inferences: u64,
    /// Calls that succeeded.
    pub pass: u64,
    /// Calls that failed a check.
    pub fail: u64,
    /// Calls of which it cannot be said, or not yet.
    pub unknown: u64,
    /// Calls that ended in an error.
    pub errors: u64,
    /// Tokens in, where counted.
    pub input_tokens: u64,
    /// Tokens out, where counted.
    pub output_tokens: u64,
    /// What the priced calls cost.
    pub cost: Usd,
    /// Calls without a known price.
    pub unpriced: u64,
    /// The sum of durations, in microseconds.
    pub duration_us: u64,
}
