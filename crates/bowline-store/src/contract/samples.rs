//! Records with plain values, which tests change where it matters to them.

use std::collections::BTreeMap;

use bowline_types::{
    ApiKeyHash, Arm, Check, CheckResult, Digest, InferenceId, InstanceId, KeyId, OutcomeId, PromptName, RolloutId,
    Scope, SuccessContract, Timestamp, TokenUsage, Unit, UnitKind,
};
use serde_json::json;

use crate::{
    InferenceRecord, KeyRecord, LogAction, LogRow, ObservationRecord, OutcomeRecord, OutcomeTarget, OutcomeValue,
    PointerRecord, Provenance, QuarantineRecord, RegistrationRecord, RolloutRecord, RolloutState, SCHEMA_VERSION,
    Write,
};

/// The time of the samples, seconds after 2026-09-21T14:13:00Z: the start of a minute.
pub(super) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_micros(1_789_999_980_000_000 + seconds * 1_000_000)
}

pub(super) fn digest(name: &str) -> Digest {
    Digest::of(name.as_bytes())
}

pub(super) fn scope(environment: &str) -> Scope {
    Scope { project: "shop".parse().unwrap(), environment: environment.parse().unwrap() }
}

pub(super) fn prompt(name: &str) -> PromptName {
    name.parse().unwrap()
}

pub(super) fn inference_id(number: u32) -> InferenceId {
    format!("inf_{number:032x}").parse().unwrap()
}

pub(super) fn outcome_id(number: u32) -> OutcomeId {
    format!("out_{number:032x}").parse().unwrap()
}

pub(super) fn rollout_id(number: u32) -> RolloutId {
    format!("rol_{number:032x}").parse().unwrap()
}

pub(super) fn key_id(number: u32) -> KeyId {
    format!("key_{number:032x}").parse().unwrap()
}

pub(super) fn instance_id(number: u32) -> InstanceId {
    format!("ins_{number:032x}").parse().unwrap()
}

pub(super) fn unit(value: &str) -> Unit {
    Unit { kind: UnitKind::Header, value: value.to_owned() }
}

pub(super) fn key_hash(name: &str) -> ApiKeyHash {
    serde_json::from_value(json!(digest(name))).unwrap()
}

pub(super) fn provenance(commit: Option<&str>) -> Provenance {
    Provenance { commit: commit.map(str::to_owned), author: Some("Ada <ada@example.org>".to_owned()), dirty: false }
}

pub(super) fn registration(version: &str, commit: Option<&str>, seconds: i64) -> RegistrationRecord {
    RegistrationRecord {
        project: "shop".parse().unwrap(),
        prompt: prompt("answer"),
        version: digest(version),
        provenance: provenance(commit),
        actor: "ada".to_owned(),
        at: at(seconds),
    }
}

pub(super) fn pointer(environment: &str, name: &str, version: &str) -> PointerRecord {
    PointerRecord {
        scope: scope(environment),
        prompt: prompt(name),
        version: digest(version),
        success: SuccessContract(vec![Check::Complete, Check::Feedback("correct".to_owned())]),
        moved_at: at(0),
    }
}

pub(super) fn pointer_put(pointer: PointerRecord, expected: Option<&str>) -> Write {
    Write::PointerPut { pointer, expected: expected.map(digest) }
}

pub(super) fn log_row(environment: &str, name: Option<&str>, why: &str) -> LogRow {
    LogRow {
        sequence: 0,
        scope: scope(environment),
        prompt: name.map(prompt),
        at: at(1),
        actor: "ada".to_owned(),
        action: LogAction::Moved,
        from: None,
        to: Some(digest("one")),
        rollout: Some(rollout_id(1)),
        commit: Some("0123456789abcdef0123456789abcdef01234567".to_owned()),
        why: why.to_owned(),
        evidence: Some(json!({ "e_value": 0.1 + 0.2, "ordered": { "z": 1, "a": 2 } })),
    }
}

pub(super) fn quarantine(environment: &str, version: &str, why: &str) -> QuarantineRecord {
    QuarantineRecord {
        scope: scope(environment),
        prompt: prompt("answer"),
        version: digest(version),
        rollout: Some(rollout_id(1)),
        why: why.to_owned(),
        at: at(2),
    }
}

