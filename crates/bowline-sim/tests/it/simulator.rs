use std::time::Duration;

use bowline_chat::Finish;
use bowline_sim::{SIMULATED_HEADER, Scenario, Simulator, SimulatorOptions};
use bowline_types::ErrorKind;
use serde_json::{Value, json};

use crate::support::{calls, start};

#[tokio::test]
async fn three_formats_are_spoken_whole_and_streamed() {
    let simulator = start("noise: 0").await;
    let mut texts = Vec::new();
    for (whole, streamed) in calls(false).iter().zip(&calls(true)) {
        let kind = whole.spec.kind;
        let answer = simulator.call(whole).await;
        assert_eq!((answer.status, answer.header(SIMULATED_HEADER)), (200, Some("1")), "{kind}");
        let response = whole.spec.decode_response(&answer.body).unwrap();
        assert_eq!(response.choices[0].finish, Finish::Stop, "{kind}");
        assert!(response.usage.input > Some(20) && response.usage.output >= Some(1), "{kind}: {:?}", response.usage);
        assert!(response.opaque.is_empty(), "{kind}: {:?}", response.opaque);

        let answer = simulator.call(streamed).await;
        assert_eq!((answer.status, answer.header(SIMULATED_HEADER)), (200, Some("1")), "{kind}");
        assert_eq!(answer.header("content-type"), Some("text/event-stream"), "{kind}");
        let read = answer.streamed(streamed.spec);
        assert!(answer.whole && read.ended && read.error.is_none(), "{kind}: {read:?}");
        assert_eq!((&read.text, read.finish), (&response.text(), Some(Finish::Stop)), "{kind}");
        assert_eq!(read.usage, response.usage, "{kind}");
        texts.push((response.text(), response.usage));
    }
    assert_eq!(texts[0].0, "billing");
    assert!(texts.iter().all(|text| *text == texts[0]), "the format does not change the answer: {texts:?}");
}

#[tokio::test]
async fn gemini_streams_an_array_unless_asked_for_events() {
    let simulator = start("").await;
    let [.., mut gemini] = calls(true);
    gemini.path = "/v1beta/models/gemini-3-flash:streamGenerateContent";
    let answer = simulator.call(&gemini).await;
    assert_eq!(answer.header("content-type"), Some("application/json"));
    let chunks: Vec<Value> = serde_json::from_slice(&answer.body).unwrap();
    assert!(chunks.len() > 1);
    assert_eq!(chunks[0]["modelVersion"], "gemini-3-flash");
    let read = answer.streamed(gemini.spec);
    assert!(read.ended && !read.text.is_empty(), "{read:?}");
    let [.., events] = calls(true);
    assert!(simulator.call(&events).await.body.ends_with(b"\r\n\r\n"));
}

#[tokio::test]
async fn several_answers_have_numbers() {
    let simulator = start("").await;
    let [mut openai, ..] = calls(false);
    openai.body["n"] = json!(3);
    let answer = simulator.call(&openai).await;
    let response = openai.spec.decode_response(&answer.body).unwrap();
    assert_eq!(response.choices.iter().map(|choice| choice.index).collect::<Vec<_>>(), [0, 1, 2]);
    openai.body["n"] = json!(0);
    assert_eq!(simulator.call(&openai).await.status, 400);
}

#[tokio::test]
async fn bad_requests_are_refused_in_each_format() {
    let simulator = start("").await;
    for mut call in calls(false) {
        call.body = json!({"messages": 1, "contents": 1});
        let answer = simulator.call(&call).await;
        let error = call.spec.decode_error(answer.status, &answer.headers, &answer.body);
        assert_eq!((answer.status, error.kind), (400, ErrorKind::UpstreamRejected), "{}", call.spec.kind);
        assert!(!error.message.contains('{'), "{}: {}", call.spec.kind, error.message);
        assert_eq!(answer.header(SIMULATED_HEADER), Some("1"));
    }
    for (method, path, status) in [
        ("GET", "/healthz", 200),
        ("POST", "/healthz", 405),
        ("GET", "/v1/messages", 405),
        ("POST", "/", 404),
        ("POST", "/v1beta/models/x:countTokens", 404),
    ] {
        assert_eq!(simulator.send(method, path, String::new()).await.status, status, "{method} {path}");
    }
}

