//! The provider simulator and load generator.
//!
//! A [`Simulator`] speaks the wire formats of the providers on loopback, and behaves as a [`Scenario`] says: waits, faults, and
//! the quality of a model that sorts by the definitions in its prompt. A [`Load`] drives a gateway with labelled [`Case`]s and
//! says what came of them. Both draw from seeds, so runs can be repeated.

mod case;
mod load;
mod model;
mod random;
mod scenario;
mod server;
mod tokens;

pub use case::{Case, CaseError};
pub use load::{Calls, Feedback, Limit, Load, LoadError, Percentiles, PromptCalls, Report, Tally};
pub use model::{Answer, answer};
pub use scenario::{Fault, FaultKind, Latency, Scenario, ScenarioError, Wait};
pub use server::{SIMULATED_HEADER, Simulator, SimulatorHandle, SimulatorOptions};
