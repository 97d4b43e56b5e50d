use std::collections::BTreeMap;

use bowline_chat::{DecodeError, DecodeEvents, Events, Fields, Finish, Opaque, Part, SseEvent, StreamDecoder};

use crate::gemini::error::decode_error_object;
use crate::gemini::request::decode_part;
use crate::gemini::response::{decode_finish, is_blocked, take_index, take_usage};
use crate::gemini::{DIALECT, camel_case};

/// What is known of a stream so far. Every chunk is a whole answer with more of the content; there is no end marker.
#[derive(Debug, Default)]
struct State {
    /// The number of tool calls of each choice.
    calls: BTreeMap<u32, u32>,
    /// The counts so far: each chunk that counts the prompt states all totals anew, others add fields.
    usage: Fields,
}

/// Returns a decoder for one streamed answer.
pub(in crate::gemini) fn stream_decoder() -> StreamDecoder {
    StreamDecoder::new(Box::new(State::default()))
}

impl DecodeEvents for State {
    fn event(&mut self, event: &SseEvent, out: &mut Events) -> Result<(), DecodeError> {
        let mut fields = camel_case(Fields::parse(event.data.as_bytes())?);
        if let Some(error) = fields.peek("error") {
            return Err(DecodeError::Upstream(decode_error_object(error, None)));
        }
        let id = fields.take_string("responseId").unwrap_or_default();
        out.start(id, fields.take_string("modelVersion").unwrap_or_default());
        for (position, candidate) in fields.objects("candidates")?.unwrap_or_default().into_iter().enumerate() {
            self.candidate(position, candidate, out)?;
        }
        if is_blocked(&fields) {
            out.finish(0, Finish::ContentFilter);
        }
        if let Some(usage) = fields.take_object("usageMetadata") {
            let usage = camel_case(usage);
            if usage.peek("promptTokenCount").is_some() {
                self.usage = usage;
            } else {
                self.usage.merge(usage);
            }
            let mut counts = self.usage.clone();
            out.usage(take_usage(&mut counts));
            out.metadata(counts, DIALECT, "/usageMetadata");
        }
        out.metadata(fields, DIALECT, "");
        Ok(())
    }
}

impl State {
    fn candidate(&mut self, position: usize, fields: Fields, out: &mut Events) -> Result<(), DecodeError> {
        let mut fields = camel_case(fields);
        let choice = take_index(&mut fields, position)?;
        let reason = fields.take("finishReason").filter(|reason| reason.as_u64() != Some(0));
        if let Some(mut content) = fields.take_object("content") {
            for part in content.objects("parts")?.unwrap_or_default() {
                self.part(choice, decode_part(part), out);
            }
            content.take_constant("role", "model");
            out.metadata(content, DIALECT, &format!("/candidates/{choice}/content"));
        }
        if let Some(reason) = reason {
            let called = self.calls.get(&choice).is_some_and(|calls| *calls > 0);
            out.finish(choice, decode_finish(Some(&reason), called));
        }
        out.metadata(fields, DIALECT, &format!("/candidates/{choice}"));
        Ok(())
    }

    fn part(&mut self, choice: u32, part: Part, out: &mut Events) {
        let place = format!("/candidates/{choice}/content/parts");
        for piece in part.opaque() {
            out.piece(Opaque { path: format!("{place}{}", piece.path), ..piece.clone() });
        }
        match part {
            Part::Text { text, signature, .. } => {
                out.text(choice, text);
                signature.into_iter().for_each(|signature| out.signature(choice, None, signature));
            }
            Part::Reasoning(reasoning) => {
                out.reasoning(choice, reasoning.text);
                reasoning.signature.into_iter().for_each(|signature| out.signature(choice, None, signature));
            }
            Part::ToolCall(call) => {
                let calls = self.calls.entry(choice).or_default();
                let index = *calls;
                *calls += 1;
                let id = Some(call.id).filter(|id| !id.is_empty());
                out.call(choice, index, id, call.name, call.arguments);
                call.signature.into_iter().for_each(|signature| out.signature(choice, Some(index), signature));
            }
            Part::Opaque(opaque) => out.opaque(choice, opaque),
            image @ Part::Image { .. } => {
                // The neutral stream has no images; the part goes on as it came.
                if let Ok(raw) = crate::gemini::request::encode_part(&image, "", None) {
                    out.opaque(choice, Opaque { dialect: DIALECT, path: "/parts/-".to_owned(), raw });
                }
            }
            // Parts that only requests have.
            Part::ToolResult(_) | Part::Refusal(_) => {}
        }
    }
}
