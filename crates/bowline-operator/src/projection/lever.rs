//! Levers on projections: what a person asks for with an annotation is done by the control role, as the command line would ask it.

use bowline_crd::condition::LEVER;
use bowline_crd::{EnvironmentLever, Lever, LeverStatus, Prompt, PromptRollout};
use bowline_server::wire::{ActionRequest, RollbackRequest, RollbackResponse};
use bowline_server::{Client as Control, ClientError};
use bowline_store::RolloutState;
use kube::{Resource as _, ResourceExt as _};
use serde::de::IgnoredAny;
use serde_json::{Value, json};

use super::Space;
use super::known::Projected;
use super::view::View;
use super::write::keep;
use crate::apply::{apply_status, merge};
use crate::condition::{Conditions, Status, Why, cut, time};
use crate::context::Context;
use crate::error::{Error, Result};
use crate::event::Reason;
use crate::lever::{Pulled, pulled};

/// The longest name and reason that a status has, in bytes.
const WORDS_BYTES_MAX: usize = 512;

/// Where levers are looked for.
pub(super) struct Setting<'a> {
    pub(super) context: &'a Context,
    pub(super) space: &'a Space,
    pub(super) namespace: &'a str,
    pub(super) control: &'a Control,
}

/// What came of a lever.
enum Outcome {
    Done(String),
    Refused(String),
}

/// What a prompt stood at when a rollback was asked for. It is noted on the object before anything moves, so that after a crash it is known
/// whether the pointer moved already: a second rollback would go further back.
const ROLLBACK_FROM: &str = "bowline.dev/rollback-from";

/// Handles the levers that were pulled; returns whether there were any.
///
/// # Errors
/// The control role or the API server cannot be reached: the lever stays where it is, and is tried again.
pub(super) async fn handle(setting: &Setting<'_>, view: &View) -> Result<bool> {
    let (rollouts, prompts) = {
        let known = setting.space.known();
        (names::<PromptRollout>(&known), names::<Prompt>(&known))
    };
    for name in &rollouts {
        end(setting, view, name).await?;
    }
    for name in &prompts {
        rollback(setting, view, name).await?;
    }
    Ok(!rollouts.is_empty() || !prompts.is_empty())
}

fn names<K: Projected>(known: &super::known::Known) -> Vec<String> {
    K::entries(known).iter().filter(|(_, entry)| entry.pulled).map(|(name, _)| name.clone()).collect()
}

/// Ends a rollout as somebody asked for.
async fn end(setting: &Setting<'_>, view: &View, name: &str) -> Result<()> {
    let Some(object) = current::<PromptRollout>(setting, name).await? else { return Ok(()) };
    // Where both are pulled, nothing moves.
    for lever in [Lever::Abort, Lever::Promote] {
        let Some(pulled) = pulled(object.meta(), lever) else { continue };
        let number = u64::try_from(object.spec.number).unwrap_or_default();
        let path = format!("/rollouts/{number}/{}", lever.as_str());
        let request = ActionRequest { actor: pulled.actor.clone(), why: pulled.why(), off: false };
        let ended = if lever == Lever::Abort { RolloutState::Aborted } else { RolloutState::Promoted };
        let done = || format!("rollout {number} is {}", ended.as_str());
        // After a crash it may have been done already, by this very lever.
        let is_done = view
            .rollouts
            .iter()
            .any(|rollout| rollout.number == number && rollout.state == ended && rollout.why.contains(&request.why));
        let outcome = if is_done {
            Outcome::Done(done())
        } else {
            let asked = setting.control.post::<IgnoredAny>(&path, &request).await.map(|_| done());
            answered(asked)?
        };
        let object = current::<PromptRollout>(setting, name).await?;
        let Some(object) = object else { return Ok(()) };
        settle(setting, &object, lever, &pulled, outcome, &[]).await?;
    }
    Ok(())
}

/// Rolls a prompt back as somebody asked for.
async fn rollback(setting: &Setting<'_>, view: &View, name: &str) -> Result<()> {
    let Some(object) = current::<Prompt>(setting, name).await? else { return Ok(()) };
    let Some(pulled) = pulled(object.meta(), Lever::Rollback) else { return Ok(()) };
    let wanted: EnvironmentLever = match pulled.value.parse() {
        Ok(wanted) => wanted,
        Err(error) => {
            let outcome = Outcome::Refused(bowline_types::chain(&error));
            return settle(setting, &object, Lever::Rollback, &pulled, outcome, &[ROLLBACK_FROM]).await;
        }
    };
    let prompt = &object.spec.prompt;
    let stands = stands(view, prompt, &wanted);
    let api = setting.context.api::<Prompt>(setting.namespace);
    let noted = object.annotations().get(ROLLBACK_FROM);
    if noted.is_none() {
        let note = json!({ "metadata": { "annotations": { (ROLLBACK_FROM): stands } } });
        merge(&api, name, &note).await?;
    }
    let outcome = if noted.is_none_or(|noted| *noted == stands) {
        let why = if wanted.why.is_empty() { NO_REASON.to_owned() } else { wanted.why.clone() };
        let request =
            RollbackRequest { prompt: prompt.clone(), to: wanted.version.clone(), actor: pulled.actor.clone(), why };
        let path = format!("/environments/{}/rollback", wanted.environment);
        let asked = setting.control.post::<RollbackResponse>(&path, &request).await;
        answered(asked.map(|response| format!("{} is at {}", wanted.environment, response.version.short())))?
    } else {
        Outcome::Done(format!(
            "{} is at {}",
            wanted.environment,
            stands.chars().skip("sha256:".len()).take(8).collect::<String>()
        ))
    };
    let Some(object) = current::<Prompt>(setting, name).await? else { return Ok(()) };
    settle(setting, &object, Lever::Rollback, &pulled, outcome, &[ROLLBACK_FROM]).await
}

