//! One rollout: where it stands, how both arms do, and how far the evidence is.

use std::time::Duration;

use bowline_canary::{Action, Decision, Design, TestEvidence};
use bowline_store::{RolloutState, SummaryRow};
use bowline_types::{Arm, ProjectName, Timestamp, Usd};
use maud::{Markup, html};

use super::chart;
use super::format::{ago, commands, commit, cost, percent, state, version};
use super::page::Page;
use crate::control::Control;
use crate::driver;
use crate::error::Result;
use crate::wire::RolloutView;

pub(super) async fn page(control: &Control, project: &ProjectName, number: u64) -> Result<Page> {
    let view = control.rollout_view(project, number).await?;
    let design = driver::design(&view.rollout)?;
    let now = control.now();
    let body = rendered(project, &view, &design, now);
    let title = format!("Rollout {number} of {}", view.rollout.prompt);
    Ok(if view.rollout.state.is_active() {
        let source = format!("/rollouts/{project}/{number}/live");
        Page::live(&title, source, Duration::from_secs(1), now, body)
    } else {
        Page::still(&title, body)
    })
}

fn rendered(project: &ProjectName, view: &RolloutView, design: &Design, now: Timestamp) -> Markup {
    let rollout = &view.rollout;
    let environment = &rollout.scope.environment;
    html! {
        nav aria-label="Breadcrumb" {
            a href="/" { "Environments" } " / " (project) " / "
            a href={ "/environments/" (project) "/" (environment) } { (environment) }
        }
        h1 { "Rollout " (rollout.number) " " (state(rollout.state)) }
        p.facts {
            strong { (rollout.prompt) } " in " (environment) ": candidate " (version(rollout.candidate)) " against stable "
            (version(rollout.stable)) " · started " (ago(rollout.started_at, now)) " by " (rollout.actor) " from "
            (commit(&rollout.provenance))
            @if let Some(ended) = rollout.ended_at { " · ended " (ago(ended, now)) }
        }
        (stages(view))
        (verdict(view))
        h2 { "Arms" }
        (arms(view))
        (chart::rates(&view.evidence))
        h2 { "Evidence" }
        (chart::evidence(&view.evidence, &view.series))
        (tests(view, design))
        h2 { "In words" }
        ul.words { @for line in &view.explanation { li { (line) } } }
        h2 { "What you can do" }
        (commands(&next_steps(view)))
    }
}

/// The stages as steps: those that are over, the present one, and those to come.
fn stages(view: &RolloutView) -> Markup {
    let rollout = &view.rollout;
    let promoted = rollout.state == RolloutState::Promoted;
    html! {
        ol.stages aria-label="Stages" {
            @for (index, stage) in (0_u16..).zip(&view.evidence.stages) {
                @let here = index == rollout.stage && !promoted;
                li class=(if here { "here" } else if index < rollout.stage || promoted { "over" } else { "ahead" })
                    aria-current=[here.then_some("step")] {
                    span { (stage.share) " of units" }
                    small {
                        @if here && rollout.state.is_active() { "served now" }
                        @else if here { "ended here" }
                        @else if index < rollout.stage || promoted { "over" }
                        @else { "not yet" }
                    }
                }
            }
            li class=(if promoted { "here" } else { "ahead" }) {
                span { "all units" }
                small { @if promoted { "promoted" } @else { "on promotion" } }
            }
        }
    }
}

/// Why it ended, or what it waits for.
fn verdict(view: &RolloutView) -> Markup {
    let rollout = &view.rollout;
    let class = match rollout.state {
        RolloutState::Promoted => "good",
        RolloutState::RolledBack => "bad",
        RolloutState::Held => "held",
        RolloutState::Running | RolloutState::Aborted | RolloutState::Superseded => "still",
    };
    html! {
        div class={ "verdict " (class) } {
            @match &view.decision {
                None => p { (sentence(&rollout.why)) },
                Some(decision) => {
                    @if rollout.state == RolloutState::Held {
                        p { strong { "Held: a person decides. " } (sentence(&rollout.why)) }
                    }
                    p { (doing(decision)) }
                    @if !decision.reasons.is_empty() {
                        ul { @for reason in &decision.reasons { li { (reason) } } }
                    }
                }
            }
        }
    }
}

const fn doing(decision: &Decision) -> &'static str {
    match decision.action {
        Action::Continue => "Watching. Before a promotion:",
        Action::AdvanceStage { .. } => "Going on to the next stage:",
        Action::Promote => "Ready to be promoted:",
        Action::Rollback => "Rolling back:",
        Action::Hold => "The data cannot be trusted:",
        Action::Inconclusive { .. } => "The time is over without a verdict:",
        Action::NoData { .. } => "There is no data yet:",
    }
}

fn arms(view: &RolloutView) -> Markup {
    html! {
        div.scroll role="region" aria-label="Arms" tabindex="0" {
            table {
                thead { tr {
                    th scope="col" { "Arm" }
                    th scope="col" { "Version" }
                    th.number scope="col" { "Units" }
                    th.number scope="col" { "Passed" }
                    th.number scope="col" { "Failed" }
                    th.number scope="col" { "Unknown" }
                    th scope="col" { "Success" }
                    th.number scope="col" { "Lost" }
                    th.number scope="col" { "Calls" }
                    th.number scope="col" { "Cost" }
                } }
                tbody { @for arm in Arm::ALL { (arm_row(view, arm)) } }
            }
        }
    }
}

