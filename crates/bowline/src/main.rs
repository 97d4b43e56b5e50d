//! The `bowline` binary: parse, run, exit code. Everything else is behind [`commands`].

mod cli;
mod commands;
mod connect;
mod demo;
mod failure;
mod findings;
mod host;
mod output;
mod picture;
mod project;
mod serve;
mod settings;
mod style;
mod up;
mod variables;
mod wording;
mod workspace;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let arguments = cli::Arguments::parse();
    settings::start_log(&arguments.global);
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failure::Failure::internal(anyhow::Error::new(error)).report(),
    };
    match runtime.block_on(commands::run(arguments)) {
        Ok(code) => code,
        Err(failure) => failure.report(),
    }
}
