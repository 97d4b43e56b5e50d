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

#[cfg(test)]
mod tests {
    use bowline_crd::condition::{READY, RECONCILING, STALLED};
    use bowline_types::{ProjectName, Timestamp};
    use serde_json::{Value, json};

    use super::super::known::Entry;
    use super::super::view::View;
    use super::*;
    use crate::condition::find;

    const STABLE: &str = "sha256:1111111111111111111111111111111111111111111111111111111111111111";
    const CANDIDATE: &str = "sha256:2222222222222222222222222222222222222222222222222222222222222222";

    /// A rollout as the control role tells of it, with fields that the operator does not know.
    fn rollout(change: &Value) -> Rollout {
        let e_value = |value: f64| serde_json::to_value(bowline_canary::EValue::new(value)).unwrap();
        let test = |value: f64| json!({ "e_value": e_value(value), "peak": e_value(value), "threshold": 20.0 });
        let mut told = json!({
            "id": "rol_x", "number": 7, "scope": { "project": "desk", "environment": "prod" }, "prompt": "answer",
            "stable": STABLE, "candidate": CANDIDATE, "success": [],
            "design": { "schema_version": 1, "plan": { "stages": ["10%", "50%"], "margin": 0.05 } },
            "state": "running", "stage": 1, "frontier": 0, "started_at": 1_000_000, "stage_started_at": 1_000_000,
            "ended_at": null, "actor": "ada", "provenance": { "commit": "c", "author": "Ada", "dirty": false }, "why": "",
            "evidence": {
                "observations": 20,
                "arms": {
                    "stable": { "units": 12, "pass": 8, "fail": 2, "unknown": 2, "score": 8.0 },
                    "candidate": { "units": 3, "pass": 1, "fail": 2, "unknown": 0, "score": 1.0 },
                },
                "rollback": test(4.75), "promotion": test(0.5),
            },
            "revision": 3,
        });
        for (key, value) in change.as_object().unwrap() {
            told[key] = value.clone();
        }
        serde_json::from_value(told).unwrap()
    }

    fn projected(rollout: &Rollout, known: &Entries<PromptRollout>) -> Desired<PromptRollout> {
        let (project, view): (ProjectName, _) = ("desk".parse().unwrap(), View::default());
        let now = Timestamp::from_micros(5_000_000);
        let setting = Setting { project: &project, namespace: "desk", view: &view, now };
        desired(&setting, &OwnerReference::default(), rollout, known)
    }

    /// What is known once an object was written.
    fn written(desired: &Desired<PromptRollout>) -> Entries<PromptRollout> {
        let mut object = desired.object.clone().unwrap();
        object.status = Some(desired.status.clone());
        [(desired.name.clone(), Entry::of(&object))].into()
    }

    fn reasons(desired: &Desired<PromptRollout>) -> Vec<Reason> {
        desired.news.iter().map(|(reason, _)| *reason).collect()
    }

    #[test]
    fn a_running_rollout_shows_its_stage_its_rates_and_its_evidence() {
        let shown = projected(&rollout(&json!({})), &Entries::<PromptRollout>::new());
        assert_eq!(shown.name, "answer-prod-7");
        let status = &shown.status;
        assert_eq!((status.state.as_str(), status.stage, status.share.as_str()), ("running", 2, "50%"));
        assert_eq!(status.stable.as_ref().map(|arm| (arm.units, arm.rate.as_str())), Some((10, "0.800")));
        assert_eq!(status.candidate.as_ref().map(|arm| (arm.units, arm.rate.as_str())), Some((3, "0.333")));
        assert_eq!((status.e_rollback.as_deref(), status.verdict.as_str()), (Some("4.75"), ""));
        assert!(find(&status.conditions, RECONCILING).is_some() && find(&status.conditions, STALLED).is_none());
        assert_eq!(reasons(&shown), [Reason::RolloutStarted]);
    }

    #[test]
    fn what_happened_is_told_once() {
        let known = written(&projected(&rollout(&json!({ "stage": 0 })), &Entries::<PromptRollout>::new()));
        let advanced = projected(&rollout(&json!({})), &known);
        assert_eq!(reasons(&advanced), [Reason::StageAdvanced]);
        let known = written(&advanced);
        assert_eq!(reasons(&projected(&rollout(&json!({})), &known)), []);
        let lost = rollout(&json!({ "state": "rolled_back", "why": "worse", "ended_at": 9_000_000 }));
        let ended = projected(&lost, &known);
        assert_eq!(reasons(&ended), [Reason::RolledBack]);
        assert_eq!((ended.status.verdict.as_str(), ended.status.share.as_str()), ("rollback", "0%"));
        assert_eq!(find(&ended.status.conditions, READY).unwrap().reason, "RolledBack");
        assert_eq!(reasons(&projected(&lost, &written(&ended))), []);
        assert_eq!(reasons(&projected(&lost, &Entries::<PromptRollout>::new())), [], "what is history is no news");
    }

    #[test]
    fn a_verdict_is_what_was_proved_and_not_what_a_person_decided() {
        let none = Entries::<PromptRollout>::new();
        let by_person = rollout(&json!({ "state": "promoted", "why": "promoted by ada" }));
        assert_eq!(projected(&by_person, &none).status.verdict, "");
        let held = rollout(&json!({ "state": "held", "why": "inconclusive: the time is over" }));
        let held = projected(&held, &none);
        assert_eq!(held.status.verdict, "inconclusive");
        assert!(find(&held.status.conditions, STALLED).unwrap().message.contains("bowline.dev/promote"));
    }
}