fn arm_row(view: &RolloutView, arm: Arm) -> Markup {
    let found = view.evidence.arms.get(arm);
    let rows = || view.summary.iter().filter(|row: &&SummaryRow| row.arm == Some(arm));
    let digest = match arm {
        Arm::Stable => view.rollout.stable,
        Arm::Candidate => view.rollout.candidate,
    };
    let calls: u64 = rows().map(|row| row.inferences).sum();
    let sum: Usd = rows().map(|row| row.cost).sum();
    let unpriced: u64 = rows().map(|row| row.unpriced).sum();
    html! {
        tr {
            th scope="row" { span class={ "swatch " (arm.as_str()) } aria-hidden="true" {} (arm) }
            td { (version(digest)) }
            td.number { (found.units) }
            td.number { (found.pass) }
            td.number { (found.fail) }
            td.number { (found.unknown) }
            td {
                @match (found.mean(), found.interval(), found.coverage()) {
                    (Some(mean), Some(interval), Some(coverage)) => {
                        strong { (percent(mean)) }
                        small {
                            (format!("{:.1}–{}", interval.lower * 100.0, percent(interval.upper)))
                            ", coverage " (format!("{:.0} %", coverage * 100.0))
                        }
                    }
                    _ => span.quiet { "no known value" },
                }
            }
            td.number { (view.lost.get(arm)) }
            td.number { (calls) }
            td.number { (cost(sum, calls, unpriced)) }
        }
    }
}

fn tests(view: &RolloutView, design: &Design) -> Markup {
    let plan = &design.plan;
    html! {
        div.scroll role="region" aria-label="Tests" tabindex="0" {
            table {
                thead { tr {
                    th scope="col" { "Test" }
                    th.number scope="col" { "E-value" }
                    th.number scope="col" { "Peak" }
                    th.number scope="col" { "Verdict at" }
                    th scope="col" { "Wrong at most" }
                    th scope="col" { "Reached" }
                } }
                tbody {
                    (test_row("rollback", "the candidate is worse", &view.evidence.rollback, plan.alpha.rollback))
                    (test_row(
                        "promotion",
                        &format!("the candidate is not worse by {} points", points(plan.margin)),
                        &view.evidence.promotion,
                        plan.alpha.promote,
                    ))
                }
            }
        }
        p.quiet {
            "An e-value is the evidence for its claim; it starts at 1. If the claim is false, it reaches the threshold in at most the \
             given part of rollouts, however often one looks."
        }
    }
}

fn test_row(class: &str, claim: &str, test: &TestEvidence, alpha: f64) -> Markup {
    html! {
        tr {
            th scope="row" { span class={ "swatch line " (class) } aria-hidden="true" {} (claim) }
            td.number { (test.e_value) }
            td.number { (test.peak) }
            td.number { (format!("{:.0}", test.threshold)) }
            td { (points(alpha)) " % of rollouts" }
            td { @match test.reached_at { Some(sequence) => { "at unit " (sequence + 1) }, None => "not yet" } }
        }
    }
}

/// Returns hundredths, without decimals that are zero.
fn points(part: f64) -> f64 {
    (part * 10_000.0).round() / 100.0
}

/// Returns text as a sentence.
fn sentence(text: &str) -> String {
    let mut characters = text.chars();
    let first = characters.next().map(|first| first.to_uppercase().to_string()).unwrap_or_default();
    format!("{first}{}.", characters.as_str())
}

fn next_steps(view: &RolloutView) -> Vec<(String, &'static str)> {
    let rollout = &view.rollout;
    let (number, prompt, environment) = (rollout.number, &rollout.prompt, &rollout.scope.environment);
    let mut steps = Vec::new();
    match rollout.state {
        RolloutState::Running | RolloutState::Held => {
            steps.push((format!("bowline rollout watch {number}"), "shows this page in the terminal"));
            steps.push((format!("bowline rollout abort {number} --why TEXT"), "returns all units to stable, at once"));
            steps.push((
                format!("bowline rollout promote {number} --why TEXT"),
                "makes the candidate live, on your word",
            ));
            steps.push((
                format!("bowline freeze {environment} --why TEXT"),
                "stops promotions; a rollback still happens",
            ));
        }
        RolloutState::Promoted => {
            steps
                .push((format!("bowline rollback {environment} {prompt}"), "goes back to the version before, at once"));
        }
        RolloutState::RolledBack | RolloutState::Aborted => {
            steps.push((
                format!("bowline release --env {environment} --retry"),
                "tries the quarantined version again; without it, a changed version is tried",
            ));
        }
        RolloutState::Superseded => {
            steps.push(("bowline rollout list".to_owned(), "shows the rollout that took its place"));
        }
    }
    steps.push((format!("bowline rollout explain {number}"), "says what the evidence means"));
    steps.push((format!("bowline rollout replay {number}"), "computes every decision anew from the observations"));
    steps
}
