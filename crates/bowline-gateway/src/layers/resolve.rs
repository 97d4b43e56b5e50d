//! What is asked for: a reference to a prompt becomes an environment, an arm of its rollout and a version; an alias becomes routes.
//! Here and nowhere else a unit gets its arm, so everything after it counts for that arm, errors included.

use std::sync::Arc;
use std::time::Duration;

use bowline_canary::Assignment;
use bowline_chat::openai_chat::ClientRequest;
use bowline_chat::{Dialect, ModelRef, Selector};
use bowline_registry::{ContentCapture, SnapshotKey};
use bowline_telemetry::TraceContext;
use bowline_types::{Arm, EnvironmentName, ErrorKind, InferenceId, ModelAlias, PromptName, Unit, closest};

use crate::exchange::{Assigned, Exchange, Outcome};
use crate::layers::accept::{Accepted, Arrival};
use crate::live::{Live, LiveEnvironment, LiveProject, LivePrompt, Route, Served};
use crate::refusal::Refusal;

/// What a call resolved to.
pub(crate) struct Target {
    /// The version to render; `None` where the application named a model.
    pub(crate) served: Option<Arc<Served>>,
    /// The routes, in order of preference.
    pub(crate) routes: Arc<[Route]>,
    /// What content the project keeps.
    pub(crate) capture: ContentCapture,
    /// The body as it came, for calls that pass through.
    pub(crate) body: bytes::Bytes,
    /// Whether a candidate was left out because its lease is over.
    pub(crate) lease_expired: bool,
}

/// What a reference to a prompt or a model comes to.
struct Choice {
    environment: EnvironmentName,
    model: ModelAlias,
    prompt: Option<PromptName>,
    served: Option<Arc<Served>>,
    routes: Arc<[Route]>,
    assigned: Option<Assigned>,
    lease_expired: bool,
}

/// Resolves a call and opens its exchange.
///
/// # Errors
/// The key lacks a scope, or there is no such prompt, environment, version or model.
pub(crate) fn resolve(
    live: &Live,
    key: Arc<SnapshotKey>,
    accepted: &Accepted,
    call: &ClientRequest,
) -> Result<(Exchange, Target), Refusal> {
    let Arrival { at, uptime, instant } = accepted.arrival;
    let id = InferenceId::generate(at);
    let unit = Exchange::unit(id, accepted.unit()?, call.request.user.as_deref());
    let project = live.project_of(&key).ok_or_else(|| missing("project", key.project.as_str(), []))?;
    let choice = match &call.model {
        ModelRef::Alias(alias) => model(project, &key, alias, call)?,
        ModelRef::Prompt { name, selector } => prompt(project, &key, name, selector.as_ref(), (&unit, uptime))?,
    };
    let trace =
        accepted.header("traceparent").and_then(|parent| TraceContext::parse(parent, accepted.header("tracestate")));
    let served = choice.served;
    let exchange = Exchange {
        id,
        key,
        started_at: at,
        started: instant,
        environment: choice.environment,
        dialect: Dialect::OpenAiChat.as_str(),
        prompt: choice.prompt,
        version: served.as_ref().map(|served| served.version.digest),
        arm: choice.assigned,
        unit,
        model: choice.model,
        stream: call.request.stream,
        request_bytes: accepted.body.len(),
        gone: accepted.gone.clone(),
        held: None,
        variables: call.variables.clone().unwrap_or_default(),
        contract: served.as_ref().map(|served| Arc::clone(&served.contract)),
        trace,
        upstream: None,
        outcome: Outcome::default(),
    };
    let target = Target {
        served,
        routes: choice.routes,
        capture: project.content,
        body: accepted.body.clone(),
        lease_expired: choice.lease_expired,
    };
    Ok((exchange, target))
}

fn model(
    project: &LiveProject,
    key: &SnapshotKey,
    alias: &ModelAlias,
    call: &ClientRequest,
) -> Result<Choice, Refusal> {
    let environment = environment(project, &key.environment)?;
    if call.variables.is_some() {
        let message = "`variables` belong to a prompt, and `model` names a model\nhint: use `model: \"prompt:NAME\"`";
        return Err(Refusal::new(ErrorKind::InvalidRequest, message).parameter("variables"));
    }
    let known = environment.models.keys().map(ModelAlias::as_str);
    let routes =
        environment.models.get(alias).ok_or_else(|| missing("model", alias.as_str(), known).parameter("model"))?;
    Ok(Choice {
        environment: key.environment.clone(),
        model: alias.clone(),
        prompt: None,
        served: None,
        routes: Arc::clone(routes),
        assigned: None,
        lease_expired: false,
    })
}

