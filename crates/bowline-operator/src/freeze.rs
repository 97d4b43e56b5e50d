//! The lever of a PromptBundle: while its annotation is there, nothing moves in the environment that it names.

use bowline_crd::condition::LEVER;
use bowline_crd::{EnvironmentLever, Lever, PromptBundle, PromptBundleStatus};
use bowline_server::wire::ActionRequest;
use bowline_server::{Client as Control, ClientError};
use bowline_types::{EnvironmentName, chain};
use kube::{Resource as _, ResourceExt as _};
use serde::de::IgnoredAny;

use crate::condition::{Conditions, Status, Why};
use crate::context::Context;
use crate::error::{Error, Result};
use crate::event::Reason;
use crate::lever::{NO_REASON, pulled};
use crate::projection::view::View;

/// What is to be done about freezes.
#[derive(Debug, PartialEq, Eq)]
enum Step {
    /// Freeze this one.
    On(EnvironmentName, String),
    /// Lift what this object froze.
    Off(EnvironmentName),
}

/// Freezes what the annotation names, and lifts what it no longer names; returns whether anything changed.
///
/// # Errors
/// The control role cannot be reached.
pub(crate) async fn reconcile(
    context: &Context,
    bundle: &PromptBundle,
    control: &Control,
    view: &View,
    status: &mut PromptBundleStatus,
) -> Result<bool> {
    let lever = pulled(bundle.meta(), Lever::Freeze);
    let wanted = match lever.as_ref().map(|lever| lever.value.parse::<EnvironmentLever>()).transpose() {
        Ok(wanted) => wanted,
        Err(error) => {
            answer(context, bundle, status, (Status::False, "Refused"), chain(&error)).await;
            None
        }
    };
    let steps = steps(wanted.as_ref(), view, &mark(bundle));
    let actor = lever.map_or_else(|| format!("PromptBundle {}", place(bundle)), |lever| lever.actor);
    for step in &steps {
        let (environment, why, off) = match step {
            Step::On(environment, why) => (environment, why.clone(), false),
            Step::Off(environment) => (environment, format!("the annotation is gone{}", mark(bundle)), true),
        };
        let request = ActionRequest { actor: actor.clone(), why, off };
        let asked = control.post::<IgnoredAny>(&format!("/environments/{environment}/freeze"), &request).await;
        let word = if off { "Unfrozen" } else { "Frozen" };
        match asked {
            Ok(_) => {
                let message = format!("`{environment}` is {} by {actor}: {}", word.to_lowercase(), request.why);
                answer(context, bundle, status, (Status::True, word), message).await;
            }
            Err(ClientError::Refused { status: 400..=499, message, .. }) => {
                answer(context, bundle, status, (Status::False, "Refused"), message).await;
            }
            Err(error) => return Err(Error::control("freeze an environment")(error)),
        }
    }
    Ok(!steps.is_empty())
}

/// Returns what is to be done: the level of the annotation against that of the control role. What others froze is not lifted.
fn steps(wanted: Option<&EnvironmentLever>, view: &View, mark: &str) -> Vec<Step> {
    let mut steps = Vec::new();
    for environment in &view.environments {
        let name = &environment.environment;
        let freeze = environment.state.as_ref().and_then(|state| state.freeze.as_ref());
        let is_wanted = wanted.is_some_and(|wanted| wanted.environment == *name);
        if freeze.is_some_and(|freeze| freeze.why.ends_with(mark)) && !is_wanted {
            steps.push(Step::Off(name.clone()));
        }
    }
    if let Some(wanted) = wanted {
        let freeze = view.environment(&wanted.environment).and_then(|found| found.state.as_ref()?.freeze.as_ref());
        if freeze.is_none() {
            let why = if wanted.why.is_empty() { NO_REASON } else { &wanted.why };
            steps.push(Step::On(wanted.environment.clone(), format!("{why}{mark}")));
        }
    }
    steps
}

/// What tells a freeze of this object from that of anybody else.
fn mark(bundle: &PromptBundle) -> String {
    format!(" (PromptBundle {})", place(bundle))
}

fn place(bundle: &PromptBundle) -> String {
    format!("{}/{}", bundle.namespace().unwrap_or_default(), bundle.name_any())
}

async fn answer(
    context: &Context,
    bundle: &PromptBundle,
    status: &mut PromptBundleStatus,
    (held, word): (Status, &'static str),
    message: String,
) {
    let known = crate::condition::find(&status.conditions, LEVER);
    if known.is_some_and(|known| known.reason == word && known.message == message) {
        return;
    }
    let mut conditions = Conditions::new(&status.conditions, bundle.meta().generation, context.now());
    conditions.set(LEVER, held, Why::new(word, message.clone()));
    status.conditions = conditions.into_vec();
    let reason = if held == Status::True { Reason::LeverHandled } else { Reason::LeverRefused };
    context.events.tell(&bundle.object_ref(&()), reason, message).await;
}

#[cfg(test)]
mod tests {
    use bowline_store::Freeze;
    use bowline_types::Timestamp;

    use super::*;
    use crate::projection::view::{Environment, EnvironmentState};

    fn view(rows: &[(&str, Option<&str>)]) -> View {
        let environment = |(name, why): &(&str, Option<&str>)| Environment {
            environment: EnvironmentName::new(name).unwrap(),
            state: Some(EnvironmentState {
                freeze: why.map(|why| Freeze { actor: "ada".into(), why: why.into(), at: Timestamp::default() }),
                fence: None,
            }),
            pointers: Vec::new(),
            quarantine: Vec::new(),
        };
        View { environments: rows.iter().map(environment).collect(), rollouts: Vec::new() }
    }

    #[test]
    fn a_freeze_lasts_as_long_as_its_annotation_and_others_keep_theirs() {
        let mark = " (PromptBundle desk/main)";
        let wanted: EnvironmentLever = "prod too many refunds".parse().unwrap();
        let prod = EnvironmentName::new("prod").unwrap();
        let on = Step::On(prod.clone(), format!("too many refunds{mark}"));
        assert_eq!(steps(Some(&wanted), &view(&[("prod", None)]), mark), [on]);
        let ours = format!("too many refunds{mark}");
        assert_eq!(steps(Some(&wanted), &view(&[("prod", Some(&ours))]), mark), []);
        assert_eq!(steps(None, &view(&[("prod", Some(&ours))]), mark), [Step::Off(prod.clone())]);
        assert_eq!(steps(None, &view(&[("prod", Some("holidays"))]), mark), []);
        let both = steps(Some(&wanted), &view(&[("prod", None), ("staging", Some(&ours))]), mark);
        assert_eq!(both.len(), 2, "it names another environment now: {both:?}");
    }
}
