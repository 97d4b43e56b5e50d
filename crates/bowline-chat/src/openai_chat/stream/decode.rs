use std::collections::BTreeMap;

use serde::de::IgnoredAny;
use serde_json::Value;

use crate::openai_chat::DIALECT;
use crate::openai_chat::error::decode_error_object;
use crate::openai_chat::response::decode_finish;
use crate::openai_chat::usage::decode_usage;
use crate::{DecodeError, DecodeEvents, Events, Fields, Opaque, SseEvent, StreamDecoder};

/// What is known of a stream of chunks so far.
///
/// Copes with what servers of this dialect do: no `[DONE]`; an empty `choices` with and without usage; usage that grows with
/// every chunk; tool calls that all have index 0, or none, or no id; an error object within the stream.
#[derive(Debug, Default)]
struct StreamState {
    choices: BTreeMap<u32, ChoiceState>,
}

#[derive(Debug, Default)]
struct ChoiceState {
    calls: Vec<Call>,
    refused: bool,
}

/// A tool call as it comes in.
#[derive(Debug, Default)]
struct Call {
    /// The provider's number, which may repeat.
    index: Option<u64>,
    id: String,
    arguments: String,
}

/// A piece of a tool call.
struct Fragment {
    index: Option<u64>,
    id: String,
    name: String,
    arguments: String,
}

/// Returns a decoder for one streamed answer.
#[must_use]
pub fn stream_decoder() -> StreamDecoder {
    StreamDecoder::new(Box::new(StreamState::default()))
}

// === impl StreamState ===

impl StreamState {
    fn choice(&mut self, position: usize, mut fields: Fields, out: &mut Events) -> Result<(), DecodeError> {
        let position = u64::try_from(position).ok();
        let index = fields.take_count("index").or(position).and_then(|index| u32::try_from(index).ok());
        let choice = index.ok_or_else(|| fields.invalid("index", "a smaller number"))?;
        let reason = fields.take_string("finish_reason").unwrap_or_default();
        if let Some(delta) = fields.take_object("delta") {
            self.delta(choice, delta, out)?;
        }
        if !reason.is_empty() {
            let refused = self.choices.get(&choice).is_some_and(|state| state.refused);
            out.finish(choice, decode_finish(&reason, refused));
        }
        out.delta_metadata(fields, DIALECT, &format!("/choices/{choice}"));
        Ok(())
    }

    fn delta(&mut self, choice: u32, mut fields: Fields, out: &mut Events) -> Result<(), DecodeError> {
        fields.take_constant("role", "assistant");
        let reasoning = fields.take_string("reasoning_content").filter(|text| !text.is_empty());
        let other = fields.take_string("reasoning");
        // Some servers send both names for a while.
        out.reasoning(choice, reasoning.or(other).unwrap_or_default());
        if let Some(text) = fields.take_string("content") {
            out.text(choice, text);
        }
        for item in fields.take_array("content").unwrap_or_default() {
            if let Some(text) = plain_text(&item) {
                out.text(choice, text.to_owned());
            } else {
                out.opaque(choice, Opaque { dialect: DIALECT, path: "/content/-".to_owned(), raw: item });
            }
        }
        if let Some(text) = fields.take_string("refusal").filter(|text| !text.is_empty()) {
            self.choices.entry(choice).or_default().refused = true;
            out.refusal(choice, text);
        }
        let path = fields.path("tool_calls");
        for call in fields.take_array("tool_calls").unwrap_or_default() {
            self.fragment(choice, Fields::new(call, path.as_str())?, out);
        }
        out.delta_metadata(fields, DIALECT, &format!("/choices/{choice}/delta"));
        Ok(())
    }

