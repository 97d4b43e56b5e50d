//! What suites test, from the working tree and from what is live.

use std::collections::BTreeMap;
use std::time::Duration;

use bowline_eval::{Model, Prompt, Suite};
use bowline_prompt::{CheckedPrompt, Version, VersionTool};
use bowline_types::{Digest, PromptName, closest};
use serde_json::{Value, json};

use super::models::Models;
use super::plan::{Target, TargetSubject};
use super::request;
use crate::failure::{Failure, Result};
use crate::project::Loaded;

/// What is live in the environment of a gate, by prompt.
pub(crate) type Live = BTreeMap<PromptName, (Digest, Version)>;

/// Returns the prompts of the project that suites test.
pub(crate) fn prompts<'s>(suites: impl IntoIterator<Item = &'s Suite>) -> impl Iterator<Item = &'s PromptName> {
    let prompts = suites.into_iter().flat_map(|suite| &suite.prompts);
    prompts.filter_map(|prompt| match prompt {
        Prompt::Project(name) => Some(name),
        Prompt::Inline { .. } => None,
    })
}

/// Returns what a suite is run on. A version that is live is compared with where it is another one than that of the working tree.
///
/// # Errors
/// A prompt or a model is not there.
pub(crate) fn of_suite(suite: &Suite, loaded: &Loaded, models: &mut Models<'_>, live: &Live) -> Result<Vec<Target>> {
    let mut targets = Vec::new();
    for (place, prompt) in suite.prompts.iter().enumerate() {
        match prompt {
            Prompt::Project(name) => versions(suite, (place, name), loaded, models, live, &mut targets)?,
            Prompt::Inline { label, template } => {
                if suite.models.is_empty() {
                    let hint = "hint: name one under `providers` of the suite, such as an alias of bowline.yaml";
                    return Err(Failure::user(format!("{}: the prompt `{label}` has no model\n{hint}", suite.file)));
                }
                for (model_place, model) in suite.models.iter().enumerate().filter(|(_, model)| model.takes(place)) {
                    let target = inline(suite, label, template, model, models)?;
                    targets.push(Target { prompt_place: place, model_place: Some(model_place), ..target });
                }
            }
        }
    }
    for target in &mut targets {
        target.timeout = suite.run.timeout_ms.map(Duration::from_millis);
        target.way.fresh = suite.run.cache == Some(false);
    }
    Ok(targets)
}

fn versions(
    suite: &Suite,
    (place, name): (usize, &PromptName),
    loaded: &Loaded,
    models: &Models<'_>,
    live: &Live,
    targets: &mut Vec<Target>,
) -> Result<()> {
    let prompt =
        find(name, loaded).map_err(|failure| Failure::user(format!("{}: {}", suite.file, failure.message())))?;
    let delay = Duration::from_millis(suite.run.delay_ms);
    let candidate = version(name, prompt.digest, &prompt.version, models, false)?;
    targets.push(Target { prompt_place: place, delay, ..candidate });
    if let Some((digest, live)) = live.get(name).filter(|(digest, _)| *digest != prompt.digest) {
        let live = version(name, *digest, live, models, true)?;
        targets.push(Target { prompt_place: place, delay, ..live });
    }
    Ok(())
}

fn find<'l>(name: &PromptName, loaded: &'l Loaded) -> Result<&'l CheckedPrompt> {
    loaded.report.prompt(name).ok_or_else(|| {
        let known = loaded.report.prompts.iter().map(|prompt| prompt.name.as_str());
        let near = closest(name.as_str(), known).map_or_else(
            || "hint: `bowline prompt list` shows them".to_owned(),
            |near| format!("hint: did you mean `prompt:{near}`?"),
        );
        Failure::user(format!("there is no prompt `{name}`\n{near}"))
    })
}

/// Returns a prompt of the working tree as something that can be called.
///
/// # Errors
/// It is not there, or nobody serves its model.
pub(super) fn of_prompt(name: &PromptName, loaded: &Loaded, models: &Models<'_>) -> Result<Target> {
    let prompt = find(name, loaded)?;
    version(name, prompt.digest, &prompt.version, models, false)
}

fn version(
    name: &PromptName,
    digest: Digest,
    version: &Version,
    models: &Models<'_>,
    is_baseline: bool,
) -> Result<Target> {
    let (way, priced_as) = models.of_version(version)?;
    let subject =
        TargetSubject::Version { name: name.clone(), digest, inputs: request::inputs(version.input.schema.as_ref()) };
    let tools = version.tools.iter().map(tool).collect();
    Ok(Target {
        subject,
        prompt_place: 0,
        model_place: None,
        model: version.model.alias.to_string(),
        delay: Duration::ZERO,
        timeout: None,
        way,
        priced_as,
        tools,
        is_baseline,
    })
}

fn tool(tool: &VersionTool) -> Value {
    let mut function = json!({ "name": tool.name, "parameters": tool.input });
    if let (Some(description), Some(function)) = (&tool.description, function.as_object_mut()) {
        function.insert("description".to_owned(), description.as_str().into());
    }
    json!({ "type": "function", "function": function })
}

fn inline(suite: &Suite, label: &str, template: &str, model: &Model, models: &mut Models<'_>) -> Result<Target> {
    let routed =
        models.find(&model.id).map_err(|failure| Failure::user(format!("{}: {}", suite.file, failure.message())))?;
    let parameters = request::parameters(&model.config)
        .map_err(|reason| Failure::user(format!("{}: `{}`: {reason}", suite.file, model.id)))?;
    let tools = parameters.get("tools").and_then(Value::as_array).cloned().unwrap_or_default();
    let subject = TargetSubject::Inline {
        label: label.to_owned(),
        template: template.to_owned(),
        alias: routed.alias.to_string(),
        parameters,
    };
    Ok(Target {
        subject,
        prompt_place: 0,
        model_place: None,
        model: model.label.clone(),
        delay: Duration::from_millis(suite.run.delay_ms.max(model.delay_ms)),
        timeout: None,
        way: routed.way,
        priced_as: routed.priced_as,
        tools,
        is_baseline: false,
    })
}
