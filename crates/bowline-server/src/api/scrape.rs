//! Rollouts as metrics show them.

use std::time::Duration;

use bowline_store::{RolloutFilter, RolloutRecord};
use bowline_telemetry::RolloutStatus;

use crate::control::Control;
use crate::driver;
use crate::error::Result;

/// How long a rollout that ended stays in the metrics, so that its last state is scraped.
const ENDED_SHOWN: Duration = Duration::from_secs(3_600);

/// Returns the rollouts that run, and those that ended lately.
pub(super) async fn rollouts(control: &Control) -> Result<Vec<RolloutStatus>> {
    let shown_since = control.now().before(ENDED_SHOWN);
    let rollouts = control.store().rollout_list(RolloutFilter::default()).await?;
    let shown = rollouts.iter().filter(|rollout| rollout.ended_at.is_none_or(|ended| ended >= shown_since));
    shown.map(status).collect()
}

fn status(rollout: &RolloutRecord) -> Result<RolloutStatus> {
    let evidence = driver::evidence(rollout)?;
    Ok(RolloutStatus {
        project: rollout.scope.project.clone(),
        environment: rollout.scope.environment.clone(),
        prompt: rollout.prompt.clone(),
        number: rollout.number,
        state: rollout.state,
        stage: rollout.stage,
        units_stable: evidence.arms.stable.units,
        units_candidate: evidence.arms.candidate.units,
        e_rollback: evidence.rollback.e_value.to_f64(),
        e_promote: evidence.promotion.e_value.to_f64(),
    })
}
