//! The status of a PromptBundle, as it follows from what was found and done. Pure.

use bowline_crd::condition::{EVALUATED, RELEASED, VERIFIED};
use bowline_crd::{EnvironmentStatus, PromptBundle, PromptBundleSpec, PromptBundleStatus};
use bowline_store::RolloutState;
use bowline_types::{Digest, EnvironmentName, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::{Resource as _, ResourceExt as _};

use super::memory::Facts;
use super::release::Setback;
use crate::condition::{Conditions, Health, Status, Why};
use crate::projection::view::View;

/// Returns whether a manifest was taken up already, for this generation of the spec.
pub(super) fn is_taken_up(status: &PromptBundleStatus, generation: i64, digest: Digest) -> bool {
    status.digest == Some(digest) && status.observed_generation == Some(generation)
}

/// Returns whether a manifest was released to every environment of the spec.
pub(super) fn is_released(spec: &PromptBundleSpec, status: &PromptBundleStatus, digest: Option<Digest>) -> bool {
    digest.is_some() && spec.environments.iter().all(|name| released(status, name) == digest)
}

/// Returns the bundle that was last released to an environment.
pub(super) fn released(status: &PromptBundleStatus, environment: &EnvironmentName) -> Option<Digest> {
    status.environments.iter().find(|found| found.name == *environment)?.digest
}

/// Returns whether the control role does not know of a release any more: it was restored from a backup of before.
pub(super) fn is_lost(released: &EnvironmentStatus, view: &View, holder: &str) -> bool {
    let revision = released.revision.and_then(|revision| u64::try_from(revision).ok());
    released.digest.is_some() && revision.is_some_and(|revision| view.revision_in(&released.name, holder) < revision)
}

/// Returns the environment that another PromptBundle of the namespace feeds, and its name: the older one has it.
pub(super) fn taken<'a>(
    bundle: &'a PromptBundle,
    siblings: impl IntoIterator<Item = &'a PromptBundle>,
) -> Option<(EnvironmentName, String)> {
    let age = |bundle: &PromptBundle| (bundle.creation_timestamp().map(|at| at.0), bundle.name_any());
    let own = age(bundle);
    let older = siblings.into_iter().filter(|other| {
        other.namespace() == bundle.namespace()
            && other.uid() != bundle.uid()
            && other.metadata.deletion_timestamp.is_none()
            && age(other) < own
    });
    let mut older: Vec<_> = older.collect();
    older.sort_by_key(|other| age(other));
    older.iter().find_map(|other| {
        let both = bundle.spec.environments.iter().find(|name| other.spec.environments.contains(name))?;
        Some((both.clone(), other.name_any()))
    })
}

/// Returns what became of a bundle in an environment.
pub(super) fn environment(
    name: &EnvironmentName,
    digest: Option<Digest>,
    facts: Option<&Facts>,
    view: Option<&View>,
    before: Option<&EnvironmentStatus>,
) -> EnvironmentStatus {
    let frozen = |view: &View| {
        let freeze = view.environment(name)?.state.as_ref()?.freeze.as_ref()?;
        Some(format!("{}: {}", freeze.actor, freeze.why))
    };
    let revision = before.and_then(|before| before.revision);
    let (Some(facts), Some(view)) = (facts, view) else {
        // What is not known now stays as it was told.
        let (live, rolling_out, held) =
            before.map_or((0, 0, 0), |before| (before.live, before.rolling_out, before.held));
        let frozen = match view {
            Some(view) => frozen(view),
            None => before.and_then(|before| before.frozen.clone()),
        };
        return EnvironmentStatus { name: name.clone(), digest, revision, live, rolling_out, held, frozen };
    };
    let found = view.environment(name);
    let count = |is_so: &dyn Fn(&bowline_types::PromptName, &Digest) -> bool| {
        let count = facts.versions.iter().filter(|(prompt, version)| is_so(prompt, version)).count();
        i64::try_from(count).unwrap_or(i64::MAX)
    };
    EnvironmentStatus {
        name: name.clone(),
        digest,
        revision,
        live: count(&|prompt, version| {
            found.is_some_and(|found| found.pointers.iter().any(|at| at.prompt == *prompt && at.version == *version))
        }),
        rolling_out: count(&|prompt, version| {
            view.active().any(|rollout| {
                rollout.scope.environment == *name && rollout.prompt == *prompt && rollout.candidate == *version
            })
        }),
        held: count(&|prompt, version| {
            let lost = |found: &crate::projection::view::Environment| {
                found.quarantine.iter().any(|lost| lost.prompt == *prompt && lost.version == *version)
            };
            found.is_some_and(lost)
        }),
        frozen: frozen(view),
    }
}