    fn fragment(&mut self, choice: u32, mut fields: Fields, out: &mut Events) {
        let Some(mut function) = fields.take_object("function") else {
            out.opaque(choice, Opaque { dialect: DIALECT, path: "/tool_calls/-".to_owned(), raw: fields.into_value() });
            return;
        };
        let fragment = Fragment {
            index: fields.take_count("index"),
            id: fields.take_string("id").unwrap_or_default(),
            name: function.take_string("name").unwrap_or_default(),
            arguments: function.take_string("arguments").unwrap_or_default(),
        };
        let calls = &mut self.choices.entry(choice).or_default().calls;
        let known = fragment.find(calls);
        let position = known.unwrap_or(calls.len());
        let Ok(index) = u32::try_from(position) else { return };
        if known.is_none() {
            calls.push(Call { index: fragment.index, id: fragment.id.clone(), arguments: String::new() });
            let id = Some(fragment.id).filter(|id| !id.is_empty());
            out.call(choice, index, id, fragment.name, fragment.arguments.clone());
        } else {
            out.arguments(choice, index, fragment.arguments.clone());
        }
        if let Some(call) = calls.get_mut(position) {
            call.arguments.push_str(&fragment.arguments);
        }
        fields.take_constant("type", "function");
        out.delta_metadata(fields, DIALECT, &format!("/choices/{choice}/delta/tool_calls/{index}"));
    }
}

// === impl Fragment ===

impl Fragment {
    /// Returns the call that this is a piece of; `None` if it begins a new one.
    fn find(&self, calls: &[Call]) -> Option<usize> {
        let same_index = |call: &Call| self.index.is_none() || call.index == self.index;
        let position = calls.iter().rposition(same_index)?;
        let call = calls.get(position)?;
        let other_id = !self.id.is_empty() && self.id != call.id;
        // A name again and no id: a new call if the last one is whole, as of servers that number all calls 0.
        let named_again = self.id.is_empty() && !self.name.is_empty();
        let whole = || serde_json::from_str::<IgnoredAny>(&call.arguments).is_ok();
        let begins = other_id || (named_again && whole());
        (!begins).then_some(position)
    }
}

impl DecodeEvents for StreamState {
    fn event(&mut self, event: &SseEvent, out: &mut Events) -> Result<(), DecodeError> {
        if event.data.trim() == "[DONE]" {
            out.end();
            return Ok(());
        }
        let mut fields = Fields::parse(event.data.as_bytes())?;
        if let Some(error) = fields.peek("error") {
            return Err(DecodeError::Upstream(decode_error_object(error, None)));
        }
        let id = fields.take_string("id").unwrap_or_default();
        let model = fields.take_string("model").unwrap_or_default();
        fields.take_constant("object", "chat.completion.chunk");
        fields.take("created");
        // Padding against guesses from the length of packets; it has no meaning.
        fields.take("obfuscation");
        let choices = fields.objects("choices")?.unwrap_or_default();
        let usage = fields.take_object("usage").or_else(|| groq_usage(&mut fields));
        // Azure opens with a chunk that has neither id nor choices.
        if !id.is_empty() || !choices.is_empty() {
            out.start(id, model);
        }
        for (position, choice) in choices.into_iter().enumerate() {
            self.choice(position, choice, out)?;
        }
        if let Some(mut usage) = usage {
            out.usage(decode_usage(&mut usage));
            out.metadata(usage, DIALECT, "/usage");
        }
        out.metadata(fields, DIALECT, "");
        Ok(())
    }
}

/// Returns the text of a content part that has nothing else.
fn plain_text(item: &Value) -> Option<&str> {
    let fields = item.as_object().filter(|fields| fields.len() == 2)?;
    fields.get("type").filter(|kind| *kind == "text")?;
    fields.get("text")?.as_str()
}

/// Takes the usage from where Groq puts it on the last chunk, unless `usage` was asked for.
fn groq_usage(fields: &mut Fields) -> Option<Fields> {
    let mut groq = fields.take_object("x_groq")?;
    let usage = groq.take_object("usage");
    if !groq.is_empty() {
        fields.put_back("x_groq", groq.into_value());
    }
    usage
}