pub(super) fn key(number: u32, seconds: i64) -> KeyRecord {
    KeyRecord {
        id: key_id(number),
        hash: key_hash(&format!("key {number}")),
        subject: None,
        name: format!("application {number}"),
        project: "shop".parse().unwrap(),
        environment: "prod".parse().unwrap(),
        environments: vec!["staging".parse().unwrap()],
        versions: true,
        created_at: at(seconds),
        revoked_at: None,
    }
}

pub(super) fn rollout(number: u32) -> RolloutRecord {
    RolloutRecord {
        id: rollout_id(number),
        number: u64::from(number),
        scope: scope("prod"),
        prompt: prompt("answer"),
        stable: digest("one"),
        candidate: digest("two"),
        success: SuccessContract(vec![Check::Complete]),
        design: json!({ "alpha": 0.05, "bets": [0.1 + 0.2, 1.0 / 3.0, f64::MIN_POSITIVE] }),
        state: RolloutState::Running,
        stage: 0,
        frontier: at(0),
        started_at: at(i64::from(number)),
        stage_started_at: at(i64::from(number)),
        ended_at: None,
        actor: "ada".to_owned(),
        provenance: provenance(None),
        why: "asked for".to_owned(),
        evidence: None,
        revision: 1,
    }
}

pub(super) fn rollout_put(rollout: RolloutRecord, expected: Option<u64>) -> Write {
    Write::RolloutPut { rollout: Box::new(rollout), expected }
}

pub(super) fn observation(rollout: u32, sequence: u64, value: &str) -> ObservationRecord {
    ObservationRecord {
        rollout: rollout_id(rollout),
        sequence,
        assigned_at: at(3),
        unit: unit(value),
        arm: Arm::Candidate,
        stage: 1,
        value: Some(1.0),
        inference: inference_id(1),
    }
}

/// A call of key 1 that ended well, with feedback to come, `number` seconds after the start of the samples.
pub(super) fn inference(number: u32) -> InferenceRecord {
    InferenceRecord {
        schema_version: SCHEMA_VERSION,
        id: inference_id(number),
        project: "shop".parse().unwrap(),
        environment: "prod".parse().unwrap(),
        key: key_id(1),
        prompt: Some(prompt("answer")),
        version: Some(digest("one")),
        rollout: None,
        arm: None,
        stage: None,
        unit: unit(&format!("user-{number}")),
        dialect: "openai-chat".to_owned(),
        provider: Some("anthropic".parse().unwrap()),
        provider_kind: Some("anthropic".to_owned()),
        model: "fast".parse().unwrap(),
        upstream_model: Some("claude-haiku-4-5".to_owned()),
        response_model: None,
        answer_id: Some(format!("answer-{number}")),
        started_at: at(i64::from(number)),
        first_byte_us: Some(1_500),
        duration_us: 2_000,
        stream: true,
        status: 200,
        error: None,
        finish: Some("stop".to_owned()),
        usage: TokenUsage { input: Some(100), output: Some(20), ..TokenUsage::default() },
        cost: Some("0.0001".parse().unwrap()),
        checks: BTreeMap::from([
            ("complete".to_owned(), CheckResult::Pass),
            ("feedback:correct".to_owned(), CheckResult::Unknown),
        ]),
        attempts: 1,
        fallback: false,
        simulated: false,
        content: None,
    }
}

/// The inference of a unit in a rollout.
pub(super) fn assigned(number: u32, rollout: u32, value: &str) -> InferenceRecord {
    InferenceRecord {
        rollout: Some(rollout_id(rollout)),
        arm: Some(Arm::Stable),
        stage: Some(0),
        unit: unit(value),
        ..inference(number)
    }
}

pub(super) fn inference_put(inference: &InferenceRecord) -> Write {
    Write::InferencePut(Box::new(inference.clone()))
}

/// Feedback `correct` of key 1 about an inference of the samples.
pub(super) fn outcome(number: u32, inference: u32, value: OutcomeValue) -> OutcomeRecord {
    OutcomeRecord {
        schema_version: SCHEMA_VERSION,
        id: outcome_id(number),
        key: key_id(1),
        target: OutcomeTarget::Inference(inference_id(inference)),
        name: "correct".to_owned(),
        value,
        at: at(100 + i64::from(number)),
    }
}