/// Sets the conditions of a status from what was found.
pub(super) fn conclude(
    bundle: &PromptBundle,
    status: &mut PromptBundleStatus,
    setback: Option<&Setback>,
    (facts, view): (Option<&Facts>, Option<&View>),
    now: Timestamp,
) {
    let mut conditions = Conditions::new(&status.conditions, bundle.meta().generation, now);
    match (setback, facts) {
        (Some(Setback::Unverified(why)), _) => {
            conditions.set(VERIFIED, Status::False, why.clone());
            conditions.remove(EVALUATED);
        }
        (Some(Setback::Unevaluated(why)), _) => {
            conditions.set(EVALUATED, Status::False, why.clone());
            conditions.remove(VERIFIED);
        }
        (_, Some(facts)) => {
            let status = |asked: bool| if asked { Status::True } else { Status::Unknown };
            conditions.set(VERIFIED, status(facts.signed), facts.verified.clone());
            conditions.set(EVALUATED, status(facts.tested), facts.evaluated.clone());
        }
        (_, None) => {}
    }
    let is_released = is_released(&bundle.spec, status, status.digest);
    let health = health(bundle, status, setback, (facts, view));
    let why = match &health {
        _ if is_released => Why::new("Released", "the control role has it for every environment"),
        Health::Ready(why) | Health::Stalled(why) | Health::Reconciling { why, .. } => why.clone(),
    };
    conditions.set(RELEASED, is_released.into(), why);
    conditions.health(health);
    status.conditions = conditions.into_vec();
}

/// How the object is, in one word.
fn health(
    bundle: &PromptBundle,
    status: &PromptBundleStatus,
    setback: Option<&Setback>,
    (facts, view): (Option<&Facts>, Option<&View>),
) -> Health {
    let is_released = is_released(&bundle.spec, status, status.digest);
    match setback {
        Some(Setback::Stalled(why) | Setback::Unverified(why) | Setback::Unevaluated(why)) => {
            return Health::Stalled(why.clone());
        }
        Some(Setback::Later(why)) => return Health::Reconciling { why: why.clone(), ready: is_released },
        // The error is told by the log and tried again; the status cannot be written anyway.
        Some(Setback::Failed(_)) | None => {}
    }
    if bundle.spec.suspend {
        return Health::Ready(Why::new("Suspended", "the source is left alone (spec.suspend); what is live stays"));
    }
    let frozen: Vec<_> =
        status.environments.iter().filter(|at| at.digest != status.digest && at.frozen.is_some()).collect();
    if let Some(environment) = frozen.first() {
        let by = environment.frozen.as_deref().unwrap_or_default();
        let message = format!("`{}` is frozen by {by}; the bundle is released when that is lifted", environment.name);
        return Health::Reconciling { why: Why::new("Frozen", message), ready: false };
    }
    if !is_released {
        return Health::Reconciling { why: Why::new("Releasing", "the bundle is being released"), ready: false };
    }
    let names = |which: fn(&EnvironmentStatus) -> i64| {
        let some = status.environments.iter().filter(|environment| which(environment) > 0);
        some.map(|environment| format!("{} in {}", which(environment), environment.name)).collect::<Vec<_>>().join(", ")
    };
    let waiting = names(|environment| environment.held);
    if !waiting.is_empty() {
        let message = format!(
            "versions of the bundle lost a rollout or were rolled back: {waiting}; change the prompt in Git, or try it again with `bowline release --retry`"
        );
        return Health::Stalled(Why::new("Held", message));
    }
    let undecided = view.is_some_and(|view| {
        let own = |rollout: &&crate::projection::view::Rollout| {
            rollout.state == RolloutState::Held && bundle.spec.environments.contains(&rollout.scope.environment)
        };
        view.active().any(|rollout| own(&rollout))
    });
    let rolling = names(|environment| environment.rolling_out);
    if !rolling.is_empty() {
        if undecided {
            let message =
                format!("a rollout waits for a person: {rolling}; `kubectl get promptrollouts` shows which, and why");
            return Health::Stalled(Why::new("RolloutHeld", message));
        }
        let message = format!("prompts in a rollout: {rolling}");
        return Health::Reconciling { why: Why::new("RollingOut", message), ready: false };
    }
    // What the control role said last may be older than the release.
    let versions = facts.map(|facts| i64::try_from(facts.versions.len()).unwrap_or(i64::MAX));
    if versions.is_some_and(|versions| status.environments.iter().any(|environment| environment.live < versions)) {
        let message = "the control role has the bundle; what is live is looked at again";
        return Health::Reconciling { why: Why::new("Releasing", message), ready: false };
    }
    let live: Vec<_> = bundle.spec.environments.iter().map(EnvironmentName::as_str).collect();
    let digest = status.digest.map(|digest| digest.short()).unwrap_or_default();
    Health::Ready(Why::new("Released", format!("bundle {digest} is live in {}", live.join(", "))))
}

/// Returns whether two statuses say the same, times of transitions apart.
pub(super) fn same(a: &PromptBundleStatus, b: &PromptBundleStatus) -> bool {
    let without_times = |status: &PromptBundleStatus| {
        let mut status = status.clone();
        for condition in &mut status.conditions {
            condition.last_transition_time = Time(k8s_openapi::jiff::Timestamp::UNIX_EPOCH);
        }
        status.conditions.sort_by(|a, b| a.type_.cmp(&b.type_));
        status
    };
    without_times(a) == without_times(b)
}
