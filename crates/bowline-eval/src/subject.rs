use std::collections::BTreeMap;

use bowline_types::PromptName;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// What a call left to grade.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Subject {
    /// The text of the answer; empty where it has none.
    pub text: String,
    /// Calls of tools in the answer, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tool_calls: Vec<ToolCall>,
    /// Why the model stopped, in the neutral words (`stop`, `length`, `tool_calls`, …).
    pub finish: Option<String>,
    /// Whether the provider says that the model refused.
    pub refusal: bool,
    /// What the call cost, in USD, as decimal text; `None` where the model has no price.
    pub cost_usd: Option<String>,
    /// From sending the request to the last byte, in milliseconds; that of the first call where the answer comes from the cache.
    pub latency_ms: f64,
    /// The log-probabilities of the answer's tokens; empty where the provider gave none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub logprobs: Vec<f64>,
    /// What went wrong; the answer is empty then, and no assertion can be held against it.
    pub error: Option<String>,
}

/// A call of a tool in an answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolCall {
    /// The name of the tool.
    pub name: String,
    /// The arguments as the model wrote them, which should be JSON.
    pub arguments: String,
}

/// What an assertion needs before it can grade.
#[derive(Clone, Debug, PartialEq)]
pub enum Ask {
    /// A completion of a judge.
    Judge {
        /// Who is asked: an alias of the project or an id in promptfoo's words. Default: the judge of the run.
        provider: Option<String>,
        /// What is asked.
        messages: Vec<AskMessage>,
    },
    /// A completion of a prompt of the project, `rubricPrompt: prompt:NAME`, on the version in the working tree.
    Prompt {
        /// The prompt.
        name: PromptName,
        /// Its variables: `output` and `rubric`, or `input`, `ideal` and `completion`, and those of the case.
        variables: Map<String, Value>,
    },
    /// One embedding for each text, in order.
    Embeddings {
        /// Who is asked. Default: the embedding model of the run.
        provider: Option<String>,
        /// The texts.
        texts: Vec<String>,
    },
}

/// A message to a judge.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AskMessage {
    /// `system`, `user` or `assistant`.
    pub role: String,
    /// The text.
    pub content: String,
}

/// What came back for an [`Ask`].
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// The text of a judge, or of a prompt that judges.
    Judge(String),
    /// Embeddings, as many as texts were asked for.
    Embeddings(Vec<Vec<f32>>),
    /// The judge could not be asked.
    Failed(String),
}

/// A share of 1.
pub type Score = f64;

/// What one assertion, set or case found.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Grade {
    /// Whether it passed; never where it is errored.
    pub pass: bool,
    /// Whether nothing could be found: the call or its judge failed, or the assertion cannot be held against this answer.
    #[serde(default, skip_serializing_if = "is_false")]
    pub errored: bool,
    /// From 0 to 1.
    pub score: Score,
    /// Why, in one line; what was expected and what came.
    pub reason: String,
    /// Scores by metric, where assertions name metrics.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metrics: BTreeMap<String, MetricScore>,
    /// What it is made of, in the order of the file: the assertions of a case or set.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<Part>,
}

/// The weighted mean of the scores that count for a metric.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct MetricScore {
    /// From 0 to 1.
    pub score: Score,
    /// The sum of the weights behind it.
    pub weight: f64,
}

/// One assertion of a case, or one set, with what it found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Part {
    /// The word of the file, such as `not-contains` or `assert-set`.
    pub assertion: String,
    /// The metric that it counts for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metric: Option<String>,
    /// Its weight.
    pub weight: f64,
    /// What it found.
    pub grade: Grade,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
const fn is_false(flag: &bool) -> bool {
    !*flag
}

// === impl Grade ===

impl Grade {
    /// The most bytes of a reason: it may quote an answer, which has no bound of its own.
    pub const REASON_BYTES_MAX: usize = 2_048;

    /// Returns what was found, with a score of 1 or 0.
    #[must_use]
    pub fn new(pass: bool, reason: impl Into<String>) -> Self {
        Self::scored(pass, if pass { 1.0 } else { 0.0 }, reason)
    }

    /// Returns what was found, with its score; NaN counts as 0.
    #[must_use]
    pub fn scored(pass: bool, score: Score, reason: impl Into<String>) -> Self {
        let score = if score.is_nan() { 0.0 } else { score.clamp(0.0, 1.0) };
        Self { pass, score, reason: shorten(reason.into(), Self::REASON_BYTES_MAX), ..Self::default() }
    }

    /// Returns that nothing could be found, and why.
    #[must_use]
    pub fn failed_to(reason: impl Into<String>) -> Self {
        Self { errored: true, ..Self::new(false, reason) }
    }
}

/// Cuts a text to at most `bytes_max` bytes, at a character, and says that it did.
pub(crate) fn shorten(mut text: String, bytes_max: usize) -> String {
    const MARK: &str = " […]";
    if text.len() > bytes_max {
        text.truncate(text.floor_char_boundary(bytes_max.saturating_sub(MARK.len())));
        text.push_str(MARK);
    }
    text
}
