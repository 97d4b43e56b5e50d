use bowline_chat::openai_chat::Envelope;
use bowline_chat::{EncodeError, Finish, Object, SseEvent, StreamEvent};
use bowline_types::TokenUsage;
use serde_json::{Value, json};

use crate::anthropic::DIALECT;
use crate::anthropic::error::error_value;
use crate::anthropic::response::{encode_finish, encode_usage};
use crate::spec::EncodeEvents;

/// Writes a streamed answer: blocks open and close as the kind of content changes.
///
/// The format states the reason and the usage together, so the reason waits for the end.
#[derive(Debug)]
struct Encoder {
    envelope: Envelope,
    open: Option<Open>,
    blocks: u64,
    finish: Option<Finish>,
    usage: TokenUsage,
    started: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Open {
    Text,
    Thinking,
    Call(u32),
}

/// Returns an encoder for one streamed answer. The format always carries usage.
pub(in crate::anthropic) fn stream_encoder(envelope: Envelope, _include_usage: bool) -> Box<dyn EncodeEvents> {
    let usage = TokenUsage::default();
    Box::new(Encoder { envelope, open: None, blocks: 0, finish: None, usage, started: false })
}

impl EncodeEvents for Encoder {
    fn encode(&mut self, event: &StreamEvent, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        match event {
            StreamEvent::Start { .. } => self.start(out),
            StreamEvent::TextDelta { text, .. } | StreamEvent::RefusalDelta { text, .. } => {
                self.open(Open::Text, json!({"type": "text", "text": ""}), out);
                self.delta(json!({"type": "text_delta", "text": text}), out);
            }
            StreamEvent::ReasoningDelta { text, .. } => {
                self.open(Open::Thinking, json!({"type": "thinking", "thinking": "", "signature": ""}), out);
                self.delta(json!({"type": "thinking_delta", "thinking": text}), out);
            }
            StreamEvent::Signature { signature, .. } => {
                if signature.issuer == DIALECT && self.open == Some(Open::Thinking) {
                    self.delta(json!({"type": "signature_delta", "signature": signature.value}), out);
                }
            }
            StreamEvent::ToolCallDelta { index, id, name, arguments, .. } => {
                let call = json!({"type": "tool_use", "id": id, "name": name, "input": {}});
                self.open(Open::Call(*index), call, out);
                self.delta(json!({"type": "input_json_delta", "partial_json": arguments}), out);
            }
            StreamEvent::Finish { finish, .. } => self.finish = Some(finish.clone()),
            StreamEvent::Usage(usage) => self.usage = *usage,
            StreamEvent::Opaque { opaque, .. } if opaque.dialect == DIALECT && opaque.path.ends_with("/delta") => {
                self.delta(opaque.raw.clone(), out);
            }
            StreamEvent::Opaque { opaque, .. } if opaque.dialect == DIALECT => {
                self.close(out);
                write(json!({"type": "content_block_start", "index": self.blocks, "content_block": opaque.raw}), out);
                write(json!({"type": "content_block_stop", "index": self.blocks}), out);
                self.blocks += 1;
            }
            StreamEvent::Opaque { opaque, .. } => {
                let path = format!("content[{}]", self.blocks);
                return Err(EncodeError::Opaque { path, from: opaque.dialect, to: DIALECT });
            }
            // The format has no place for metadata of others.
            StreamEvent::Metadata(_) => {}
            StreamEvent::Error(error) => write(error_value(error), out),
            StreamEvent::End => self.end(out),
        }
        Ok(())
    }
}

impl Encoder {
    fn start(&mut self, out: &mut Vec<u8>) {
        if std::mem::replace(&mut self.started, true) {
            return;
        }
        let message = Object::new()
            .with("id", self.envelope.id.as_str())
            .with("type", "message")
            .with("role", "assistant")
            .with("model", self.envelope.model.as_str())
            .with("content", json!([]))
            .with("stop_reason", Value::Null)
            .with("stop_sequence", Value::Null)
            .with("usage", encode_usage(&self.usage));
        write(json!({"type": "message_start", "message": Value::from(message)}), out);
    }

    fn open(&mut self, block: Open, content: Value, out: &mut Vec<u8>) {
        if self.open != Some(block) {
            self.close(out);
            self.open = Some(block);
            write(json!({"type": "content_block_start", "index": self.blocks, "content_block": content}), out);
        }
    }

    fn delta(&self, delta: Value, out: &mut Vec<u8>) {
        write(json!({"type": "content_block_delta", "index": self.blocks, "delta": delta}), out);
    }

    fn close(&mut self, out: &mut Vec<u8>) {
        self.start(out);
        if self.open.take().is_some() {
            write(json!({"type": "content_block_stop", "index": self.blocks}), out);
            self.blocks += 1;
        }
    }

    fn end(&mut self, out: &mut Vec<u8>) {
        self.close(out);
        let reason = self.finish.as_ref().and_then(encode_finish);
        let delta = json!({"stop_reason": reason, "stop_sequence": null});
        write(json!({"type": "message_delta", "delta": delta, "usage": encode_usage(&self.usage)}), out);
        write(json!({"type": "message_stop"}), out);
    }
}

fn write(data: Value, out: &mut Vec<u8>) {
    let name = data.get("type").and_then(Value::as_str).map(str::to_owned);
    SseEvent { name, data: data.to_string() }.write(out);
}
