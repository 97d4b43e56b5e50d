use bowline_canary::{ArmEvidence, Share};
use bowline_crd::{
    ArmStatus, PROMPT_ANNOTATION, PromptRollout, PromptRolloutSpec, PromptRolloutStatus, rollout_object,
};
use bowline_store::RolloutState;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;

use super::known::{Entries, Projected as _, RolloutSubject};
use super::view::{Evidence, Rollout, Test};
use super::{Desired, Setting};
use crate::condition::{Conditions, Health, Why, time};
use crate::event::Reason;

/// Returns the PromptRollout as it should be, and what happened since it was written.
pub(super) fn desired(
    setting: &Setting<'_>,
    owner: &OwnerReference,
    rollout: &Rollout,
    known: &Entries<PromptRollout>,
) -> Desired<PromptRollout> {
    let environment = &rollout.scope.environment;
    let name = rollout_object(&rollout.prompt, environment, rollout.number);
    let entry = known.get(&name);
    let mut object = PromptRollout::new(
        &name,
        PromptRolloutSpec {
            project: setting.project.clone(),
            environment: environment.clone(),
            prompt: rollout.prompt.clone(),
            number: i64::try_from(rollout.number).unwrap_or(i64::MAX),
            stable: rollout.stable,
            candidate: rollout.candidate,
            stages: rollout.design.plan.stages.iter().map(Share::to_string).collect(),
        },
    );
    object.metadata.namespace = Some(setting.namespace.to_owned());
    object.metadata.annotations = Some([(PROMPT_ANNOTATION.to_owned(), rollout.prompt.to_string())].into());
    let generation = entry.map_or(1, |entry| entry.generation);
    let present = entry.map(|entry| &*entry.conditions).unwrap_or_default();
    let mut conditions = Conditions::new(present, Some(generation), setting.now);
    conditions.health(health(rollout));
    let evidence = rollout.evidence.as_ref();
    let status = PromptRolloutStatus {
        observed_generation: Some(generation),
        conditions: conditions.into_vec(),
        state: rollout.state.as_str().to_owned(),
        stage: i64::from(rollout.stage) + 1,
        share: share(rollout),
        stable: evidence.map(|evidence| arm(&evidence.arms.stable)),
        candidate: evidence.map(|evidence| arm(&evidence.arms.candidate)),
        e_rollback: evidence.map(|evidence| evidence.rollback.e_value.to_string()),
        e_promote: evidence.map(|evidence| evidence.promotion.e_value.to_string()),
        verdict: verdict(rollout).to_owned(),
        why: crate::condition::cut(&rollout.why, WHY_BYTES_MAX),
        started_at: Some(time(rollout.started_at)),
        ended_at: rollout.ended_at.map(time),
        lever: None,
    };
    let subject = RolloutSubject { state: status.state.clone(), stage: status.stage, ..object.subject() };
    let news = news(rollout, &subject, entry.map(|entry| &entry.subject));
    Desired { name, owners: vec![owner.clone()], object: Some(object), status, news }
}

/// The longest text of why, in bytes.
const WHY_BYTES_MAX: usize = 2_048;

fn health(rollout: &Rollout) -> Health {
    match rollout.state {
        RolloutState::Running => {
            let (stage, stages) = (rollout.stage + 1, rollout.design.plan.stages.len());
            let message = format!("stage {stage} of {stages}: {} of units get the candidate", share(rollout));
            Health::Reconciling { why: Why::new("Running", message), ready: false }
        }
        RolloutState::Held => {
            let hint = "decide with the annotation bowline.dev/promote or bowline.dev/abort, whose value says why";
            Health::Stalled(Why::new("Held", format!("{}; {hint}", rollout.why)))
        }
        RolloutState::Promoted => Health::Ready(Why::new("Promoted", rollout.why.clone())),
        RolloutState::RolledBack => Health::Ready(Why::new("RolledBack", rollout.why.clone())),
        RolloutState::Aborted => Health::Ready(Why::new("Aborted", rollout.why.clone())),
        RolloutState::Superseded => Health::Ready(Why::new("Superseded", rollout.why.clone())),
    }
}

/// The share of the candidate now.
fn share(rollout: &Rollout) -> String {
    match rollout.state {
        RolloutState::Running | RolloutState::Held => {
            let stages = &rollout.design.plan.stages;
            stages.get(usize::from(rollout.stage)).map(Share::to_string).unwrap_or_default()
        }
        RolloutState::Promoted => "100%".to_owned(),
        RolloutState::RolledBack | RolloutState::Aborted | RolloutState::Superseded => "0%".to_owned(),
    }
}

/// The verdict: what the statistics or, at the end of its time, the plan said. A person who ends it gives none.
fn verdict(rollout: &Rollout) -> &'static str {
    let proved = |of: fn(&Evidence) -> &Test| {
        rollout.evidence.as_ref().is_some_and(|evidence| of(evidence).peak.reaches(of(evidence).threshold))
    };
    match rollout.state {
        _ if rollout.why.starts_with("inconclusive") => "inconclusive",
        _ if rollout.why.starts_with("no data") => "no_data",
        RolloutState::Promoted if proved(|evidence| &evidence.promotion) => "promote",
        RolloutState::RolledBack => "rollback",
        RolloutState::Promoted
        | RolloutState::Running
        | RolloutState::Held
        | RolloutState::Aborted
        | RolloutState::Superseded => "",
    }
}

fn arm(evidence: &ArmEvidence) -> ArmStatus {
    let known = evidence.units.saturating_sub(evidence.unknown);
    let rate = if known == 0 {
        String::new()
    } else {
        // Counts of units are far below 2^52.
        format!("{:.3}", evidence.score / f64::from(u32::try_from(known).unwrap_or(u32::MAX)))
    };
    ArmStatus { units: i64::try_from(known).unwrap_or(i64::MAX), rate }
}

/// Returns what happened since the object was written.
fn news(rollout: &Rollout, now: &RolloutSubject, before: Option<&RolloutSubject>) -> Vec<(Reason, String)> {
    let environment = &rollout.scope.environment;
    let before_state = before.map(|before| before.state.as_str()).unwrap_or_default();
    let mut news = Vec::new();
    if before_state.is_empty() && rollout.state.is_active() {
        let (candidate, stable) = (rollout.candidate.short(), rollout.stable.short());
        let note =
            format!("rollout {} in {environment}: {candidate} against {stable}, by {}", rollout.number, rollout.actor);
        news.push((Reason::RolloutStarted, note));
    }
    if before_state == "running" && before.is_some_and(|before| before.stage < now.stage) {
        news.push((
            Reason::StageAdvanced,
            format!("stage {}: {} of units: {}", now.stage, share(rollout), rollout.why),
        ));
    }
    // An object that is made for a rollout which ended while nobody looked tells nothing: it is history.
    let was_active = matches!(before_state, "running" | "held");
    match rollout.state {
        RolloutState::Held if before_state != "held" => news.push((Reason::Held, rollout.why.clone())),
        RolloutState::Promoted if was_active => news.push((Reason::Promoted, rollout.why.clone())),
        RolloutState::RolledBack if was_active => news.push((Reason::RolledBack, rollout.why.clone())),
        RolloutState::Aborted | RolloutState::Superseded if was_active => {
            news.push((Reason::RolloutEnded, format!("{}: {}", rollout.state.as_str(), rollout.why)));
        }
        _ => {}
    }
    news
}
