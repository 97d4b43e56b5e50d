//! One environment: its prompts, its rollouts, what is quarantined, and the pointer log.

use std::collections::BTreeMap;
use std::time::Duration;

use bowline_store::{LogAction, LogRow, QuarantineRecord, RolloutFilter, RolloutRecord};
use bowline_types::{EnvironmentName, ProjectName, RolloutId, Scope, Timestamp};
use maud::{Markup, html};

use super::format::{ago, commands, moment, version};
use super::overview::{facts, first_step};
use super::page::Page;
use super::prompts;
use crate::control::Control;
use crate::error::{Error, Result};
use crate::wire::EnvironmentView;

/// Rows of the pointer log on the page; `bowline env log` shows all.
const LOG_SHOWN: u32 = 50;

/// Rollouts on the page; `bowline rollout list` shows all.
const ROLLOUTS_SHOWN: usize = 10;

pub(super) async fn page(control: &Control, project: &ProjectName, name: &EnvironmentName) -> Result<Page> {
    let views = control.environment_list(project).await?;
    let view = views.into_iter().find(|view| view.environment == *name).ok_or_else(|| Error::NotFound {
        noun: "environment",
        name: name.to_string(),
        hint: "`bowline env list` shows those of the project",
    })?;
    let log = control.log_list(project, name, None, None, LOG_SHOWN).await?;
    let scope = Scope { project: project.clone(), environment: name.clone() };
    let filter = RolloutFilter { scope: Some(scope), ..RolloutFilter::default() };
    let rollouts = control.store().rollout_list(filter).await?;
    let prompts = prompts::table(control, project, &view).await?;
    let body = rendered(project, &view, prompts, &rollouts, &log, control.now());
    let source = format!("/environments/{project}/{name}/live");
    Ok(Page::live(&format!("{name} of {project}"), source, Duration::from_secs(2), control.now(), body))
}

fn rendered(
    project: &ProjectName,
    view: &EnvironmentView,
    prompts: Markup,
    rollouts: &[RolloutRecord],
    log: &[LogRow],
    now: Timestamp,
) -> Markup {
    let name = &view.environment;
    let freeze = view.state.as_ref().and_then(|state| state.freeze.as_ref());
    html! {
        nav aria-label="Breadcrumb" { a href="/" { "Environments" } " / " (project) }
        h1 { (name) }
        p.facts { (facts(view)) }
        @if let Some(freeze) = freeze {
            p.notice { strong { "Frozen" } " by " (freeze.actor) ", " (ago(freeze.at, now)) ": " (freeze.why) }
        }
        h2 { "Prompts" }
        @if view.pointers.is_empty() {
            p.quiet { "Nothing is live here." }
            (commands(&[first_step(view)]))
        } @else {
            (prompts)
        }
        @if !rollouts.is_empty() {
            h2 { "Rollouts" }
            (prompts::rollouts(project, rollouts.get(..ROLLOUTS_SHOWN).unwrap_or(rollouts), now))
        }
        @if !view.quarantine.is_empty() {
            h2 { "Quarantined versions" }
            p.quiet { "They lost here, and stay out until " code { "bowline release --retry" } "." }
            (quarantined(&view.quarantine, now))
        }
        h2 { "Pointer log" }
        @if log.is_empty() { p.quiet { "Every move of a pointer will be a row here." } } @else { (log_table(project, log, rollouts)) }
        @if !view.pointers.is_empty() {
            h2 { "What you can do" }
            (commands(&next_steps(view, freeze.is_some())))
        }
    }
}

fn quarantined(records: &[QuarantineRecord], now: Timestamp) -> Markup {
    html! {
        div.scroll role="region" aria-label="Quarantined versions" tabindex="0" {
            table {
                thead { tr {
                    th scope="col" { "Prompt" } th scope="col" { "Version" } th scope="col" { "Since" } th scope="col" { "Why" }
                } }
                tbody { @for record in records {
                    tr {
                        th scope="row" { (record.prompt) }
                        td { (version(record.version)) }
                        td { (ago(record.at, now)) }
                        td.words { (record.why) }
                    }
                } }
            }
        }
    }
}

fn log_table(project: &ProjectName, log: &[LogRow], rollouts: &[RolloutRecord]) -> Markup {
    let numbers: BTreeMap<RolloutId, u64> = rollouts.iter().map(|rollout| (rollout.id, rollout.number)).collect();
    html! {
        div.scroll role="region" aria-label="Pointer log" tabindex="0" {
            table {
                thead { tr {
                    th scope="col" { "When (UTC)" }
                    th scope="col" { "Prompt" }
                    th scope="col" { "What" }
                    th scope="col" { "From → to" }
                    th scope="col" { "By" }
                    th scope="col" { "Why" }
                } }
                tbody { @for row in log {
                    tr {
                        td { (moment(row.at)) }
                        td { @match &row.prompt { Some(prompt) => (prompt), None => span.quiet { "all" } } }
                        td {
                            (word(row.action))
                            @if let Some(number) = row.rollout.and_then(|id| numbers.get(&id)) {
                                small { a href={ "/rollouts/" (project) "/" (number) } { "rollout " (number) } }
                            }
                        }
                        td.nowrap { (movement(row)) }
                        td { (row.actor) }
                        td.words { (row.why) }
                    }
                } }
            }
        }
    }
}

fn movement(row: &LogRow) -> Markup {
    html! {
        @match (row.from, row.to) {
            (None, None) => {},
            (None, Some(to)) => { "first " (version(to)) },
            (Some(from), None) => (version(from)),
            (Some(from), Some(to)) if from == to => { span.quiet { "stays " } (version(from)) },
            (Some(from), Some(to)) => { (version(from)) " → " (version(to)) },
        }
    }
}

const fn word(action: LogAction) -> &'static str {
    match action {
        LogAction::Moved => "moved",
        LogAction::RolloutStarted => "rollout started",
        LogAction::StageAdvanced => "next stage",
        LogAction::Promoted => "promoted",
        LogAction::RolledBack => "rolled back",
        LogAction::Aborted => "aborted",
        LogAction::Superseded => "superseded",
        LogAction::Held => "held",
        LogAction::Refused => "refused",
        LogAction::Retried => "quarantine lifted",
        LogAction::Frozen => "frozen",
        LogAction::Unfrozen => "unfrozen",
        LogAction::Created => "made",
        LogAction::Removed => "removed",
    }
}

fn next_steps(view: &EnvironmentView, frozen: bool) -> Vec<(String, &'static str)> {
    let name = &view.environment;
    let prompt = view.pointers.first().map(|pointer| pointer.prompt.to_string()).unwrap_or_default();
    let freeze = if frozen {
        (format!("bowline freeze {name} --off"), "lets releases and promotions move pointers again")
    } else {
        (format!("bowline freeze {name} --why TEXT"), "stops releases and promotions; rollbacks go on")
    };
    vec![
        (format!("bowline env log {name} {prompt}"), "shows where a prompt has been, and why"),
        (format!("bowline rollback {name} {prompt}"), "moves a prompt back to the version before, at once"),
        freeze,
    ]
}
