use bowline_types::TokenUsage;

use crate::request::plain_text;
use crate::{Dialect, EncodeError, Opaque, Part};

/// A whole answer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Response {
    /// The provider's id of the answer; empty where it gave none.
    pub id: String,
    /// The model that answered, as the provider names it; empty where it did not say.
    pub model: String,
    /// When it answered, in seconds since 1970; `None` where it did not say.
    pub created: Option<i64>,
    /// The answers; empty where the provider refused the prompt without one.
    pub choices: Vec<Choice>,
    /// The tokens used, by the convention of [`TokenUsage`].
    pub usage: TokenUsage,
    /// Metadata that is not modelled. It is no content: another dialect carries it under `provider_fields`.
    pub opaque: Vec<Opaque>,
}

/// One answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Choice {
    /// Its number, from 0.
    pub index: u32,
    /// What the model said, in order.
    pub content: Vec<Part>,
    /// Why it ended.
    pub finish: Finish,
    /// Metadata that is not modelled, as for [`Response::opaque`].
    pub opaque: Vec<Opaque>,
}

/// Why an answer ended.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Finish {
    /// The model was done, or met a stop text.
    Stop,
    /// The token limit or the context window was reached.
    Length,
    /// The model waits for the results of tool calls.
    ToolCalls,
    /// A filter of the provider cut or blocked the answer.
    ContentFilter,
    /// The model declined to answer.
    Refusal,
    /// Any other reason, in the provider's word.
    Other(String),
}

// === impl Response ===

impl Response {
    /// Returns the text of the first answer, joined; empty where there is none.
    #[must_use]
    pub fn text(&self) -> String {
        self.choices.first().map(|choice| plain_text(&choice.content)).unwrap_or_default()
    }

    /// Checks that the content of every choice may be written in dialect `to`.
    ///
    /// Only whole parts count. What a provider adds to a part that is modelled is metadata, so that a new field of a provider
    /// does not cost every answer; see [`Choice::metadata`].
    ///
    /// # Errors
    /// Names the first part that belongs to another dialect.
    pub fn check_opaque(&self, to: Dialect) -> Result<(), EncodeError> {
        for choice in &self.choices {
            for (index, part) in choice.content.iter().enumerate() {
                if let Part::Opaque(opaque) = part
                    && opaque.dialect != to
                {
                    let path = format!("choices[{}].content[{index}]", choice.index);
                    return Err(EncodeError::Opaque { path, from: opaque.dialect, to });
                }
            }
        }
        Ok(())
    }
}

// === impl Choice ===

impl Choice {
    /// Returns the metadata of the choice and of its parts that dialect `of` cannot say where it stood.
    #[must_use]
    pub fn metadata(&self, of: Dialect) -> Vec<Opaque> {
        let of_parts = self.content.iter().enumerate().flat_map(|(index, part)| {
            let at = move |piece: &Opaque| Opaque { path: format!("/content/{index}{}", piece.path), ..piece.clone() };
            part.opaque().iter().map(at)
        });
        self.opaque.iter().cloned().chain(of_parts).filter(|piece| piece.dialect != of).collect()
    }
}

// === impl Finish ===

impl Finish {
    /// Returns the word used in records: `stop`, `length`, `tool_calls`, `content_filter`, `refusal`, or the provider's own.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Stop => "stop",
            Self::Length => "length",
            Self::ToolCalls => "tool_calls",
            Self::ContentFilter => "content_filter",
            Self::Refusal => "refusal",
            Self::Other(word) => word,
        }
    }

    /// Returns whether the answer is whole, so neither cut off nor filtered nor ended for an unknown reason.
    #[must_use]
    pub const fn is_complete(&self) -> bool {
        matches!(self, Self::Stop | Self::ToolCalls | Self::Refusal)
    }
}
