use bowline_store::{
    LogAction, LogRow, ObservationRecord, PointerRecord, QuarantineRecord, RolloutRecord, RolloutState, Write,
};
use bowline_types::{Digest, Timestamp};
use serde_json::Value;

use crate::error::{Error, Result};

/// The actor of rows that no person wrote.
pub const VERDICT: &str = "verdict";

/// How a rollout ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The pointer moves to the candidate.
    Promoted,
    /// The candidate lost: it is quarantined.
    RolledBack,
    /// A person ended it: the candidate is quarantined.
    Aborted,
    /// Another version takes its place; the candidate may come again.
    Superseded,
}

/// The end of a rollout, and why.
#[derive(Clone, Debug, PartialEq)]
pub struct Conclusion {
    /// How it ends.
    pub end: End,
    /// Who decided: a person, or `verdict`.
    pub actor: String,
    /// Why, in words.
    pub why: String,
    /// The numbers under it, for the log row.
    pub evidence: Option<Value>,
    /// When.
    pub at: Timestamp,
}

/// Returns the writes that end a rollout: its last state, the pointer move where it was promoted, the quarantine of the candidate
/// where it lost, and the log row, for one transaction.
///
/// # Errors
/// [`Error::RolloutEnded`] where it has ended already.
pub fn conclude(rollout: &RolloutRecord, conclusion: Conclusion) -> Result<Vec<Write>> {
    refuse_ended(rollout)?;
    let Conclusion { end, actor, why, evidence, at } = conclusion;
    let (state, action) = match end {
        End::Promoted => (RolloutState::Promoted, LogAction::Promoted),
        End::RolledBack => (RolloutState::RolledBack, LogAction::RolledBack),
        End::Aborted => (RolloutState::Aborted, LogAction::Aborted),
        End::Superseded => (RolloutState::Superseded, LogAction::Superseded),
    };
    let ended = RolloutRecord { state, ended_at: Some(at), why: why.clone(), ..rollout.clone() };
    let mut writes = vec![put(rollout, ended)];
    if end == End::Promoted {
        let pointer = PointerRecord {
            scope: rollout.scope.clone(),
            prompt: rollout.prompt.clone(),
            version: rollout.candidate,
            success: rollout.success.clone(),
            moved_at: at,
        };
        writes.push(Write::PointerPut { pointer, expected: Some(rollout.stable) });
    }
    if matches!(end, End::RolledBack | End::Aborted) {
        writes.push(quarantine(rollout, rollout.candidate, &why, at));
    }
    let (from, to) = match end {
        End::Promoted => (rollout.stable, rollout.candidate),
        End::RolledBack | End::Aborted | End::Superseded => (rollout.candidate, rollout.stable),
    };
    let row = row(rollout, action, from, to);
    writes.push(Write::LogAppend(LogRow { at, actor, why, evidence, ..row }));
    Ok(writes)
}

/// Returns the writes that take a rollout to its next stage.
///
/// # Errors
/// [`Error::RolloutEnded`] where it has ended.
pub fn advance(rollout: &RolloutRecord, why: String, evidence: Option<Value>, at: Timestamp) -> Result<Vec<Write>> {
    refuse_ended(rollout)?;
    let stage = rollout.stage.saturating_add(1);
    let next = RolloutRecord { stage, stage_started_at: at, ..rollout.clone() };
    let stays = row(rollout, LogAction::StageAdvanced, rollout.stable, rollout.stable);
    let log = Write::LogAppend(LogRow { at, actor: VERDICT.to_owned(), why, evidence, ..stays });
    Ok(vec![put(rollout, next), log])
}

/// Returns the writes that hold a rollout for a person to decide; the candidate keeps its share.
///
/// # Errors
/// [`Error::RolloutEnded`] where it has ended.
pub fn hold(rollout: &RolloutRecord, why: String, evidence: Option<Value>, at: Timestamp) -> Result<Vec<Write>> {
    refuse_ended(rollout)?;
    let held = RolloutRecord { state: RolloutState::Held, why: why.clone(), ..rollout.clone() };
    let stays = row(rollout, LogAction::Held, rollout.stable, rollout.stable);
    let log = Write::LogAppend(LogRow { at, actor: VERDICT.to_owned(), why, evidence, ..stays });
    Ok(vec![put(rollout, held), log])
}

/// Returns the writes that append frozen observations and move the frontier of a rollout, and the rollout after them: what follows
/// in the same transaction is computed from that.
///
/// # Errors
/// [`Error::RolloutEnded`] where it has ended.
pub fn observe(
    rollout: &RolloutRecord,
    observations: Vec<ObservationRecord>,
    frontier: Timestamp,
    evidence: Value,
) -> Result<(Vec<Write>, RolloutRecord)> {
    refuse_ended(rollout)?;
    let mut next = RolloutRecord { frontier, evidence: Some(evidence), ..rollout.clone() };
    let mut writes: Vec<Write> = observations.into_iter().map(Write::ObservationAppend).collect();
    next.revision = rollout.revision + 1;
    writes.push(Write::RolloutPut { rollout: Box::new(next.clone()), expected: Some(rollout.revision) });
    Ok((writes, next))
}

fn refuse_ended(rollout: &RolloutRecord) -> Result<()> {
    if rollout.state.is_active() {
        return Ok(());
    }
    Err(Error::RolloutEnded { number: rollout.number, state: rollout.state.as_str() })
}

fn put(before: &RolloutRecord, mut after: RolloutRecord) -> Write {
    after.revision = before.revision + 1;
    Write::RolloutPut { rollout: Box::new(after), expected: Some(before.revision) }
}

fn quarantine(rollout: &RolloutRecord, version: Digest, why: &str, at: Timestamp) -> Write {
    Write::QuarantinePut(QuarantineRecord {
        scope: rollout.scope.clone(),
        prompt: rollout.prompt.clone(),
        version,
        rollout: Some(rollout.id),
        why: why.to_owned(),
        at,
    })
}

fn row(rollout: &RolloutRecord, action: LogAction, from: Digest, to: Digest) -> LogRow {
    LogRow {
        sequence: 0,
        scope: rollout.scope.clone(),
        prompt: Some(rollout.prompt.clone()),
        at: rollout.started_at,
        actor: String::new(),
        action,
        from: Some(from),
        to: Some(to),
        rollout: Some(rollout.id),
        commit: rollout.provenance.commit.clone(),
        why: String::new(),
        evidence: None,
    }
}

#[cfg(test)]
mod tests;
