//! The JSON bodies between a gateway and the control role, under `/internal/v1`. Neither side is a version ahead by more than one, so
//! fields are only ever added, and neither refuses those it does not know.

use std::collections::BTreeMap;

use bowline_store::{InferenceRecord, LossRecord, OutcomeRecord};
use bowline_types::{Digest, RolloutId, Timestamp};
use serde::{Deserialize, Serialize};

/// The query of `GET /internal/v1/news`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewsQuery {
    /// The newest schema of snapshots that the gateway reads.
    pub schema: u32,
    /// The digest of the snapshot that the gateway has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub known: Option<Digest>,
    /// How long the answer may wait for another one, in milliseconds; at most [`News::WAIT_MS_MAX`] is waited.
    #[serde(default)]
    pub wait_ms: u64,
}

/// The answer to `GET /internal/v1/news`: at once where the gateway's snapshot is not the present one, else when that changes, else
/// after the wait. Each one confirms the snapshot and renews leases.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct News {
    /// The digest of the present snapshot.
    pub digest: Digest,
    /// Its epoch.
    pub epoch: u64,
    /// The control role's clock at the time of the answer.
    pub now: Timestamp,
    /// How long the answer waited, in microseconds: what of the round trip was not the network.
    pub waited_us: u64,
    /// For how long each candidate may be served from the time of the answer, in microseconds. Not until when: clocks differ.
    pub leases_us: BTreeMap<RolloutId, u64>,
    /// The newest schema of records that the control role reads.
    pub record_schema: u32,
}

/// The query of `GET /internal/v1/snapshot`. The answer is the snapshot as JSON, in gzip, with its digest as `ETag`; to a matching
/// `If-None-Match` it is 304 without a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotQuery {
    /// The newest schema of snapshots that the gateway reads.
    pub schema: u32,
}

/// The answer to `GET /internal/v1/secret`.
#[derive(Clone, Serialize, Deserialize)]
pub struct SecretView {
    /// The secret under the MAC of inference ids, in hexadecimal digits; the same for all gateways of a control role.
    pub token_secret: String,
}

/// The body of `POST /internal/v1/records`. The answer is 204 once all of it is durable; sent again, it changes nothing.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RecordsRequest {
    /// Calls that were served.
    #[serde(default)]
    pub inferences: Vec<InferenceRecord>,
    /// What was learned about them later.
    #[serde(default)]
    pub outcomes: Vec<OutcomeRecord>,
    /// Totals of what could not be kept.
    #[serde(default)]
    pub losses: Vec<LossRecord>,
}

// === impl News ===

impl News {
    /// The longest wait of an answer, in milliseconds: a gateway notices within seconds that nobody is there any more.
    pub const WAIT_MS_MAX: u64 = 30_000;
}

// === impl RecordsRequest ===

impl RecordsRequest {
    /// Returns the newest schema among the records.
    #[must_use]
    pub fn schema(&self) -> u32 {
        let inferences = self.inferences.iter().map(|record| record.schema_version);
        inferences.chain(self.outcomes.iter().map(|outcome| outcome.schema_version)).max().unwrap_or(0)
    }
}

// === impl SecretView ===

impl std::fmt::Debug for SecretView {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SecretView(…)")
    }
}
