//! The kinds without a cluster: bounds of their schemas, their rules with the messages that people see, and the examples of the documentation.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod bounds;
mod deploy;
mod examples;
mod rules;
