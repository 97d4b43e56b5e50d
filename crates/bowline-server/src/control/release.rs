//! Releases, and what a plan may be expected to take.

use std::collections::BTreeSet;
use std::time::Duration;

use bowline_canary::{BaselineRate, Design, Plan, PlanError, Preview, preview};
use bowline_registry::{EnvironmentState, Policy, PromptRelease, Release, ReleaseResult, ReleaseStatus, Source};
use bowline_store::{Fence, LIST_ROWS_MAX, ProjectRecord, RolloutFilter, SummaryFilter, VersionRecord, Write};
use bowline_types::{ProjectName, PromptName, Scope};
use serde::Deserialize as _;
use tracing::info;

use super::Control;
use crate::config::Running;
use crate::error::{Error, Result};
use crate::wire::{PlanRequest, ReleasePrompt, ReleaseRequest, ReleaseResponse};

/// Traffic is measured over at most this time.
const TRAFFIC_WINDOW: Duration = Duration::from_secs(24 * 3_600);

/// And over at least this one, since rollups count minutes.
const TRAFFIC_WINDOW_MIN: Duration = Duration::from_secs(60);

/// Rollouts of a project at a time: as many as a list of the store holds, from which they are judged and served.
const ROLLOUTS_ACTIVE_MAX: u32 = LIST_ROWS_MAX;

/// The longest name of a holder of fences, in bytes.
const FENCE_HOLDER_BYTES_MAX: usize = 256;

impl Control {
    /// Registers the versions of a release and moves pointers or starts rollouts, in one transaction.
    ///
    /// # Errors
    /// Refuses the whole release, see [`Release::plan`].
    pub async fn release(&self, project: &ProjectName, request: ReleaseRequest) -> Result<ReleaseResponse> {
        let running = Running::decode(request.config.clone())?;
        running.refuse_other(project)?;
        let running = running.with(&self.shared.store.environment_list(project.clone()).await?);
        let declared = running.environment(&request.environment)?;
        refuse_twice(&request.prompts)?;
        request.fence.as_ref().map_or(Ok(()), refuse_long)?;
        let scope = Scope { project: project.clone(), environment: request.environment };

        let mut turn = self.shared.turn.lock().await;
        let now = self.now();
        let state = EnvironmentState::load(self.shared.store.as_ref(), scope.clone()).await?;
        let mut notes = absent(&state, &request.prompts);
        let mut prompts = Vec::with_capacity(request.prompts.len());
        for prompt in request.prompts {
            let policy = declared.policy(prompt.plan.as_ref());
            let baseline = self.baseline(&state, &prompt.name).await?;
            prompts.push(prompt_release(prompt, policy, baseline)?);
        }
        let release = Release {
            actor: request.actor,
            provenance: request.provenance,
            source: request.source,
            source_declared: declared.source,
            protected: declared.protected,
            retry: request.retry,
            bundle: request.bundle,
            fence: request.fence,
            prompts,
        };
        let (changes, results) = release.plan(&state, now)?;
        self.refuse_too_many(&scope, &results).await?;
        if release.bundle.is_some() != (release.source == Source::Bundle) {
            let message = "a release of a bundle names the digest of the bundle, and no other release does";
            return Err(Error::Invalid(message.to_owned()));
        }
        let record = ProjectRecord { project: project.clone(), config: request.config, updated_at: now };
        let mut writes = vec![Write::ProjectPut(record)];
        writes.extend(changes);
        self.commit(&mut turn, writes).await?;
        // The previews take their time; whoever wants to roll back must not wait for them.
        drop(turn);
        info!(environment = %scope.environment, prompts = results.len(), "released");
        notes.extend(self.undecidable(&state, &release, &results).await?);
        Ok(ReleaseResponse { results, notes })
    }

    /// Refuses rollouts beyond [`ROLLOUTS_ACTIVE_MAX`]: nobody would judge them.
    async fn refuse_too_many(&self, scope: &Scope, results: &[ReleaseResult]) -> Result<()> {
        let started = results.iter().filter(|result| matches!(result.status, ReleaseStatus::Started { .. }));
        let started: BTreeSet<&PromptName> = started.map(|result| &result.prompt).collect();
        if started.is_empty() {
            return Ok(());
        }
        let filter = RolloutFilter { project: Some(scope.project.clone()), active: true, ..RolloutFilter::default() };
        let active = self.shared.store.rollout_list(filter).await?;
        // One of the same prompt ends as the new one begins.
        let stay = active.iter().filter(|active| active.scope != *scope || !started.contains(&active.prompt)).count();
        if stay + started.len() <= ROLLOUTS_ACTIVE_MAX as usize {
            return Ok(());
        }
        Err(Error::Invalid(format!(
            "project `{}` would have {} rollouts at a time, and at most {ROLLOUTS_ACTIVE_MAX} are judged\nhint: wait until some have ended, \
             or release to an environment without `rollout`",
            scope.project,
            stay + started.len()
        )))
    }

