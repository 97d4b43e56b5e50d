//! Project chores: `cargo xtask help` lists them, `CONTRIBUTING.md` says when to use which.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a tool for people at a terminal")]

mod commands;
mod debian;
mod environment;
mod fences;
mod go;
mod helm;
mod machine;
mod process;
mod stopwatch;
mod tool_cache;
mod workspace;

use std::process::ExitCode;

fn main() -> ExitCode {
    match commands::run() {
        Ok(outcome) => outcome.exit_code(),
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