#[tokio::test]
async fn refusals_carry_each_providers_hints() {
    for (fault, statuses, kind, wait) in [
        ("rate_limited, wait: 1500ms", [429, 429, 429], ErrorKind::UpstreamRateLimited, Some([1500, 2000, 1500])),
        ("rate_limited", [429, 429, 429], ErrorKind::UpstreamRateLimited, Some([1000, 1000, 1000])),
        ("server_error", [500, 500, 500], ErrorKind::UpstreamUnavailable, None),
        ("unavailable, wait: 62s", [503, 503, 503], ErrorKind::UpstreamUnavailable, Some([62_000, 62_000, 62_000])),
        ("overloaded", [503, 529, 503], ErrorKind::UpstreamUnavailable, None),
    ] {
        let simulator = start(&format!("faults: [{{ kind: {fault}, rate: 1 }}]")).await;
        for stream in [false, true] {
            for (index, call) in calls(stream).iter().enumerate() {
                let answer = simulator.call(call).await;
                let error = call.spec.decode_error(answer.status, &answer.headers, &answer.body);
                let of = format!("{fault} {}", call.spec.kind);
                assert_eq!((answer.status, error.kind), (statuses[index], kind), "{of}");
                assert_eq!(error.retry_after, wait.map(|wait| Duration::from_millis(wait[index])), "{of}");
                assert_eq!(answer.header(SIMULATED_HEADER), Some("1"), "{of}");
            }
        }
    }
}

#[tokio::test]
async fn hints_are_written_as_the_providers_write_them() {
    let simulator = start("faults: [{ kind: rate_limited, rate: 1, wait: 62s }]").await;
    let [openai, anthropic, gemini] = calls(false);
    let answer = simulator.call(&openai).await;
    assert_eq!(answer.header("retry-after"), Some("62"));
    assert_eq!(answer.header("retry-after-ms"), Some("62000"));
    assert_eq!(answer.header("x-ratelimit-remaining-requests"), Some("0"));
    assert_eq!(answer.header("x-ratelimit-reset-requests"), Some("1m2s"));
    let answer = simulator.call(&anthropic).await;
    assert_eq!(answer.header("retry-after"), Some("62"));
    assert_eq!(answer.header("anthropic-ratelimit-requests-remaining"), Some("0"));
    assert!(answer.header("anthropic-ratelimit-requests-reset").unwrap().ends_with('Z'));
    let answer = simulator.call(&gemini).await;
    assert_eq!(answer.header("retry-after"), None);
    let body: Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(body["error"]["status"], "RESOURCE_EXHAUSTED");
    assert_eq!(body["error"]["details"][0]["retryDelay"], "62s");
    let simulator = start("faults: [{ kind: overloaded, rate: 1 }]").await;
    let body: Value = serde_json::from_slice(&simulator.call(&anthropic).await.body).unwrap();
    assert_eq!(body["error"]["type"], "overloaded_error");
}

/// A prompt without definitions, so that the answer is prose of many pieces.
fn prose(stream: bool) -> [crate::support::Call; 3] {
    let mut calls = calls(stream);
    calls[0].body["messages"][0]["content"] = json!("Be kind.");
    calls[1].body["system"] = json!("Be kind.");
    calls[2].body["systemInstruction"]["parts"][0]["text"] = json!("Be kind.");
    calls
}

#[tokio::test]
async fn streams_fail_in_their_middle() {
    let healthy = start("").await;
    for (kind, scenario) in [("error", "stream_error"), ("cut", "stream_cut"), ("malformed", "malformed_json")] {
        let simulator = start(&format!("faults: [{{ kind: {scenario}, rate: 1 }}]")).await;
        for call in &prose(true) {
            let of = format!("{scenario} {}", call.spec.kind);
            let expected = healthy.call(call).await.streamed(call.spec);
            assert!(expected.deltas > 3 && expected.ended, "{of}: {expected:?}");
            let answer = simulator.call(call).await;
            let read = answer.streamed(call.spec);
            assert_eq!((answer.status, read.ended), (200, false), "{of}: {read:?}");
            assert!(read.deltas >= 1 && read.deltas <= expected.deltas, "{of}: {read:?}");
            assert!(expected.text.starts_with(&read.text), "{of}: {read:?}");
            let error = read.error.map(|error| error.kind);
            match kind {
                "error" => assert_eq!((answer.whole, error), (true, Some(ErrorKind::UpstreamUnavailable)), "{of}"),
                "cut" => assert_eq!((answer.whole, error), (false, None), "{of}"),
                _ => assert_eq!((answer.whole, error), (true, Some(ErrorKind::UpstreamInvalid)), "{of}"),
            }
        }
    }
}