    /// Previews a rollout: the units and the time that its plan needs at the prompt's traffic.
    ///
    /// # Errors
    /// Says that the environment does not exist, or what is wrong with the plan.
    pub async fn plan_preview(&self, project: &ProjectName, request: PlanRequest) -> Result<Preview> {
        let running = self.running(project).await?;
        let declared = running.environment(&request.environment)?;
        let scope = Scope { project: project.clone(), environment: request.environment };
        let state = EnvironmentState::load(self.shared.store.as_ref(), scope).await?;
        let plan = match declared.policy(request.plan.as_ref()) {
            Policy::Guarded(plan) => *plan,
            Policy::Direct => request.plan.unwrap_or_default(),
        };
        let units = match request.units_per_hour {
            Some(units) => Some(units),
            None => self.units_per_hour(&state, &request.prompt).await?,
        };
        let baseline = self.baseline(&state, &request.prompt).await?;
        previewed(plan, baseline, units).await
    }

    /// Says which of the rollouts that a release started cannot decide at the traffic of their prompts.
    async fn undecidable(
        &self,
        state: &EnvironmentState,
        release: &Release,
        results: &[ReleaseResult],
    ) -> Result<Vec<String>> {
        let mut notes = Vec::new();
        for (prompt, result) in release.prompts.iter().zip(results) {
            let ReleaseStatus::Started { number, .. } = &result.status else { continue };
            let Policy::Guarded(plan) = &prompt.policy else { continue };
            let units = self.units_per_hour(state, &prompt.name).await?;
            let preview = previewed(plan.as_ref().clone(), prompt.baseline, units).await?;
            if !preview.can_decide {
                notes.push(format!("rollout {number} of {}: {}", prompt.name, preview.advice.join(" ")));
            }
        }
        Ok(notes)
    }

    /// The record of the version that is live now; `None` where nothing is known of it.
    async fn baseline(&self, state: &EnvironmentState, prompt: &PromptName) -> Result<Option<BaselineRate>> {
        let Some(pointer) = state.pointers.get(prompt) else { return Ok(None) };
        let filter =
            SummaryFilter { scope: state.scope.clone(), prompt: Some(prompt.clone()), rollout: None, since: None };
        let rows = self.shared.store.summary_list(filter).await?;
        let rows = rows.iter().filter(|row| row.version == Some(pointer.version));
        let (pass, fail) = rows.fold((0, 0), |(pass, fail), row| (pass + row.pass, fail + row.fail));
        Ok((pass + fail > 0).then_some(BaselineRate { pass, total: pass + fail }))
    }

    /// Measured traffic since the last move, at most of a day; `None` where there has been none, so that nothing is assumed.
    async fn units_per_hour(&self, state: &EnvironmentState, prompt: &PromptName) -> Result<Option<f64>> {
        let Some(pointer) = state.pointers.get(prompt) else { return Ok(None) };
        let now = self.now();
        let since = pointer.moved_at.max(now.before(TRAFFIC_WINDOW));
        let hours = now.since(since).max(TRAFFIC_WINDOW_MIN).as_secs_f64() / 3_600.0;
        let (scope, prompt) = (state.scope.clone(), Some(prompt.clone()));
        let rows =
            self.shared.store.summary_list(SummaryFilter { scope, prompt, rollout: None, since: Some(since) }).await?;
        let inferences: u64 = rows.iter().map(|row| row.inferences).sum();
        Ok((inferences > 0).then(|| f64::from(u32::try_from(inferences).unwrap_or(u32::MAX)) / hours))
    }
}

/// Previews on a thread that serves nobody, as it plays some hundred rollouts.
async fn previewed(plan: Plan, baseline: Option<BaselineRate>, units_per_hour: Option<f64>) -> Result<Preview> {
    let invalid = |error: PlanError| Error::Invalid(format!("the rollout plan is not valid: {error}"));
    let design = Design::new(plan, baseline).map_err(invalid)?;
    tokio::task::spawn_blocking(move || preview(&design, units_per_hour)).await.map_err(Error::Preview)
}

fn prompt_release(prompt: ReleasePrompt, policy: Policy, baseline: Option<BaselineRate>) -> Result<PromptRelease> {
    let ReleasePrompt { name, digest, content, success, plan: _ } = prompt;
    let version = bowline_prompt::Version::deserialize(&content);
    let computed = version.map_err(|source| Error::Document { field: "prompts.content", source })?.digest();
    if computed != digest {
        return Err(bowline_registry::Error::DigestMismatch { prompt: name, given: digest, computed }.into());
    }
    Ok(PromptRelease { name, version: VersionRecord { digest, content }, success, policy, baseline })
}

fn refuse_twice(prompts: &[ReleasePrompt]) -> Result<()> {
    let mut seen = BTreeSet::new();
    match prompts.iter().find(|prompt| !seen.insert(&prompt.name)) {
        Some(prompt) => Err(Error::Invalid(format!("the release holds prompt `{}` twice", prompt.name))),
        None => Ok(()),
    }
}

fn refuse_long(fence: &Fence) -> Result<()> {
    if (1..=FENCE_HOLDER_BYTES_MAX).contains(&fence.holder.len()) {
        return Ok(());
    }
    Err(Error::Invalid(format!("`fence.holder` must be a text of 1 to {FENCE_HOLDER_BYTES_MAX} bytes")))
}

/// Says which prompts are live but not in the release.
fn absent(state: &EnvironmentState, prompts: &[ReleasePrompt]) -> Vec<String> {
    let released: BTreeSet<&PromptName> = prompts.iter().map(|prompt| &prompt.name).collect();
    let absent = state.pointers.keys().filter(|name| !released.contains(name));
    let note = "is live but not in this release; it stays live, as applications may still call it";
    absent.map(|name| format!("{name} {note}")).collect()
}
