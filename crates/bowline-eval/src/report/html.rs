//! One page that needs nothing else: style and script stand in it, allowed by their digests alone, and nothing is fetched or sent.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bowline_types::Digest;
use maud::{DOCTYPE, Markup, PreEscaped, html};
use similar::{ChangeTag, TextDiff};

use super::select::{Limits, Selection, Shown, State};
use super::text::answer;
use super::{CaseResult, Report, Side, SuiteReport, terminal, text};
use crate::gate::{Bound, Standing};
use crate::subject::{Grade, Part};

const STYLE: &str = include_str!("html/report.css");
const SCRIPT: &str = include_str!("html/report.js");

/// Results that are shown, and characters of an answer or a variable.
const CASES_MAX: usize = 500;
const CHARS_MAX: usize = 8_000;

/// Above this many characters on both sides together, no differences are looked for.
const DIFF_CHARS_MAX: usize = 6_000;

pub(super) fn render(report: &Report, cases: impl Iterator<Item = CaseResult>) -> String {
    let limits = Limits { cases: CASES_MAX, chars: CHARS_MAX, until: State::Passed };
    let selection = Selection::of(report, cases, limits);
    let total = selection.count_until(State::Passed);
    let shown = u64::try_from(selection.shown.len()).unwrap_or(u64::MAX);
    let verdict = report.verdict();
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(policy());
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta name="referrer" content="no-referrer";
                title { "Gate: " (verdict.as_str()) " · " (text::clean(&report.project)) " · Bowline" }
                style { (PreEscaped(STYLE)) }
            }
            body {
                header {
                    h1 { "Gate: " span.verdict data-verdict=(verdict.as_str()) { (verdict.as_str()) } }
                    p { (facts(report)) }
                    p { (terminal::totals(report)) }
                    @for notice in text::notices(report) { p.notice { (notice) } }
                }
                main {
                    @for entry in &report.suites { (suite(entry)) }
                    section {
                        h2 { "Results" }
                        (filters(&selection))
                        @if shown < total {
                            p.notice { "Shown are " (shown) " of " (total) " results, what changed and failed first. The JSON report has all." }
                        }
                        #results { @for entry in &selection.shown { (case(entry)) } }
                        p #none hidden { "No result fits the filter." }
                    }
                    (digests(report))
                }
                script { (PreEscaped(SCRIPT)) }
            }
        }
    };
    page.into_string()
}

/// Returns the policy of the page: its own style and script, by their digests.
fn policy() -> String {
    let source = |text: &str| format!("'sha256-{}'", STANDARD.encode(Digest::of(text.as_bytes()).as_bytes()));
    format!(
        "default-src 'none'; style-src {}; script-src {}; base-uri 'none'; form-action 'none'",
        source(STYLE),
        source(SCRIPT)
    )
}

fn facts(report: &Report) -> Markup {
    html! {
        (text::clean(&report.project))
        @if let Some(commit) = report.revision() { " at " code { (text::clean(&commit)) } }
        @if let Some(environment) = &report.environment { " against " code { (environment) } }
        ", finished " time datetime=(report.finished_at) { (report.finished_at) }
        ", Bowline " (report.bowline)
    }
}

fn suite(entry: &SuiteReport) -> Markup {
    let gate = &entry.gate;
    html! {
        section.suite {
            h2 { (text::clean(&entry.title())) " " span.verdict data-verdict=(gate.verdict.as_str()) { (gate.verdict.as_str()) } }
            @if let Some(description) = &entry.description { p { (text::clean(description)) } }
            dl {
                div { dt { "Candidate" } dd { (standing(&gate.candidate)) } }
                @if let Some(stable) = &gate.stable { div { dt { "Stable" } dd { (standing(stable)) } } }
                @if gate.stable.is_some() {
                    div {
                        dt { "Flips" }
                        dd { (gate.flips.to_fail.count) " to fail, " (gate.flips.to_pass.count) " to pass" }
                    }
                }
            }
            @let lines = gate.explanations();
            @if !lines.is_empty() { ul { @for line in &lines { li { (text::clean(line)) } } } }
            @if !gate.bounds.is_empty() {
                table {
                    caption { "Thresholds" }
                    @for bound in &gate.bounds { (threshold(bound)) }
                }
            }
        }
    }
}

fn threshold(bound: &Bound) -> Markup {
    let word = if bound.holds { "holds" } else { "broken" };
    html! { tr { td { (text::clean(&bound.words())) } td data-holds=(bound.holds) { (word) } } }
}

fn standing(standing: &Standing) -> Markup {
    let Standing { cases, calls, passed, errored, pass_rate, interval, .. } = standing;
    html! {
        (passed) " of " (cases) " cases passed, " (text::percent(*pass_rate))
        " (95% interval " (text::percent(interval.lower)) " to " (text::percent(interval.upper)) "); "
        (text::counted(*calls, "call"))
        @if *errored > 0 { ", " (errored) " errored" }
    }
}

