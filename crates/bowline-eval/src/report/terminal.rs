//! The table for the terminal.

use super::select::{Limits, Selection, State};
use super::text::answer;
use super::{CaseResult, Report, SuiteReport, text};
use crate::gate::{Finding, OnInconclusive, Verdict};

/// Cases below the table, and characters of a line.
const CASES_MAX: usize = 20;
const CHARS_MAX: usize = 160;

pub(super) fn render(report: &Report, cases: impl Iterator<Item = CaseResult>) -> String {
    let limits = Limits { cases: CASES_MAX, chars: CHARS_MAX, until: State::Explained };
    let selection = Selection::of(report, cases, limits);
    let mut out = String::new();
    let header = ["suite", "verdict", "passed", "stable", "flips"].map(str::to_owned);
    let rows: Vec<[String; 5]> = std::iter::once(header).chain(report.suites.iter().map(row)).collect();
    let widths: Vec<usize> = (0..5)
        .map(|column| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0))
        .collect();
    for (index, row) in rows.iter().enumerate() {
        let cells: Vec<String> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        out.push_str(cells.join("  ").trim_end());
        out.push('\n');
        if let Some(suite) = index.checked_sub(1).and_then(|index| report.suites.get(index)) {
            for line in suite.gate.explanations() {
                out.push_str(&format!("  {}\n", text::line(&line, CHARS_MAX)));
            }
        }
    }
    for shown in &selection.shown {
        let case = &shown.case;
        out.push_str(&format!("\n{}: {}\n", shown.state.words(), text::line(&case.heading(), CHARS_MAX)));
        out.push_str(&format!("  {}\n", text::line(&case.candidate.grade.reason, CHARS_MAX)));
        out.push_str(&format!("  candidate: {}\n", text::line(&answer(&case.candidate), CHARS_MAX)));
        if let Some(stable) = &case.stable {
            out.push_str(&format!("  stable:    {}\n", text::line(&answer(stable), CHARS_MAX)));
        }
    }
    let left = selection
        .count_until(State::Explained)
        .saturating_sub(u64::try_from(selection.shown.len()).unwrap_or(u64::MAX));
    if left > 0 {
        out.push_str(&format!("\n{} more; `--report html=PATH` shows them\n", text::counted(left, "result")));
    }
    out.push_str(&format!("\n{}\n", totals(report)));
    text::notices(report).iter().for_each(|notice| out.push_str(&format!("{notice}\n")));
    out
}

/// Returns what the run took, in a line.
pub(super) fn totals(report: &Report) -> String {
    let totals = &report.totals;
    let mut line = format!("{}, {} from the cache", text::counted(totals.calls, "call"), totals.cached);
    line.push_str(&format!(", {} tokens in, {} out, ${}", totals.input_tokens, totals.output_tokens, totals.cost_usd));
    if totals.costs_unknown > 0 {
        line.push_str(&format!(" and {} of unknown cost", text::counted(totals.costs_unknown, "call")));
    }
    let time = report.finished_at.since(report.started_at).as_secs_f64();
    format!("{line}, {time:.1} s")
}

fn row(suite: &SuiteReport) -> [String; 5] {
    let standing = |standing: &crate::gate::Standing| {
        format!("{}/{} ({})", standing.passed, standing.cases, text::percent(standing.pass_rate))
    };
    let gate = &suite.gate;
    let flips = gate.stable.map_or_else(
        || "-".to_owned(),
        |_| format!("{} to fail, {} to pass", gate.flips.to_fail.count, gate.flips.to_pass.count),
    );
    [
        text::line(&suite.title(), 80),
        gate.verdict.as_str().to_owned(),
        standing(&gate.candidate),
        gate.stable.as_ref().map_or_else(|| "-".to_owned(), standing),
        flips,
    ]
}

// === impl GateReport ===

impl crate::gate::GateReport {
    /// Returns why the verdict is what it is, a line for each thing.
    #[must_use]
    pub fn explanations(&self) -> Vec<String> {
        let mut lines = Vec::new();
        match &self.verdict {
            Verdict::Pass => {}
            Verdict::Failed { reasons } => lines.extend(reasons.iter().map(|reason| format!("failed: {reason}"))),
            verdict @ Verdict::Inconclusive { .. } => {
                let means = match self.policy.on_inconclusive {
                    OnInconclusive::Warn => "a warning",
                    OnInconclusive::Fail => "no pass, by the policy",
                };
                lines.push(format!("{} ({means})", verdict.words()));
            }
        }
        if let Some(comparison) = &self.comparison {
            let evidence = &comparison.evidence;
            let says = match comparison.finding {
                Finding::Worse => "worse than stable",
                Finding::NotWorse => "not worse than stable",
                Finding::Undecided => "undecided",
            };
            let mut line = format!(
                "compared on {}: {says} (difference {:+.1} points, margin {:.1}; evidence for worse {}, for not worse {}, needed {})",
                text::counted(evidence.cases, "case"),
                comparison.difference * 100.0,
                self.policy.margin * 100.0,
                evidence.worse,
                evidence.not_worse,
                evidence.threshold,
            );
            if comparison.cases_skipped > 0 {
                line.push_str(&format!("; {} without a partner", text::counted(comparison.cases_skipped, "case")));
            }
            lines.push(line);
        }
        for (cases, what) in [
            (u64::try_from(self.flips.explained.len()).unwrap_or(u64::MAX), "flipped to fail as explained"),
            (self.flips.unsteady.count, "changed, and as likely by chance"),
            (u64::try_from(self.flips.stale.len()).unwrap_or(u64::MAX), "explained as a flip and none"),
        ] {
            if cases > 0 {
                lines.push(format!("{} {what}", text::counted(cases, "case")));
            }
        }
        lines
    }
}
