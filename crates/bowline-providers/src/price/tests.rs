use bowline_types::{Timestamp, TokenUsage, Usd};
use serde_json::json;

use super::*;

/// A time in UTC.
fn at(text: &str) -> Timestamp {
    Timestamp::from_micros(text.parse::<jiff::Timestamp>().unwrap().as_microsecond())
}

fn usd(text: &str) -> Usd {
    text.parse().unwrap()
}

#[test]
fn the_table_is_read_and_names_its_source() {
    let table = Table::embedded();
    assert_eq!(table.source().revision, "47df840");
    assert!(table.models().count() > 1_400);
    let text = table.to_json().unwrap();
    assert_eq!(text, include_str!("../../data/prices.json"), "written as it was read");
}

#[test]
fn names_of_models_are_those_of_the_provider() {
    let check = |provider: &str, model: &str, expected: Option<&str>| {
        assert_eq!(Table::embedded().model(provider, model).map(Model::id), expected, "{provider} {model}");
    };
    check("openai", "gpt-4o-mini-2024-07-18", Some("gpt-4o-mini"));
    check("anthropic", "claude-sonnet-4-5-20250929", Some("claude-sonnet-4-5"));
    check("google", "gemini-2.5-pro", Some("gemini-2.5-pro"));
    check("gemini", "gemini-2.5-pro", Some("gemini-2.5-pro"));
    check("azure", "claude-sonnet-4-5-20250929", Some("claude-sonnet-4-5"));
    check("openai", "my-own-model", None);
    check("openai-compatible", "gpt-4o-mini", None);
}

#[test]
fn calls_cost_what_the_rates_say() {
    let when = at("2025-11-06T12:00:00Z");
    let check = |provider: &str, model: &str, usage: &[(Meter, u64)], expected: [&str; 3]| {
        let cost = Table::embedded().find(provider, model, when).unwrap().cost(&usage.iter().copied().collect());
        let [input, output, total] = expected.map(usd);
        assert_eq!(cost, Ok(Cost { input, output, total }), "{provider} {model} {usage:?}");
    };
    use Meter::*;
    check("openai", "gpt-4o-mini", &[(InputTokens, 1_000), (OutputTokens, 1)], ["0.00015", "0.0000006", "0.0001506"]);
    // 400 at 3, 300 at 0.3, 200 at 3.75 and 100 at 6 dollars per million.
    let cached = [(InputTokens, 1_000), (CacheReadTokens, 300), (CacheWriteTokens, 300), (CacheWrite1hTokens, 100)];
    check("anthropic", "claude-sonnet-4-5", &cached, ["0.00264", "0", "0.00264"]);
    check(
        "anthropic",
        "claude-sonnet-4-5",
        &[(InputTokens, 200_000), (OutputTokens, 10)],
        ["0.6", "0.00015", "0.60015"],
    );
    let large = [(InputTokens, 200_001), (OutputTokens, 10)];
    check("anthropic", "claude-sonnet-4-5", &large, ["1.200006", "0.000225", "1.200231"]);
    check("anthropic", "claude-sonnet-4-5", &[(WebSearches, 3)], ["0", "0", "0.03"]);
    // Sound has its own rate, and so has cached sound: 400 at 0.6, 300 at 0.3, 200 at 10 and 100 at 0.3 dollars per million.
    let sound = [(InputTokens, 1_000), (CacheReadTokens, 400), (InputAudioTokens, 300), (CacheAudioReadTokens, 100)];
    check("openai", "gpt-4o-mini-realtime-preview", &sound, ["0.00236", "0", "0.00236"]);
    check("perplexity", "sonar", &[(InputTokens, 1_000), (OutputTokens, 0)], ["0.001", "0", "0.013"]);
}