fn filters(selection: &Selection) -> Markup {
    html! {
        .filters role="group" aria-label="Filter" hidden {
            label { "Search " input #search type="search" autocomplete="off"; }
            @for (state, count) in &selection.counts {
                label { input type="checkbox" name="state" value=(state.key()) checked; " " (state.words()) " (" (count) ")" }
            }
        }
    }
}

fn case(shown: &Shown) -> Markup {
    let case = &shown.case;
    let open = shown.state <= State::MustPass;
    html! {
        details.case data-state=(shown.state.key()) open[open] {
            summary {
                span.state data-state=(shown.state.key()) { (shown.state.words()) }
                " " (text::line(&case.heading(), 200))
                @if case.repeat > 0 { " (repeat " (case.repeat) ")" }
            }
            p.quiet { code { (text::clean(&case.case)) } " · " (text::clean(&case.suite)) " · " (text::clean(&case.prompt)) " · " (text::clean(&case.model)) }
            @if !case.vars.is_empty() {
                details.vars {
                    summary { "Variables" }
                    dl { @for (name, value) in &case.vars { div { dt { (text::clean(name)) } dd { pre { (text::clean(value.as_str().unwrap_or(""))) } } } } }
                }
            }
            .sides {
                @match &case.stable {
                    Some(stable) => {
                        @let (before, after) = compared(stable, &case.candidate);
                        (side("Stable", stable, &before))
                        (side("Candidate", &case.candidate, &after))
                    }
                    None => (side("Candidate", &case.candidate, &plain(&case.candidate))),
                }
            }
        }
    }
}

fn side(name: &str, side: &Side, answer: &Markup) -> Markup {
    let Grade { pass, errored, score, .. } = &side.grade;
    let word = if *errored {
        "errored"
    } else if *pass {
        "passed"
    } else {
        "failed"
    };
    let subject = &side.subject;
    html! {
        .side {
            h3 { (name) " " span.verdict data-verdict=(word) { (word) } }
            p.quiet {
                "score " (format!("{score:.2}"))
                @if let Some(cost) = &subject.cost_usd { " · $" (text::clean(cost)) }
                " · " (format!("{:.0} ms", subject.latency_ms))
                @if side.cached { " · from the cache" }
                @if let Some(finish) = &subject.finish { " · " (text::clean(finish)) }
            }
            pre.answer { (answer) }
            (parts(&side.grade))
        }
    }
}

/// Lists what did not pass.
fn parts(grade: &Grade) -> Markup {
    let open: Vec<&Part> = grade.parts.iter().filter(|part| !part.grade.pass).collect();
    html! {
        @if open.is_empty() && !grade.pass { p { (text::clean(&grade.reason)) } }
        @if !open.is_empty() {
            ul.parts {
                @for part in open {
                    li { code { (part.assertion) } " " (text::clean(&part.grade.reason)) @if !part.grade.parts.is_empty() { (parts(&part.grade)) } }
                }
            }
        }
    }
}

fn plain(side: &Side) -> Markup {
    html! { (text::clean(&answer(side))) }
}

/// Returns both answers, with the words marked that only one has.
fn compared(stable: &Side, candidate: &Side) -> (Markup, Markup) {
    let (before, after) = (answer(stable), answer(candidate));
    let (before, after) = (text::clean(&before), text::clean(&after));
    if before.len() + after.len() > DIFF_CHARS_MAX || before == after {
        return (html! { (before) }, html! { (after) });
    }
    let diff = TextDiff::from_words(before.as_ref(), after.as_ref());
    let marked = |gone: ChangeTag, element: &str| {
        let mut out = String::new();
        for change in diff.iter_all_changes().filter(|change| change.tag() == ChangeTag::Equal || change.tag() == gone)
        {
            let word = html! { (change.value()) }.into_string();
            if change.tag() == gone {
                // Writing to a text does not fail.
                let _ = write!(out, "<{element}>{word}</{element}>");
            } else {
                out.push_str(&word);
            }
        }
        PreEscaped(out)
    };
    (marked(ChangeTag::Delete, "del"), marked(ChangeTag::Insert, "ins"))
}

fn digests(report: &Report) -> Markup {
    html! {
        section {
            h2 { "Digests" }
            table {
                @for version in &report.versions {
                    tr { td { (version.prompt) } td { code { (version.candidate) } } }
                    @if let Some(stable) = &version.stable { tr { td { (version.prompt) ", stable" } td { code { (stable) } } } }
                }
                @for (index, entry) in report.suites.iter().enumerate() {
                    // A suite stands here once, however many prompts and models it tests.
                    @if report.suites.iter().position(|other| other.name == entry.name) == Some(index) {
                        tr { td { (text::clean(&entry.name)) } td { code { (entry.digest) } } }
                        @for data in &entry.datasets { tr { td { (text::clean(&data.path)) } td { code { (data.digest) } } } }
                    }
                }
                @for model in &report.models {
                    tr { td { (text::clean(&model.name)) @if model.judge { ", judge" } } td { code { (text::clean(&model.identity)) } } }
                }
            }
        }
    }
}
