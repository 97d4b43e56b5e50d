//! Assertions on what an answer cost, how long it took, and how sure the model was.

use crate::assertion::Kind;
use crate::subject::{Grade, Subject};

/// `cost`, `latency`, `perplexity`, `perplexity-score`.
pub(super) struct Measure {
    kind: Kind,
    threshold: Option<f64>,
}

// === impl Measure ===

impl Measure {
    pub(super) fn new(kind: Kind, threshold: Option<f64>) -> Result<Self, String> {
        if threshold.is_none() && matches!(kind, Kind::Cost | Kind::Latency) {
            let unit = if kind == Kind::Cost { "in USD" } else { "in milliseconds" };
            return Err(format!("`{}` needs a `threshold`, {unit}", kind.as_str()));
        }
        Ok(Self { kind, threshold })
    }

    pub(super) fn grade(&self, subject: &Subject, negated: bool) -> Result<Grade, String> {
        match self.kind {
            Kind::Cost => {
                let cost = subject.cost_usd.as_deref().and_then(|cost| cost.parse().ok());
                let cost: f64 = cost.ok_or("what the call cost is not known: its model has no price")?;
                Ok(self.at_most(cost, |value| format!("the call cost ${value}"), negated))
            }
            Kind::Latency => {
                Ok(self.at_most(subject.latency_ms, |value| format!("the call took {value:.0} ms"), negated))
            }
            Kind::PerplexityScore => {
                let score = 1.0 / (1.0 + perplexity(subject)?);
                let below = |threshold: f64| score < threshold;
                let pass = self.threshold.is_none_or(|threshold| below(threshold) == negated);
                let relation = if negated { "not below" } else { "below" };
                let reason = || self.reason(&format!("the perplexity score is {score:.2}"), relation);
                let score = if negated { 1.0 - score } else { score };
                Ok(Grade::scored(pass, score, if pass { String::new() } else { reason() }))
            }
            _ => Ok(self.at_most(perplexity(subject)?, |value| format!("the perplexity is {value:.2}"), negated)),
        }
    }

    /// Without a threshold everything passes, `not-` or not.
    fn at_most(&self, value: f64, what: impl FnOnce(f64) -> String, negated: bool) -> Grade {
        let pass = self.threshold.is_none_or(|threshold| (value <= threshold) != negated);
        Grade::new(
            pass,
            if pass { String::new() } else { self.reason(&what(value), if negated { "not above" } else { "above" }) },
        )
    }

    fn reason(&self, what: &str, relation: &str) -> String {
        format!("{what}, which is {relation} the threshold of {}", self.threshold.unwrap_or_default())
    }
}

/// Returns the exponential of the mean negative log-probability.
fn perplexity(subject: &Subject) -> Result<f64, String> {
    let count = subject.logprobs.len() as f64;
    if subject.logprobs.is_empty() {
        return Err(
            "the provider gave no log-probabilities; hint: ask for them in the model's config, where it can".to_owned()
        );
    }
    Ok((-subject.logprobs.iter().sum::<f64>() / count).exp())
}
