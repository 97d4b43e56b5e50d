use bowline_canary::Preview;
use bowline_server::wire::PlanRequest;

use crate::cli::{Global, RolloutPlan};
use crate::commands::{connected, live};
use crate::failure::Result;
use crate::output::{Format, json, line, note};
use crate::project;
use crate::style::{Paint, Style};
use crate::wording::percent;

/// Says what a rollout would take.
///
/// # Errors
/// There is no such environment, or the plan is not valid.
pub(crate) async fn run(global: &Global, rollout: &RolloutPlan) -> Result<()> {
    let RolloutPlan { prompt, env, units_per_hour } = rollout;
    let loaded = project::load(global.dir.as_deref())?;
    // The plan of the working tree, as it would be released now.
    let own = loaded.report.prompt(prompt).and_then(|prompt| prompt.fields.rollout.as_ref());
    let plan = match &loaded.report.project {
        Some(project) => {
            live::declared(project, env)?;
            project.environments.get(env).and_then(|environment| environment.plan(own))
        }
        None => own.cloned(),
    };
    if plan.is_none() {
        note(format!("{env} is not guarded: a change goes live at once. This is what the default plan would take."));
    }
    let (environment, prompt, units_per_hour) = (env.clone(), prompt.clone(), *units_per_hour);
    let request = PlanRequest { environment, prompt, plan, units_per_hour };
    let preview =
        connected(global, async |connection| Ok(connection.client.post::<Preview>("/plan", &request).await?));
    let preview = preview.await?;
    if global.output == Format::Json {
        return json(&preview);
    }
    let style = Style::of_stdout();
    let word = if preview.can_decide {
        style.paint(Paint::Green, "can decide")
    } else {
        style.paint(Paint::Yellow, "cannot decide")
    };
    let rate = percent(preview.assumed_rate);
    line(format!("{} in {env}: {word}, where stable succeeds at {rate}", request.prompt));
    preview.advice.iter().map(|advice| format!("  {advice}")).for_each(line);
    Ok(())
}
