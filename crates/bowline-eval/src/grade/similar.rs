//! `similar`: the cosine between embeddings of the answer and of the expected texts.

use serde_json::Value;

use crate::assertion::Assertion;
use crate::subject::{Answer, Ask, Grade, Subject};

/// `similar`.
pub(super) struct Similar {
    expected: Vec<String>,
    threshold: f64,
}

// === impl Similar ===

impl Similar {
    const THRESHOLD: f64 = 0.75;

    pub(super) fn new(value: &Value, threshold: Option<f64>) -> Result<Self, String> {
        let wrong = "`similar` needs a text or a list of texts as its value";
        let expected = match value {
            Value::String(text) => vec![text.clone()],
            Value::Array(items) if !items.is_empty() => {
                items.iter().map(|item| item.as_str().map(str::to_owned).ok_or(wrong)).collect::<Result<_, _>>()?
            }
            _ => return Err(wrong.to_owned()),
        };
        Ok(Self { expected, threshold: threshold.unwrap_or(Self::THRESHOLD) })
    }

    /// The answer stands first.
    pub(super) fn ask(&self, assertion: &Assertion, subject: &Subject) -> Ask {
        let texts = std::iter::once(&subject.text).chain(&self.expected).cloned().collect();
        Ask::Embeddings { provider: assertion.provider.as_deref().map(str::to_owned), texts }
    }

    /// One of the expected texts must be near, or, for `not-similar`, none of them.
    pub(super) fn grade(&self, answer: Option<&Answer>, negated: bool) -> Result<Grade, String> {
        let embeddings = match answer {
            Some(Answer::Embeddings(embeddings)) if embeddings.len() == self.expected.len() + 1 => embeddings,
            Some(Answer::Failed(reason)) => return Err(format!("the embeddings failed: {reason}")),
            _ => return Err(format!("expected {} embeddings", self.expected.len() + 1)),
        };
        let [of_answer, of_expected @ ..] = embeddings.as_slice() else { return Err("no embeddings came".to_owned()) };
        let mut nearest = f64::NEG_INFINITY;
        for embedding in of_expected {
            nearest = nearest.max(cosine(of_answer, embedding)?);
        }
        let reaches =
            if negated { nearest > self.threshold + f64::EPSILON } else { nearest >= self.threshold - f64::EPSILON };
        let pass = reaches != negated;
        let relation = if reaches { "not below" } else { "below" };
        let reason = format!("the similarity is {nearest:.2}, which is {relation} the threshold of {}", self.threshold);
        Ok(Grade::scored(
            pass,
            if negated { 1.0 - nearest } else { nearest },
            if pass { String::new() } else { reason },
        ))
    }
}

fn cosine(left: &[f32], right: &[f32]) -> Result<f64, String> {
    if left.len() != right.len() {
        return Err(format!("the embeddings have {} and {} numbers", left.len(), right.len()));
    }
    let dot =
        |left: &[f32], right: &[f32]| left.iter().zip(right).map(|(l, r)| f64::from(*l) * f64::from(*r)).sum::<f64>();
    let lengths = dot(left, left).sqrt() * dot(right, right).sqrt();
    let cosine = if lengths == 0.0 { 0.0 } else { dot(left, right) / lengths };
    if cosine.is_finite() { Ok(cosine) } else { Err("an embedding is no list of finite numbers".to_owned()) }
}
