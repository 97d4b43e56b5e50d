use serde::{Deserialize, Serialize};

/// Tokens of one call, by one convention whatever the provider's own is.
///
/// `input` **includes** everything that was read or written through a cache, and `output` **includes** reasoning: the other
/// fields are parts of these two, never added to them. `None` means that the provider did not say, which is not zero.
/// Providers differ: Anthropic's `input_tokens` excludes cache reads and writes, Gemini's `candidatesTokenCount` excludes
/// thoughts; their decoders add them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenUsage {
    /// All tokens of the request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input: Option<u64>,
    /// All tokens of the answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<u64>,
    /// The part of `input` that was read from a prompt cache.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_read: Option<u64>,
    /// The part of `input` that was written to a prompt cache, of every lifetime.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_write: Option<u64>,
    /// The part of `cache_write` that lives for one hour, which some providers price apart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_write_1h: Option<u64>,
    /// The part of `output` that was reasoning.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reasoning: Option<u64>,
    /// The part of `input` that was audio.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input_audio: Option<u64>,
    /// The part of `output` that was audio.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_audio: Option<u64>,
    /// Web searches that the provider ran; a count of requests, not of tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub web_searches: Option<u64>,
}

impl TokenUsage {
    /// Returns whether the provider said nothing at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}
