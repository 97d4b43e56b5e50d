use bowline_chat::openai_chat::Envelope;
use bowline_chat::{Choice, DecodeError, EncodeError, Fields, Finish, Object, Part, Response};
use bowline_types::TokenUsage;
use serde_json::Value;

use crate::anthropic::DIALECT;
use crate::anthropic::error::decode_error_object;
use crate::anthropic::request::{decode_block, encode_block};

/// The counts of a usage object, as the format has them: `input` **excludes** what was read from or written to a cache.
///
/// Streams state them at the start and, as totals so far, at the end; servers differ in which they state where, so the
/// highest count wins and nothing is summed.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts {
    input: Option<u64>,
    output: Option<u64>,
    cache_read: Option<u64>,
    cache_write: Option<u64>,
    cache_write_1h: Option<u64>,
    reasoning: Option<u64>,
    web_searches: Option<u64>,
}

// === Reading ===

/// Reads a whole answer.
pub(super) fn decode_response(body: &[u8]) -> Result<Response, DecodeError> {
    let mut fields = Fields::parse(body)?;
    if let Some(error) = fields.peek("error") {
        return Err(DecodeError::Upstream(decode_error_object(error)));
    }
    let blocks = fields.objects("content")?.ok_or_else(|| fields.missing("content"))?;
    let content: Vec<Part> = blocks.into_iter().map(decode_block).collect();
    let finish = decode_finish(fields.take_string("stop_reason").as_deref());
    let mut response = Response {
        id: fields.take_string("id").unwrap_or_default(),
        model: fields.take_string("model").unwrap_or_default(),
        ..Response::default()
    };
    fields.take_constant("type", "message");
    fields.take_constant("role", "assistant");
    if let Some(mut usage) = fields.take_object("usage") {
        response.usage = Counts::take(&mut usage).usage();
        response.opaque.extend(usage.rest(DIALECT, "/usage"));
    }
    response.opaque.extend(fields.rest(DIALECT, ""));
    response.choices.push(Choice { index: 0, content, finish, opaque: Vec::new() });
    Ok(response)
}

/// Reads a stop reason.
pub(super) fn decode_finish(reason: Option<&str>) -> Finish {
    match reason {
        Some("end_turn" | "stop_sequence") => Finish::Stop,
        Some("max_tokens" | "model_context_window_exceeded") => Finish::Length,
        Some("tool_use") => Finish::ToolCalls,
        Some("refusal") => Finish::Refusal,
        // `pause_turn` and `compaction`: the answer goes on with the next request.
        Some(other) => Finish::Other(other.to_owned()),
        None => Finish::Other("unspecified".to_owned()),
    }
}

// === impl Counts ===

impl Counts {
    /// Takes the counts out of a usage object, and leaves in it what is not modelled.
    pub(super) fn take(fields: &mut Fields) -> Self {
        let mut counts = Self {
            input: fields.take_count("input_tokens"),
            output: fields.take_count("output_tokens"),
            cache_read: fields.take_count("cache_read_input_tokens"),
            cache_write: fields.take_count("cache_creation_input_tokens"),
            ..Self::default()
        };
        if let Some(mut lifetimes) = fields.take_object("cache_creation") {
            counts.cache_write_1h = lifetimes.take_count("ephemeral_1h_input_tokens");
            // The other lifetime is the rest, unless the object says something else.
            let rest = counts.cache_write.unwrap_or(0).checked_sub(counts.cache_write_1h.unwrap_or(0));
            if lifetimes.peek("ephemeral_5m_input_tokens").and_then(Value::as_u64) == rest {
                lifetimes.take("ephemeral_5m_input_tokens");
            }
            put_back(fields, "cache_creation", lifetimes);
        }
        if let Some(mut details) = fields.take_object("output_tokens_details") {
            counts.reasoning = details.take_count("thinking_tokens");
            put_back(fields, "output_tokens_details", details);
        }
        if let Some(mut tools) = fields.take_object("server_tool_use") {
            counts.web_searches = tools.take_count("web_search_requests");
            put_back(fields, "server_tool_use", tools);
        }
        counts
    }

