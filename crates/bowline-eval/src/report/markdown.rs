//! Markdown for the comment or the summary of a pull request.
//!
//! Whatever comes from suites and models stands in code: in a fence or a span longer than any run of backquotes inside, where
//! GitHub and GitLab resolve no mention, reference, link or HTML. The text is bounded; what does not fit is counted.

use super::select::{Limits, Selection, Shown, State};
use super::text::answer;
use super::{CaseResult, Format, Report, Side, SuiteReport, terminal, text};
use crate::gate::Standing;

/// Cases that are shown, characters of an answer, and characters that are kept free for the end.
const CASES_MAX: usize = 50;
const CHARS_MAX: usize = 1_500;
const END_CHARS: usize = 12_000;

/// Lines of the tables of suites and digests.
const ROWS_MAX: usize = 50;

pub(super) fn render(report: &Report, cases: impl Iterator<Item = CaseResult>) -> String {
    let limits = Limits { cases: CASES_MAX, chars: CHARS_MAX, until: State::Fixed };
    let selection = Selection::of(report, cases, limits);
    let mut out = head(report);
    let mut used = out.chars().count();
    let mut shown = 0;
    let mut last = None;
    for entry in &selection.shown {
        let heading = if last == Some(entry.state) { String::new() } else { heading(entry.state, &selection) };
        let block = format!("{heading}{}", case(entry));
        let size = block.chars().count();
        if used + size > Format::MARKDOWN_CHARS_MAX - END_CHARS {
            break;
        }
        out.push_str(&block);
        (used, last, shown) = (used + size, Some(entry.state), shown + 1);
    }
    let left = selection.count_until(State::Fixed).saturating_sub(shown);
    if left > 0 {
        out.push_str(&format!(
            "\n{} more that failed or changed; the HTML and JSON reports have them.\n",
            text::counted(left, "result")
        ));
    }
    out.push_str(&foot(report));
    out
}

fn head(report: &Report) -> String {
    let mut out = format!("## Bowline gate: {}\n\n", report.verdict().as_str());
    let against = report.environment.as_ref().map(|name| format!(" against `{name}`")).unwrap_or_default();
    let commit = report.revision().map(|commit| format!(" at {}", span(&text::line(&commit, 60)))).unwrap_or_default();
    out.push_str(&format!(
        "{}{commit}{against}. {}.\n\n",
        span(&text::line(&report.project, 80)),
        terminal::totals(report)
    ));
    text::notices(report).iter().for_each(|notice| out.push_str(&format!("> {notice}\n\n")));
    out.push_str("| Suite | Verdict | Passed | Stable | To fail | To pass |\n|---|---|---|---|---|---|\n");
    for suite in report.suites.iter().take(ROWS_MAX) {
        out.push_str(&row(suite));
    }
    rows_left(&mut out, report.suites.len());
    out.push('\n');
    for suite in report.suites.iter().take(ROWS_MAX) {
        let lines = suite.gate.explanations();
        if !lines.is_empty() {
            out.push_str(&format!("{}\n", span(&text::line(&suite.title(), 120))));
            lines.iter().for_each(|line| out.push_str(&format!("- {}\n", span(&text::line(line, 300)))));
            out.push('\n');
        }
    }
    out
}

fn rows_left(out: &mut String, rows: usize) {
    if rows > ROWS_MAX {
        out.push_str(&format!("\n{} more.\n", rows - ROWS_MAX));
    }
}

fn row(suite: &SuiteReport) -> String {
    let standing = |standing: &Standing| {
        let Standing { passed, cases, interval, .. } = standing;
        format!("{passed}/{cases}, 95% interval {} to {}", text::percent(interval.lower), text::percent(interval.upper))
    };
    let gate = &suite.gate;
    let compared = gate.stable.is_some();
    let flips = |count: u64| if compared { count.to_string() } else { "–".to_owned() };
    format!(
        "| {} | {} | {} | {} | {} | {} |\n",
        cell(&text::line(&suite.title(), 120)),
        gate.verdict.as_str(),
        standing(&gate.candidate),
        gate.stable.as_ref().map_or_else(|| "–".to_owned(), standing),
        flips(gate.flips.to_fail.count),
        flips(gate.flips.to_pass.count),
    )
}

