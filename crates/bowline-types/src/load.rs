use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{ProjectName, ProviderName};

/// What a gateway has under way at one provider: how many pods of a model server are worth having follows from it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ProviderLoad {
    /// Calls that wait while the provider starts.
    pub held: u64,
    /// Tokens of the calls under way and of those that wait, estimated.
    pub tokens_in_flight: u64,
    /// Seconds since a call last asked for the provider; `None` where none has since the gateway began.
    pub last_call_seconds: Option<f64>,
}

/// The loads of a gateway, as `GET /backends` of its admin listener tells them: every provider of every project that it serves.
pub type ProviderLoads = BTreeMap<ProjectName, BTreeMap<ProviderName, ProviderLoad>>;
