use std::collections::BTreeMap;

use bowline_chat::{
    DecodeError, DecodeEvents, Events, Fields, Opaque, Part, Reasoning, ReasoningForm, Signature, SseEvent,
    StreamDecoder,
};
use serde_json::Value;

use crate::anthropic::DIALECT;
use crate::anthropic::error::decode_error_object;
use crate::anthropic::request::decode_block;
use crate::anthropic::response::{Counts, decode_finish};

/// What is known of a stream so far. The `type` within the data counts, not the name of the event, which proxies lose.
#[derive(Debug, Default)]
struct State {
    blocks: BTreeMap<u64, Block>,
    calls: u32,
    counts: Counts,
}

/// A content block that is open.
#[derive(Debug)]
enum Block {
    /// Text or reasoning: deltas go through.
    Plain,
    /// A tool call of this number, and whether any arguments came.
    Call { index: u32, has_arguments: bool },
    /// A block that is not modelled, with the JSON text of its input so far; it is handed on when it is whole.
    Opaque { raw: Fields, input: String },
}

/// Returns a decoder for one streamed answer.
pub(in crate::anthropic) fn stream_decoder() -> StreamDecoder {
    StreamDecoder::new(Box::new(State::default()))
}

impl DecodeEvents for State {
    fn event(&mut self, event: &SseEvent, out: &mut Events) -> Result<(), DecodeError> {
        let mut fields = Fields::parse(event.data.as_bytes())?;
        let kind = fields.take_string("type").unwrap_or_default();
        match kind.as_str() {
            "message_start" => {
                if let Some(message) = fields.take_object("message") {
                    self.message_start(message, out);
                }
            }
            "content_block_start" => {
                let index = fields.count("index")?.ok_or_else(|| fields.missing("index"))?;
                let block = fields.object("content_block")?.ok_or_else(|| fields.missing("content_block"))?;
                self.block_start(index, block, out);
            }
            "content_block_delta" => {
                let index = fields.count("index")?.ok_or_else(|| fields.missing("index"))?;
                let delta = fields.object("delta")?.ok_or_else(|| fields.missing("delta"))?;
                self.block_delta(index, delta, out);
            }
            "content_block_stop" => {
                let index = fields.count("index")?.ok_or_else(|| fields.missing("index"))?;
                self.block_stop(index, out);
            }
            "message_delta" => self.message_delta(&mut fields, out),
            "message_stop" => out.end(),
            "ping" => {}
            "error" => {
                return Err(DecodeError::Upstream(decode_error_object(fields.peek("error").unwrap_or(&Value::Null))));
            }
            // A kind of event that came later than this code; what it says is kept.
            other => out.metadata(fields, DIALECT, &format!("/{other}")),
        }
        Ok(())
    }
}

impl State {
    fn message_start(&mut self, mut message: Fields, out: &mut Events) {
        out.start(message.take_string("id").unwrap_or_default(), message.take_string("model").unwrap_or_default());
        self.usage(&mut message, out);
        message.take_constant("type", "message");
        message.take_constant("role", "assistant");
        if message.peek("content").and_then(Value::as_array).is_some_and(Vec::is_empty) {
            message.take("content");
        }
        out.metadata(message, DIALECT, "");
    }

    fn usage(&mut self, fields: &mut Fields, out: &mut Events) {
        let Some(mut usage) = fields.take_object("usage") else { return };
        self.counts.merge(Counts::take(&mut usage));
        out.usage(self.counts.usage());
        out.metadata(usage, DIALECT, "/usage");
    }

