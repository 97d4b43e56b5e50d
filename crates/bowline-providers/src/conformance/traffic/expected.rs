use bowline_chat::Dialect;
use bowline_types::TokenUsage;
use serde_json::Value;

/// What an answer says, worked out from its JSON by pointers alone.
pub(super) struct Expected {
    /// The text of the first choice.
    pub(super) text: String,
    /// The word for why it ended; `None` if there is no choice.
    pub(super) finish: Option<String>,
    /// The usage by Bowline's convention.
    pub(super) usage: TokenUsage,
}

/// Returns the JSON of the `data` lines of a stream.
pub(super) fn chunks(body: &[u8]) -> Result<Vec<Value>, String> {
    let text = std::str::from_utf8(body).map_err(|error| error.to_string())?;
    let data = text.lines().filter_map(|line| line.strip_prefix("data:")).map(str::trim);
    let chunk = |data: &str| serde_json::from_str(data).map_err(|error| error.to_string());
    data.filter(|data| *data != "[DONE]").map(chunk).collect()
}

/// Returns what an answer says: a whole one is one chunk.
pub(super) fn answer(dialect: Dialect, chunks: &[Value]) -> Expected {
    match dialect {
        Dialect::OpenAiChat => openai(chunks),
        Dialect::AnthropicMessages => anthropic(chunks),
        Dialect::Gemini => gemini(chunks),
    }
}

fn text<'a>(value: &'a Value, pointer: &str) -> Option<&'a str> {
    value.pointer(pointer).and_then(Value::as_str)
}

/// Returns the last count that any chunk states at any of the pointers.
fn count(chunks: &[Value], pointers: &[&str]) -> Option<u64> {
    let stated = |chunk: &Value| pointers.iter().find_map(|pointer| chunk.pointer(pointer)?.as_u64());
    chunks.iter().filter_map(stated).next_back()
}

/// Returns the texts of the parts of a list that are of the type `text`.
fn texts(parts: &Value) -> String {
    let parts = parts.as_array().map_or(&[][..], Vec::as_slice);
    let of_type = |part: &&Value| text(part, "/type") == Some("text");
    parts.iter().filter(of_type).filter_map(|part| text(part, "/text")).collect()
}

fn openai(chunks: &[Value]) -> Expected {
    let mut said = String::new();
    let mut refused = false;
    let mut finish = None;
    for chunk in chunks {
        let choices = chunk.get("choices").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        for choice in choices.iter().filter(|choice| choice.get("index").is_none_or(|index| index == 0)) {
            let message = choice.get("delta").or_else(|| choice.get("message")).unwrap_or(&Value::Null);
            let content = message.get("content").unwrap_or(&Value::Null);
            said.push_str(content.as_str().unwrap_or_default());
            said.push_str(&texts(content));
            refused |= text(message, "/refusal").is_some_and(|refusal| !refusal.is_empty());
            finish = text(choice, "/finish_reason").or(finish).or(Some(""));
        }
    }
    let finish = finish.map(|reason| match reason {
        "stop" if refused => "refusal",
        "" => "unspecified",
        "function_call" => "tool_calls",
        reason => reason,
    });
    let at = |names: &[&str]| {
        let pointers: Vec<String> = ["/usage", "/x_groq/usage"]
            .iter()
            .flat_map(|root| names.iter().map(move |name| format!("{root}{name}")))
            .collect();
        count(chunks, &pointers.iter().map(String::as_str).collect::<Vec<_>>())
    };
    let usage = TokenUsage {
        input: at(&["/prompt_tokens"]),
        output: at(&["/completion_tokens"]),
        cache_read: at(&[
            "/prompt_tokens_details/cached_tokens",
            "/prompt_cache_hit_tokens",
            "/num_cached_tokens",
            "/cached_tokens",
        ]),
        cache_write: at(&["/prompt_tokens_details/cache_write_tokens"]),
        cache_write_1h: None,
        reasoning: at(&["/completion_tokens_details/reasoning_tokens"]),
        input_audio: at(&["/prompt_tokens_details/audio_tokens"]),
        output_audio: at(&["/completion_tokens_details/audio_tokens"]),
        web_searches: at(&["/server_tool_use_details/web_search_requests"]),
    };
    Expected { text: said, finish: finish.map(str::to_owned), usage }
}

