//! Integration tests of the providers and the price table.

#![expect(clippy::unwrap_used, reason = "helper functions of tests fail by panic")]

mod chunking;
mod fixtures;
mod prices;
mod traffic;
