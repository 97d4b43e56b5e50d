//! What the control role knows of a project, as far as projections show it. The rest of its answers is not kept.

use std::collections::{BTreeMap, BTreeSet};

use bowline_canary::{ArmEvidence, Arms, EValue, Share};
use bowline_server::{Client, ClientError};
use bowline_store::{Fence, Freeze, Provenance, RolloutState};
use bowline_types::{Digest, EnvironmentName, PromptName, Scope, Timestamp};
use serde::Deserialize;
use serde_json::Value;

use crate::error::{Error, Result};

/// Rows of the pointer log that are looked through for where versions came from.
const LOG_ROWS_MAX: u32 = 1_000;

/// What is known of a project.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct View {
    pub(crate) environments: Vec<Environment>,
    pub(crate) rollouts: Vec<Rollout>,
}

/// An environment (`GET /environments`).
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub(crate) struct Environment {
    pub(crate) environment: EnvironmentName,
    #[serde(default)]
    pub(crate) state: Option<EnvironmentState>,
    pub(crate) pointers: Vec<Pointer>,
    pub(crate) quarantine: Vec<Quarantine>,
}

/// What else is known of an environment.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub(crate) struct EnvironmentState {
    pub(crate) freeze: Option<Freeze>,
    /// The newest release that came with a number.
    #[serde(default)]
    pub(crate) fence: Option<Fence>,
}

/// What is live.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub(crate) struct Pointer {
    pub(crate) prompt: PromptName,
    pub(crate) version: Digest,
    pub(crate) moved_at: Timestamp,
}

/// A version that lost.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub(crate) struct Quarantine {
    pub(crate) prompt: PromptName,
    pub(crate) version: Digest,
    pub(crate) why: String,
}

/// A rollout (`GET /rollouts`).
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub(crate) struct Rollout {
    pub(crate) number: u64,
    pub(crate) scope: Scope,
    pub(crate) prompt: PromptName,
    pub(crate) stable: Digest,
    pub(crate) candidate: Digest,
    pub(crate) design: Design,
    pub(crate) state: RolloutState,
    pub(crate) stage: u16,
    pub(crate) started_at: Timestamp,
    pub(crate) ended_at: Option<Timestamp>,
    pub(crate) actor: String,
    pub(crate) provenance: Provenance,
    pub(crate) why: String,
    pub(crate) evidence: Option<Evidence>,
}

/// The stages of a rollout's frozen design.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub(crate) struct Design {
    pub(crate) plan: Plan,
}

/// The stages of a plan.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub(crate) struct Plan {
    pub(crate) stages: Vec<Share>,
}

/// What the observations of a rollout said at its last step.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub(crate) struct Evidence {
    pub(crate) arms: Arms<ArmEvidence>,
    pub(crate) rollback: Test,
    pub(crate) promotion: Test,
}

/// One e-process.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub(crate) struct Test {
    pub(crate) e_value: EValue,
    pub(crate) peak: EValue,
    pub(crate) threshold: f64,
}

/// Where a version came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Origin {
    pub(crate) bundle: Digest,
    pub(crate) commit: Option<String>,
    pub(crate) author: Option<String>,
}

/// The versions that came by a bundle.
pub(crate) type Origins = BTreeMap<(PromptName, Digest), Origin>;

/// What the operator does not need to know of a row of the log is not read.
#[derive(Deserialize)]
struct Rows {
    rows: Vec<Row>,
}

#[derive(Deserialize)]
struct Row {
    prompt: Option<PromptName>,
    to: Option<Digest>,
    commit: Option<String>,
    evidence: Option<Value>,
}

/// `GET /changes`.
#[derive(Deserialize)]
struct Changes {
    at: u64,
}

// === impl View ===

impl View {
    /// Asks for everything. A project that the control role has not seen yet is empty. Of the rollouts that have ended, those of `before` are
    /// taken over while none has begun or ended since, and no environment is another.
    ///
    /// # Errors
    /// The control role cannot be reached.
    pub(crate) async fn fetch(control: &Client, before: Option<&Self>) -> Result<Self> {
        let environments: Vec<Environment> = match control.get("/environments").await {
            Err(error) if is_absent(&error) => return Ok(Self::default()),
            answered => answered.map_err(Error::control("read the environments"))?,
        };
        let active: Vec<Rollout> =
            control.get("/rollouts?active=true").await.map_err(Error::control("read the rollouts"))?;
        let numbers = |rollouts: &mut dyn Iterator<Item = &Rollout>| -> BTreeSet<u64> {
            rollouts.map(|rollout| rollout.number).collect()
        };
        // A control role that was restored from a backup knows other rollouts than before, and other environments.
        let same = before.filter(|before| {
            before.environments == environments && numbers(&mut before.active()) == numbers(&mut active.iter())
        });
        let ended = match same {
            Some(before) => before.rollouts.iter().filter(|rollout| !rollout.state.is_active()).cloned().collect(),
            None => {
                let all: Vec<Rollout> = control.get("/rollouts").await.map_err(Error::control("read the rollouts"))?;
                let known = numbers(&mut active.iter());
                all.into_iter().filter(|rollout| !known.contains(&rollout.number)).collect::<Vec<_>>()
            }
        };
        Ok(Self { environments, rollouts: active.into_iter().chain(ended).collect() })
    }

