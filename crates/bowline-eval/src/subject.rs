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
    /// What went wrong; the answer is empty then, and every assertion fails.
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
    /// The text of a judge.
    Judge(String),
    /// Embeddings, as many as texts were asked for.
    Embeddings(Vec<Vec<f32>>),
    /// The judge could not be asked.
    Failed(String),
}

/// A share of 1.
pub type Score = f64;

/// What one assertion, set or case found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Grade {
    /// Whether it passed.
    pub pass: bool,
    /// From 0 to 1.
    pub score: Score,
    /// Why, in one line; what was expected and what came.
    pub reason: String,
    /// Scores by metric, where assertions name metrics.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub metrics: Map<String, Value>,
}
