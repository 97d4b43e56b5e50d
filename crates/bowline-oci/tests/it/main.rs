//! The client against registries: one in memory always, real ones where their programs are given.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on says so by panicking")]

mod authentication;
mod contract;
mod faults;
mod memory;
mod proxy;
mod tls;
mod world;
