use bowline_types::TokenUsage;

use crate::{Finish, Opaque, Signature, UpstreamError};

/// One step of a streamed answer.
///
/// Order: [`Self::Start`] once and first, then content of any choice, a [`Self::Finish`] per choice, at most one [`Self::Usage`],
/// and last [`Self::End`], or [`Self::Error`] and then nothing. A stream that stops without either was cut off.
#[derive(Clone, Debug, PartialEq)]
pub enum StreamEvent {
    /// The provider began to answer.
    Start {
        /// The provider's id of the answer; empty where it gave none.
        id: String,
        /// The model that answers, as the provider names it; empty where it did not say.
        model: String,
    },
    /// More text.
    TextDelta {
        /// The choice.
        choice: u32,
        /// The text, never empty.
        text: String,
    },
    /// More of the model's reasoning.
    ReasoningDelta {
        /// The choice.
        choice: u32,
        /// The text, never empty.
        text: String,
    },
    /// A token by which the provider recognises what it just streamed.
    Signature {
        /// The choice.
        choice: u32,
        /// The tool call it belongs to; `None` for text and reasoning.
        call: Option<u32>,
        /// The token.
        signature: Signature,
    },
    /// More of a refusal.
    RefusalDelta {
        /// The choice.
        choice: u32,
        /// The text, never empty.
        text: String,
    },
    /// More of a tool call.
    ToolCallDelta {
        /// The choice.
        choice: u32,
        /// The number of the call within the choice, from 0 and without gaps, whatever the provider numbered.
        index: u32,
        /// The id, in the first delta of a call.
        id: Option<String>,
        /// The tool, in the first delta of a call.
        name: Option<String>,
        /// More of the JSON text of the arguments; may be empty.
        arguments: String,
    },
    /// A choice ended.
    Finish {
        /// The choice.
        choice: u32,
        /// Why.
        finish: Finish,
    },
    /// The tokens of the whole call: final totals, never to be summed.
    Usage(TokenUsage),
    /// Content that is not modelled. Another dialect cannot carry it.
    Opaque {
        /// The choice.
        choice: u32,
        /// The piece.
        opaque: Opaque,
    },
    /// Metadata that is not modelled, once per value. Another dialect carries it under `provider_fields`.
    Metadata(Opaque),
    /// The provider reported a failure within the stream.
    Error(UpstreamError),
    /// The answer is whole.
    End,
}

// === impl StreamEvent ===

impl StreamEvent {
    /// Returns whether the event carries content of the answer; from the first such event on a call cannot be retried.
    #[must_use]
    pub const fn is_content(&self) -> bool {
        match self {
            Self::TextDelta { .. }
            | Self::ReasoningDelta { .. }
            | Self::Signature { .. }
            | Self::RefusalDelta { .. }
            | Self::ToolCallDelta { .. }
            | Self::Finish { .. }
            | Self::Opaque { .. } => true,
            Self::Start { .. } | Self::Usage(_) | Self::Metadata(_) | Self::Error(_) | Self::End => false,
        }
    }
}
