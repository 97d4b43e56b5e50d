use bowline_chat::{Finish, Part, Response, StreamEvent};
use bowline_types::{ErrorKind, TokenUsage};

use crate::exchange::Exchange;

/// What an answer says, as far as records and checks need it: the first choice, and the totals.
#[derive(Debug)]
pub(crate) struct Transcript {
    text: String,
    text_bytes_max: usize,
    overflowed: bool,
    answer_id: Option<String>,
    model: Option<String>,
    finish: Option<Finish>,
    refusal: bool,
    tool_calls: bool,
    content: bool,
    usage: TokenUsage,
    error: Option<ErrorKind>,
    ended: bool,
}

// === impl Transcript ===

impl Transcript {
    /// Returns an empty transcript that keeps at most `text_bytes_max` of the text.
    pub(crate) const fn new(text_bytes_max: usize) -> Self {
        Self {
            text: String::new(),
            text_bytes_max,
            overflowed: false,
            answer_id: None,
            model: None,
            finish: None,
            refusal: false,
            tool_calls: false,
            content: false,
            usage: TokenUsage {
                input: None,
                output: None,
                cache_read: None,
                cache_write: None,
                cache_write_1h: None,
                reasoning: None,
                input_audio: None,
                output_audio: None,
                web_searches: None,
            },
            error: None,
            ended: false,
        }
    }

    /// Returns the transcript of a whole answer.
    pub(crate) fn of_response(response: &Response, text_bytes_max: usize) -> Self {
        let mut transcript = Self::new(text_bytes_max);
        transcript.answer_id = named(&response.id);
        transcript.model = named(&response.model);
        transcript.usage = response.usage;
        transcript.ended = true;
        if let Some(choice) = response.choices.first() {
            transcript.finish = Some(choice.finish.clone());
            transcript.push(&response.text());
            for part in &choice.content {
                transcript.refusal |= matches!(part, Part::Refusal(_));
                transcript.tool_calls |= matches!(part, Part::ToolCall(_));
            }
        }
        transcript
    }

    /// Reads one event of a stream.
    pub(crate) fn read(&mut self, event: &StreamEvent) {
        self.content |= event.is_content();
        match event {
            StreamEvent::Start { id, model } => (self.answer_id, self.model) = (named(id), named(model)),
            StreamEvent::TextDelta { choice: 0, text } => self.push(text),
            StreamEvent::RefusalDelta { choice: 0, .. } => self.refusal = true,
            StreamEvent::ToolCallDelta { choice: 0, .. } => self.tool_calls = true,
            StreamEvent::Finish { choice: 0, finish } => self.finish = Some(finish.clone()),
            StreamEvent::Usage(usage) => self.usage = *usage,
            StreamEvent::Error(error) => (self.error, self.ended) = (Some(error.kind), true),
            StreamEvent::End => self.ended = true,
            StreamEvent::TextDelta { .. }
            | StreamEvent::ReasoningDelta { .. }
            | StreamEvent::Signature { .. }
            | StreamEvent::RefusalDelta { .. }
            | StreamEvent::ToolCallDelta { .. }
            | StreamEvent::Finish { .. }
            | StreamEvent::Opaque { .. }
            | StreamEvent::Metadata(_) => {}
        }
    }

    /// Returns whether the answer has ended, well or not.
    pub(crate) const fn is_over(&self) -> bool {
        self.ended
    }

    /// Returns whether it ended with an error.
    pub(crate) const fn has_failed(&self) -> bool {
        self.error.is_some()
    }

    /// Returns whether any content has come.
    pub(crate) const fn has_content(&self) -> bool {
        self.content
    }

    /// Writes what the answer said into its exchange; an id that the gateway gave stays.
    pub(crate) fn write(self, exchange: &mut Exchange) {
        let outcome = &mut exchange.outcome;
        outcome.answer_id = outcome.answer_id.take().or(self.answer_id);
        outcome.response_model = self.model;
        outcome.refusal = self.refusal || self.finish == Some(Finish::Refusal);
        outcome.finish = self.finish.map(|finish| finish.as_str().to_owned());
        outcome.tool_calls = self.tool_calls;
        outcome.usage = self.usage;
        outcome.error = self.error;
        outcome.text_overflowed = self.overflowed;
        outcome.text = (!self.overflowed).then_some(self.text);
    }

    fn push(&mut self, text: &str) {
        self.overflowed |= self.text.len() + text.len() > self.text_bytes_max;
        if !self.overflowed {
            self.text.push_str(text);
        }
    }
}

fn named(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}
