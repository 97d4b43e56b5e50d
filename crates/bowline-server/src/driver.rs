//! Runs rollouts: freezes mature observations, weighs them, and says what to write.
//!
//! Each step of a rollout is one transaction: the observations it froze, the new frontier, and the stage, hold or verdict that
//! follows from them. A crash leaves the step done or not done. On start the judge is rebuilt from the observation log, which
//! gives the same bits, so no decision is lost or made twice.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bowline_canary::{Action, Arms, Design, Evidence, WhenUndecided};
use bowline_registry::{Conclusion, End, VERDICT, advance, conclude, hold, observe};
use bowline_store::{InferenceRecord, LIST_ROWS_MAX, ObservationRecord, RolloutRecord, RolloutState, Store, Write};
use bowline_types::{Arm, CheckResult, RolloutId, Timestamp};
use serde::{Deserialize as _, Serialize};
use serde_json::Value;

use crate::error::{Error, Result};
use crate::wire::Ruling;

mod judge;

pub(crate) use judge::Judge;

/// The judges of the rollouts that run or are held.
#[derive(Default)]
pub(crate) struct Driver {
    judges: BTreeMap<RolloutId, Judge>,
    looks: BTreeMap<RolloutId, Look>,
}

/// The last look at a rollout.
struct Look {
    /// When it was judged: a candidate that nobody can judge must not be served on.
    at: Timestamp,
    /// Whether there was nothing new.
    quiet: bool,
}

/// One step of a rollout, computed but not yet committed.
pub(crate) struct Step {
    judge: Judge,
    /// Its transaction; empty where it is quiet.
    pub(crate) writes: Vec<Write>,
    /// Whether there is nothing to write.
    quiet: bool,
    /// Whether the stage, the state or the pointer changes, so that gateways must know.
    pub(crate) changed: bool,
    /// Whether more observations are waiting.
    pub(crate) more: bool,
}

// === impl Driver ===

impl Driver {
    /// Returns whether to look at a rollout now: at once where the last look brought something, else after `rest`.
    pub(crate) fn is_due(&self, id: RolloutId, rest: Duration, now: Timestamp) -> bool {
        self.looks.get(&id).is_none_or(|look| !look.quiet || now.since(look.at) >= rest)
    }

    /// Computes the next step of a rollout; `None` where it has ended.
    ///
    /// # Errors
    /// Fails where the store does; the next step then rebuilds the judge from the log.
    pub(crate) async fn prepare(&mut self, store: &dyn Store, id: RolloutId, now: Timestamp) -> Result<Option<Step>> {
        // Taken out, so that a step that is not settled drops it: what it has seen may not be in the log.
        let judge = self.judges.remove(&id);
        let Some(rollout) = store.rollout_fetch(id).await?.filter(|rollout| rollout.state.is_active()) else {
            return Ok(None);
        };
        let mut judge = match judge {
            Some(judge) => judge,
            None => Judge::rebuild(store, &rollout).await?,
        };
        let batch = Batch::mature(store, &rollout, &mut judge, now).await?;
        let lost = lost(store, id).await?;
        let ruling = judge.rule(&rollout, lost, now);
        let forward = matches!(ruling.decision.action, Action::Promote | Action::AdvanceStage { .. });
        let frozen = forward && frozen(store, &rollout).await?;

        let more = batch.more;
        let quiet = batch.records.is_empty();
        let (observed, rollout) =
            observe(&rollout, batch.records, batch.frontier, document("evidence", judge.evidence())?)?;
        let change = change(&rollout, &ruling, Limits { frozen, more }, now)?;
        let changed = !change.is_empty();
        // A step without news writes nothing: the frontier only matters once there is something behind it.
        let writes = if quiet && !changed { Vec::new() } else { [observed, change].concat() };
        Ok(Some(Step { judge, quiet: writes.is_empty(), writes, changed, more }))
    }

