//! The command line as people use it: the built binary on real projects in real Git repositories.
#![expect(clippy::unwrap_used, clippy::panic, clippy::string_slice, reason = "a test that cannot go on fails")]

mod change;
mod check;
mod kill;
mod project;
mod prompt;
mod roles;
mod serving;
mod soak;
mod stability;
mod up;
mod upstream;
