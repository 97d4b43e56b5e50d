//! The control role over the real embedded store, with a clock moved by hand.
#![expect(clippy::unwrap_used, reason = "helpers of tests stand outside of test functions")]

mod console_look;
mod world;