#[test]
fn usage_that_contradicts_itself_has_no_cost() {
    use Meter::*;
    let check = |usage: &[(Meter, u64)], expected: CostError| {
        let price =
            Table::embedded().find("openai", "gpt-4o-mini-realtime-preview", at("2026-01-01T00:00:00Z")).unwrap();
        assert_eq!(price.cost(&usage.iter().copied().collect()), Err(expected));
    };
    check(&[(InputTokens, 5), (CacheReadTokens, 9)], CostError::Parts { meter: InputTokens, count: 5, parts: 9 });
    check(&[(CacheReadTokens, 9)], CostError::Missing { meter: InputTokens, reported: CacheReadTokens });
    check(
        &[(InputTokens, 50), (CacheReadTokens, 9), (InputAudioTokens, 9)],
        CostError::Missing { meter: CacheAudioReadTokens, reported: CacheReadTokens },
    );
}

#[test]
fn prices_hold_at_their_times() {
    let check = |provider: &str, model: &str, time: &str, expected: &str| {
        let usage = [(Meter::InputTokens, 1_000_000)].into_iter().collect();
        let cost = Table::embedded().find(provider, model, at(time)).unwrap().cost(&usage).unwrap();
        assert_eq!(cost.input, usd(expected), "{model} at {time}");
    };
    check("openai", "o3", "2025-06-09T23:59:59.999999Z", "10");
    check("openai", "o3", "2025-06-10T00:00:00Z", "2");
    check("deepseek", "deepseek-chat", "2026-01-01T00:29:59Z", "0.135");
    check("deepseek", "deepseek-chat", "2026-01-01T00:30:00Z", "0.27");
    check("deepseek", "deepseek-chat", "2026-01-01T16:29:59.999999Z", "0.27");
    check("deepseek", "deepseek-chat", "2026-01-01T16:30:00Z", "0.135");
}

#[test]
fn an_unknown_cost_is_not_zero() {
    let when = at("2026-01-01T00:00:00Z");
    let check = |provider: &str, model: &str, tokens: &TokenUsage, expected: Option<&str>| {
        let cost = Table::embedded().cost(provider, model, when, tokens).map(|cost| cost.total);
        assert_eq!(cost, expected.map(usd), "{provider} {model} {tokens:?}");
    };
    let known = TokenUsage { input: Some(1_000), output: Some(0), cache_read: Some(400), ..TokenUsage::default() };
    check("openai", "gpt-4o-mini", &known, Some("0.00012"));
    check("openai", "gpt-4o-mini", &TokenUsage { output: None, ..known }, None);
    check("openai", "gpt-4o-mini", &TokenUsage::default(), None);
    check("openai", "gpt-4o-mini", &TokenUsage { cache_read: Some(1_001), ..known }, None);
    check("openai", "my-own-model", &known, None);
    check("cerebras", "qwen-3-coder-480b", &known, None);
    check("nobody", "gpt-4o-mini", &known, None);
    check(
        "openai",
        "text-embedding-3-small",
        &TokenUsage { input: Some(50), ..TokenUsage::default() },
        Some("0.000001"),
    );
}

#[test]
fn usage_is_read_where_a_flavour_states_it() {
    let body = json!({"model": "claude-sonnet-4-5", "usage": {
        "input_tokens": 10, "output_tokens": 2, "cache_read_input_tokens": 5, "cache_creation_input_tokens": null}});
    let extracted = Table::embedded().usage("anthropic", "default", &body).unwrap();
    assert_eq!(extracted.model.as_deref(), Some("claude-sonnet-4-5"));
    let expected = [(Meter::InputTokens, 15), (Meter::CacheReadTokens, 5), (Meter::OutputTokens, 2)];
    assert_eq!(extracted.usage, expected.into_iter().collect());

    let check = |provider: &str, flavor: &str, body: serde_json::Value, expected: &str| {
        let error = Table::embedded().usage(provider, flavor, &body).unwrap_err();
        assert_eq!(error.to_string(), expected);
    };
    check("nobody", "chat", json!({}), "the price table has no provider `nobody`");
    check("openai", "fax", json!({}), "provider `openai` has no API flavour `fax`");
    check("openai", "chat", json!({"usage": null}), "no object at `usage`");
    check("openai", "chat", json!({"usage": {"completion_tokens": 1}}), "no whole number at `usage.prompt_tokens`");
    check(
        "openai",
        "chat",
        json!({"usage": {"prompt_tokens": 1, "completion_tokens": 1.5}}),
        "no whole number at `usage.completion_tokens`",
    );
}
