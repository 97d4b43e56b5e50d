use bowline_eval::{Subject, ToolCall};
use bowline_gateway::Facts;
use serde::{Deserialize, Serialize};

use crate::failure::Failure;

/// What came of one call: what is graded, and what a report says of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Called {
    /// What is graded.
    pub(crate) subject: Subject,
    /// The model that was asked, as its provider names it; `None` where none was reached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) model: Option<String>,
    /// Tokens of the request, where the provider said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) tokens_in: Option<u64>,
    /// Tokens of the answer, where the provider said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) tokens_out: Option<u64>,
    /// Whether a simulator answered.
    pub(crate) simulated: bool,
    /// Whether the answer is one of an earlier run.
    #[serde(skip)]
    pub(crate) cached: bool,
}

/// An answer in the dialect `openai-chat`, as far as it is graded.
///
/// Source: <https://platform.openai.com/docs/api-reference/chat/object>, read 2026-11-25.
#[derive(Deserialize)]
struct Wire {
    choices: Vec<WireChoice>,
}

#[derive(Deserialize)]
struct WireChoice {
    message: WireMessage,
    #[serde(default)]
    logprobs: Option<WireLogprobs>,
}

#[derive(Deserialize)]
struct WireMessage {
    #[serde(default)]
    content: Option<String>,
    #[serde(default)]
    refusal: Option<String>,
    #[serde(default)]
    tool_calls: Option<Vec<WireToolCall>>,
}

#[derive(Deserialize)]
struct WireToolCall {
    function: WireFunction,
}

#[derive(Deserialize)]
struct WireFunction {
    name: String,
    #[serde(default)]
    arguments: String,
}

#[derive(Deserialize)]
struct WireLogprobs {
    #[serde(default)]
    content: Option<Vec<WireLogprob>>,
}

#[derive(Deserialize)]
struct WireLogprob {
    logprob: f64,
}

/// Embeddings in OpenAI's form.
///
/// Source: <https://platform.openai.com/docs/api-reference/embeddings/object>, read 2026-11-25.
#[derive(Deserialize)]
struct WireEmbeddings {
    data: Vec<WireEmbedding>,
}

#[derive(Deserialize)]
struct WireEmbedding {
    index: u32,
    embedding: Vec<f32>,
}

// === impl Called ===

impl Called {
    /// Reads the answer of the gateway.
    ///
    /// # Errors
    /// It is not what the gateway's dialect describes, which is a bug of ours.
    pub(super) fn read(body: &[u8], facts: &Facts) -> Result<Self, Failure> {
        let wire: Wire = serde_json::from_slice(body).map_err(|error| {
            Failure::internal(anyhow::Error::new(error).context("the gateway's answer is no chat answer"))
        })?;
        let mut called = Self::of(facts);
        // A provider that refused the prompt itself gives no choice, and the finish says why.
        let Some(choice) = wire.choices.into_iter().next() else { return Ok(called) };
        let WireMessage { content, refusal, tool_calls } = choice.message;
        let subject = &mut called.subject;
        subject.refusal |= refusal.is_some();
        subject.text = content.or(refusal).unwrap_or_default();
        let calls = tool_calls.unwrap_or_default().into_iter();
        subject.tool_calls =
            calls.map(|call| ToolCall { name: call.function.name, arguments: call.function.arguments }).collect();
        let logprobs = choice.logprobs.and_then(|logprobs| logprobs.content).unwrap_or_default();
        subject.logprobs = logprobs.into_iter().map(|token| token.logprob).collect();
        Ok(called)
    }

    /// Reads embeddings; the text of the subject is a JSON list of vectors, in the order of the texts.
    ///
    /// # Errors
    /// It is not what OpenAI's form describes.
    pub(super) fn read_embeddings(body: &[u8], facts: &Facts) -> Result<Self, Failure> {
        let mut wire: WireEmbeddings = serde_json::from_slice(body).map_err(|error| {
            Failure::user(format!(
                "the provider's embeddings cannot be read: {error}\nhint: is it a model of embeddings?"
            ))
        })?;
        wire.data.sort_by_key(|embedding| embedding.index);
        let vectors: Vec<Vec<f32>> = wire.data.into_iter().map(|embedding| embedding.embedding).collect();
        let mut called = Self::of(facts);
        called.subject.text = serde_json::to_string(&vectors).map_err(anyhow::Error::from)?;
        Ok(called)
    }

    /// Returns a call that failed.
    pub(super) fn failed(facts: &Facts, message: &str) -> Self {
        let mut called = Self::of(facts);
        called.subject.error = Some(message.to_owned());
        called
    }

    /// Returns a call that was not made.
    pub(super) fn unsendable(reason: String) -> Self {
        let mut called = Self::of(&Facts::default());
        called.subject.error = Some(reason);
        called
    }

    fn of(facts: &Facts) -> Self {
        let subject = Subject {
            finish: facts.finish.clone(),
            refusal: facts.refusal,
            cost_usd: facts.cost.map(|cost| cost.to_string()),
            latency_ms: facts.duration.as_secs_f64() * 1_000.0,
            ..Subject::default()
        };
        Self {
            subject,
            model: facts.upstream_model.clone(),
            tokens_in: facts.usage.input,
            tokens_out: facts.usage.output,
            simulated: facts.simulated,
            cached: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(choice: &serde_json::Value, expected: &Subject) {
        let facts = Facts { finish: Some("stop".to_owned()), ..Facts::default() };
        let body = json!({ "choices": [choice] }).to_string();
        assert_eq!(&Called::read(body.as_bytes(), &facts).unwrap().subject, expected, "{choice}");
    }

    #[test]
    fn answers_become_subjects() {
        let stop = Subject { finish: Some("stop".to_owned()), ..Subject::default() };
        check(&json!({"message": {"content": "fine"}}), &Subject { text: "fine".to_owned(), ..stop.clone() });
        let refused = Subject { text: "no".to_owned(), refusal: true, ..stop.clone() };
        check(&json!({"message": {"content": null, "refusal": "no"}}), &refused);
        let call = ToolCall { name: "f".to_owned(), arguments: "{\"a\":1}".to_owned() };
        check(
            &json!({"message": {"content": null, "tool_calls": [{"id": "1", "type": "function",
                "function": {"name": "f", "arguments": "{\"a\":1}"}}]}}),
            &Subject { tool_calls: vec![call], ..stop.clone() },
        );
        let logprobs = json!({"message": {"content": "a"}, "logprobs": {"content": [{"token": "a", "logprob": -0.5}]}});
        check(&logprobs, &Subject { text: "a".to_owned(), logprobs: vec![-0.5], ..stop });
        assert!(Called::read(b"{}", &Facts::default()).is_err());
    }
}