    /// Keeps what a committed step has learned.
    pub(crate) fn settle(&mut self, id: RolloutId, step: Step, now: Timestamp) {
        self.judges.insert(id, step.judge);
        self.looks.insert(id, Look { at: now, quiet: step.quiet });
    }

    /// Forgets the rollouts that have ended.
    pub(crate) fn retain(&mut self, active: &BTreeSet<RolloutId>) {
        self.judges.retain(|id, _| active.contains(id));
        self.looks.retain(|id, _| active.contains(id));
    }

    /// Returns when a rollout was last judged: at its start, where it has not been yet.
    pub(crate) fn judged_at(&self, rollout: &RolloutRecord) -> Timestamp {
        self.looks.get(&rollout.id).map_or(rollout.started_at, |look| look.at)
    }

    /// Returns the judge of a rollout as its log leaves it.
    ///
    /// # Errors
    /// Fails where the store does.
    pub(crate) async fn judge(&mut self, store: &dyn Store, rollout: &RolloutRecord) -> Result<&Judge> {
        let judge = match self.judges.remove(&rollout.id) {
            Some(judge) => judge,
            None => Judge::rebuild(store, rollout).await?,
        };
        Ok(self.judges.entry(rollout.id).or_insert(judge))
    }
}

/// Returns whether nothing may move in the environment of a rollout.
async fn frozen(store: &dyn Store, rollout: &RolloutRecord) -> Result<bool> {
    Ok(store.environment_fetch(rollout.scope.clone()).await?.is_some_and(|found| found.freeze.is_some()))
}

/// The units that became mature, frozen.
struct Batch {
    records: Vec<ObservationRecord>,
    frontier: Timestamp,
    more: bool,
}

impl Batch {
    /// Freezes the next mature units, in the order of their assignment, and shows them to the judge.
    ///
    /// The log keeps that order: what was assigned before the frontier and comes now is late, and late ones are unknown, so they
    /// say nothing out of turn.
    async fn mature(store: &dyn Store, rollout: &RolloutRecord, judge: &mut Judge, now: Timestamp) -> Result<Self> {
        let until = now.before(judge.design().plan.maturity);
        let maturing = store.maturing_list(rollout.id, until).await?;
        let more = maturing.len() >= usize::try_from(LIST_ROWS_MAX).unwrap_or(usize::MAX);
        let mut records = Vec::with_capacity(maturing.len());
        for unit in maturing {
            let record = freeze(rollout, unit.inference, judge.next_sequence());
            judge.push(rollout.number, &record)?;
            records.push(record);
        }
        // Those that did not fit into the list are not late.
        let reached = if more { records.last().map_or(rollout.frontier, |last| last.assigned_at) } else { until };
        Ok(Self { records, frontier: reached.max(rollout.frontier), more })
    }
}

/// Returns a value as records keep it.
pub(crate) fn document(noun: &'static str, value: &impl Serialize) -> Result<Value> {
    let corrupt = |source| Error::Registry(bowline_registry::Error::Corrupt { noun, source });
    serde_json::to_value(value).map_err(corrupt)
}

/// Returns the frozen design of a rollout.
pub(crate) fn design(rollout: &RolloutRecord) -> Result<Design> {
    let corrupt = |source| Error::Registry(bowline_registry::Error::Corrupt { noun: "design", source });
    Design::deserialize(&rollout.design).map_err(corrupt)
}

/// Returns the evidence of a rollout at its last step; that of no observations before the first one.
pub(crate) fn evidence(rollout: &RolloutRecord) -> Result<Evidence> {
    let corrupt = |source| Error::Registry(bowline_registry::Error::Corrupt { noun: "evidence", source });
    match &rollout.evidence {
        Some(evidence) => Evidence::deserialize(evidence).map_err(corrupt),
        None => Ok(bowline_canary::Engine::new(design(rollout)?).evidence().clone()),
    }
}

/// Returns the lost records of each arm, over all gateways.
pub(crate) async fn lost(store: &dyn Store, id: RolloutId) -> Result<Arms<u64>> {
    let mut arms = Arms::default();
    for loss in store.loss_list(id).await? {
        let count: &mut u64 = arms.get_mut(loss.arm);
        *count = count.saturating_add(loss.total);
    }
    Ok(arms)
}

