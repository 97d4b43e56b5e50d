//! A fixed record for the tests of this crate.

use std::collections::BTreeMap;

use bowline_store::InferenceRecord;
use bowline_types::{Arm, CheckResult, Digest, InferenceId, KeyId, RolloutId, Timestamp, TokenUsage, Unit, UnitKind};

/// A streamed call of a prompt in a rollout that passed.
pub(crate) fn record() -> InferenceRecord {
    record_of("support/answer")
}

/// The same of another prompt.
pub(crate) fn record_of(prompt: &str) -> InferenceRecord {
    let started_at = Timestamp::from_micros(1_790_000_000_000_000);
    InferenceRecord {
        schema_version: InferenceRecord::SCHEMA,
        id: InferenceId::generate(started_at),
        project: "demo".parse().unwrap(),
        environment: "prod".parse().unwrap(),
        key: KeyId::generate(started_at),
        prompt: Some(prompt.parse().unwrap()),
        version: Some(Digest::of(b"version one")),
        rollout: Some(RolloutId::generate(started_at)),
        arm: Some(Arm::Stable),
        stage: Some(1),
        unit: Unit { kind: UnitKind::User, value: "jane@example.com".to_owned() },
        dialect: "openai-chat".to_owned(),
        provider: Some("google".parse().unwrap()),
        provider_kind: Some("gemini".to_owned()),
        model: "fast".parse().unwrap(),
        upstream_model: Some("gemini-2.5-flash".to_owned()),
        response_model: Some("gemini-2.5-flash-001".to_owned()),
        answer_id: Some("chatcmpl-1".to_owned()),
        started_at,
        first_byte_us: Some(150_000),
        duration_us: 1_250_000,
        stream: true,
        status: 200,
        error: None,
        finish: Some("stop".to_owned()),
        usage: TokenUsage {
            input: Some(1_200),
            output: Some(80),
            cache_read: Some(1_000),
            reasoning: Some(30),
            ..TokenUsage::default()
        },
        cost: Some("0.000523".parse().unwrap()),
        checks: BTreeMap::from([("complete".to_owned(), CheckResult::Pass), ("schema".to_owned(), CheckResult::Pass)]),
        attempts: 1,
        fallback: false,
        simulated: true,
        content: None,
    }
}
