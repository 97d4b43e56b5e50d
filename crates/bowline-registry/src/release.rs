use bowline_canary::{BaselineRate, Design, Plan};
use bowline_store::{
    EnvironmentRecord, Fence, LogAction, LogRow, PointerRecord, Provenance, RegistrationRecord, RolloutRecord,
    RolloutState, VersionRecord, Write,
};
use bowline_types::{Digest, PromptName, RolloutId, SuccessContract, Timestamp};
use serde::{Deserialize, Serialize};

use crate::environment::EnvironmentState;
use crate::error::{Error, Result};
use crate::rollout::{Conclusion, End, conclude};

/// A wish to make the versions of one commit live in an environment.
#[derive(Clone, Debug)]
pub struct Release {
    /// Who asks.
    pub actor: String,
    /// Where the versions came from.
    pub provenance: Provenance,
    /// How they came here.
    pub source: Source,
    /// The source that the environment declares.
    pub source_declared: Source,
    /// Whether the environment refuses dirty trees.
    pub protected: bool,
    /// Whether quarantined versions are tried again.
    pub retry: bool,
    /// The bundle that the versions came in.
    pub bundle: Option<Digest>,
    /// The place of this release among those of its origin; `None` where nothing keeps them in order.
    pub fence: Option<Fence>,
    /// The prompts.
    pub prompts: Vec<PromptRelease>,
}

/// One prompt of a release.
#[derive(Clone, Debug)]
pub struct PromptRelease {
    /// The prompt.
    pub name: PromptName,
    /// The version.
    pub version: VersionRecord,
    /// The success contract; no part of the version.
    pub success: SuccessContract,
    /// How the pointer moves.
    pub policy: Policy,
    /// Successes of the version now live, from which a rollout takes its bet.
    pub baseline: Option<BaselineRate>,
}

/// How a pointer moves.
#[derive(Clone, Debug, PartialEq)]
pub enum Policy {
    /// At once.
    Direct,
    /// By a rollout with this plan.
    Guarded(Box<Plan>),
}

/// How versions reach an environment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// `bowline up` reads the working tree.
    Worktree,
    /// `bowline release`.
    Cli,
    /// A bundle.
    Bundle,
}

/// What a release did with one prompt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReleaseResult {
    /// The prompt.
    pub prompt: PromptName,
    /// The version of this release.
    pub version: Digest,
    /// What became of it.
    pub status: ReleaseStatus,
}

/// What became of a released version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum ReleaseStatus {
    /// It is live already.
    Unchanged,
    /// It is being tried already.
    InRollout {
        /// The rollout.
        number: u64,
    },
    /// The pointer moved to it at once.
    Moved {
        /// The version before.
        from: Option<Digest>,
    },
    /// A rollout started.
    Started {
        /// The rollout.
        number: u64,
        /// The version that stays live meanwhile.
        stable: Digest,
        /// The running rollout that it took the place of.
        superseded: Option<u64>,
    },
    /// It is live again, and the rollout that tried another version ended.
    Withdrawn {
        /// The rollout that ended.
        number: u64,
    },
    /// It lost here before, and stays out until its digest changes or `--retry` is given.
    Held {
        /// Why it was quarantined.
        why: String,
    },
}

// === impl Source ===

impl Source {
    /// Returns the word of the project file.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Worktree => "worktree",
            Self::Cli => "cli",
            Self::Bundle => "bundle",
        }
    }
}

// === impl Release ===

impl Release {
    /// Returns the writes of this release and what it does with each prompt, in the order given.
    ///
    /// One rollout starts for each prompt whose version changed and whose policy is guarded. A prompt that is live but not in the
    /// release stays live: applications still call it.
    ///
    /// # Errors
    /// Refuses the whole release where the environment is frozen, has another source, or is protected and the tree is dirty, and where its
    /// fence was passed by a later release. The same revision may come again: what it asked for is there, and nothing changes.
    pub fn plan(&self, state: &EnvironmentState, now: Timestamp) -> Result<(Vec<Write>, Vec<ReleaseResult>)> {
        self.refuse(state)?;
        let mut number = state.next_number;
        let (mut writes, mut results) = (self.fenced(state), Vec::new());
        for prompt in &self.prompts {
            writes.push(Write::VersionPut(prompt.version.clone()));
            writes.push(Write::RegistrationPut(self.registration(state, prompt, now)));
            let (changes, status) = self.change(state, prompt, number, now)?;
            number += u64::from(matches!(status, ReleaseStatus::Started { .. }));
            writes.extend(changes);
            results.push(ReleaseResult { prompt: prompt.name.clone(), version: prompt.version.digest, status });
        }
        Ok((writes, results))
    }