fn anthropic(chunks: &[Value]) -> Expected {
    let whole = |chunk: &Value| texts(chunk.get("content").unwrap_or(&Value::Null));
    let delta = |chunk: &Value| {
        let is_text = text(chunk, "/delta/type") == Some("text_delta");
        let start = text(chunk, "/content_block/type") == Some("text");
        text(chunk, if start { "/content_block/text" } else { "/delta/text" })
            .filter(|_| is_text || start)
            .map(str::to_owned)
    };
    let said = chunks.iter().map(|chunk| delta(chunk).unwrap_or_else(|| whole(chunk))).collect();
    let reason = |chunk| text(chunk, "/stop_reason").or_else(|| text(chunk, "/delta/stop_reason"));
    let finish = match chunks.iter().filter_map(reason).next_back() {
        Some("end_turn" | "stop_sequence") => "stop",
        Some("max_tokens" | "model_context_window_exceeded") => "length",
        Some("tool_use") => "tool_calls",
        Some(other) => other,
        None => "unspecified",
    };
    let at = |name: &str| count(chunks, &[&format!("/usage{name}"), &format!("/message/usage{name}")]);
    let (cache_read, cache_write) = (at("/cache_read_input_tokens"), at("/cache_creation_input_tokens"));
    let usage = TokenUsage {
        input: at("/input_tokens").map(|input| input + cache_read.unwrap_or(0) + cache_write.unwrap_or(0)),
        output: at("/output_tokens"),
        cache_read,
        cache_write,
        cache_write_1h: at("/cache_creation/ephemeral_1h_input_tokens"),
        reasoning: at("/output_tokens_details/thinking_tokens"),
        input_audio: None,
        output_audio: None,
        web_searches: at("/server_tool_use/web_search_requests"),
    };
    Expected { text: said, finish: Some(finish.to_owned()), usage }
}

fn gemini(chunks: &[Value]) -> Expected {
    let mut said = String::new();
    let mut called = false;
    let mut finish = None;
    for chunk in chunks {
        let parts = chunk.pointer("/candidates/0/content/parts").and_then(Value::as_array);
        for part in parts.map_or(&[][..], Vec::as_slice) {
            called |= part.get("functionCall").is_some();
            if part.get("thought").is_none_or(|thought| thought == false) {
                said.push_str(text(part, "/text").unwrap_or_default());
            }
        }
        let reason = chunk.pointer("/candidates/0/finishReason");
        let first = reason.and_then(Value::as_u64) == Some(1);
        finish = if first { Some("STOP") } else { reason.and_then(Value::as_str).or(finish) };
    }
    let blocked = chunks.iter().any(|chunk| chunk.pointer("/promptFeedback/blockReason").is_some());
    let finish = match finish {
        Some("STOP") if called => "tool_calls",
        Some("STOP") => "stop",
        Some("MAX_TOKENS") => "length",
        Some("SAFETY") => "content_filter",
        Some(other) => other,
        None if blocked => "content_filter",
        None => "unspecified",
    };
    // Chunks state totals so far, and the last that counts the prompt states them all.
    let counted = |chunk: &&Value| chunk.pointer("/usageMetadata/promptTokenCount").is_some();
    let last = chunks.iter().rev().find(counted).map_or(&[][..], std::slice::from_ref);
    let at = |name: &str| count(last, &[&format!("/usageMetadata/{name}")]);
    let input = at("promptTokenCount").map(|prompt| prompt + at("toolUsePromptTokenCount").unwrap_or(0));
    // The total is stated beside the parts, so it checks their sum.
    let output = at("totalTokenCount").zip(input).map(|(total, input)| total - input);
    let usage = TokenUsage {
        input,
        output,
        cache_read: at("cachedContentTokenCount"),
        reasoning: at("thoughtsTokenCount"),
        input_audio: audio(last, "promptTokensDetails"),
        output_audio: audio(last, "candidatesTokensDetails"),
        ..TokenUsage::default()
    };
    Expected { text: said, finish: Some(finish.to_owned()), usage }
}

/// Returns the audio tokens that the last list of this name states.
fn audio(chunks: &[Value], name: &str) -> Option<u64> {
    let mut lists = chunks.iter().filter_map(|chunk| chunk.get("usageMetadata")?.get(name)?.as_array());
    let entries = lists.next_back()?.iter().filter(|entry| entry["modality"] == "AUDIO");
    entries.filter_map(|entry| entry["tokenCount"].as_u64()).reduce(|total, count| total + count)
}