    /// Returns whether the same rollouts go on, in the same states.
    pub(crate) fn same_active(&self, other: &Self) -> bool {
        let states =
            |view: &Self| -> BTreeSet<_> { view.active().map(|rollout| (rollout.number, rollout.state)).collect() };
        states(self) == states(other)
    }

    /// Returns an environment.
    pub(crate) fn environment(&self, name: &EnvironmentName) -> Option<&Environment> {
        self.environments.iter().find(|environment| environment.environment == *name)
    }

    /// Returns the largest number with which an object has released to any environment; 0 where it has not.
    pub(crate) fn revision(&self, holder: &str) -> u64 {
        let fences = self.environments.iter().filter_map(|environment| environment.state.as_ref()?.fence.as_ref());
        fences.filter(|fence| fence.holder == holder).map(|fence| fence.revision).max().unwrap_or(0)
    }

    /// Returns the number with which an object has released to an environment; 0 where it has not.
    pub(crate) fn revision_in(&self, name: &EnvironmentName, holder: &str) -> u64 {
        let fence = self.environment(name).and_then(|found| found.state.as_ref()?.fence.as_ref());
        fence.filter(|fence| fence.holder == holder).map_or(0, |fence| fence.revision)
    }

    /// Returns the rollouts that run or are held.
    pub(crate) fn active(&self) -> impl Iterator<Item = &Rollout> {
        self.rollouts.iter().filter(|rollout| rollout.state.is_active())
    }

    /// Returns the versions that something refers to: a pointer, a rollout that goes on, a quarantine.
    pub(crate) fn referenced(&self) -> BTreeSet<(PromptName, Digest)> {
        let pointers = self.environments.iter().flat_map(|environment| &environment.pointers);
        let lost = self.environments.iter().flat_map(|environment| &environment.quarantine);
        let tried = self.active().flat_map(|rollout| {
            [(rollout.prompt.clone(), rollout.stable), (rollout.prompt.clone(), rollout.candidate)]
        });
        pointers
            .map(|pointer| (pointer.prompt.clone(), pointer.version))
            .chain(lost.map(|lost| (lost.prompt.clone(), lost.version)))
            .chain(tried)
            .collect()
    }
}

/// Looks in the pointer logs, newest rows first, where versions came from.
///
/// # Errors
/// The control role cannot be reached.
pub(crate) async fn origins(control: &Client, view: &View) -> Result<Origins> {
    let mut origins = Origins::new();
    for environment in &view.environments {
        let path = format!("/environments/{}/log?limit={LOG_ROWS_MAX}", environment.environment);
        let log: Rows = control.get(&path).await.map_err(Error::control("read the pointer log"))?;
        for row in log.rows {
            let bundle = row.evidence.as_ref().and_then(|evidence| evidence.get("bundle")?.as_str()?.parse().ok());
            let (Some(prompt), Some(to), Some(bundle)) = (row.prompt, row.to, bundle) else { continue };
            // The oldest row that names it is the one that first brought it.
            origins.insert((prompt, to), Origin { bundle, commit: row.commit, author: None });
        }
    }
    for rollout in &view.rollouts {
        if let Some(origin) = origins.get_mut(&(rollout.prompt.clone(), rollout.candidate)) {
            origin.author.clone_from(&rollout.provenance.author);
        }
    }
    Ok(origins)
}

/// Waits until something of the project changes after `at`; returns where it is then. `None` where the control role has no such route.
///
/// # Errors
/// The control role cannot be reached.
pub(crate) async fn changed(control: &Client, at: u64, wait_seconds: u64) -> Result<Option<u64>> {
    match control.get::<Changes>(&format!("/changes?after={at}&wait={wait_seconds}")).await {
        Ok(changes) => Ok(Some(changes.at)),
        Err(error) if is_absent(&error) => Ok(None),
        Err(error) => Err(Error::control("wait for changes")(error)),
    }
}

/// Returns whether the control role says that there is no such thing.
pub(crate) fn is_absent(error: &ClientError) -> bool {
    matches!(error, ClientError::Refused { status: 404, .. })
}
