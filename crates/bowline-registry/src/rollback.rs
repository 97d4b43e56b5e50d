use bowline_store::{EnvironmentRecord, Freeze, LogAction, LogRow, PointerRecord, QuarantineRecord, Write};
use bowline_types::{Digest, PromptName, Scope, Timestamp};

use crate::environment::EnvironmentState;
use crate::error::{Error, Result};
use crate::rollout::{Conclusion, End, conclude};

/// A person's wish to go back, which works at once, a frozen environment included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rollback {
    /// The prompt.
    pub prompt: PromptName,
    /// The version to go to, in full or by the first digits of its digest; `None` is the one before the present one.
    pub to: Option<String>,
    /// Who.
    pub actor: String,
    /// Why.
    pub why: String,
}

/// A wish that nothing moves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FreezeRequest {
    /// Who.
    pub actor: String,
    /// Why.
    pub why: String,
}

/// Returns the writes of a rollback and the version it goes to.
///
/// Where a rollout runs and no version is named, the rollout is aborted and the pointer stays, as its stable version is the one
/// before. The version that is left is quarantined, so that the next release of the same commit does not bring it back.
/// `history` is the pointer log of the prompt, newest first.
///
/// # Errors
/// Says that the prompt, or the version, has never been here.
pub fn rollback(
    state: &EnvironmentState,
    request: &Rollback,
    history: &[LogRow],
    at: Timestamp,
) -> Result<(Vec<Write>, Digest)> {
    let pointer = state.pointer(&request.prompt)?;
    let mut writes = Vec::new();
    if let Some(rollout) = state.rollouts.get(&request.prompt) {
        let why = format!("rolled back by {}: {}", request.actor, request.why);
        let actor = request.actor.clone();
        writes.extend(conclude(rollout, Conclusion { end: End::Aborted, actor, why, evidence: None, at })?);
        if request.to.is_none() {
            return Ok((writes, pointer.version));
        }
    }
    let to = target(state, request, pointer, history)?;
    if to == pointer.version {
        return Ok((writes, to));
    }
    let (scope, prompt) = (state.scope.clone(), request.prompt.clone());
    let why = format!("rolled back: {}", request.why);
    let moved = PointerRecord { version: to, moved_at: at, ..pointer.clone() };
    writes.push(Write::PointerPut { pointer: moved, expected: Some(pointer.version) });
    writes.push(Write::QuarantinePut(QuarantineRecord {
        scope: scope.clone(),
        prompt: prompt.clone(),
        version: pointer.version,
        rollout: None,
        why: why.clone(),
        at,
    }));
    writes.push(Write::QuarantineRemove { scope: scope.clone(), prompt: prompt.clone(), version: to });
    writes.push(Write::LogAppend(LogRow {
        sequence: 0,
        scope,
        prompt: Some(prompt),
        at,
        actor: request.actor.clone(),
        action: LogAction::Moved,
        from: Some(pointer.version),
        to: Some(to),
        rollout: None,
        commit: None,
        why,
        evidence: None,
    }));
    Ok((writes, to))
}

fn target(state: &EnvironmentState, request: &Rollback, pointer: &PointerRecord, history: &[LogRow]) -> Result<Digest> {
    let environment = state.scope.environment.clone();
    let moves = history.iter().filter(|row| row.prompt.as_ref() == Some(&request.prompt));
    let moves = moves.filter(|row| matches!(row.action, LogAction::Moved | LogAction::Promoted));
    let Some(wanted) = &request.to else {
        // A version that was left by a rollback is quarantined: a second rollback goes on back, not forth to it.
        let sound =
            |digest: &Digest| *digest != pointer.version && state.quarantined(&request.prompt, *digest).is_none();
        let before = moves.filter_map(|row| row.from).find(sound);
        return before.ok_or_else(|| Error::NothingBefore { environment, prompt: request.prompt.clone() });
    };
    let prefix = wanted.strip_prefix("sha256:").unwrap_or(wanted);
    let matches = |digest: &Digest| prefix.len() >= 4 && digest.hex().starts_with(prefix);
    let mut seen: Vec<Digest> = moves.flat_map(|row| [row.from, row.to]).flatten().filter(matches).collect();
    seen.sort_unstable();
    seen.dedup();
    match seen[..] {
        [only] => Ok(only),
        _ => Err(Error::VersionUnknown { environment, prompt: request.prompt.clone(), version: wanted.clone() }),
    }
}

/// Returns the writes that freeze an environment: releases, promotions and stages stop; serving and rolling back do not.
#[must_use]
pub fn freeze(state: &EnvironmentState, request: FreezeRequest, at: Timestamp) -> Vec<Write> {
    let row = row(&state.scope, LogAction::Frozen, &request, at);
    let freeze = Some(Freeze { actor: request.actor, why: request.why, at });
    vec![record(state, freeze), Write::LogAppend(row)]
}

/// Returns the writes that lift a freeze.
#[must_use]
pub fn unfreeze(state: &EnvironmentState, request: &FreezeRequest, at: Timestamp) -> Vec<Write> {
    let row = row(&state.scope, LogAction::Unfrozen, request, at);
    vec![record(state, None), Write::LogAppend(row)]
}

fn record(state: &EnvironmentState, freeze: Option<Freeze>) -> Write {
    Write::EnvironmentPut(EnvironmentRecord { freeze, ..state.record() })
}

fn row(scope: &Scope, action: LogAction, request: &FreezeRequest, at: Timestamp) -> LogRow {
    LogRow {
        sequence: 0,
        scope: scope.clone(),
        prompt: None,
        at,
        actor: request.actor.clone(),
        action,
        from: None,
        to: None,
        rollout: None,
        commit: None,
        why: request.why.clone(),
        evidence: None,
    }
}

#[cfg(test)]
mod tests;
