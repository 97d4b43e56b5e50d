//! Records with plain values.

use std::collections::BTreeMap;

use bowline_store::{InferenceRecord, SCHEMA_VERSION};
use bowline_types::{CheckResult, Digest, InferenceId, Timestamp, TokenUsage, Unit, UnitKind};

pub(crate) fn inference_id(number: u32) -> InferenceId {
    format!("inf_{number:032x}").parse().unwrap()
}

pub(crate) fn inference(number: u32) -> InferenceRecord {
    InferenceRecord {
        schema_version: SCHEMA_VERSION,
        id: inference_id(number),
        project: "shop".parse().unwrap(),
        environment: "prod".parse().unwrap(),
        key: "key_00000000000000000000000000000001".parse().unwrap(),
        prompt: Some("support/answer".parse().unwrap()),
        version: Some(Digest::of(b"one")),
        rollout: None,
        arm: None,
        stage: None,
        unit: Unit { kind: UnitKind::Header, value: format!("user-{number}") },
        dialect: "openai-chat".to_owned(),
        provider: Some("anthropic".parse().unwrap()),
        provider_kind: Some("anthropic".to_owned()),
        model: "fast".parse().unwrap(),
        upstream_model: Some("claude-haiku-4-5".to_owned()),
        response_model: Some("claude-haiku-4-5-20251001".to_owned()),
        answer_id: Some(format!("msg_{number}")),
        started_at: Timestamp::from_micros(1_790_000_000_000_000 + i64::from(number) * 1_000),
        first_byte_us: Some(180_000),
        duration_us: 900_000,
        stream: true,
        status: 200,
        error: None,
        finish: Some("stop".to_owned()),
        usage: TokenUsage { input: Some(812), output: Some(96), ..TokenUsage::default() },
        cost: Some("0.00129".parse().unwrap()),
        checks: BTreeMap::from([("complete".to_owned(), CheckResult::Pass)]),
        attempts: 1,
        fallback: false,
        simulated: false,
        content: None,
    }
}
