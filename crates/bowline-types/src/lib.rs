//! What more than one domain of Bowline needs: ids, digests, money, token counts, time, secrets and error kinds.
//!
//! A type is defined beside its interface first and moves here only when a second domain needs it. Nothing here does IO.

mod arm;
mod clock;
pub mod conformance;
mod digest;
mod duration;
mod error;
mod id;
mod load;
mod money;
mod name;
mod secret;
mod success;
mod text;
mod usage;

pub use arm::{Arm, Unit, UnitKind};
pub use clock::{Clock, SystemClock, Timestamp};
pub use digest::{Digest, DigestParseError};
pub use duration::{duration_text, format_duration, parse_duration};
pub use error::{Actor, ErrorKind, ErrorSpec, chain};
pub use id::{
    ApiKey, ApiKeyHash, ApiKeyParseError, IdParseError, InferenceId, InferenceToken, InstanceId, KeyId, OutcomeId,
    RolloutId, TokenSecret,
};
pub use load::{ProviderLoad, ProviderLoads};
pub use money::Usd;
pub use name::{EnvironmentName, ModelAlias, NameError, ProjectName, PromptName, ProviderName, Scope, Subject};
pub use secret::{Secret, SecretRef, SecretRefError};
pub use success::{Check, CheckResult, SuccessContract};
pub use text::closest;
pub use usage::TokenUsage;
