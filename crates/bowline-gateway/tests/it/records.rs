use std::collections::BTreeMap;

use bowline_gateway::{GatewayOptions, RecorderOptions};
use bowline_registry::ContentCapture;
use bowline_store::{OutcomeTarget, OutcomeValue};
use bowline_types::{Arm, InferenceToken};
use http::Method;
use serde_json::{Value, json};

use crate::support::{Reply, Server, SnapshotBuilder, Upstream, until, version};

fn answer(text: &str) -> Reply {
    Reply::json(&json!({"id": "chatcmpl-7", "object": "chat.completion", "created": 1, "model": "u",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 1000000, "completion_tokens": 1000000, "total_tokens": 2000000}}))
}

fn ask() -> Value {
    json!({"model": "prompt:p", "messages": [{"role": "user", "content": "secret question"}]})
}

fn snapshot(upstream: &Upstream) -> SnapshotBuilder {
    let stable = version("m", "openai", "{{history}}", json!({}));
    SnapshotBuilder::new().model("m", "openai", &upstream.url).prompt(
        "p",
        &stable,
        json!(["complete", {"feedback": "ok"}]),
    )
}

/// The store stalls, the queue fills: what overflows is counted per arm, exactly.
#[tokio::test]
async fn what_is_lost_is_counted_exactly() {
    let upstream = Upstream::start([answer("fine")]).await;
    let candidate = version("m", "openai", "{{history}} ", json!({}));
    let snapshot = snapshot(&upstream).rollout("p", &candidate, "50%", std::time::Duration::from_secs(300));
    let recorder = RecorderOptions { queue_max: 8, batch_max: 4, ..RecorderOptions::default() };
    let server = Server::start_with(snapshot, GatewayOptions { recorder, ..GatewayOptions::default() }).await;
    server.sink.stall();
    let mut sent: BTreeMap<String, u64> = BTreeMap::new();
    for unit in 0..60 {
        let got = server.chat_as(&format!("u{unit}"), ask()).await;
        assert_eq!(got.status, 200, "the request path never waits for the store");
        *sent.entry(got.header("x-bowline-arm").to_owned()).or_default() += 1;
    }
    let lost: u64 = server.handle.recorder().lost.values().sum();
    assert!((45..=56).contains(&lost), "queue 8 and a batch of at most 4 hold some of 60, not {lost} lost");
    server.sink.release();
    until(|| server.handle.recorder().waiting == 0).await;
    let records = server.sink.records();
    assert_eq!(u64::try_from(records.len()).unwrap() + lost, 60);
    until(|| server.sink.losses().iter().map(|loss| loss.total).sum::<u64>() == lost).await;
    for arm in Arm::ALL {
        let kept = u64::try_from(records.iter().filter(|record| record.arm == Some(arm)).count()).unwrap();
        let told = server.sink.losses().iter().find(|loss| loss.arm == arm).map_or(0, |loss| loss.total);
        assert_eq!(kept + told, sent[arm.as_str()], "{arm}");
    }
    assert!(server.metrics.encode().contains("bowline_records_lost_total"));
}

#[tokio::test]
async fn nothing_is_lost_while_the_store_fails_for_a_while() {
    let upstream = Upstream::start([answer("fine")]).await;
    let server = Server::start(snapshot(&upstream)).await;
    server.sink.fail(true);
    for _ in 0..50 {
        server.chat(ask()).await;
    }
    server.sink.fail(false);
    let ids: std::collections::BTreeSet<_> = server.sink.wait(50).await.iter().map(|record| record.id).collect();
    assert_eq!((ids.len(), server.handle.recorder().lost.len()), (50, 0));
}

#[tokio::test]
async fn the_time_of_a_call_ends_with_its_answer() {
    let upstream = Upstream::start([answer("fine")]).await;
    let recorder = RecorderOptions { batch_wait: std::time::Duration::from_millis(200), ..RecorderOptions::default() };
    let server =
        Server::start_with(snapshot(&upstream), GatewayOptions { recorder, ..GatewayOptions::default() }).await;
    let began = tokio::time::Instant::now();
    server.chat(ask()).await;
    let took = began.elapsed();
    let recorded = std::time::Duration::from_micros(server.sink.wait(1).await[0].duration_us);
    assert!(recorded <= took, "the record says {recorded:?}, the client waited for {took:?}");
}

#[tokio::test]
async fn stopping_delivers_what_waits() {
    let upstream = Upstream::start([answer("fine")]).await;
    let server = Server::start(snapshot(&upstream)).await;
    for _ in 0..30 {
        server.chat(ask()).await;
    }
    assert_eq!(server.stop().await.records().len(), 30);
}

#[tokio::test]
async fn content_is_kept_only_where_asked() {
    let upstream = Upstream::start([answer("fine"), answer("")]).await;
    for (capture, kept) in [
        (ContentCapture::Off, [false, false]),
        (ContentCapture::Failures, [false, true]),
        (ContentCapture::All, [true, true]),
    ] {
        upstream.script([answer("fine"), answer("")]);
        let server = Server::start(snapshot(&upstream).content(capture)).await;
        server.chat(ask()).await;
        server.chat(ask()).await;
        let records = server.sink.wait(2).await;
        let found: Vec<bool> = records.iter().map(|record| record.content.is_some()).collect();
        assert_eq!(found, kept, "{capture:?}");
        if let Some(content) = records.iter().find_map(|record| record.content.clone()) {
            assert!(content.input.contains("secret question"), "{}", content.input);
            assert!(!format!("{content:?}").contains("secret"));
        }
    }
}

