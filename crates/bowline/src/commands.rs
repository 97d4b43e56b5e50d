//! The commands: one verb per file.

mod backup;
mod bundle;
mod check;
mod definitions;
mod environment;
mod freeze;
mod image;
mod inference;
mod key;
mod live;
mod lock;
mod prompt;
mod release;
mod restore;
mod rollback;
mod rollout;
mod run;
mod schema;
mod sim;
mod test;

use std::process::ExitCode;

use crate::cli::{Arguments, Command, Environment, Global, Image, Inference, Key, Prompt, Rollout};
use crate::connect::{self, Connection};
use crate::failure::Result;
use crate::{demo, serve, up};
use rollout::end::Verb;

/// Runs a command.
///
/// # Errors
/// What the command could not do; where it did its work and found something wrong, the exit code says so.
pub(crate) async fn run(arguments: Arguments) -> Result<ExitCode> {
    let Arguments { global, command } = &arguments;
    // Boxed, as the future of this one would else be as large as all of theirs.
    match command {
        Command::Demo(demo) => Box::pin(demo::run(demo)).await,
        Command::Up(up) => Box::pin(up::run(global, up)).await,
        Command::Serve(serve) => Box::pin(serve::run(global, serve)).await,
        Command::Check(check) => Box::pin(check::run(global, check)).await,
        Command::Test(test) => Box::pin(test::run(global, test)).await,
        Command::Prompt(command) => done(Box::pin(prompt(global, command)).await),
        Command::Run(run) => done(Box::pin(run::run(global, run)).await),
        Command::Lock(lock) => lock::run(global, lock),
        Command::Bundle(command) => done(Box::pin(bundle::run(global, command)).await),
        Command::Release(release) => done(Box::pin(release::run(global, release)).await),
        Command::Rollback(rollback) => done(Box::pin(rollback::run(global, rollback)).await),
        Command::Freeze(freeze) => done(Box::pin(freeze::run(global, freeze)).await),
        Command::Environment(command) => done(Box::pin(environment(global, command)).await),
        Command::Rollout(command) => Box::pin(rollout(global, command)).await,
        Command::Key(command) => done(Box::pin(key(global, command)).await),
        Command::Inference(command) => done(Box::pin(inference(global, command)).await),
        Command::Image(command) => done(Box::pin(image(global, command)).await),
        Command::Backup(backup) => done(Box::pin(backup::run(global, backup)).await),
        Command::Restore(restore) => done(restore::run(global, restore)),
        Command::Schema(schema) => done(schema::run(schema)),
        Command::Definitions => done(definitions::run(global)),
        Command::Sim(sim) => done(Box::pin(sim::run(sim)).await),
    }
}

async fn prompt(global: &Global, command: &Prompt) -> Result<()> {
    match command {
        Prompt::List => prompt::list::run(global),
        Prompt::Render(render) => prompt::render::run(global, render),
        Prompt::Diff(diff) => prompt::diff::run(global, diff).await,
    }
}

async fn environment(global: &Global, command: &Environment) -> Result<()> {
    match command {
        Environment::List => environment::list::run(global).await,
        Environment::Log(log) => environment::log::run(global, log).await,
        Environment::Create(create) => environment::create::run(global, create).await,
        Environment::Delete(delete) => environment::delete::run(global, delete).await,
    }
}

async fn rollout(global: &Global, command: &Rollout) -> Result<ExitCode> {
    match command {
        Rollout::List(list) => done(rollout::list::run(global, list).await),
        Rollout::Watch(watch) => done(rollout::watch::run(global, watch).await),
        Rollout::Explain(number) => done(rollout::explain::run(global, number).await),
        Rollout::Promote(end) => done(rollout::end::run(global, end, Verb::Promote).await),
        Rollout::Abort(end) => done(rollout::end::run(global, end, Verb::Abort).await),
        Rollout::Replay(number) => rollout::replay::run(global, number).await,
        Rollout::Plan(plan) => done(rollout::plan::run(global, plan).await),
    }
}

async fn key(global: &Global, command: &Key) -> Result<()> {
    match command {
        Key::Create(create) => key::create::run(global, create).await,
        Key::List(list) => key::list::run(global, list).await,
        Key::Revoke(revoke) => key::revoke::run(global, revoke).await,
    }
}

async fn inference(global: &Global, command: &Inference) -> Result<()> {
    match command {
        Inference::List(list) => inference::list::run(global, list).await,
        Inference::Show(show) => inference::show::run(global, show).await,
        Inference::Tail(tail) => inference::tail::run(global, tail).await,
    }
}

async fn image(global: &Global, command: &Image) -> Result<()> {
    match command {
        Image::Build(build) => image::build::run(global, build).await,
        Image::Inspect(inspect) => image::inspect::run(global, inspect).await,
    }
}

fn done(result: Result<()>) -> Result<ExitCode> {
    result.map(|()| ExitCode::SUCCESS)
}

/// Does work with the control role, and lets go of the store afterwards, however it went.
async fn connected<T>(global: &Global, work: impl AsyncFnOnce(&Connection) -> Result<T>) -> Result<T> {
    let connection = connect::open(global).await?;
    let result = work(&connection).await;
    connection.close().await;
    result
}
