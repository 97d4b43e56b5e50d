//! The operator over an API server, a registry and a control role that are in this process; the control role is the real one.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on should stop")]

mod backends;
mod bundles;
mod crashes;
mod keys;
mod leader;
mod levers;
mod registry;
mod server;
mod world;
