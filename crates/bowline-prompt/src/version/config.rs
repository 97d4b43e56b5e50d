use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};

/// The parameters of a call, as the front matter has them under `config`, in Dotprompt's spelling.
///
/// | key | means | openai | anthropic | gemini |
/// |---|---|---|---|---|
/// | `temperature` | sampling temperature | `temperature` | `temperature` | `temperature` |
/// | `topP` | nucleus sampling | `top_p` | `top_p` | `topP` |
/// | `topK` | sample among the k likeliest | – | `top_k` | `topK` |
/// | `maxOutputTokens` | the longest answer | `max_completion_tokens` | `max_tokens` | `maxOutputTokens` |
/// | `stopSequences` | texts that end the answer | `stop` | `stop_sequences` | `stopSequences` |
/// | `seed` | repeatable sampling | `seed` | – | `seed` |
/// | `presencePenalty` | against tokens that appeared | `presence_penalty` | – | `presencePenalty` |
/// | `frequencyPenalty` | against frequent tokens | `frequency_penalty` | – | `frequencyPenalty` |
///
/// An absent key leaves the parameter to the provider. A provider that cannot honour one refuses the call; none is dropped.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct ModelConfig {
    /// Sampling temperature, 0 to 2 (Anthropic: 0 to 1).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.0, max = 2.0))]
    pub temperature: Option<f64>,
    /// Nucleus sampling: the share of probability to sample from, 0 to 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub top_p: Option<f64>,
    /// Sample among this many likeliest tokens, at least 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub top_k: Option<u32>,
    /// The most tokens of the answer, reasoning included; at least 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub max_output_tokens: Option<u32>,
    /// Texts that end the answer, none of them empty; at most 16.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), inner(length(min = 1)))]
    pub stop_sequences: Vec<String>,
    /// Seed of the sampling, within ±(2^53 - 1).
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "exact_seed")]
    #[schemars(range(min = -9_007_199_254_740_991_i64, max = 9_007_199_254_740_991_i64))]
    pub seed: Option<i64>,
    /// Penalty for tokens that appeared at all, -2 to 2.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = -2.0, max = 2.0))]
    pub presence_penalty: Option<f64>,
    /// Penalty for tokens by how often they appeared, -2 to 2.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = -2.0, max = 2.0))]
    pub frequency_penalty: Option<f64>,
}

/// A parameter outside its range.
#[derive(Debug, thiserror::Error, PartialEq)]
#[error("`{key}` is {value}, which is not {range}")]
pub(crate) struct ConfigRangeError {
    /// The key, as in the file.
    pub(crate) key: &'static str,
    value: String,
    range: &'static str,
}

// === impl ModelConfig ===

impl ModelConfig {
    /// Returns whether every parameter is left to the provider.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Returns every parameter that is outside its range.
    pub(crate) fn out_of_range(&self) -> Vec<ConfigRangeError> {
        let within =
            |value: Option<f64>, least: f64, most: f64| value.is_none_or(|value| (least..=most).contains(&value));
        let stop = &self.stop_sequences;
        let checks = [
            ("temperature", within(self.temperature, 0.0, 2.0), shown(self.temperature), "0 to 2"),
            ("topP", within(self.top_p, 0.0, 1.0), shown(self.top_p), "0 to 1"),
            ("topK", self.top_k != Some(0), shown(self.top_k), "1 or more"),
            ("maxOutputTokens", self.max_output_tokens != Some(0), shown(self.max_output_tokens), "1 or more"),
            ("stopSequences", stop.len() <= 16, format!("{} texts", stop.len()), "at most 16"),
            ("stopSequences", !stop.iter().any(String::is_empty), "an empty text".to_owned(), "something to stop at"),
            ("presencePenalty", within(self.presence_penalty, -2.0, 2.0), shown(self.presence_penalty), "-2 to 2"),
            ("frequencyPenalty", within(self.frequency_penalty, -2.0, 2.0), shown(self.frequency_penalty), "-2 to 2"),
        ];
        let broken = checks.into_iter().filter(|(_, holds, ..)| !holds);
        broken.map(|(key, _, value, range)| ConfigRangeError { key, value, range }).collect()
    }
}

fn shown(value: Option<impl ToString>) -> String {
    value.map_or_else(String::new, |value| value.to_string())
}

/// A digest is of doubles: a larger seed could share its encoding with another one.
fn exact_seed<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<i64>, D::Error> {
    const SEED_MAX: u64 = (1 << 53) - 1;
    match Option::<i64>::deserialize(deserializer)? {
        Some(seed) if seed.unsigned_abs() > SEED_MAX => {
            Err(serde::de::Error::custom(format_args!("`seed` is {seed}, which is not within ±(2^53 - 1)")))
        }
        seed => Ok(seed),
    }
}
