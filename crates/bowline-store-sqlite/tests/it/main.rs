//! The store against its contract, in use, and when the disk fails.
#![expect(clippy::unwrap_used, reason = "a failed step fails the test")]

mod backup;
mod contract;
#[cfg(target_os = "linux")]
mod fault;
mod lifecycle;
mod property;
mod samples;
