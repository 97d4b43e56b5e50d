use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::openai_chat::DIALECT;
use crate::openai_chat::error::error_body;
use crate::openai_chat::message::sign;
use crate::openai_chat::response::{Envelope, call_id, encode_finish, restore_metadata};
use crate::openai_chat::usage::encode_usage;
use crate::{EncodeError, Object, Opaque, Signature, StreamEvent};

/// Writes a streamed answer for a client: chunks, and `[DONE]` at the end.
///
/// The first chunk of a choice carries the role. The usage chunk is written only if the client asked for it.
#[derive(Debug)]
pub struct StreamEncoder {
    envelope: Envelope,
    include_usage: bool,
    choices: BTreeMap<u32, ChoiceState>,
    /// Metadata that waits for the next chunk: clients trip over chunks without choices that they did not ask for.
    metadata: Vec<Opaque>,
}

#[derive(Debug, Default)]
struct ChoiceState {
    refused: bool,
}

impl StreamEncoder {
    /// Returns an encoder for one answer.
    #[must_use]
    pub const fn new(envelope: Envelope, include_usage: bool) -> Self {
        Self { envelope, include_usage, choices: BTreeMap::new(), metadata: Vec::new() }
    }

    /// Writes one event.
    ///
    /// # Errors
    /// The event holds an opaque piece of another dialect.
    pub fn encode(&mut self, event: &StreamEvent, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        match event {
            StreamEvent::Start { .. } => {
                self.open(0, out);
            }
            StreamEvent::TextDelta { choice, text } => self.delta(*choice, json!({"content": text}), out),
            StreamEvent::ReasoningDelta { choice, text } => {
                self.delta(*choice, json!({"reasoning_content": text}), out);
            }
            StreamEvent::RefusalDelta { choice, text } => {
                self.choices.entry(*choice).or_default().refused = true;
                self.delta(*choice, json!({"refusal": text}), out);
            }
            StreamEvent::Signature { choice, call, signature } => self.signature(*choice, *call, signature, out),
            StreamEvent::ToolCallDelta { choice, index, id, name, arguments } => {
                let call = self.call(*index, id.as_deref(), name.as_deref(), arguments);
                self.delta(*choice, json!({"tool_calls": [call]}), out);
            }
            StreamEvent::Finish { choice, finish } => {
                let refused = self.choices.get(choice).is_some_and(|state| state.refused);
                let reason = encode_finish(finish, refused).to_owned();
                self.open(*choice, out);
                self.chunk(json!([{"index": choice, "delta": {}, "finish_reason": reason}]), Object::new(), out);
            }
            StreamEvent::Usage(usage) => {
                if self.include_usage {
                    self.chunk(json!([]), Object::new().with("usage", encode_usage(usage)), out);
                }
            }
            StreamEvent::Opaque { choice, opaque } => {
                if opaque.dialect != DIALECT {
                    let path = format!("choices[{choice}]{}", opaque.path.trim_end_matches("/-").replace('/', "."));
                    return Err(EncodeError::Opaque { path, from: opaque.dialect, to: DIALECT });
                }
                let key = if opaque.path == "/tool_calls/-" { "tool_calls" } else { "content" };
                self.delta(*choice, json!({key: [opaque.raw]}), out);
            }
            StreamEvent::Metadata(opaque) => self.metadata.push(opaque.clone()),
            StreamEvent::Error(error) => {
                write(&error_body(error.kind, &error.message, None, error.code.as_deref()), out);
            }
            StreamEvent::End => {
                if !self.metadata.is_empty() {
                    self.chunk(json!([{"index": 0, "delta": {}, "finish_reason": null}]), Object::new(), out);
                }
                out.extend_from_slice(b"data: [DONE]\n\n");
            }
        }
        Ok(())
    }

    fn call(&self, index: u32, id: Option<&str>, name: Option<&str>, arguments: &str) -> Value {
        let Some(name) = name else {
            return json!({"index": index, "function": {"arguments": arguments}});
        };
        let id = id.map_or_else(|| call_id(&self.envelope, index), str::to_owned);
        json!({"index": index, "id": id, "type": "function", "function": {"name": name, "arguments": arguments}})
    }

    fn signature(&mut self, choice: u32, call: Option<u32>, signature: &Signature, out: &mut Vec<u8>) {
        let mut fields = Map::new();
        sign(&mut fields, signature);
        if let Some(index) = call {
            fields.insert("index".to_owned(), index.into());
            self.delta(choice, json!({"tool_calls": [fields]}), out);
        } else {
            self.delta(choice, fields.into(), out);
        }
    }

    fn delta(&mut self, choice: u32, delta: Value, out: &mut Vec<u8>) {
        self.open(choice, out);
        self.chunk(json!([{"index": choice, "delta": delta, "finish_reason": null}]), Object::new(), out);
    }

    /// Writes the first chunk of a choice once.
    fn open(&mut self, choice: u32, out: &mut Vec<u8>) {
        if let std::collections::btree_map::Entry::Vacant(entry) = self.choices.entry(choice) {
            entry.insert(ChoiceState::default());
            let delta = json!({"role": "assistant", "content": ""});
            self.chunk(json!([{"index": choice, "delta": delta, "finish_reason": null}]), Object::new(), out);
        }
    }

    fn chunk(&mut self, choices: Value, more: Object, out: &mut Vec<u8>) {
        let mut chunk = Object::new()
            .with("id", self.envelope.id.as_str())
            .with("object", "chat.completion.chunk")
            .with("created", self.envelope.created)
            .with("model", self.envelope.model.as_str())
            .with("choices", choices);
        chunk.fields().extend(more.into_map());
        restore_metadata(&std::mem::take(&mut self.metadata), &mut chunk);
        write(&chunk.into(), out);
    }
}

fn write(value: &Value, out: &mut Vec<u8>) {
    out.extend_from_slice(b"data: ");
    out.extend_from_slice(value.to_string().as_bytes());
    out.extend_from_slice(b"\n\n");
}