/// The value of a unit at maturity. A record that came after its time was over is unknown, whatever it says.
fn freeze(rollout: &RolloutRecord, inference: InferenceRecord, sequence: u64) -> ObservationRecord {
    let late = inference.started_at < rollout.frontier;
    let value = match inference.success() {
        _ if late => None,
        CheckResult::Pass => Some(1.0),
        CheckResult::Fail => Some(0.0),
        CheckResult::Unknown => None,
    };
    ObservationRecord {
        rollout: rollout.id,
        sequence,
        assigned_at: inference.started_at,
        unit: inference.unit,
        // A store lists no inference without an arm here, and no gateway knows a stage that has not begun.
        arm: inference.arm.unwrap_or(Arm::Stable),
        stage: inference.stage.unwrap_or(rollout.stage).min(rollout.stage),
        value,
        inference: inference.id,
    }
}

/// What keeps a decision from being carried out now.
#[derive(Clone, Copy)]
struct Limits {
    /// The ruling moves something forward, and nothing may move in the environment.
    frozen: bool,
    /// More observations are waiting.
    more: bool,
}

/// Returns the writes that carry a ruling out.
///
/// - A rollback always is: it moves no pointer, and neither a freeze nor a hold is there to keep users on a bad candidate.
/// - Everything else waits until all observations are read, as a candidate that became worse may be told by those that wait.
/// - While held, a person decides what a rollback does not.
/// - While frozen, nothing is promoted and no stage begins.
fn change(rollout: &RolloutRecord, ruling: &Ruling, limits: Limits, at: Timestamp) -> Result<Vec<Write>> {
    let evidence = Some(document("ruling", ruling)?);
    let why = ruling.decision.reasons.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
    let ended =
        |end, why, evidence| conclude(rollout, Conclusion { end, actor: VERDICT.to_owned(), why, evidence, at });
    let held = rollout.state == RolloutState::Held;
    let undecided = |what: &str| format!("{what}: {why}");
    Ok(match ruling.decision.action {
        Action::Rollback => ended(End::RolledBack, why, evidence)?,
        _ if limits.more => Vec::new(),
        Action::Inconclusive { then: WhenUndecided::Rollback } => {
            ended(End::RolledBack, undecided("inconclusive"), evidence)?
        }
        Action::NoData { then: Some(WhenUndecided::Rollback) } => {
            ended(End::RolledBack, undecided("no data"), evidence)?
        }
        _ if held => Vec::new(),
        Action::Inconclusive { then: WhenUndecided::Hold } => hold(rollout, undecided("inconclusive"), evidence, at)?,
        Action::NoData { then: Some(WhenUndecided::Hold) } => hold(rollout, undecided("no data"), evidence, at)?,
        Action::Hold => hold(rollout, why, evidence, at)?,
        Action::Promote | Action::AdvanceStage { .. } if limits.frozen => Vec::new(),
        Action::Promote => ended(End::Promoted, why, evidence)?,
        Action::AdvanceStage { .. } => advance(rollout, why, evidence, at)?,
        Action::Continue | Action::NoData { then: None } => Vec::new(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rollout_without_news_rests() {
        let at = Timestamp::from_micros(1_790_000_000_000_000);
        let id = RolloutId::generate(at);
        let check = |quiet: Option<bool>, after_ms: u64, expected: bool| {
            let looks = quiet.map(|quiet| (id, Look { at, quiet })).into_iter().collect();
            let driver = Driver { looks, ..Driver::default() };
            let now = at.after(Duration::from_millis(after_ms));
            assert_eq!(driver.is_due(id, Duration::from_secs(1), now), expected, "{quiet:?}, {after_ms} ms");
        };
        check(None, 0, true);
        check(Some(false), 200, true);
        check(Some(true), 200, false);
        check(Some(true), 1_000, true);
    }
}
