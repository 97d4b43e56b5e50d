//! What Bowline says about the calls it serves: the checks of the success contract, the metrics, and the OTLP export.
//!
//! A gateway evaluates the [`Contract`] of a version on the [`Evidence`] of a call, keeps the record, and then, off the request
//! path, hands the record to [`Metrics`] and to the [`OtlpHandle`]. Every name that leaves Bowline stands once, in [`names`].
//!
//! Content (messages and answers) never leaves through here: neither metrics nor spans carry it.

pub mod cel;
mod checks;
mod measure;
mod metrics;
pub mod names;
mod otlp;
mod trace;

pub use checks::{Contract, ContractError, Evidence, UnknownReason};
pub use metrics::{
    InFlight, METRICS_CONTENT_TYPE, Metrics, Place, ProviderMeter, ReviewResult, RolloutStatus, UnderWay,
};
pub use otlp::{OtlpBuildError, OtlpHandle, OtlpOptions, OtlpService};
pub use trace::TraceContext;

#[cfg(test)]
mod testing;
