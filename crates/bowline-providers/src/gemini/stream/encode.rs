use bowline_chat::openai_chat::Envelope;
use bowline_chat::{EncodeError, Finish, Opaque, Part, SseEvent, StreamEvent, ToolCall};
use bowline_types::TokenUsage;
use serde_json::{Value, json};

use crate::gemini::DIALECT;
use crate::gemini::error::error_value;
use crate::gemini::request::encode_part;
use crate::gemini::response::{body, candidate};
use crate::spec::EncodeEvents;

/// Writes a streamed answer: one chunk per piece of content, calls whole, reason and usage on the last chunk.
#[derive(Debug)]
struct Encoder {
    envelope: Envelope,
    /// The call that is coming in: its choice and number, and what came of it.
    call: Option<(u32, u32, ToolCall)>,
    finish: Vec<(u32, Finish)>,
    usage: TokenUsage,
}

/// Returns an encoder for one streamed answer. The format always carries usage.
pub(in crate::gemini) fn stream_encoder(envelope: Envelope, _include_usage: bool) -> Box<dyn EncodeEvents> {
    Box::new(Encoder { envelope, call: None, finish: Vec::new(), usage: TokenUsage::default() })
}

impl EncodeEvents for Encoder {
    fn encode(&mut self, event: &StreamEvent, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        match event {
            // The format has no opening, and no place for metadata of others.
            StreamEvent::Start { .. } | StreamEvent::Metadata(_) => {}
            StreamEvent::TextDelta { choice, text } | StreamEvent::RefusalDelta { choice, text } => {
                self.part(*choice, json!({"text": text}), out)?;
            }
            StreamEvent::ReasoningDelta { choice, text } => {
                self.part(*choice, json!({"text": text, "thought": true}), out)?;
            }
            StreamEvent::Signature { choice, call: None, signature } if signature.issuer == DIALECT => {
                self.part(*choice, json!({"text": "", "thoughtSignature": signature.value}), out)?;
            }
            StreamEvent::Signature { signature, .. } => {
                if let Some((_, _, call)) = &mut self.call {
                    call.signature = Some(signature.clone());
                }
            }
            StreamEvent::ToolCallDelta { choice, index, id, name, arguments } => {
                if name.is_some() {
                    self.flush(out)?;
                    let id = id.clone().unwrap_or_default();
                    let name = name.clone().unwrap_or_default();
                    self.call = Some((*choice, *index, ToolCall { id, name, ..ToolCall::default() }));
                }
                if let Some((_, _, call)) = self.call.as_mut().filter(|(_, open, _)| open == index) {
                    call.arguments.push_str(arguments);
                }
            }
            StreamEvent::Finish { choice, finish } => {
                self.flush(out)?;
                self.finish.push((*choice, finish.clone()));
            }
            StreamEvent::Usage(usage) => self.usage = *usage,
            StreamEvent::Opaque { choice, opaque } => {
                let Opaque { dialect, raw, .. } = opaque;
                if *dialect != DIALECT {
                    let path = format!("candidates[{choice}]");
                    return Err(EncodeError::Opaque { path, from: *dialect, to: DIALECT });
                }
                self.part(*choice, raw.clone(), out)?;
            }
            StreamEvent::Error(error) => write(&error_value(error), out),
            StreamEvent::End => {
                self.flush(out)?;
                let last =
                    self.finish.iter().map(|(choice, finish)| candidate(*choice, Vec::new(), Some(finish)).into());
                write(&body(last.collect(), &self.usage, &self.envelope).into(), out);
            }
        }
        Ok(())
    }
}

impl Encoder {
    fn part(&mut self, choice: u32, part: Value, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        self.flush(out)?;
        let candidates = vec![candidate(choice, vec![part], None).into()];
        write(&body(candidates, &self.usage, &self.envelope).into(), out);
        Ok(())
    }

    /// Writes the call that came in, if any.
    fn flush(&mut self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        if let Some((choice, index, call)) = self.call.take() {
            let part = encode_part(&Part::ToolCall(call), &format!("candidates[{choice}].calls[{index}]"), None)?;
            let candidates = vec![candidate(choice, vec![part], None).into()];
            write(&body(candidates, &self.usage, &self.envelope).into(), out);
        }
        Ok(())
    }
}

fn write(data: &Value, out: &mut Vec<u8>) {
    SseEvent { name: None, data: data.to_string() }.write(out);
}