    /// Takes over what a later usage object states.
    pub(super) fn merge(&mut self, later: Self) {
        self.input = self.input.max(later.input);
        self.output = self.output.max(later.output);
        self.cache_read = self.cache_read.max(later.cache_read);
        self.cache_write = self.cache_write.max(later.cache_write);
        self.cache_write_1h = self.cache_write_1h.max(later.cache_write_1h);
        self.reasoning = self.reasoning.max(later.reasoning);
        self.web_searches = self.web_searches.max(later.web_searches);
    }

    /// Returns the usage by the convention of [`TokenUsage`]: the input with what went through a cache.
    pub(super) fn usage(self) -> TokenUsage {
        let cached = self.cache_read.unwrap_or(0).saturating_add(self.cache_write.unwrap_or(0));
        TokenUsage {
            input: self.input.map(|input| input.saturating_add(cached)),
            output: self.output,
            cache_read: self.cache_read,
            cache_write: self.cache_write,
            cache_write_1h: self.cache_write_1h,
            reasoning: self.reasoning,
            web_searches: self.web_searches,
            ..TokenUsage::default()
        }
    }
}

fn put_back(fields: &mut Fields, key: &str, object: Fields) {
    if !object.is_empty() {
        fields.put_back(key, object.into_value());
    }
}

// === Writing ===

/// Writes a whole answer: of the first choice, as the format has only one.
pub(super) fn encode_response(response: &Response, envelope: &Envelope) -> Result<Vec<u8>, EncodeError> {
    response.check_opaque(DIALECT)?;
    let choice = response.choices.first();
    let parts = choice.map_or(&[][..], |choice| choice.content.as_slice());
    let block = |(index, part)| encode_block(part, &format!("choices[0].content[{index}]"));
    let content = parts.iter().enumerate().map(block).collect::<Result<Vec<_>, _>>()?;
    let stop_text = response.opaque.iter().any(|opaque| opaque.path == "/stop_sequence");
    let reason = match choice.map(|choice| &choice.finish) {
        Some(Finish::Stop) if stop_text => Some("stop_sequence"),
        finish => finish.and_then(encode_finish),
    };
    let body = Object::new()
        .with("id", envelope.id.as_str())
        .with("type", "message")
        .with("role", "assistant")
        .with("model", envelope.model.as_str())
        .with("content", content)
        .with("stop_reason", reason)
        .with("usage", encode_usage(&response.usage))
        .with_opaque(DIALECT, &response.opaque);
    Ok(Value::from(body).to_string().into_bytes())
}

/// Writes a stop reason; `None` where the provider gave none.
pub(super) fn encode_finish(finish: &Finish) -> Option<&str> {
    match finish {
        Finish::Stop => Some("end_turn"),
        Finish::Length => Some("max_tokens"),
        Finish::ToolCalls => Some("tool_use"),
        Finish::ContentFilter | Finish::Refusal => Some("refusal"),
        Finish::Other(reason) if reason == "unspecified" => None,
        Finish::Other(reason) => Some(reason),
    }
}

/// Writes a usage object, with the cached part taken out of the input again.
pub(super) fn encode_usage(usage: &TokenUsage) -> Value {
    let cached = usage.cache_read.unwrap_or(0).saturating_add(usage.cache_write.unwrap_or(0));
    let one_hour = usage.cache_write_1h.map(|one_hour| {
        let five_minutes = usage.cache_write.unwrap_or(0).saturating_sub(one_hour);
        let lifetimes = Object::new().with("ephemeral_5m_input_tokens", five_minutes);
        lifetimes.with("ephemeral_1h_input_tokens", one_hour)
    });
    let searches = usage.web_searches.map(|searches| Object::new().with("web_search_requests", searches));
    let reasoning = usage.reasoning.map(|reasoning| Object::new().with("thinking_tokens", reasoning));
    Object::new()
        .with("input_tokens", usage.input.unwrap_or(0).saturating_sub(cached))
        .with_some("cache_creation_input_tokens", usage.cache_write)
        .with_some("cache_read_input_tokens", usage.cache_read)
        .with_some("cache_creation", one_hour)
        .with("output_tokens", usage.output.unwrap_or(0))
        .with_some("output_tokens_details", reasoning)
        .with_some("server_tool_use", searches)
        .into()
}