fn heading(state: State, selection: &Selection) -> String {
    let (first, rest) = state.words().split_at(1);
    format!("\n### {}{rest} ({})\n\n", first.to_uppercase(), selection.count(state))
}

fn case(shown: &Shown) -> String {
    let case = &shown.case;
    let repeat = if case.repeat == 0 { String::new() } else { format!(" (repeat {})", case.repeat) };
    let mut out =
        format!("<details><summary><code>{}</code>{repeat}</summary>\n\n", escape(&text::line(&case.heading(), 160)),);
    out.push_str(&format!(
        "Case {} of {}.\n\n",
        span(&text::line(&case.case, 80)),
        span(&text::line(&case.suite, 120))
    ));
    side(&mut out, "Candidate", &case.candidate);
    if let Some(stable) = &case.stable {
        side(&mut out, "Stable", stable);
    }
    out.push_str("</details>\n");
    out
}

fn side(out: &mut String, name: &str, side: &Side) {
    let grade = &side.grade;
    let word = if grade.errored {
        "errored"
    } else if grade.pass {
        "passed"
    } else {
        "failed"
    };
    out.push_str(&format!("{name}: {word}, score {:.2}", grade.score));
    if !grade.reason.is_empty() && !grade.pass {
        out.push_str(&format!(". {}", span(&text::line(&grade.reason, 400))));
    }
    out.push_str(&format!("\n\n{}\n", fence(&answer(side))));
}

fn foot(report: &Report) -> String {
    let mut out = "\n<details><summary>Digests</summary>\n\n| What | Digest |\n|---|---|\n".to_owned();
    let mut rows = Vec::new();
    for version in &report.versions {
        rows.push(format!("| {} | `{}` |\n", cell(version.prompt.as_str()), version.candidate));
        if let Some(stable) = version.stable {
            rows.push(format!("| {}, stable | `{stable}` |\n", cell(version.prompt.as_str())));
        }
    }
    for suite in &report.suites {
        rows.push(format!("| {} | `{}` |\n", cell(&text::line(&suite.name, 80)), suite.digest));
        rows.extend(
            suite
                .datasets
                .iter()
                .map(|data| format!("| {} | `{}` |\n", cell(&text::line(&data.path, 80)), data.digest)),
        );
    }
    // Suites on several models share their digests.
    let mut seen = std::collections::BTreeSet::new();
    rows.retain(|row| seen.insert(row.clone()));
    rows.iter().take(ROWS_MAX).for_each(|row| out.push_str(row));
    rows_left(&mut out, rows.len());
    let models: Vec<String> =
        report.models.iter().take(ROWS_MAX).map(|model| span(&text::line(&model.identity, 80))).collect();
    out.push_str(&format!("\nModels: {}. Bowline {}.\n\n</details>\n", models.join(", "), span(&report.bowline)));
    out
}

/// Quotes a line as code, between more backquotes than it has in a row.
fn span(line: &str) -> String {
    let ticks = "`".repeat(longest_run(line) + 1);
    // A space keeps a backquote at either end apart, and an empty line visible.
    let pad = if line.is_empty() || line.starts_with('`') || line.ends_with('`') { " " } else { "" };
    format!("{ticks}{pad}{line}{pad}{ticks}")
}

/// Quotes a line as code in a table, where a bar would end the cell even there.
fn cell(line: &str) -> String {
    span(&line.replace('|', "\\|"))
}

/// Quotes lines as a block of code.
fn fence(lines: &str) -> String {
    let lines = text::clean(lines);
    let ticks = "`".repeat(longest_run(&lines).max(2) + 1);
    format!("{ticks}text\n{lines}\n{ticks}\n")
}

fn longest_run(text: &str) -> usize {
    text.split(|character| character != '`').map(str::len).max().unwrap_or(0)
}

/// Escapes a text for HTML inside of Markdown.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            // Markdown is read inside of a line of HTML too; as numbers these are only themselves.
            mark if mark.is_ascii_punctuation() => out.push_str(&format!("&#{};", u32::from(mark))),
            other => out.push(other),
        }
    }
    out
}