#[tokio::test]
async fn feedback_reaches_its_own_inference_only() {
    let upstream = Upstream::start([answer("fine")]).await;
    let server = Server::start(snapshot(&upstream)).await;
    let got = server.chat(ask()).await;
    let token = got.header("x-bowline-inference").to_owned();
    let send = |body: Value| {
        let server = &server;
        async move { server.send(Method::POST, "/v1/feedback", body.to_string(), &[]).await }
    };
    assert_eq!(send(json!({"inference": token, "name": "ok", "value": true})).await.status, 200);
    assert_eq!(send(json!({"inference": "chatcmpl-7", "name": "ok", "value": 0.25})).await.status, 200);
    let outcomes = server.sink.outcomes();
    let inference = token.parse::<InferenceToken>().unwrap().inference;
    assert_eq!(outcomes[0].target, OutcomeTarget::Inference(inference));
    assert_eq!(outcomes[1].target, OutcomeTarget::Answer("chatcmpl-7".to_owned()));
    assert_eq!((&outcomes[0].value, &outcomes[1].value), (&OutcomeValue::Flag(true), &OutcomeValue::Score(0.25)));
    let mut forged = token.clone();
    forged.replace_range(token.len() - 1.., if token.ends_with('0') { "1" } else { "0" });
    for (body, status) in [
        (json!({"inference": forged, "name": "ok", "value": true}), 403),
        (json!({"inference": "inf_12", "name": "ok", "value": true}), 400),
        (json!({"inference": "", "name": "ok", "value": true}), 400),
        (json!({"inference": token, "name": "", "value": true}), 400),
        (json!({"inference": token, "name": "a b", "value": true}), 400),
        (json!({"inference": token, "name": "ok"}), 400),
        (json!({"inference": token, "name": "ok", "value": [1]}), 400),
        (json!({"inference": token, "name": "ok", "value": true, "extra": 1}), 400),
    ] {
        let got = send(body.clone()).await;
        assert_eq!(got.status, status, "{body}: {}", got.text());
    }
    assert_eq!(server.sink.outcomes().len(), 2);
}

#[tokio::test]
async fn the_same_idempotency_key_gives_the_same_outcome() {
    let upstream = Upstream::start([answer("fine")]).await;
    let server = Server::start(snapshot(&upstream)).await;
    let body = json!({"inference": "chatcmpl-7", "name": "ok", "value": true}).to_string();
    for key in ["a", "a", "b"] {
        server.send(Method::POST, "/v1/feedback", body.clone(), &[("idempotency-key", key)]).await;
    }
    let ids: Vec<_> = server.sink.outcomes().iter().map(|outcome| outcome.id).collect();
    assert!(ids[0] == ids[1] && ids[1] != ids[2]);
}

#[tokio::test]
async fn stopping_ends_in_time_when_nobody_takes_the_records_and_counts_them() {
    for stalled in [true, false] {
        let upstream = Upstream::start([answer("fine")]).await;
        let options = GatewayOptions { drain: std::time::Duration::from_millis(300), ..GatewayOptions::default() };
        let server = Server::start_with(snapshot(&upstream), options).await;
        if stalled {
            server.sink.stall()
        } else {
            server.sink.fail(true)
        }
        for _ in 0..10 {
            server.chat(ask()).await;
        }
        let handle = server.handle.clone();
        let stopped = tokio::time::timeout(std::time::Duration::from_secs(10), server.stop()).await;
        assert!(stopped.is_ok(), "shutdown waits for ever");
        assert_eq!((handle.recorder().lost[&None], handle.recorder().waiting), (10, 0));
    }
}

#[tokio::test]
async fn half_an_answer_judges_nothing() {
    let chunk = json!({"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "u",
        "choices": [{"index": 0, "delta": {"content": "word "}, "finish_reason": null}]});
    let pieces: Vec<String> = (0..3_000).map(|_| format!("data: {chunk}\n\n")).collect();
    let upstream = Upstream::start([Reply::stream(pieces)]).await;
    let server = Server::start(snapshot(&upstream)).await;
    let mut body = ask();
    body["stream"] = json!(true);
    let body = bytes::Bytes::from(body.to_string());
    let mut response = server.open(Method::POST, "/v1/chat/completions", body, &[]).await;
    http_body_util::BodyExt::frame(response.body_mut()).await.unwrap().unwrap();
    drop(response);
    let record = &server.sink.wait(1).await[0];
    assert_eq!(record.checks["complete"], bowline_types::CheckResult::Unknown);
}

#[tokio::test]
async fn what_waits_is_bounded_in_bytes() {
    let upstream = Upstream::start([answer("fine")]).await;
    let recorder = RecorderOptions { queue_bytes_max: 20_000, batch_max: 1, ..RecorderOptions::default() };
    let server =
        Server::start_with(snapshot(&upstream), GatewayOptions { recorder, ..GatewayOptions::default() }).await;
    server.sink.stall();
    let mut body = ask();
    body["messages"][0]["content"] = json!("x".repeat(8_000));
    for _ in 0..10 {
        assert_eq!(server.chat(body.clone()).await.status, 200);
    }
    let lost = server.handle.recorder().lost[&None];
    assert!((7..=9).contains(&lost), "20 kB hold two calls of 8 kB, not {}", 10 - lost);
    server.sink.release();
    server.sink.wait(usize::try_from(10 - lost).unwrap()).await;
}
