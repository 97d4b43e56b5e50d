use bowline_crd::{Live, PROMPT_ANNOTATION, Prompt, PromptSpec, PromptStatus, prompt_object};
use bowline_types::PromptName;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;

use super::known::Entries;
use super::{Desired, Setting};
use crate::condition::{Conditions, Health, Why, time};

/// Returns the Prompt as it should be: what is live of it in every environment.
pub(super) fn desired(
    setting: &Setting<'_>,
    owners: &[OwnerReference],
    prompt: &PromptName,
    known: &Entries<Prompt>,
) -> Desired<Prompt> {
    let name = prompt_object(prompt);
    let entry = known.get(&name);
    let view = setting.view;
    let mut environments = Vec::new();
    for environment in &view.environments {
        let Some(pointer) = environment.pointers.iter().find(|pointer| pointer.prompt == *prompt) else { continue };
        let rollout = view
            .active()
            .find(|rollout| rollout.prompt == *prompt && rollout.scope.environment == environment.environment);
        environments.push(Live {
            name: environment.environment.clone(),
            version: pointer.version,
            short: pointer.version.short(),
            moved_at: time(pointer.moved_at),
            rollout: rollout.map(|rollout| i64::try_from(rollout.number).unwrap_or(i64::MAX)),
        });
    }
    environments.sort_by(|a, b| a.name.cmp(&b.name));
    let generation = entry.map_or(1, |entry| entry.generation);
    let mut conditions =
        Conditions::new(entry.map(|entry| &*entry.conditions).unwrap_or_default(), Some(generation), setting.now);
    conditions.health(if environments.is_empty() {
        Health::Reconciling { why: Why::new("NotLive", "no version of it is live yet"), ready: false }
    } else {
        let names: Vec<_> = environments.iter().map(|live| live.name.as_str()).collect();
        Health::Ready(Why::new("Live", format!("live in {}", names.join(", "))))
    });
    let mut object = Prompt::new(&name, PromptSpec { project: setting.project.clone(), prompt: prompt.clone() });
    object.metadata.namespace = Some(setting.namespace.to_owned());
    object.metadata.annotations = Some([(PROMPT_ANNOTATION.to_owned(), prompt.to_string())].into());
    let status = PromptStatus {
        observed_generation: Some(generation),
        conditions: conditions.into_vec(),
        summary: Live::summary(&environments),
        environments,
    };
    Desired { name, owners: owners.to_vec(), object: Some(object), status, news: Vec::new() }
}
