//! The control role over the real embedded store, with a clock moved by hand.
#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests stand outside of test functions")]

mod api;
mod changes;
mod console;
mod console_look;
mod crashes;
mod faulty;
mod internal;
mod links;
mod remote;
mod rollouts;
mod snapshots;
mod temporary;
mod world;