#[tokio::test]
async fn whole_answers_fail_in_their_middle() {
    let cut = start("faults: [{ kind: stream_cut, rate: 1 }]").await;
    let malformed = start("faults: [{ kind: malformed_json, rate: 1 }]").await;
    for call in &prose(false) {
        let answer = cut.call(call).await;
        assert_eq!((answer.status, answer.whole), (200, false), "{}", call.spec.kind);
        assert!(!answer.body.is_empty());
        let answer = malformed.call(call).await;
        assert_eq!((answer.status, answer.whole), (200, true), "{}", call.spec.kind);
        assert!(call.spec.decode_response(&answer.body).is_err(), "{}", call.spec.kind);
    }
}

#[tokio::test]
async fn first_bytes_and_tokens_take_their_time() {
    let simulator = start("latency: { first_byte: 60ms, tokens_per_second: 200 }").await;
    for stream in [false, true] {
        for call in &prose(stream) {
            let started = tokio::time::Instant::now();
            let answer = simulator.call(call).await;
            let took = started.elapsed();
            assert_eq!(answer.status, 200);
            let deltas = if stream { answer.streamed(call.spec).deltas - 1 } else { 4 };
            let expected = Duration::from_millis(60 + 5 * u64::try_from(deltas).unwrap());
            assert!(took >= expected, "{} {stream}: {took:?} < {expected:?}", call.spec.kind);
        }
    }
    let slow = start("faults: [{ kind: slow_first_byte, rate: 1, wait: 80ms }]").await;
    let started = tokio::time::Instant::now();
    assert_eq!(slow.call(&calls(false)[0]).await.status, 200);
    assert!(started.elapsed() >= Duration::from_millis(80));
}

#[tokio::test]
async fn the_same_seed_meets_the_same_faults() {
    let faults = "faults: [{ kind: rate_limited, rate: 0.2 }, { kind: server_error, rate: 0.2 }, { kind: overloaded, rate: 0.2 }]";
    let mut runs = Vec::new();
    for seed in [1, 1, 2] {
        let simulator = start(&format!("seed: {seed}\nnoise: 1\n{faults}")).await;
        let mut run = Vec::new();
        for _ in 0..20 {
            let [openai, ..] = calls(false);
            let answer = simulator.call(&openai).await;
            let text = openai.spec.decode_response(&answer.body).map(|response| response.text()).ok();
            run.push((answer.status, text));
        }
        runs.push(run);
    }
    assert_eq!(runs[0], runs[1]);
    assert_ne!(runs[0], runs[2]);
    let statuses: std::collections::BTreeSet<u16> = runs[0].iter().map(|(status, _)| *status).collect();
    assert_eq!(statuses.into_iter().collect::<Vec<_>>(), [200, 429, 500, 503]);
}

#[tokio::test]
async fn it_serves_loopback_only() {
    for address in ["0.0.0.0:0", "[::]:0", "192.0.2.1:0"] {
        let options = SimulatorOptions { listen: address.parse().unwrap(), scenario: Scenario::default() };
        let error = Simulator::bind(options).await.unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput, "{address}");
    }
}

#[tokio::test]
async fn it_stops_while_a_slow_call_is_in_flight() {
    let scenario = Scenario::parse("latency: { first_byte: 10m }").unwrap();
    let listen = "127.0.0.1:0".parse().unwrap();
    let simulator = Simulator::bind(SimulatorOptions { listen, scenario }).await.unwrap();
    let address = simulator.address();
    let stop = tokio_util::sync::CancellationToken::new();
    let tasks = tokio_util::task::TaskTracker::new();
    let run = tasks.spawn(simulator.run(stop.clone()));
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let body = calls(false)[0].body.to_string();
    let request =
        format!("POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    tokio::io::AsyncWriteExt::write_all(&mut stream, request.as_bytes()).await.unwrap();
    stop.cancel();
    tokio::time::timeout(Duration::from_secs(10), run).await.unwrap().unwrap();
}
