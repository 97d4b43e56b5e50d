use bowline_types::TokenUsage;
use serde_json::{Map, Value, json};

use crate::Fields;

/// Reads a usage object, and leaves in it what is not modelled.
///
/// This dialect already counts as [`TokenUsage`] does: the prompt includes what came from a cache, the completion includes
/// reasoning. Servers exist that leave reasoning out of the completion (xAI); their total tells.
pub(super) fn decode_usage(fields: &mut Fields) -> TokenUsage {
    let input = fields.take_count("prompt_tokens");
    let completion = fields.take_count("completion_tokens");
    let total = fields.take_count("total_tokens");
    let mut usage = TokenUsage { input, output: completion, ..TokenUsage::default() };
    if let Some(mut details) = fields.take_object("prompt_tokens_details") {
        usage.cache_read = details.take_count("cached_tokens");
        usage.cache_write = details.take_count("cache_write_tokens");
        usage.input_audio = details.take_count("audio_tokens");
        put_back(fields, "prompt_tokens_details", details);
    }
    if let Some(mut details) = fields.take_object("completion_tokens_details") {
        usage.reasoning = details.take_count("reasoning_tokens");
        usage.output_audio = details.take_count("audio_tokens");
        put_back(fields, "completion_tokens_details", details);
    }
    if let Some(mut details) = fields.take_object("server_tool_use_details") {
        usage.web_searches = details.take_count("web_search_requests");
        put_back(fields, "server_tool_use_details", details);
    }
    // Names of the same count at DeepSeek, Mistral and others.
    for key in ["prompt_cache_hit_tokens", "num_cached_tokens", "cached_tokens"] {
        if let Some(count) = fields.take_count(key) {
            usage.cache_read.get_or_insert(count);
        }
    }
    if let (Some(input), Some(output), Some(total), Some(reasoning)) = (input, completion, total, usage.reasoning)
        && reasoning > 0
        && total == input.saturating_add(output).saturating_add(reasoning)
    {
        usage.output = Some(output.saturating_add(reasoning));
    }
    usage
}

fn put_back(fields: &mut Fields, key: &str, object: Fields) {
    if !object.is_empty() {
        fields.put_back(key, object.into_value());
    }
}

/// Writes a usage object.
pub(super) fn encode_usage(usage: &TokenUsage) -> Value {
    let details = |pairs: [(&str, Option<u64>); 3]| -> Map<String, Value> {
        pairs.into_iter().filter_map(|(key, count)| Some((key.to_owned(), count?.into()))).collect()
    };
    let input = usage.input.unwrap_or(0);
    let output = usage.output.unwrap_or(0);
    let mut fields = Map::new();
    fields.insert("prompt_tokens".to_owned(), input.into());
    fields.insert("completion_tokens".to_owned(), output.into());
    fields.insert("total_tokens".to_owned(), input.saturating_add(output).into());
    let prompt = details([
        ("cached_tokens", usage.cache_read),
        ("cache_write_tokens", usage.cache_write),
        ("audio_tokens", usage.input_audio),
    ]);
    let completion = details([("reasoning_tokens", usage.reasoning), ("audio_tokens", usage.output_audio), ("", None)]);
    for (key, details) in [("prompt_tokens_details", prompt), ("completion_tokens_details", completion)] {
        if !details.is_empty() {
            fields.insert(key.to_owned(), details.into());
        }
    }
    if let Some(searches) = usage.web_searches {
        fields.insert("server_tool_use_details".to_owned(), json!({"web_search_requests": searches}));
    }
    Value::Object(fields)
}
