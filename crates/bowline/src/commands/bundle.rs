//! `bowline bundle`: everything of one commit, locked, signed and sent.

pub(super) mod build;
pub(super) mod diff;
pub(super) mod inspect;
pub(super) mod key;
pub(super) mod pull;
pub(super) mod push;
pub(super) mod verify;

use crate::cli::{Bundle, BundleKey, Global};
use crate::failure::Result;

/// Runs a command of bundles.
///
/// # Errors
/// What the command could not do.
pub(super) async fn run(global: &Global, command: &Bundle) -> Result<()> {
    match command {
        Bundle::Build(build) => build::run(global, build),
        Bundle::Push(push) => push::run(global, push).await,
        Bundle::Pull(pull) => pull::run(global, pull).await,
        Bundle::Verify(verify) => verify::run(global, verify).await,
        Bundle::Inspect(inspect) => inspect::run(global, inspect).await,
        Bundle::Diff(diff) => diff::run(global, diff).await,
        Bundle::Key(BundleKey::Generate(generate)) => key::generate(global, generate),
    }
}
