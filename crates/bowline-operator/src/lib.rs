//! The operator on Kubernetes: turns the kinds that people write into releases, and what the control role knows into projections.
//!
//! It decides nothing and holds no state of its own: the spec of a PromptBundle and a registry go in at one side, the control API is
//! asked at the other, by the same client as that of the command line, and what the control role answers is written as objects. Whatever it is
//! in the middle of when it is killed, another replica does again, to the same effect. Why it is like that is ADR 10.

mod apply;
mod backend;
mod bundle;
mod condition;
mod context;
mod error;
mod event;
mod freeze;
mod key;
mod lease;
mod lever;
mod metrics;
mod project;
mod projection;
mod review;
mod run;
mod tokens;

pub use backend::{Accelerators, AcceleratorsError, BackendOptions};
pub use context::{ControlSource, Options};
pub use metrics::Metrics;
pub use project::Namespaces;
pub use review::{ReviewFailed, Reviewer};
pub use run::{ConnectError, Handle, Operator, connect};