fn prompt(
    project: &LiveProject,
    key: &SnapshotKey,
    name: &PromptName,
    selector: Option<&Selector>,
    (unit, uptime): (&Unit, Duration),
) -> Result<Choice, Refusal> {
    let named = match selector {
        Some(Selector::Environment(named)) if *named != key.environment && !key.environments.contains(named) => {
            return Err(forbidden(format!("the key may not name the environment `{named}`"), "--environment"));
        }
        Some(Selector::Environment(named)) => named,
        Some(Selector::Version(_)) if !key.versions => {
            return Err(forbidden("the key may not name versions".to_owned(), "--versions"));
        }
        Some(Selector::Version(_)) | None => &key.environment,
    };
    let environment = environment(project, named)?;
    let known = environment.prompts.keys().map(PromptName::as_str);
    let prompt =
        environment.prompts.get(name).ok_or_else(|| missing("prompt", name.as_str(), known).parameter("model"))?;
    let (served, assigned, lease_expired) = match selector {
        // A pinned version is nobody's arm: the application chose it.
        Some(Selector::Version(digest)) => {
            let served = prompt.pinned.get(digest);
            (served.ok_or_else(|| missing("version", &digest.to_string(), []).parameter("model"))?, None, false)
        }
        Some(Selector::Environment(_)) | None => assign(prompt, unit, uptime),
    };
    Ok(Choice {
        environment: named.clone(),
        model: served.version.version.model.alias.clone(),
        prompt: Some(name.clone()),
        routes: Arc::clone(&served.routes),
        served: Some(Arc::clone(served)),
        assigned,
        lease_expired,
    })
}

/// Gives a unit its arm. Without news from the control role for longer than the lease, everybody gets stable, outside of the
/// rollout: nobody is there to judge the candidate, and units that changed sides would blur the arms.
fn assign<'a>(prompt: &'a LivePrompt, unit: &Unit, uptime: Duration) -> (&'a Arc<Served>, Option<Assigned>, bool) {
    let Some(trial) = &prompt.trial else { return (&prompt.stable, None, false) };
    if !trial.lease.holds(uptime) {
        return (&prompt.stable, None, true);
    }
    let arm = Assignment::new(trial.rollout.id, unit).arm(trial.rollout.share);
    let served = match arm {
        Arm::Stable => &trial.stable,
        Arm::Candidate => &trial.candidate,
    };
    (served, Some(Assigned { rollout: Arc::clone(&trial.rollout), arm }), false)
}

fn environment<'a>(project: &'a LiveProject, name: &EnvironmentName) -> Result<&'a LiveEnvironment, Refusal> {
    let known = project.environments.keys().map(EnvironmentName::as_str);
    project.environments.get(name).ok_or_else(|| missing("environment", name.as_str(), known).parameter("model"))
}

fn missing<'a>(noun: &str, name: &str, known: impl IntoIterator<Item = &'a str>) -> Refusal {
    let hint = closest(name, known).map_or_else(
        || match noun {
            "prompt" => "hint: `bowline env list` shows what is live; `bowline release` makes a prompt live".to_owned(),
            "version" => "hint: `bowline env log` shows the versions that have been live".to_owned(),
            _ => format!("hint: see the {noun}s in bowline.yaml"),
        },
        |near| format!("hint: did you mean `{near}`?"),
    );
    let code = match noun {
        "model" => "model_not_found",
        "prompt" => "prompt_not_found",
        _ => "not_found",
    };
    Refusal::new(ErrorKind::NotFound, format!("there is no {noun} `{name}` here\n{hint}")).code(code)
}

fn forbidden(what: String, option: &str) -> Refusal {
    let message = format!("{what}\nhint: `bowline key create … {option}` makes a key that may");
    Refusal::new(ErrorKind::Forbidden, message).parameter("model")
}
