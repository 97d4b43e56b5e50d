//! ModelBackends: where a provider is, what credential gateways show it, and a model server where one is asked for.
//!
//! What follows from a backend is computed by pure functions, one file each: its address, its part in the configuration of the project, the
//! objects of a model server, and how many pods that has.

mod accelerator;
mod configure;
mod credential;
mod endpoint;
mod gateways;
mod memory;
mod merge;
mod name;
mod options;
mod reconcile;
mod render;
mod scale;
mod scaler;
mod serve;
mod status;

pub use accelerator::{Accelerators, AcceleratorsError};
pub use options::BackendOptions;

pub(crate) use configure::endpoints;
pub(crate) use endpoint::Endpoint;
pub(crate) use memory::Memory;
pub(crate) use merge::{foreign_file, merge};
pub(crate) use reconcile::{run, sweep};