const NO_REASON: &str = crate::lever::NO_REASON;

/// Returns what a prompt stands at in an environment: its version, and the rollout that goes on.
fn stands(view: &View, prompt: &bowline_types::PromptName, wanted: &EnvironmentLever) -> String {
    let environment = view.environment(&wanted.environment);
    let pointer = environment.and_then(|found| found.pointers.iter().find(|pointer| pointer.prompt == *prompt));
    let rollout = view
        .active()
        .find(|rollout| rollout.prompt == *prompt && rollout.scope.environment == wanted.environment)
        .map_or_else(String::new, |rollout| format!("/{}", rollout.number));
    format!("{}{rollout}", pointer.map_or_else(|| "none".to_owned(), |pointer| pointer.version.to_string()))
}

/// Returns the object as it is now; `None` where it is gone, or has no lever any more.
async fn current<K: Projected>(setting: &Setting<'_>, name: &str) -> Result<Option<K>> {
    let api = setting.context.api::<K>(setting.namespace);
    let found = api.get_opt(name).await.map_err(Error::kubernetes(format!("read {} `{name}`", K::KIND)))?;
    match &found {
        Some(object) => keep(setting.space, object),
        None => {
            K::entries_mut(&mut setting.space.known()).remove(name);
        }
    }
    Ok(found)
}

/// Takes a refusal for an answer, and everything else for a reason to try again.
fn answered(asked: std::result::Result<String, ClientError>) -> Result<Outcome> {
    match asked {
        Ok(done) => Ok(Outcome::Done(done)),
        Err(ClientError::Refused { status: 400..=499, message, .. }) => Ok(Outcome::Refused(message)),
        Err(error) => Err(Error::control("pull a lever")(error)),
    }
}

/// Says what came of a lever, in the status and in an event, and takes the annotation away.
async fn settle<K: Projected>(
    setting: &Setting<'_>,
    object: &K,
    lever: Lever,
    pulled: &Pulled,
    outcome: Outcome,
    notes: &[&str],
) -> Result<()> {
    let (name, context) = (object.name_any(), setting.context);
    let api = context.api::<K>(setting.namespace);
    let (status, reason, text) = match &outcome {
        Outcome::Done(text) => (Status::True, Reason::LeverHandled, text),
        Outcome::Refused(text) => (Status::False, Reason::LeverRefused, text),
    };
    let message = format!("{} by {} ({}): {text}", lever.as_str(), pulled.actor, pulled.why());
    let mut wanted = object.status().cloned().unwrap_or_default();
    let generation = object.meta().generation;
    let mut conditions = Conditions::new(K::conditions(&mut wanted), generation, context.now());
    conditions.set(LEVER, status, Why::new(word(lever, &outcome), message.clone()));
    *K::conditions(&mut wanted) = conditions.into_vec();
    let answer = LeverStatus {
        name: lever.as_str().to_owned(),
        actor: cut(&pulled.actor, WORDS_BYTES_MAX),
        why: cut(&pulled.why(), WORDS_BYTES_MAX),
        at: time(context.now()),
        outcome: text.clone(),
    };
    K::lever_set(&mut wanted, Some(answer));
    apply_status(&api, &name, &wanted, None).await?;
    context.events.tell(&object.object_ref(&()), reason, message).await;
    let mut gone: serde_json::Map<String, Value> = notes.iter().map(|note| ((*note).to_owned(), Value::Null)).collect();
    for annotation in [lever.annotation(), Lever::ACTOR] {
        gone.insert(annotation.to_owned(), Value::Null);
    }
    let object: K = merge(&api, &name, &json!({ "metadata": { "annotations": gone } })).await?;
    keep(setting.space, &object);
    Ok(())
}

const fn word(lever: Lever, outcome: &Outcome) -> &'static str {
    match (outcome, lever) {
        (Outcome::Refused(_), _) => "Refused",
        (Outcome::Done(_), Lever::Abort) => "Aborted",
        (Outcome::Done(_), Lever::Promote) => "Promoted",
        (Outcome::Done(_), Lever::Rollback) => "RolledBack",
        (Outcome::Done(_), Lever::Freeze) => "Frozen",
    }
}
