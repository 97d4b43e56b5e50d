use std::collections::BTreeMap;
use std::sync::Arc;

use bowline_registry::{SnapshotKey, SnapshotRollout};
use bowline_store::{Content, InferenceRecord, SCHEMA_VERSION};
use bowline_telemetry::{Contract, TraceContext};
use bowline_types::{
    Arm, Digest, EnvironmentName, ErrorKind, InferenceId, ModelAlias, PromptName, ProviderName, Timestamp, TokenUsage,
    Unit, UnitKind, Usd,
};
use serde_json::{Map, Value};
use tokio_util::sync::CancellationToken;

use crate::layers::accept::UNIT_BYTES_MAX;

/// What is known of one call; layers fill it in, and the record is made of it.
#[derive(Debug)]
pub(crate) struct Exchange {
    pub(crate) id: InferenceId,
    pub(crate) key: Arc<SnapshotKey>,
    pub(crate) started_at: Timestamp,
    pub(crate) started: tokio::time::Instant,
    pub(crate) environment: EnvironmentName,
    /// What the client speaks, such as `openai-chat`.
    pub(crate) dialect: &'static str,
    pub(crate) prompt: Option<PromptName>,
    pub(crate) version: Option<Digest>,
    pub(crate) arm: Option<Assigned>,
    pub(crate) unit: Unit,
    pub(crate) model: ModelAlias,
    pub(crate) stream: bool,
    /// The size of the request's body.
    pub(crate) request_bytes: usize,
    pub(crate) variables: Map<String, Value>,
    pub(crate) contract: Option<Arc<Contract>>,
    /// The trace of the caller, from its `traceparent` header.
    pub(crate) trace: Option<TraceContext>,
    pub(crate) upstream: Option<Upstream>,
    pub(crate) outcome: Outcome,
    /// Cancelled when the client leaves before its answer begins.
    pub(crate) gone: CancellationToken,
    /// Cancelled when the call begins to wait for a provider that starts, where anybody wants to know.
    pub(crate) held: Option<CancellationToken>,
}

/// The arm of a rollout that a unit was assigned to.
#[derive(Clone, Debug)]
pub(crate) struct Assigned {
    pub(crate) rollout: Arc<SnapshotRollout>,
    pub(crate) arm: Arm,
}

/// The provider that answered, or the last one that was tried.
#[derive(Clone, Debug)]
pub(crate) struct Upstream {
    pub(crate) provider: ProviderName,
    pub(crate) kind: &'static str,
    pub(crate) model: String,
    pub(crate) attempts: u32,
    pub(crate) fallback: bool,
    pub(crate) simulated: bool,
}

/// How the call went.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) status: u16,
    pub(crate) error: Option<ErrorKind>,
    pub(crate) answer_id: Option<String>,
    pub(crate) response_model: Option<String>,
    pub(crate) finish: Option<String>,
    pub(crate) refusal: bool,
    pub(crate) tool_calls: bool,
    pub(crate) usage: TokenUsage,
    pub(crate) cost: Option<Usd>,
    /// Whether the answer is longer than is kept.
    pub(crate) text_overflowed: bool,
    /// Whether the client left before the answer ended.
    pub(crate) abandoned: bool,
    pub(crate) first_byte_us: Option<u64>,
    /// From the arrival of the request to the end of the answer.
    pub(crate) duration_us: u64,
    /// The answer's text; `None` where it was longer than is kept.
    pub(crate) text: Option<String>,
    pub(crate) input: Option<String>,
}

// === impl Exchange ===

impl Exchange {
    /// Returns microseconds since the request arrived.
    pub(crate) fn elapsed_us(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    /// Names the unit: the header, else the user of the dialect, else the request itself. An empty user is none, as all of them would be one unit;
    /// a long one is named by its digest.
    pub(crate) fn unit(id: InferenceId, header: Option<&str>, user: Option<&str>) -> Unit {
        let named = |kind, value: &str| Unit { kind, value: value.to_owned() };
        match (header, user.filter(|user| !user.is_empty())) {
            (Some(unit), _) => named(UnitKind::Header, unit),
            (None, Some(user)) if user.len() > UNIT_BYTES_MAX => {
                named(UnitKind::User, &Digest::of(user.as_bytes()).to_string())
            }
            (None, Some(user)) => named(UnitKind::User, user),
            (None, None) => named(UnitKind::Request, &id.to_string()),
        }
    }

    /// Returns the record of the call as it stands, without checks.
    pub(crate) fn record(&self) -> InferenceRecord {
        let Outcome {
            status, error, answer_id, response_model, finish, usage, cost, first_byte_us, duration_us, ..
        } = self.outcome.clone();
        let upstream = self.upstream.as_ref();
        InferenceRecord {
            schema_version: SCHEMA_VERSION,
            id: self.id,
            project: self.key.project.clone(),
            environment: self.environment.clone(),
            key: self.key.id,
            prompt: self.prompt.clone(),
            version: self.version,
            rollout: self.arm.as_ref().map(|assigned| assigned.rollout.id),
            arm: self.arm.as_ref().map(|assigned| assigned.arm),
            stage: self.arm.as_ref().map(|assigned| assigned.rollout.stage),
            unit: self.unit.clone(),
            dialect: self.dialect.to_owned(),
            provider: upstream.map(|upstream| upstream.provider.clone()),
            provider_kind: upstream.map(|upstream| upstream.kind.to_owned()),
            model: self.model.clone(),
            upstream_model: upstream.map(|upstream| upstream.model.clone()),
            response_model,
            answer_id,
            started_at: self.started_at,
            first_byte_us,
            duration_us,
            stream: self.stream,
            status,
            error,
            finish,
            usage,
            cost,
            checks: BTreeMap::new(),
            attempts: upstream.map_or(0, |upstream| upstream.attempts),
            fallback: upstream.is_some_and(|upstream| upstream.fallback),
            simulated: upstream.is_some_and(|upstream| upstream.simulated),
            content: None,
        }
    }

    /// Returns the content of the call, for projects that capture it.
    pub(crate) fn content(&self) -> Content {
        let Outcome { input, text, .. } = &self.outcome;
        Content { input: input.clone().unwrap_or_default(), output: text.clone().unwrap_or_default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unit_has_a_name_and_not_too_long_a_one() {
        let id = InferenceId::generate(Timestamp::from_micros(1_790_000_000_000_000));
        let check = |header: Option<&str>, user: Option<&str>, kind: UnitKind, value: &str| {
            let unit = Exchange::unit(id, header, user);
            assert_eq!((unit.kind, unit.value.as_str()), (kind, value), "{header:?} {user:?}");
        };
        let own = id.to_string();
        let (most, more) = ("u".repeat(UNIT_BYTES_MAX), "u".repeat(UNIT_BYTES_MAX + 1));
        check(Some("a"), Some("b"), UnitKind::Header, "a");
        check(None, Some("b"), UnitKind::User, "b");
        check(None, Some(&most), UnitKind::User, &most);
        check(None, Some(&more), UnitKind::User, &Digest::of(more.as_bytes()).to_string());
        check(None, Some(""), UnitKind::Request, &own);
        check(None, None, UnitKind::Request, &own);
    }
}
