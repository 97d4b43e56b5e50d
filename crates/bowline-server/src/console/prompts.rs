//! The prompts that are live in an environment, and how they do.

use std::collections::BTreeMap;

use bowline_store::{PointerRecord, Provenance, RegistrationRecord, RolloutRecord, SummaryFilter, SummaryRow};
use bowline_types::{ProjectName, PromptName, Scope, Timestamp, Usd};
use maud::{Markup, html};

use super::format::{Tally, ago, commit, cost, state, version};
use crate::control::Control;
use crate::error::Result;
use crate::wire::EnvironmentView;

/// One prompt of an environment.
struct Prompt {
    pointer: PointerRecord,
    provenance: Option<Provenance>,
    rollout: Option<RolloutRecord>,
    tally: Tally,
    inferences: u64,
    cost: Usd,
    unpriced: u64,
}

/// Returns the table of the prompts of an environment.
pub(super) async fn table(control: &Control, project: &ProjectName, view: &EnvironmentView) -> Result<Markup> {
    let scope = Scope { project: project.clone(), environment: view.environment.clone() };
    let filter = SummaryFilter { scope, prompt: None, rollout: None, since: None };
    let summary = control.store().summary_list(filter).await?;
    let mut rollouts: BTreeMap<&PromptName, &RolloutRecord> =
        view.rollouts.iter().map(|each| (&each.prompt, each)).collect();
    let mut prompts = Vec::with_capacity(view.pointers.len());
    for pointer in &view.pointers {
        let registered = control.store().registration_list(project.clone(), pointer.prompt.clone()).await?;
        let rollout = rollouts.remove(&pointer.prompt);
        prompts.push(Prompt::new(pointer, &registered, rollout, &summary));
    }
    Ok(rendered(project, &prompts, control.now()))
}

fn rendered(project: &ProjectName, prompts: &[Prompt], now: Timestamp) -> Markup {
    html! {
        div.scroll role="region" aria-label="Prompts" tabindex="0" {
            table {
                thead { tr {
                    th scope="col" { "Prompt" }
                    th scope="col" { "Live version" }
                    th scope="col" { "Moved" }
                    th scope="col" { "Commit" }
                    th scope="col" { "Success of this version" }
                    th.number scope="col" { "Calls" }
                    th.number scope="col" { "Cost" }
                    th scope="col" { "Rollout" }
                } }
                tbody { @for prompt in prompts { (prompt.row(project, now)) } }
            }
        }
    }
}

// === impl Prompt ===

impl Prompt {
    fn new(
        pointer: &PointerRecord,
        registered: &[RegistrationRecord],
        rollout: Option<&RolloutRecord>,
        summary: &[SummaryRow],
    ) -> Self {
        let of_version =
            |row: &&SummaryRow| row.prompt.as_ref() == Some(&pointer.prompt) && row.version == Some(pointer.version);
        let registration = registered.iter().find(|each| each.version == pointer.version);
        let mut prompt = Self {
            pointer: pointer.clone(),
            provenance: registration.map(|registration| registration.provenance.clone()),
            rollout: rollout.cloned(),
            tally: Tally::default(),
            inferences: 0,
            cost: Usd::ZERO,
            unpriced: 0,
        };
        for row in summary.iter().filter(of_version) {
            prompt.tally.pass += row.pass;
            prompt.tally.fail += row.fail;
            prompt.tally.unknown += row.unknown;
            prompt.inferences += row.inferences;
            prompt.cost += row.cost;
            prompt.unpriced += row.unpriced;
        }
        prompt
    }

    fn row(&self, project: &ProjectName, now: Timestamp) -> Markup {
        html! {
            tr {
                th scope="row" { (self.pointer.prompt) }
                td { (version(self.pointer.version)) }
                td { (ago(self.pointer.moved_at, now)) }
                td { @if let Some(provenance) = &self.provenance { (commit(provenance)) } }
                td { @if self.inferences == 0 { span.quiet { "no call yet" } } @else { (self.tally.markup()) } }
                td.number { (self.inferences) }
                td.number { (cost(self.cost, self.inferences, self.unpriced)) }
                td {
                    @match &self.rollout {
                        Some(rollout) => {
                            a href={ "/rollouts/" (project) "/" (rollout.number) } { "rollout " (rollout.number) }
                            " " (state(rollout.state))
                        }
                        None => span.quiet { "none" },
                    }
                }
            }
        }
    }
}

/// Returns the table of rollouts.
pub(super) fn rollouts(project: &ProjectName, rollouts: &[RolloutRecord], now: Timestamp) -> Markup {
    html! {
        div.scroll role="region" aria-label="Rollouts" tabindex="0" {
            table {
                thead { tr {
                    th.number scope="col" { "Rollout" }
                    th scope="col" { "Prompt" }
                    th scope="col" { "State" }
                    th scope="col" { "Stable → candidate" }
                    th scope="col" { "Started" }
                    th scope="col" { "Why" }
                } }
                tbody { @for rollout in rollouts {
                    tr {
                        th.number scope="row" { a href={ "/rollouts/" (project) "/" (rollout.number) } { (rollout.number) } }
                        td { (rollout.prompt) small { (rollout.scope.environment) } }
                        td { (state(rollout.state)) }
                        td.nowrap { (version(rollout.stable)) " → " (version(rollout.candidate)) }
                        td { (ago(rollout.started_at, now)) }
                        td.words { (rollout.why) }
                    }
                } }
            }
        }
    }
}
