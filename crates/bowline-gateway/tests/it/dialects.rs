use bowline_testkit::conformance_data;
use http::Method;
use serde_json::{Value, json};

use crate::support::{Reply, Server, SnapshotBuilder, Upstream, sse};

const QUESTION: &str = r#"{"messages":[{"role":"user","content":"Say hello."}], "future_field": {"a": [1, 2.50]},
    "model" : "m","temperature":0.10}"#;

fn openai_answer() -> Value {
    json!({
        "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "upstream-model-0613", "system_fingerprint": "fp",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hello."}, "finish_reason": "stop", "novel": 1}],
        "usage": {"prompt_tokens": 10, "completion_tokens": 4, "total_tokens": 14,
            "prompt_tokens_details": {"cached_tokens": 3}, "completion_tokens_details": {"reasoning_tokens": 2}}
    })
}

fn anthropic_answer() -> Value {
    json!({
        "id": "msg_1", "type": "message", "role": "assistant", "model": "upstream-model",
        "content": [{"type": "text", "text": "Hello."}], "stop_reason": "end_turn", "stop_sequence": null,
        "usage": {"input_tokens": 7, "cache_read_input_tokens": 2, "cache_creation_input_tokens": 1, "output_tokens": 4}
    })
}

fn gemini_answer() -> Value {
    json!({
        "candidates": [{"index": 0, "content": {"role": "model", "parts": [{"text": "Hello."}]}, "finishReason": "STOP"}],
        "usageMetadata": {"promptTokenCount": 10, "cachedContentTokenCount": 3, "candidatesTokenCount": 2, "thoughtsTokenCount": 2,
            "totalTokenCount": 14},
        "modelVersion": "upstream-model", "responseId": "r1"
    })
}

async fn server(kind: &str, replies: impl IntoIterator<Item = Reply>) -> (Server, Upstream) {
    let upstream = Upstream::start(replies).await;
    let server = Server::start(SnapshotBuilder::new().model("m", kind, &upstream.url)).await;
    (server, upstream)
}

#[tokio::test]
async fn the_same_dialect_passes_byte_for_byte() {
    let answer = openai_answer();
    let (server, upstream) = server("openai", [Reply::json(&answer)]).await;
    let got = server.send(Method::POST, "/v1/chat/completions", QUESTION, &[]).await;
    assert_eq!((got.status, got.text()), (200, answer.to_string()));
    let seen = &upstream.seen()[0];
    assert_eq!(seen.body, QUESTION.replace("\"m\"", "\"upstream-model\"").as_bytes());
    assert_eq!(seen.path, "/v1/chat/completions");
    assert_eq!(seen.headers["authorization"], "Bearer upstream-secret");
    let record = &server.sink.wait(1).await[0];
    assert_eq!((record.usage.input, record.usage.output), (Some(10), Some(4)));
    assert_eq!((record.usage.cache_read, record.usage.reasoning), (Some(3), Some(2)));
    assert_eq!((record.answer_id.as_deref(), record.finish.as_deref()), (Some("chatcmpl-1"), Some("stop")));
    assert_eq!(
        (record.upstream_model.as_deref(), record.response_model.as_deref()),
        (Some("upstream-model"), Some("upstream-model-0613"))
    );
    assert_eq!((record.status, record.attempts, record.simulated), (200, 1, false));
}

