use bowline_types::{CheckResult, InferenceId, KeyId, OutcomeId, Timestamp};
use serde::{Deserialize, Serialize};

/// Evidence about an inference that came after it, such as feedback. It may arrive before its inference does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OutcomeRecord {
    /// [`crate::SCHEMA_VERSION`] at the time of writing.
    pub schema_version: u32,
    /// The id.
    pub id: OutcomeId,
    /// The key that sent it; it only reaches inferences of the same key.
    pub key: KeyId,
    /// The inference it is about.
    pub target: OutcomeTarget,
    /// What was judged, such as `correct`; at most 64 bytes of letters, digits, `_`, `-` and `.`.
    pub name: String,
    /// The judgement.
    pub value: OutcomeValue,
    /// When it was received.
    pub at: Timestamp,
}

/// How an outcome names its inference.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OutcomeTarget {
    /// By our id.
    Inference(InferenceId),
    /// By the id in the answer's body; the newest inference of the key with that id.
    Answer(String),
}

/// A judgement: `true`, a number, or a text.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum OutcomeValue {
    /// Thumbs up or down.
    Flag(bool),
    /// A score; at least 0.5 counts as a pass.
    Score(f64),
    /// A comment or a corrected answer; judges nothing.
    Text(String),
}

// === impl OutcomeValue ===

impl OutcomeValue {
    /// Returns what the judgement says of a check.
    #[must_use]
    pub fn result(&self) -> CheckResult {
        match self {
            Self::Flag(holds) => (*holds).into(),
            Self::Score(score) => (*score >= 0.5).into(),
            Self::Text(_) => CheckResult::Unknown,
        }
    }
}