    fn block_start(&mut self, index: u64, fields: Fields, out: &mut Events) {
        let place = format!("/content/{index}");
        let block = match decode_block(fields) {
            Part::Text { text, mut opaque, .. } => {
                out.text(0, text);
                // Citations are announced as an empty list, and come as deltas.
                opaque.retain(|piece| piece.raw.as_array().is_none_or(|items| !items.is_empty()));
                metadata(opaque, &place, out);
                Block::Plain
            }
            Part::Reasoning(reasoning) => {
                reasoning_start(reasoning, &place, out);
                Block::Plain
            }
            Part::ToolCall(call) => {
                let number = self.calls;
                self.calls += 1;
                // Usually `{}`, and the arguments follow as deltas; some servers put all of them here.
                let whole = if call.arguments == "{}" { String::new() } else { call.arguments };
                let has_arguments = !whole.is_empty();
                out.call(0, number, Some(call.id).filter(|id| !id.is_empty()), call.name, whole);
                metadata(call.opaque, &place, out);
                Block::Call { index: number, has_arguments }
            }
            Part::Opaque(Opaque { raw, .. }) => match Fields::new(raw, place.as_str()) {
                Ok(raw) => Block::Opaque { raw, input: String::new() },
                Err(_) => Block::Plain,
            },
            // Blocks that only requests have.
            Part::Image { .. } | Part::ToolResult(_) | Part::Refusal(_) => Block::Plain,
        };
        self.blocks.insert(index, block);
    }

    fn block_delta(&mut self, index: u64, mut delta: Fields, out: &mut Events) {
        let kind = delta.take_string("type").unwrap_or_default();
        match (kind.as_str(), self.blocks.get_mut(&index)) {
            ("text_delta", _) => out.text(0, delta.take_string("text").unwrap_or_default()),
            ("thinking_delta", _) => out.reasoning(0, delta.take_string("thinking").unwrap_or_default()),
            ("signature_delta", _) => {
                if let Some(value) = delta.take_string("signature").filter(|value| !value.is_empty()) {
                    out.signature(0, None, Signature { issuer: DIALECT, value });
                }
            }
            ("input_json_delta", Some(Block::Call { index, has_arguments })) => {
                let json = delta.take_string("partial_json").unwrap_or_default();
                *has_arguments |= !json.is_empty();
                out.arguments(0, *index, json);
            }
            ("input_json_delta", Some(Block::Opaque { input, .. })) => {
                input.push_str(&delta.take_string("partial_json").unwrap_or_default());
            }
            _ => {
                delta.put_back("type", kind.into());
                let path = format!("/content/{index}/delta");
                out.opaque(0, Opaque { dialect: DIALECT, path, raw: delta.into_value() });
                return;
            }
        }
        out.metadata(delta, DIALECT, &format!("/content/{index}/delta"));
    }

    fn block_stop(&mut self, index: u64, out: &mut Events) {
        match self.blocks.remove(&index) {
            // A tool without parameters: the format streams nothing, others expect an object.
            Some(Block::Call { index, has_arguments: false }) => out.arguments(0, index, "{}".to_owned()),
            Some(Block::Opaque { mut raw, input }) => {
                if let Ok(input) = serde_json::from_str(&input) {
                    raw.put_back("input", input);
                }
                out.opaque(0, Opaque { dialect: DIALECT, path: "/content/-".to_owned(), raw: raw.into_value() });
            }
            Some(Block::Plain | Block::Call { .. }) | None => {}
        }
    }

    fn message_delta(&mut self, fields: &mut Fields, out: &mut Events) {
        self.usage(fields, out);
        if let Some(mut delta) = fields.take_object("delta") {
            if let Some(reason) = delta.take_string("stop_reason") {
                out.finish(0, decode_finish(Some(&reason)));
            }
            out.metadata(delta, DIALECT, "");
        }
    }
}

fn reasoning_start(reasoning: Reasoning, place: &str, out: &mut Events) {
    out.reasoning(0, reasoning.text);
    let value = reasoning.signature.map(|signature| signature.value).filter(|value| !value.is_empty());
    if let Some(value) = value {
        if reasoning.form == ReasoningForm::RedactedThinking {
            let path = format!("{place}/data");
            metadata(vec![Opaque { dialect: DIALECT, path, raw: value.into() }], "", out);
        } else {
            out.signature(0, None, Signature { issuer: DIALECT, value });
        }
    }
    metadata(reasoning.opaque, place, out);
}

fn metadata(opaque: Vec<Opaque>, place: &str, out: &mut Events) {
    for piece in opaque {
        out.piece(Opaque { path: format!("{place}{}", piece.path), ..piece });
    }
}
