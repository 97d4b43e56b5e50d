use std::collections::BTreeMap;

use bowline_store::{
    EnvironmentRecord, Fence, Freeze, PointerRecord, QuarantineRecord, RolloutFilter, RolloutRecord, Store, Temporary,
};
use bowline_types::{Digest, PromptName, Scope};

use crate::error::{Error, Result};

/// What a change of an environment is computed from, as read from the store.
#[derive(Clone, Debug)]
pub struct EnvironmentState {
    /// The environment.
    pub scope: Scope,
    /// Set while nothing may move.
    pub freeze: Option<Freeze>,
    /// Set where it is there for a time only.
    pub temporary: Option<Temporary>,
    /// The newest release that came with a fence.
    pub fence: Option<Fence>,
    /// What is live.
    pub pointers: BTreeMap<PromptName, PointerRecord>,
    /// The running or held rollout of each prompt, at most one.
    pub rollouts: BTreeMap<PromptName, RolloutRecord>,
    /// The versions that lost.
    pub quarantine: Vec<QuarantineRecord>,
    /// The number of the next rollout of the project.
    pub next_number: u64,
}

// === impl EnvironmentState ===

impl EnvironmentState {
    /// Reads the state of an environment.
    ///
    /// # Errors
    /// Fails where the store does.
    pub async fn load(store: &dyn Store, scope: Scope) -> Result<Self> {
        let project = scope.project.clone();
        let environment = store.environment_fetch(scope.clone()).await?;
        let pointers = store.pointer_list(project.clone()).await?.into_iter().filter(|pointer| pointer.scope == scope);
        let active = RolloutFilter { scope: Some(scope.clone()), active: true, ..RolloutFilter::default() };
        let rollouts = store.rollout_list(active).await?;
        let newest =
            store.rollout_list(RolloutFilter { project: Some(project.clone()), ..RolloutFilter::default() }).await?;
        let quarantine = store.quarantine_list(project).await?.into_iter().filter(|record| record.scope == scope);
        let (freeze, temporary, fence) =
            environment.map(|found| (found.freeze, found.temporary, found.fence)).unwrap_or_default();
        Ok(Self {
            freeze,
            temporary,
            fence,
            pointers: pointers.map(|pointer| (pointer.prompt.clone(), pointer)).collect(),
            rollouts: rollouts.into_iter().map(|rollout| (rollout.prompt.clone(), rollout)).collect(),
            quarantine: quarantine.collect(),
            next_number: newest.iter().map(|rollout| rollout.number).max().unwrap_or(0) + 1,
            scope,
        })
    }

    /// Returns the state beside the pointers, as the store keeps it.
    #[must_use]
    pub fn record(&self) -> EnvironmentRecord {
        let Self { scope, freeze, temporary, fence, .. } = self.clone();
        EnvironmentRecord { scope, freeze, temporary, fence }
    }

    /// Refuses a release that a later one of the same holder has overtaken. Another holder is not compared: which of two may feed an
    /// environment is decided by whoever made them.
    ///
    /// # Errors
    /// [`Error::Fenced`].
    pub fn refuse_fenced(&self, fence: &Fence) -> Result<()> {
        match &self.fence {
            Some(seen) if seen.holder == fence.holder && seen.revision > fence.revision => Err(Error::Fenced {
                environment: self.scope.environment.clone(),
                holder: fence.holder.clone(),
                revision: fence.revision,
                seen: seen.revision,
            }),
            _ => Ok(()),
        }
    }

    /// Refuses where the environment is frozen.
    ///
    /// # Errors
    /// [`Error::Frozen`].
    pub fn refuse_frozen(&self) -> Result<()> {
        self.freeze.as_ref().map_or(Ok(()), |freeze| {
            Err(Error::Frozen {
                environment: self.scope.environment.clone(),
                actor: freeze.actor.clone(),
                why: freeze.why.clone(),
            })
        })
    }

    /// Returns the pointer of a prompt.
    ///
    /// # Errors
    /// [`Error::PromptUnknown`].
    pub fn pointer(&self, prompt: &PromptName) -> Result<&PointerRecord> {
        self.pointers
            .get(prompt)
            .ok_or_else(|| Error::PromptUnknown { environment: self.scope.environment.clone(), prompt: prompt.clone() })
    }

    /// Returns the quarantine of a version, where it lost here before.
    #[must_use]
    pub fn quarantined(&self, prompt: &PromptName, version: Digest) -> Option<&QuarantineRecord> {
        self.quarantine.iter().find(|record| record.prompt == *prompt && record.version == version)
    }
}
