use bowline_types::{Digest, ErrorKind, TokenUsage};
use serde_json::{Value, json};

use super::*;
use crate::{
    DecodeError, Finish, ImageSource, Message, ModelRef, Opaque, Part, ResponseFormat, Role, Selector, StreamEvent,
    ToolChoice,
};

fn client_request(body: &Value) -> Result<ClientRequest, DecodeError> {
    decode_client_request(body.to_string().as_bytes())
}

#[test]
fn a_prompt_is_named_with_variables_and_without_messages() {
    let digest = Digest::of(b"v1");
    let model = format!("prompt:support/answer@{digest}");
    let request = client_request(&json!({"model": model, "variables": {"a": [1, {"b": null}]}})).unwrap();
    let name = "support/answer".parse().unwrap();
    assert_eq!(request.model, ModelRef::Prompt { name, selector: Some(Selector::Version(digest)) });
    assert_eq!(Value::from(request.variables.unwrap()), json!({"a": [1, {"b": null}]}));
    assert_eq!(request.request.messages, []);
    assert_eq!(request.request.opaque, []);
}

#[test]
fn mistakes_are_named() {
    let check = |body: &Value, parameter: &str, message: &str| {
        let error = client_request(body).unwrap_err();
        assert_eq!((error.parameter(), error.to_string().as_str()), (Some(parameter), message), "{body}");
    };
    let user = json!([{"role": "user", "content": "Hi"}]);
    check(&json!({"messages": user}), "model", "`model` is missing");
    check(&json!({"model": "fast"}), "messages", "`messages` is missing");
    check(&json!({"model": "prompt:", "messages": []}), "model", "`model` is not a reference to a model or a prompt");
    check(&json!({"model": "fast", "messages": user, "variables": 1}), "variables", "`variables` must be an object");
    check(
        &json!({"model": "fast", "messages": [{"content": ""}]}),
        "messages[0].role",
        "`messages[0].role` is missing",
    );
    check(
        &json!({"model": "fast", "messages": [{"role": "user", "content": 1}]}),
        "messages[0].content",
        "`messages[0].content` must be a string or an array of parts",
    );
    check(
        &json!({"model": "fast", "messages": user, "temperature": "0"}),
        "temperature",
        "`temperature` must be a number",
    );
    check(
        &json!({"model": "fast", "messages": user, "max_tokens": 1.5}),
        "max_tokens",
        "`max_tokens` must be a whole number of at least 0",
    );
    let twice = decode_request(br#"{"model":"a","model":"b","messages":[]}"#).unwrap_err();
    assert_eq!(twice.to_string(), "the key `model` appears more than once");
}

#[test]
fn a_request_reads_into_the_neutral_form() {
    let body = json!({
        "model": "fast",
        "messages": [
            {"role": "developer", "content": "Be brief."},
            {"role": "user", "content": [
                {"type": "text", "text": "What is this?"},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA", "detail": "low"}},
                {"type": "input_audio", "input_audio": {}},
            ]},
        ],
        "max_tokens": 5, "stop": "\n", "n": 2, "stream": true, "stream_options": {"include_usage": true},
        "tool_choice": {"type": "function", "function": {"name": "look"}},
        "response_format": {"type": "json_object"},
        "reasoning_effort": "low",
    });
    let request = decode_request(body.to_string().as_bytes()).unwrap();
    assert_eq!(request.messages[0], Message::text(Role::Developer, "Be brief."));
    let data = ImageSource::Data { media_type: "image/png".to_owned(), base64: "AAAA".to_owned() };
    let [_, Part::Image { source, opaque }, Part::Opaque(audio)] = request.messages[1].content.as_slice() else {
        panic!("{:?}", request.messages[1]);
    };
    assert_eq!(*source, data);
    assert_eq!((opaque[0].path.as_str(), &opaque[0].raw), ("/image_url/detail", &json!("low")));
    assert_eq!(audio.path, "/content/-");
    assert_eq!(request.parameters.max_output_tokens, Some(5));
    assert_eq!(request.parameters.stop, ["\n"]);
    assert_eq!(request.parameters.choices, Some(2));
    assert!(request.stream && request.include_usage);
    assert_eq!(request.tool_choice, Some(ToolChoice::Function("look".to_owned())));
    assert_eq!(request.response_format, Some(ResponseFormat::JsonObject));
    assert_eq!(request.opaque[0].path, "/reasoning_effort");
    assert_eq!(request.check_opaque(crate::Dialect::OpenAiChat), Ok(()));
    let foreign = request.check_opaque(crate::Dialect::Gemini).unwrap_err();
    assert_eq!((foreign.parameter(), foreign.kind()), ("reasoning_effort", ErrorKind::Unsupported));
}

#[test]
fn signatures_come_back_from_the_client() {
    let message = json!({
        "role": "assistant", "content": "Done.", "reasoning_content": "Hm.",
        "extra_content": {"anthropic": {"signature": "s"}},
        "tool_calls": [{
            "id": "1", "type": "function", "function": {"name": "look", "arguments": "{}"},
            "extra_content": {"google": {"thought_signature": "t"}},
        }],
    });
    let body = json!({"model": "fast", "messages": [message]}).to_string();
    let request = decode_request(body.as_bytes()).unwrap();
    let [Part::Reasoning(reasoning), Part::Text { .. }, Part::ToolCall(call)] = request.messages[0].content.as_slice()
    else {
        panic!("{:?}", request.messages[0]);
    };
    assert_eq!(reasoning.signature.as_ref().map(|signature| signature.value.as_str()), Some("s"));
    assert_eq!(call.signature.as_ref().map(|signature| signature.value.as_str()), Some("t"));
    assert_eq!(request.messages[0].opaque, []);
}

#[test]
fn tool_results_among_a_users_words_become_messages() {
    let result = crate::ToolResult { call_id: "1".to_owned(), content: vec![Part::text("21")], ..Default::default() };
    let message = Message::new(Role::User, vec![Part::ToolResult(result), Part::text("And now?")]);
    let mut notes = Vec::new();
    let written = encode_messages(&[message], &mut notes).unwrap();
    let expected =
        [json!({"role": "tool", "tool_call_id": "1", "content": "21"}), json!({"role": "user", "content": "And now?"})];
    assert_eq!(written, expected);
    assert_eq!(notes, []);
}

fn encoded(events: &[StreamEvent], include_usage: bool) -> Vec<Value> {
    let envelope = Envelope { id: "1".to_owned(), model: "fast".to_owned(), created: 7 };
    let mut encoder = StreamEncoder::new(envelope, include_usage);
    let mut out = Vec::new();
    for event in events {
        encoder.encode(event, &mut out).unwrap();
    }
    let text = String::from_utf8(out).unwrap();
    let data = text.split("\n\n").filter_map(|event| event.strip_prefix("data: "));
    data.filter(|data| *data != "[DONE]").map(|data| serde_json::from_str(data).unwrap()).collect()
}

#[test]
fn usage_is_streamed_only_to_those_who_asked() {
    let usage = TokenUsage { input: Some(3), output: Some(2), ..TokenUsage::default() };
    let events = [
        StreamEvent::Start { id: String::new(), model: String::new() },
        StreamEvent::TextDelta { choice: 0, text: "Hi".to_owned() },
        StreamEvent::Finish { choice: 0, finish: Finish::Stop },
        StreamEvent::Usage(usage),
        StreamEvent::End,
    ];
    let asked = encoded(&events, true);
    assert_eq!(asked[0]["choices"][0]["delta"], json!({"role": "assistant", "content": ""}));
    assert_eq!(asked[2]["choices"][0]["finish_reason"], "stop");
    assert_eq!(asked[3]["choices"], json!([]));
    assert_eq!(asked[3]["usage"], json!({"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}));
    let not_asked = encoded(&events, false);
    assert_eq!(not_asked, asked[..3]);
}

#[test]
fn metadata_rides_on_the_next_chunk() {
    let metadata = Opaque { dialect: crate::Dialect::Gemini, path: "/x".to_owned(), raw: json!(1) };
    let events = [
        StreamEvent::TextDelta { choice: 0, text: "Hi".to_owned() },
        StreamEvent::Metadata(metadata.clone()),
        StreamEvent::Finish { choice: 0, finish: Finish::Stop },
        StreamEvent::Metadata(metadata),
        StreamEvent::End,
    ];
    let chunks = encoded(&events, false);
    assert!(chunks.iter().all(|chunk| chunk["choices"][0].is_object()), "no chunk without a choice: {chunks:?}");
    assert_eq!(chunks[2]["provider_fields"], json!({"gemini": {"x": 1}}));
    assert_eq!(chunks[3]["provider_fields"], json!({"gemini": {"x": 1}}));
}

#[test]
fn reasoning_beside_the_completion_is_added() {
    let check = |usage: Value, expected: u64| {
        let message = json!({"role": "assistant", "content": "4"});
        let body = json!({"choices": [{"message": message, "finish_reason": "stop"}], "usage": usage}).to_string();
        assert_eq!(decode_response(body.as_bytes()).unwrap().usage.output, Some(expected), "{usage}");
    };
    let details = json!({"reasoning_tokens": 100});
    check(
        json!({"prompt_tokens": 9, "completion_tokens": 120, "total_tokens": 129, "completion_tokens_details": details}),
        120,
    );
    check(
        json!({"prompt_tokens": 9, "completion_tokens": 20, "total_tokens": 129, "completion_tokens_details": details}),
        120,
    );
}

#[test]
fn errors_have_the_envelope_of_the_dialect() {
    let error = error_body(ErrorKind::PromptVariable, "`name` is missing", Some("variables.name"), None);
    let expected = json!({"error": {
        "message": "`name` is missing", "type": "invalid_request_error", "param": "variables.name", "code": "prompt_variable",
    }});
    assert_eq!(error, expected);
}
