use bowline_canary::Evidence;
use bowline_store::RolloutRecord;
use serde::Deserialize;

use crate::cli::{Global, RolloutList};
use crate::commands::connected;
use crate::failure::Result;
use crate::output::{Format, Table, json};
use crate::picture;
use crate::wording::moment;

/// Lists rollouts.
///
/// # Errors
/// The control role cannot be asked.
pub(crate) async fn run(global: &Global, list: &RolloutList) -> Result<()> {
    let rollouts = connected(global, async |connection| {
        let path = format!("/rollouts?active={}", list.active);
        Ok(connection.client.get::<Vec<RolloutRecord>>(&path).await?)
    });
    let rollouts = rollouts.await?;
    if global.output == Format::Json {
        return json(&rollouts);
    }
    let head = ["rollout", "prompt", "env", "stage", "stable", "candidate", "units", "state", "started (UTC)"];
    let mut table = Table::new(&head);
    for rollout in &rollouts {
        table.row([
            rollout.number.to_string(),
            rollout.prompt.to_string(),
            rollout.scope.environment.to_string(),
            picture::stage(rollout).trim_start_matches("stage ").to_owned(),
            rollout.stable.short(),
            rollout.candidate.short(),
            units(rollout).to_string(),
            rollout.state.as_str().replace('_', " "),
            moment(rollout.started_at),
        ]);
    }
    table.print(if list.active {
        "no rollout runs or waits for a person"
    } else {
        "there are no rollouts: a release to a guarded environment starts them"
    });
    Ok(())
}

fn units(rollout: &RolloutRecord) -> u64 {
    let evidence = rollout.evidence.as_ref().and_then(|evidence| Evidence::deserialize(evidence).ok());
    evidence.map_or(0, |evidence| evidence.observations)
}
