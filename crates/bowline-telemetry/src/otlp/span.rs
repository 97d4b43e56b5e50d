use std::time::Duration;

use bowline_store::InferenceRecord;
use bowline_types::CheckResult;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use opentelemetry_proto::tonic::trace::v1::{Span, SpanFlags, Status};

use super::message::{flag, integer, nanos, number, text, texts};
use crate::TraceContext;
use crate::measure::{dollars, request_model, seconds};
use crate::names::{self, attribute};
use crate::trace::SpanPlace;

/// The sampled bit of the W3C trace flags, which are the low byte of a span's flags.
const SAMPLED: u32 = 1;

/// Returns the span of an inference: the call of a provider by its client, Bowline.
pub(super) fn span(record: &InferenceRecord, context: Option<&TraceContext>) -> Span {
    let place = SpanPlace::new(record.id, context);
    let remote = place.parent.map_or(0, |_| bits(SpanFlags::ContextIsRemoteMask));
    let status = record.error.map(|_| Status { code: StatusCode::Error.into(), ..Status::default() });
    let mut attributes = conventional(record);
    attributes.extend(own(record));
    Span {
        trace_id: place.trace.to_vec(),
        span_id: place.span.to_vec(),
        trace_state: place.state,
        parent_span_id: place.parent.map(|parent| parent.to_vec()).unwrap_or_default(),
        flags: SAMPLED | bits(SpanFlags::ContextHasIsRemoteMask) | remote,
        name: format!("{} {}", names::OPERATION_CHAT, request_model(record)),
        kind: SpanKind::Client.into(),
        start_time_unix_nano: nanos(record.started_at),
        end_time_unix_nano: nanos(record.started_at.after(Duration::from_micros(record.duration_us))),
        attributes,
        status,
        ..Span::default()
    }
}

fn bits(flags: SpanFlags) -> u32 {
    u32::try_from(i32::from(flags)).unwrap_or(0)
}

/// The attributes of the conventions.
fn conventional(record: &InferenceRecord) -> Vec<KeyValue> {
    let usage = &record.usage;
    let mut attributes = vec![
        text(attribute::OPERATION_NAME, names::OPERATION_CHAT),
        text(attribute::PROVIDER_NAME, names::provider(record.provider_kind.as_deref())),
        text(attribute::REQUEST_MODEL, request_model(record)),
        flag(attribute::REQUEST_STREAM, record.stream),
        integer(attribute::HTTP_STATUS, record.status.into()),
    ];
    let texts_known = [
        (attribute::RESPONSE_MODEL, record.response_model.as_deref()),
        (attribute::RESPONSE_ID, record.answer_id.as_deref()),
        (attribute::ERROR_TYPE, record.error.map(|kind| kind.spec().code)),
        (attribute::PROMPT_NAME, record.prompt.as_ref().map(|prompt| prompt.as_str())),
    ];
    attributes.extend(texts_known.into_iter().filter_map(|(key, value)| Some(text(key, value?))));
    attributes.extend(record.finish.iter().map(|finish| texts(attribute::RESPONSE_FINISH_REASONS, [finish.clone()])));
    let counts = [
        (attribute::USAGE_INPUT_TOKENS, usage.input),
        (attribute::USAGE_OUTPUT_TOKENS, usage.output),
        (attribute::USAGE_CACHE_READ, usage.cache_read),
        (attribute::USAGE_CACHE_CREATION, usage.cache_write),
        (attribute::USAGE_REASONING, usage.reasoning),
    ];
    attributes.extend(counts.into_iter().filter_map(|(key, value)| Some(integer(key, value?))));
    if let Some(micros) = record.first_byte_us.filter(|_| record.stream) {
        attributes.push(number(attribute::RESPONSE_TIME_TO_FIRST_CHUNK, seconds(micros)));
    }
    attributes
}

/// Our attributes. Not the unit, which may name a person, and no content.
fn own(record: &InferenceRecord) -> Vec<KeyValue> {
    let mut attributes = vec![
        text(attribute::INFERENCE, &record.id.to_string()),
        text(attribute::PROJECT, record.project.as_str()),
        text(attribute::ENVIRONMENT, record.environment.as_str()),
        text(attribute::MODEL_ALIAS, record.model.as_str()),
        text(attribute::DIALECT, &record.dialect),
        text(attribute::UNIT_KIND, record.unit.kind.as_str()),
        text(attribute::SUCCESS, record.success().as_str()),
        integer(attribute::ATTEMPTS, record.attempts.into()),
        flag(attribute::FALLBACK, record.fallback),
        flag(attribute::SIMULATED, record.simulated),
    ];
    let texts_known = [
        (attribute::PROVIDER, record.provider.as_ref().map(|provider| provider.as_str().to_owned())),
        (attribute::PROMPT_VERSION, record.version.map(|version| version.to_string())),
        (attribute::ROLLOUT, record.rollout.map(|rollout| rollout.to_string())),
        (attribute::ARM, record.arm.map(|arm| arm.to_string())),
    ];
    attributes.extend(texts_known.into_iter().filter_map(|(key, value)| Some(text(key, &value?))));
    attributes.extend(record.stage.map(|stage| integer(attribute::STAGE, stage.into())));
    attributes.extend(record.cost.map(|cost| number(attribute::COST, dollars(cost))));
    let failed = record.checks.iter().filter(|(_, result)| **result == CheckResult::Fail).map(|(name, _)| name.clone());
    let failed: Vec<String> = failed.collect();
    if !failed.is_empty() {
        attributes.push(texts(attribute::CHECKS_FAILED, failed));
    }
    attributes
}
