//! The gateway as applications see it: a real server and real upstreams on loopback sockets, in one process.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![expect(clippy::disallowed_methods, reason = "what a test spawns ends with its runtime")]

mod calls;
mod dialects;
mod faults;
mod holds;
mod journal;
mod prompts;
mod records;
mod standing;
mod subjects;
mod support;