#[tokio::test]
async fn every_provider_answers_in_the_dialect_of_the_client() {
    for (kind, answer, path) in [
        ("openai", openai_answer(), "/v1/chat/completions"),
        ("anthropic", anthropic_answer(), "/v1/messages"),
        ("gemini", gemini_answer(), "/v1beta/models/upstream-model:generateContent"),
    ] {
        let (server, upstream) = server(kind, [Reply::json(&answer)]).await;
        let got = server.chat(json!({"model": "m", "messages": [{"role": "user", "content": "Say hello."}]})).await;
        let value = got.json();
        assert_eq!(got.status, 200, "{kind}: {value}");
        assert_eq!(value.pointer("/choices/0/message/content"), Some(&json!("Hello.")), "{kind}");
        assert_eq!(value.pointer("/choices/0/finish_reason"), Some(&json!("stop")), "{kind}");
        // One convention whatever the provider's own: cached tokens are part of the input, reasoning is part of the output.
        assert_eq!(value.pointer("/usage/prompt_tokens"), Some(&json!(10)), "{kind}");
        assert_eq!(value.pointer("/usage/completion_tokens"), Some(&json!(4)), "{kind}");
        assert!(upstream.seen()[0].path.ends_with(path), "{kind}: {}", upstream.seen()[0].path);
        let record = &server.sink.wait(1).await[0];
        assert_eq!((record.usage.input, record.usage.output), (Some(10), Some(4)), "{kind}");
        assert_eq!(record.answer_id.as_deref(), value["id"].as_str(), "{kind}");
    }
}

