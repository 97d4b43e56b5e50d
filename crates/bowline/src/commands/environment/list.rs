use bowline_server::wire::EnvironmentView;

use crate::cli::Global;
use crate::commands::connected;
use crate::failure::Result;
use crate::output::{Format, json, line};
use crate::picture;
use crate::style::{Paint, Style};
use crate::wording::moment;

/// Lists the environments.
///
/// # Errors
/// Nothing was ever released.
pub(crate) async fn run(global: &Global) -> Result<()> {
    let views = connected(global, async |connection| {
        Ok(connection.client.get::<Vec<EnvironmentView>>("/environments").await?)
    });
    let views = views.await?;
    match global.output {
        Format::Json => json(&views)?,
        Format::Text => views.iter().flat_map(|view| lines(view, Style::of_stdout())).for_each(line),
    }
    Ok(())
}

fn lines(view: &EnvironmentView, style: Style) -> Vec<String> {
    let protected = if view.protected { ", protected" } else { "" };
    let head = format!("{}  {}{protected}, from {}", view.environment, view.policy, view.source.as_str());
    let mut lines = vec![style.paint(Paint::Bold, &head)];
    if let Some(freeze) = view.state.as_ref().and_then(|state| state.freeze.as_ref()) {
        let text = format!("  frozen by {} since {} UTC: {}", freeze.actor, moment(freeze.at), freeze.why);
        lines.push(style.paint(Paint::Yellow, &text));
    }
    if let Some(temporary) = view.state.as_ref().and_then(|state| state.temporary.as_ref()) {
        let (from, until) = (&temporary.from, moment(temporary.expires_at));
        lines.push(format!("  made from {from} by {}, removed at {until} UTC", temporary.actor));
    }
    if view.pointers.is_empty() {
        lines.push("  nothing is live".to_owned());
    }
    let width = view.pointers.iter().map(|pointer| pointer.prompt.as_str().len()).max().unwrap_or(0);
    for pointer in &view.pointers {
        let (prompt, version) = (&pointer.prompt, pointer.version.short());
        lines.push(format!("  {prompt:width$}  {version}  live since {} UTC", moment(pointer.moved_at)));
        for rollout in view.rollouts.iter().filter(|rollout| rollout.prompt == *prompt) {
            let (number, state, candidate) = (rollout.number, rollout.state.as_str(), rollout.candidate.short());
            lines.push(format!("    rollout {number} {state}: {candidate} tried, {}", picture::stage(rollout)));
        }
        for held in view.quarantine.iter().filter(|held| held.prompt == *prompt) {
            lines.push(format!("    {} quarantined: {}", held.version.short(), held.why));
        }
    }
    lines
}
