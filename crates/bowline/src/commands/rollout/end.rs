use bowline_server::wire::ActionRequest;
use bowline_store::RolloutRecord;

use crate::cli::{Global, RolloutEnd};
use crate::commands::connected;
use crate::failure::Result;
use crate::output::{Format, json, line};
use crate::settings;

/// How a person ends a rollout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verb {
    /// The candidate goes live.
    Promote,
    /// Stable stays.
    Abort,
}

/// Ends a rollout by a person's word.
///
/// # Errors
/// There is no such rollout, it has ended, or its environment is frozen.
pub(crate) async fn run(global: &Global, end: &RolloutEnd, verb: Verb) -> Result<()> {
    let RolloutEnd { number, why } = end;
    let path = match verb {
        Verb::Promote => format!("/rollouts/{number}/promote"),
        Verb::Abort => format!("/rollouts/{number}/abort"),
    };
    let request = ActionRequest { actor: settings::actor(), why: why.clone(), off: false };
    let rollout =
        connected(global, async |connection| Ok(connection.client.post::<RolloutRecord>(&path, &request).await?));
    let rollout = rollout.await?;
    if global.output == Format::Json {
        return json(&rollout);
    }
    let live = match verb {
        Verb::Promote => rollout.candidate,
        Verb::Abort => rollout.stable,
    };
    line(format!("{}  {}  live in {}; {}", rollout.prompt, live.short(), rollout.scope.environment, rollout.why));
    Ok(())
}
