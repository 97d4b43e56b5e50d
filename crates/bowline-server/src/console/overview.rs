//! The first page: every environment and what is live in it.

use std::time::Duration;

use bowline_types::ProjectName;
use maud::{Markup, html};

use super::format::{ago, commands};
use super::page::Page;
use super::prompts;
use crate::control::Control;
use crate::error::Result;
use crate::wire::EnvironmentView;

/// Ended rollouts that the first page shows, beside those that run.
const ROLLOUTS_SHOWN: usize = 5;

pub(super) async fn page(control: &Control) -> Result<Page> {
    let mut sections = Vec::new();
    for project in control.project_list().await? {
        sections.push(section(control, &project).await?);
    }
    let body = html! {
        h1 { "Environments" }
        @if sections.is_empty() { (nothing()) }
        @for section in &sections { (section) }
    };
    Ok(Page::live("Environments", "/live".to_owned(), Duration::from_secs(2), control.now(), body))
}

fn nothing() -> Markup {
    html! {
        p { "No project is known yet. In the folder of a project (the one with " code { "bowline.yaml" } "), type:" }
        (commands(&[
            ("bowline up .".to_owned(), "serves the prompts of the folder as environment dev"),
            ("bowline release --env prod".to_owned(), "makes the prompts of the present commit live in prod"),
        ]))
    }
}

async fn section(control: &Control, project: &ProjectName) -> Result<Markup> {
    let mut environments = Vec::new();
    for view in control.environment_list(project).await? {
        environments.push(environment(control, project, &view).await?);
    }
    let mut rollouts = control.rollout_list(project, false).await?;
    let mut ended = 0;
    rollouts.retain(|rollout| {
        ended += usize::from(!rollout.state.is_active());
        rollout.state.is_active() || ended <= ROLLOUTS_SHOWN
    });
    Ok(html! {
        section {
            h2 { "Project " (project) }
            @for environment in &environments { (environment) }
            h3 { "Rollouts" }
            @if rollouts.is_empty() {
                p.quiet {
                    "None yet. A release to an environment with a " code { "rollout:" } " plan in " code { "bowline.yaml" }
                    " starts one for each prompt that changed."
                }
            } @else {
                (prompts::rollouts(project, &rollouts, control.now()))
            }
        }
    })
}

async fn environment(control: &Control, project: &ProjectName, view: &EnvironmentView) -> Result<Markup> {
    let name = &view.environment;
    let table = prompts::table(control, project, view).await?;
    Ok(html! {
        h3 { a href={ "/environments/" (project) "/" (name) } { (name) } }
        p.facts { (facts(view)) }
        @if let Some(freeze) = view.state.as_ref().and_then(|state| state.freeze.as_ref()) {
            p.notice { strong { "Frozen" } " by " (freeze.actor) ", " (ago(freeze.at, control.now())) ": " (freeze.why) }
        }
        @if view.pointers.is_empty() {
            p.quiet { "Nothing is live here." }
            (commands(&[first_step(view)]))
        } @else {
            (table)
        }
    })
}

/// Says how versions come here and how they go live.
pub(super) fn facts(view: &EnvironmentView) -> Markup {
    use bowline_registry::Source;
    let source = match view.source {
        Source::Worktree => "served from the working tree",
        Source::Cli => "changed by bowline release",
        Source::Bundle => "changed by bundles",
    };
    let policy =
        if view.policy == "guarded" { "every change is a guarded rollout" } else { "changes are live at once" };
    html! {
        (source) " · " (policy)
        @if view.protected { " · protected: only from a clean commit" }
        @if let Some(temporary) = view.state.as_ref().and_then(|state| state.temporary.as_ref()) {
            " · made from " (temporary.from) ", removed at " (temporary.expires_at)
        }
    }
}

/// Returns what to type where nothing is live.
pub(super) fn first_step(view: &EnvironmentView) -> (String, &'static str) {
    use bowline_registry::Source;
    match view.source {
        Source::Worktree => ("bowline up .".to_owned(), "serves the prompts of the folder"),
        Source::Cli => {
            (format!("bowline release --env {}", view.environment), "makes the prompts of the present commit live")
        }
        Source::Bundle => {
            let release = format!("bowline release --env {} --bundle REF", view.environment);
            (release, "makes the prompts of a bundle live, where the policy of the environment holds")
        }
    }
}