    fn refuse(&self, state: &EnvironmentState) -> Result<()> {
        let environment = state.scope.environment.clone();
        if self.source != self.source_declared {
            let (source_name, given) = (self.source_declared.as_str().to_owned(), self.source.as_str().to_owned());
            return Err(Error::SourceRefused { environment, source_name, given });
        }
        if self.protected && self.provenance.commit.is_none() {
            return Err(Error::NoCommit { environment });
        }
        if self.protected && self.provenance.dirty {
            return Err(Error::Dirty { environment });
        }
        if let Some(fence) = &self.fence {
            state.refuse_fenced(fence)?;
        }
        state.refuse_frozen()
    }

    /// Returns the write that keeps the fence; none where it is there already.
    fn fenced(&self, state: &EnvironmentState) -> Vec<Write> {
        let fence = self.fence.as_ref().filter(|fence| state.fence.as_ref() != Some(fence));
        let record = fence.map(|fence| EnvironmentRecord { fence: Some(fence.clone()), ..state.record() });
        record.map(Write::EnvironmentPut).into_iter().collect()
    }

    fn registration(&self, state: &EnvironmentState, prompt: &PromptRelease, at: Timestamp) -> RegistrationRecord {
        RegistrationRecord {
            project: state.scope.project.clone(),
            prompt: prompt.name.clone(),
            version: prompt.version.digest,
            provenance: self.provenance.clone(),
            actor: self.actor.clone(),
            at,
        }
    }

    fn change(
        &self,
        state: &EnvironmentState,
        prompt: &PromptRelease,
        number: u64,
        now: Timestamp,
    ) -> Result<(Vec<Write>, ReleaseStatus)> {
        let digest = prompt.version.digest;
        let running = state.rollouts.get(&prompt.name);
        let Some(pointer) = state.pointers.get(&prompt.name) else {
            return Ok((self.moved(state, prompt, None, now), ReleaseStatus::Moved { from: None }));
        };
        if pointer.version == digest {
            return self.same(pointer, prompt, running, now);
        }
        if let Some(rollout) = running.filter(|rollout| rollout.candidate == digest) {
            return Ok((Vec::new(), ReleaseStatus::InRollout { number: rollout.number }));
        }
        let mut writes = Vec::new();
        if let Some(quarantine) = state.quarantined(&prompt.name, digest) {
            if !self.retry {
                let row = self.row(state, prompt, LogAction::Refused, Some(pointer.version), now);
                let why = format!("{} held: quarantined since {} ({})", digest.short(), quarantine.at, quarantine.why);
                writes.push(Write::LogAppend(LogRow { to: Some(pointer.version), why, ..row }));
                return Ok((writes, ReleaseStatus::Held { why: quarantine.why.clone() }));
            }
            let (scope, name) = (state.scope.clone(), prompt.name.clone());
            writes.push(Write::QuarantineRemove { scope, prompt: name, version: digest });
            let row = self.row(state, prompt, LogAction::Retried, Some(pointer.version), now);
            writes.push(Write::LogAppend(LogRow { why: "quarantine lifted by --retry".to_owned(), ..row }));
        }
        let superseded = running.map(|rollout| rollout.number);
        if let Some(rollout) = running {
            writes.extend(conclude(rollout, self.superseded(prompt, now))?);
        }
        match &prompt.policy {
            Policy::Direct => {
                writes.extend(self.moved(state, prompt, Some(pointer.version), now));
                Ok((writes, ReleaseStatus::Moved { from: Some(pointer.version) }))
            }
            Policy::Guarded(plan) => {
                writes.extend(self.started(state, prompt, pointer, plan, number, now)?);
                Ok((writes, ReleaseStatus::Started { number, stable: pointer.version, superseded }))
            }
        }
    }

