//! The simulator and the load generator from the outside.
#![expect(clippy::unwrap_used, reason = "helper functions of tests")]

mod accuracy;
mod load;
mod simulator;
mod support;
