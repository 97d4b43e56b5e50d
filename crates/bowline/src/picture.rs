//! A rollout as a picture of characters.

use bowline_canary::{Action, ArmEvidence, Design, EValue, Point, TestEvidence, WhenUndecided};
use bowline_server::wire::RolloutView;
use bowline_store::{RolloutRecord, RolloutState};
use bowline_types::{Arm, Timestamp};
use serde::Deserialize;

use crate::style::{Paint, Style};
use crate::wording::{age, percent};

/// Characters of a bar.
const BAR_WIDTH: usize = 22;
/// Characters of a line of e-values.
const SPARK_WIDTH: usize = 24;

/// Returns a rollout as lines: its stage, its arms, its two tests, and what it waits for or how it ended.
pub(crate) fn rollout(view: &RolloutView, now: Timestamp, style: Style) -> Vec<String> {
    let record = &view.rollout;
    let mut lines = vec![style.paint(Paint::Bold, &title(record, now))];
    lines.extend(Arm::ALL.map(|arm| arm_line(view, arm)));
    let design = design(record);
    let margin = design.as_ref().map_or(0.0, |design| design.plan.margin * 100.0);
    let (worse, not_worse) = ("worse?".to_owned(), format!("not worse by {margin:.0} points?"));
    let width = worse.len().max(not_worse.len());
    let tests: [TestLine<'_>; 2] = [
        (worse, &view.evidence.rollback, |point| point.rollback),
        (not_worse, &view.evidence.promotion, |point| point.promotion),
    ];
    for (question, test, value) in tests {
        lines.push(test_line(&format!("{question:width$}"), test, &view.series, value));
    }
    if view.lost.stable + view.lost.candidate > 0 {
        let (stable, candidate) = (view.lost.stable, view.lost.candidate);
        let text = format!("  lost records: {stable} of stable, {candidate} of the candidate");
        lines.push(style.paint(Paint::Yellow, &text));
    }
    lines.extend(end_lines(view, style));
    lines
}

type TestLine<'a> = (String, &'a TestEvidence, fn(&Point) -> EValue);

fn title(record: &RolloutRecord, now: Timestamp) -> String {
    let age = age(record.ended_at.unwrap_or(now).since(record.started_at));
    let RolloutRecord { number, prompt, scope, .. } = record;
    format!("rollout {number}  {prompt} → {}  {}  {age}", scope.environment, stage(record))
}

/// Returns the stage of a rollout, such as `stage 2/3, 50%`.
pub(crate) fn stage(record: &RolloutRecord) -> String {
    let number = usize::from(record.stage) + 1;
    let Some(design) = design(record) else { return format!("stage {number}") };
    let share =
        design.stages.get(usize::from(record.stage)).map_or_else(String::new, |stage| format!(", {}", stage.share));
    format!("stage {number}/{}{share}", design.stages.len())
}

/// Returns the frozen design of a rollout; `None` where it cannot be read, since a picture of the rest is better than none.
pub(crate) fn design(record: &RolloutRecord) -> Option<Design> {
    Design::deserialize(&record.design).ok()
}

fn arm_line(view: &RolloutView, arm: Arm) -> String {
    let evidence: &ArmEvidence = view.evidence.arms.get(arm);
    let version = match arm {
        Arm::Stable => view.rollout.stable,
        Arm::Candidate => view.rollout.candidate,
    };
    let unknown = if evidence.unknown > 0 { format!("  ({} unknown)", evidence.unknown) } else { String::new() };
    let rate = evidence.mean().map_or_else(|| "–".to_owned(), percent);
    let bar = evidence.mean().map_or_else(String::new, |rate| bar(rate, BAR_WIDTH));
    let (name, short) = (arm.as_str(), version.short());
    format!("  {name:9}  {short}  {:>6} units  {rate:>7}  {bar}{unknown}", evidence.known()).trim_end().to_owned()
}

fn test_line(question: &str, test: &TestEvidence, series: &[Point], value: fn(&Point) -> EValue) -> String {
    let values: Vec<f64> = series.iter().map(|point| value(point).log10()).collect();
    let spark = sparkline(&values, test.threshold.log10(), SPARK_WIDTH);
    let reached = if test.reached_at.is_some() { "  reached" } else { "" };
    let line =
        format!("  {question}  e-value {:>8} of {:.0}  {spark}{reached}", test.e_value.to_string(), test.threshold);
    line.trim_end().to_owned()
}

/// Returns where the rollout stands: how it ended, or what would be done now and everything that is missing for more.
fn end_lines(view: &RolloutView, style: Style) -> Vec<String> {
    let (paint, word) = match view.rollout.state {
        RolloutState::Running => (Paint::Dim, "running"),
        RolloutState::Held => (Paint::Yellow, "held"),
        RolloutState::Promoted => (Paint::Green, "promoted"),
        RolloutState::RolledBack => (Paint::Red, "rolled back"),
        RolloutState::Aborted => (Paint::Red, "aborted"),
        RolloutState::Superseded => (Paint::Dim, "superseded"),
    };
    let word = style.paint(paint, word);
    let Some(decision) = &view.decision else { return vec![format!("  {word}: {}", view.rollout.why)] };
    let mut lines = vec![format!("  {word}: {}", action(decision.action))];
    lines.extend(decision.reasons.iter().map(|reason| format!("    {reason}")));
    lines
}

/// Returns what would be done with a rollout now.
const fn action(action: Action) -> &'static str {
    match action {
        Action::Continue => "waits, since",
        Action::AdvanceStage { .. } => "goes on to its next stage, since",
        Action::Promote => "is promoted, since",
        Action::Rollback => "is rolled back, since",
        Action::Hold => "must be looked at by a person, since",
        Action::Inconclusive { then: WhenUndecided::Hold } => "is undecided and waits for a person, since",
        Action::Inconclusive { then: WhenUndecided::Rollback } => "is undecided and is rolled back, since",
        Action::NoData { .. } => "has no data, since",
    }
}

/// Returns a bar of `width` characters, of which the part given is full.
pub(crate) fn bar(part: f64, width: usize) -> String {
    let full = (0..width).filter(|cell| (f64_of(*cell) + 0.5) / f64_of(width) <= part).count();
    "█".repeat(full) + &"░".repeat(width - full)
}

/// Returns logarithms of e-values as a line of at most `width` characters: the lowest is no evidence, the full block the threshold.
pub(crate) fn sparkline(values: &[f64], threshold: f64, width: usize) -> String {
    const LEVELS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let level = |value: f64| {
        let height = if threshold > 0.0 { value / threshold } else { 0.0 };
        let reached = (1..LEVELS.len()).take_while(|level| height >= f64_of(*level) / f64_of(LEVELS.len() - 1)).count();
        LEVELS.get(reached).copied().unwrap_or('▁')
    };
    let shown = values.len().min(width);
    // The last value of each part, so that the last one of all is always there.
    let at = |part: usize| values.get((part + 1) * values.len() / shown - 1).copied();
    (0..shown).filter_map(at).map(level).collect()
}

fn f64_of(count: usize) -> f64 {
    u32::try_from(count).map_or(f64::MAX, f64::from)
}

#[cfg(test)]
mod tests;