    /// The version is live already: a rollout of another candidate is withdrawn, and a new success contract is taken over.
    fn same(
        &self,
        pointer: &PointerRecord,
        prompt: &PromptRelease,
        running: Option<&RolloutRecord>,
        now: Timestamp,
    ) -> Result<(Vec<Write>, ReleaseStatus)> {
        let mut writes = Vec::new();
        if let Some(rollout) = running {
            writes.extend(conclude(rollout, self.superseded(prompt, now))?);
        }
        if pointer.success != prompt.success {
            let pointer = PointerRecord { success: prompt.success.clone(), ..pointer.clone() };
            writes.push(Write::PointerPut { expected: Some(pointer.version), pointer });
        }
        let status =
            running.map_or(ReleaseStatus::Unchanged, |rollout| ReleaseStatus::Withdrawn { number: rollout.number });
        Ok((writes, status))
    }

    fn superseded(&self, prompt: &PromptRelease, at: Timestamp) -> Conclusion {
        let why = format!("superseded by {}, {}", prompt.version.digest.short(), self.origin());
        Conclusion { end: End::Superseded, actor: self.actor.clone(), why, evidence: None, at }
    }

    fn moved(
        &self,
        state: &EnvironmentState,
        prompt: &PromptRelease,
        from: Option<Digest>,
        now: Timestamp,
    ) -> Vec<Write> {
        let pointer = PointerRecord {
            scope: state.scope.clone(),
            prompt: prompt.name.clone(),
            version: prompt.version.digest,
            success: prompt.success.clone(),
            moved_at: now,
        };
        let why = format!("direct, {}", self.origin());
        let row = LogRow { why, ..self.row(state, prompt, LogAction::Moved, from, now) };
        vec![Write::PointerPut { pointer, expected: from }, Write::LogAppend(row)]
    }

    fn started(
        &self,
        state: &EnvironmentState,
        prompt: &PromptRelease,
        pointer: &PointerRecord,
        plan: &Plan,
        number: u64,
        now: Timestamp,
    ) -> Result<Vec<Write>> {
        let invalid = |reason: String| Error::PlanInvalid {
            environment: state.scope.environment.clone(),
            prompt: prompt.name.clone(),
            reason,
        };
        let design = Design::new(plan.clone(), prompt.baseline).map_err(|error| invalid(error.to_string()))?;
        let design = serde_json::to_value(&design).map_err(|source| Error::Corrupt { noun: "design", source })?;
        let id = RolloutId::generate(now);
        let why = format!("rollout {number} started: guarded, {}", self.origin());
        let rollout = RolloutRecord {
            id,
            number,
            scope: state.scope.clone(),
            prompt: prompt.name.clone(),
            stable: pointer.version,
            candidate: prompt.version.digest,
            success: prompt.success.clone(),
            design,
            state: RolloutState::Running,
            stage: 0,
            frontier: now,
            started_at: now,
            stage_started_at: now,
            ended_at: None,
            actor: self.actor.clone(),
            provenance: self.provenance.clone(),
            why: why.clone(),
            evidence: None,
            revision: 1,
        };
        let row = self.row(state, prompt, LogAction::RolloutStarted, Some(pointer.version), now);
        let row = LogRow { rollout: Some(id), why, ..row };
        Ok(vec![Write::RolloutPut { rollout: Box::new(rollout), expected: None }, Write::LogAppend(row)])
    }

    fn row(
        &self,
        state: &EnvironmentState,
        prompt: &PromptRelease,
        action: LogAction,
        from: Option<Digest>,
        at: Timestamp,
    ) -> LogRow {
        LogRow {
            sequence: 0,
            scope: state.scope.clone(),
            prompt: Some(prompt.name.clone()),
            at,
            actor: self.actor.clone(),
            action,
            from,
            to: Some(prompt.version.digest),
            rollout: None,
            commit: self.provenance.commit.clone(),
            why: String::new(),
            evidence: self.bundle.map(|bundle| serde_json::json!({ "bundle": bundle })),
        }
    }

    fn origin(&self) -> String {
        let bundle = self.bundle.map_or_else(String::new, |bundle| format!("bundle {} of ", bundle.short()));
        let commit = self.commit();
        format!("{bundle}{commit}")
    }

    fn commit(&self) -> String {
        match &self.provenance.commit {
            Some(commit) if self.provenance.dirty => format!("commit {} with changes", short(commit)),
            Some(commit) => format!("commit {}", short(commit)),
            None => "no commit".to_owned(),
        }
    }
}

fn short(commit: &str) -> &str {
    commit.get(..7).unwrap_or(commit)
}

#[cfg(test)]
mod tests;
