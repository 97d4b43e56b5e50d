//! Rollouts: what people see of them, and what they decide.

use bowline_canary::explain;
use bowline_registry::{Conclusion, End, EnvironmentState, conclude};
use bowline_store::{LIST_ROWS_MAX, LogFilter, LogRow, ObservationRecord, RolloutFilter, RolloutRecord, SummaryFilter};
use bowline_types::ProjectName;
use serde::Deserialize as _;
use serde_json::Value;

use super::Control;
use crate::driver::{self, Judge};
use crate::error::{Error, Result};
use crate::wire::{ActionRequest, ReplayView, RolloutView, Ruling, RulingReplay};

impl Control {
    /// Lists rollouts, newest first.
    ///
    /// # Errors
    /// Fails where the store does.
    pub async fn rollout_list(&self, project: &ProjectName, active: bool) -> Result<Vec<RolloutRecord>> {
        let filter = RolloutFilter { project: Some(project.clone()), active, ..RolloutFilter::default() };
        Ok(self.shared.store.rollout_list(filter).await?)
    }

    async fn rollout(&self, project: &ProjectName, number: u64) -> Result<RolloutRecord> {
        let rollouts = self.rollout_list(project, false).await?;
        rollouts.into_iter().find(|rollout| rollout.number == number).ok_or_else(|| Error::NotFound {
            noun: "rollout",
            name: number.to_string(),
            hint: "`bowline rollout list` shows them",
        })
    }

    /// Fetches a rollout with what people judge it by.
    ///
    /// # Errors
    /// Says that there is no such rollout.
    pub async fn rollout_view(&self, project: &ProjectName, number: u64) -> Result<RolloutView> {
        let store = self.shared.store.as_ref();
        let mut turn = self.shared.turn.lock().await;
        let rollout = self.rollout(project, number).await?;
        let lost = driver::lost(store, rollout.id).await?;
        let judge = turn.driver.judge(store, &rollout).await?;
        let decision = rollout.state.is_active().then(|| judge.rule(&rollout, lost, self.now()).decision);
        let (evidence, series) = (judge.evidence().clone(), judge.points());
        let explanation = explain(&evidence, judge.design());
        drop(turn);
        let filter = SummaryFilter {
            scope: rollout.scope.clone(),
            prompt: Some(rollout.prompt.clone()),
            rollout: Some(rollout.id),
            since: None,
        };
        let summary = store.summary_list(filter).await?;
        Ok(RolloutView { rollout, evidence, decision, summary, lost, explanation, series })
    }

    /// Lists observations of a rollout from a sequence on.
    ///
    /// # Errors
    /// Says that there is no such rollout.
    pub async fn observation_list(
        &self,
        project: &ProjectName,
        number: u64,
        from: u64,
    ) -> Result<Vec<ObservationRecord>> {
        let rollout = self.rollout(project, number).await?;
        Ok(self.shared.store.observation_list(rollout.id, from).await?)
    }

    /// Computes every decision of a rollout anew from its observation log and compares it with what was recorded.
    ///
    /// # Errors
    /// Says that there is no such rollout.
    pub async fn rollout_replay(&self, project: &ProjectName, number: u64) -> Result<ReplayView> {
        // No step may come between the record and the log.
        let turn = self.shared.turn.lock().await;
        let rollout = self.rollout(project, number).await?;
        let log = self.observations(&rollout).await?;
        let rows = self.rows(&rollout).await?;
        drop(turn);

        let mut judge = Judge::new(&rollout)?;
        let mut rest = log.as_slice();
        let mut rulings = Vec::new();
        for row in rows.iter().rev() {
            let Some(recorded) = &row.evidence else { continue };
            let corrupt = |source| bowline_registry::Error::Corrupt { noun: "ruling", source };
            let Ruling { stage, lost, evidence, .. } = Ruling::deserialize(recorded).map_err(corrupt)?;
            let seen = evidence.last_sequence.map_or(0, |last| last + 1);
            let split = rest.partition_point(|observation| observation.sequence < seen);
            let (before, after) = rest.split_at(split);
            before.iter().try_for_each(|observation| judge.push(number, observation))?;
            rest = after;
            let situated = RolloutRecord { stage, ..rollout.clone() };
            let replayed = driver::document("ruling", &judge.rule(&situated, lost, row.at))?;
            let equal = same_bits(recorded, &replayed);
            rulings.push(RulingReplay { at: row.at, recorded: recorded.clone(), replayed, equal });
        }
        rest.iter().try_for_each(|observation| judge.push(number, observation))?;
        let recorded = match rollout.evidence {
            Some(evidence) => evidence,
            None => driver::document("evidence", Judge::new(&rollout)?.evidence())?,
        };
        let replayed = driver::document("evidence", judge.evidence())?;
        let equal = same_bits(&recorded, &replayed) && rulings.iter().all(|ruling| ruling.equal);
        Ok(ReplayView { recorded, replayed, observations: judge.evidence().observations, rulings, equal })
    }

    /// Reads the whole observation log of a rollout.
    async fn observations(&self, rollout: &RolloutRecord) -> Result<Vec<ObservationRecord>> {
        let mut all: Vec<ObservationRecord> = Vec::new();
        loop {
            let from = all.last().map_or(0, |last| last.sequence + 1);
            let page = self.shared.store.observation_list(rollout.id, from).await?;
            if page.is_empty() {
                return Ok(all);
            }
            all.extend(page);
        }
    }

    /// Reads the rows of the pointer log that are about a rollout, newest first.
    async fn rows(&self, rollout: &RolloutRecord) -> Result<Vec<LogRow>> {
        let mut rows: Vec<LogRow> = Vec::new();
        let mut before = None;
        loop {
            let (scope, prompt) = (rollout.scope.clone(), Some(rollout.prompt.clone()));
            let page = self.shared.store.log_list(LogFilter { scope, prompt, before, limit: LIST_ROWS_MAX }).await?;
            let Some(last) = page.last() else { return Ok(rows) };
            let older = last.at < rollout.started_at;
            before = Some(last.sequence);
            rows.extend(page.into_iter().filter(|row| row.rollout == Some(rollout.id)));
            if older {
                return Ok(rows);
            }
        }
    }

    /// Ends a rollout by a person's word: promotes its candidate, or aborts it.
    ///
    /// # Errors
    /// Says that there is no such rollout, that it has ended, or that the environment is frozen.
    pub async fn rollout_end(
        &self,
        project: &ProjectName,
        number: u64,
        promote: bool,
        request: ActionRequest,
    ) -> Result<RolloutRecord> {
        let mut turn = self.shared.turn.lock().await;
        let rollout = self.rollout(project, number).await?;
        if promote {
            let scope = rollout.scope.clone();
            EnvironmentState::load(self.shared.store.as_ref(), scope).await?.refuse_frozen()?;
        }
        let (end, verb) = if promote { (End::Promoted, "promoted") } else { (End::Aborted, "aborted") };
        let why = format!("{verb} by {}: {}", request.actor, request.why);
        let conclusion = Conclusion { end, actor: request.actor, why, evidence: None, at: self.now() };
        self.commit(&mut turn, conclude(&rollout, conclusion)?).await?;
        self.rollout(project, number).await
    }
}

/// Floats are written in the shortest form that reads back as the same bits, so equal text is equal bits.
fn same_bits(left: &Value, right: &Value) -> bool {
    let text = |value: &Value| value.to_string();
    text(left) == text(right)
}
