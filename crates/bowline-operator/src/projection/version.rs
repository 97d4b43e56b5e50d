use bowline_crd::condition::{EVALUATED, RELEASED, VERIFIED};
use bowline_crd::{PROMPT_ANNOTATION, PromptVersion, PromptVersionSpec, PromptVersionStatus, version_object};
use bowline_types::{Digest, PromptName};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, OwnerReference};

use super::known::{Entry, VersionSubject};
use super::view::{Origin, View};
use super::{Desired, Setting};
use crate::bundle::Facts;
use crate::condition::{Conditions, Health, Status, Why, find};

/// Returns the PromptVersion as it should be. Its spec is written once and never changes, so one that is there needs no origin.
pub(super) fn desired(
    setting: &Setting<'_>,
    owner: &OwnerReference,
    subject: &VersionSubject,
    (origin, facts): (Option<&Origin>, Option<&Facts>),
    entry: Option<&Entry<VersionSubject>>,
) -> Desired<PromptVersion> {
    let VersionSubject { prompt, version } = subject;
    let name = version_object(prompt, version);
    let object = origin.map(|origin| {
        let spec = PromptVersionSpec {
            project: setting.project.clone(),
            prompt: prompt.clone(),
            digest: *version,
            bundle: origin.bundle,
            commit: origin.commit.clone(),
            author: origin.author.clone(),
        };
        let mut object = PromptVersion::new(&name, spec);
        object.metadata.namespace = Some(setting.namespace.to_owned());
        object.metadata.annotations = Some([(PROMPT_ANNOTATION.to_owned(), prompt.to_string())].into());
        object
    });
    let generation = entry.map_or(1, |entry| entry.generation);
    let present = entry.map(|entry| &*entry.conditions).unwrap_or_default();
    let mut conditions = Conditions::new(present, Some(generation), setting.now);
    let (status, why) = released(setting.view, prompt, version);
    conditions.set(RELEASED, status, why.clone());
    for kind in [VERIFIED, EVALUATED] {
        let (status, why) = judged(kind, facts, present);
        conditions.set(kind, status, why);
    }
    conditions.health(Health::Ready(why));
    let status = PromptVersionStatus { observed_generation: Some(generation), conditions: conditions.into_vec() };
    Desired { name, owners: vec![owner.clone()], object, status, news: Vec::new() }
}

/// Where a version is, over all environments.
fn released(view: &View, prompt: &PromptName, version: &Digest) -> (Status, Why) {
    let (mut live, mut words) = (Vec::new(), Vec::new());
    for environment in &view.environments {
        let name = &environment.environment;
        if environment.pointers.iter().any(|pointer| pointer.prompt == *prompt && pointer.version == *version) {
            live.push(name.as_str());
        }
    }
    if !live.is_empty() {
        words.push(format!("live in {}", live.join(", ")));
    }
    let tried: Vec<_> =
        view.active().filter(|rollout| rollout.prompt == *prompt && rollout.candidate == *version).collect();
    words.extend(
        tried.iter().map(|rollout| format!("tried in {} by rollout {}", rollout.scope.environment, rollout.number)),
    );
    let lost = view.environments.iter().flat_map(|environment| {
        let of = environment.quarantine.iter().filter(|lost| lost.prompt == *prompt && lost.version == *version);
        of.map(|lost| format!("held in {}: {}", environment.environment, lost.why))
    });
    let lost: Vec<_> = lost.collect();
    let reason = match (live.is_empty(), tried.is_empty(), lost.is_empty()) {
        (false, ..) => "Live",
        (true, false, _) => "RollingOut",
        (true, true, false) => "Held",
        (true, true, true) => "NotLive",
    };
    words.extend(lost);
    let message = if words.is_empty() { "no environment serves it".to_owned() } else { words.join("; ") };
    ((!live.is_empty()).into(), Why::new(reason, message))
}

/// What was verified of its bundle; where that is not at hand, what is known of it already. Nothing is released that the policy did not hold for.
fn judged(kind: &str, facts: Option<&Facts>, present: &[Condition]) -> (Status, Why) {
    if let Some(facts) = facts {
        let (why, asked) =
            if kind == VERIFIED { (&facts.verified, facts.signed) } else { (&facts.evaluated, facts.tested) };
        return (if asked { Status::True } else { Status::Unknown }, why.clone());
    }
    if let Some(present) = find(present, kind) {
        let status = match present.status.as_str() {
            "True" => Status::True,
            "False" => Status::False,
            _ => Status::Unknown,
        };
        let reason = ["Signed", "Unsigned", "Passed", "NotAsked", "PolicyHeld"]
            .into_iter()
            .find(|known| *known == present.reason);
        return (status, Why::new(reason.unwrap_or("PolicyHeld"), present.message.clone()));
    }
    // It may have asked for nothing.
    (Status::Unknown, Why::new("PolicyHeld", "what the PromptBundle asked for held when it was released"))
}