fn openai_stream() -> Vec<String> {
    let chunk = |choices: Value, usage: Value| json!({"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "u", "choices": choices, "usage": usage});
    sse(&[
        chunk(json!([{"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": null}]), Value::Null),
        chunk(json!([{"index": 0, "delta": {"content": "Hel"}, "finish_reason": null}]), Value::Null),
        chunk(json!([{"index": 0, "delta": {"content": "lo."}, "finish_reason": null}]), Value::Null),
        chunk(json!([{"index": 0, "delta": {}, "finish_reason": "stop"}]), Value::Null),
        chunk(json!([]), json!({"prompt_tokens": 10, "completion_tokens": 4, "total_tokens": 14})),
    ])
}

fn anthropic_stream() -> Vec<String> {
    let event = |value: Value| format!("event: {}\ndata: {value}\n\n", value["type"].as_str().unwrap());
    let message = json!({"id": "msg_1", "type": "message", "role": "assistant", "model": "u", "content": [], "stop_reason": null,
        "usage": {"input_tokens": 7, "cache_read_input_tokens": 3, "output_tokens": 1}});
    vec![
        event(json!({"type": "message_start", "message": message})),
        event(json!({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}})),
        event(json!({"type": "ping"})),
        event(json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hel"}})),
        event(json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "lo."}})),
        event(json!({"type": "content_block_stop", "index": 0})),
        event(json!({"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 4}})),
        event(json!({"type": "message_stop"})),
    ]
}

fn gemini_stream() -> Vec<String> {
    let chunk = |text: &str, finish: Value, output: u64| {
        let value = json!({"candidates": [{"index": 0, "content": {"role": "model", "parts": [{"text": text}]}, "finishReason": finish}],
            "usageMetadata": {"promptTokenCount": 10, "candidatesTokenCount": output, "totalTokenCount": 10 + output},
            "modelVersion": "u", "responseId": "r1"});
        format!("data: {value}\r\n\r\n")
    };
    vec![chunk("Hel", Value::Null, 2), chunk("lo.", json!("STOP"), 4)]
}

#[tokio::test]
async fn every_provider_streams_in_the_dialect_of_the_client() {
    for (kind, pieces) in [("openai", openai_stream()), ("anthropic", anthropic_stream()), ("gemini", gemini_stream())]
    {
        let (server, _upstream) = server(kind, [Reply::stream(pieces)]).await;
        for asked in [true, false] {
            let options = json!({"include_usage": asked});
            let got = server
                .chat(json!({"model": "m", "messages": [{"role": "user", "content": "Hi"}], "stream": true, "stream_options": options}))
                .await;
            let events = got.events();
            assert_eq!(got.header("content-type"), "text/event-stream");
            assert_eq!(got.streamed_text(), "Hello.", "{kind}");
            assert_eq!(events.last().map(String::as_str), Some("[DONE]"), "{kind}");
            let usage = |event: &String| event.contains("\"prompt_tokens\":10") && event.contains("\"choices\":[]");
            assert_eq!(events.iter().filter(|event| usage(event)).count(), usize::from(asked), "{kind}: {events:?}");
        }
        for record in server.sink.wait(2).await {
            assert_eq!((record.usage.input, record.usage.output), (Some(10), Some(4)), "{kind}");
            assert_eq!((record.finish.as_deref(), record.error), (Some("stop"), None), "{kind}");
            assert!(record.first_byte_us.is_some_and(|first| first <= record.duration_us), "{kind}");
        }
    }
}

#[tokio::test]
async fn a_stream_of_the_same_dialect_passes_byte_for_byte() {
    let pieces = openai_stream();
    let (server, upstream) = server("openai", [Reply::stream(pieces.clone())]).await;
    let body = json!({"model": "m", "stream": true, "stream_options": {"include_usage": true}, "messages": []});
    assert_eq!(server.chat(body).await.text(), pieces.concat());
    let without = json!({"model": "m", "stream": true, "messages": []});
    let kept: Vec<&String> = pieces.iter().filter(|piece| !piece.contains("\"choices\":[]")).collect();
    assert_eq!(server.chat(without).await.text(), kept.into_iter().cloned().collect::<String>());
    assert_eq!(upstream.seen()[1].json()["stream_options"], json!({"include_usage": true}));
}

#[tokio::test]
async fn what_a_provider_cannot_honour_is_an_error_and_reaches_nobody() {
    let (server, upstream) = server("anthropic", [Reply::json(&anthropic_answer())]).await;
    let got = server.chat(json!({"model": "m", "messages": [{"role": "user", "content": "Hi"}], "seed": 5})).await;
    assert_eq!(got.status, 400);
    assert_eq!(got.json().pointer("/error/code"), Some(&json!("unsupported")));
    assert!(got.json()["error"]["message"].as_str().unwrap().contains("hint:"));
    assert!(upstream.seen().is_empty());
    let got = server.chat(json!({"model": "m", "messages": [{"role": "user", "content": "Hi"}], "future": true})).await;
    assert_eq!((got.status, got.json().pointer("/error/param").cloned()), (400, Some(json!("future"))));
}

#[tokio::test]
async fn requests_that_cannot_be_read_are_refused_in_the_dialect_of_the_client() {
    let (server, _upstream) = server("openai", [Reply::json(&openai_answer())]).await;
    for (body, parameter) in [
        ("{", Value::Null),
        ("[]", Value::Null),
        (r#"{"messages":[]}"#, json!("model")),
        (r#"{"model":"m","model":"n","messages":[]}"#, json!("model")),
        (r#"{"model":"m","messages":5}"#, json!("messages")),
        (r#"{"model":"prompt:","messages":[]}"#, json!("model")),
    ] {
        let got = server.send(Method::POST, "/v1/chat/completions", body, &[]).await;
        let error = got.json()["error"].clone();
        assert_eq!((got.status, &error["type"]), (400, &json!("invalid_request_error")), "{body}");
        assert_eq!(error["param"], parameter, "{body}: {error}");
    }
    assert_eq!(server.send(Method::GET, "/v1/nothing", "", &[]).await.status, 404);
}

#[tokio::test]
async fn recorded_answers_pass_unchanged() {
    let Some(folder) = conformance_data("provider-traffic") else { return };
    let text = std::fs::read_to_string(folder.join("openai-chat.jsonl")).unwrap();
    let rows = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let plain = rows.filter(|row| row["response"]["status"] == 200 && row["streaming"] == false);
    let bodies: Vec<String> = plain.filter_map(|row| Some(row["response"]["body"].as_str()?.to_owned())).collect();
    let readable = bodies
        .into_iter()
        .filter(|body| serde_json::from_str::<Value>(body).is_ok_and(|body| body["choices"].is_array()));
    let (server, upstream) = server("openai", [Reply::json(&json!({}))]).await;
    let mut passed = 0;
    for body in readable.take(200) {
        let value: Value = serde_json::from_str(&body).unwrap();
        upstream.script([Reply::json(&value)]);
        let got = server.chat(json!({"model": "m", "messages": []})).await;
        assert_eq!((got.status, got.text()), (200, value.to_string()));
        passed += 1;
    }
    assert!(passed > 50, "only {passed} recorded answers were tried");
}
