use bowline_types::Arm;

use crate::design::Design;
use crate::evidence::{Evidence, TestEvidence};
use crate::ratio::SampleRatio;

/// Returns what the evidence says, in sentences for the person on call.
#[must_use]
pub fn explain(evidence: &Evidence, design: &Design) -> Vec<String> {
    let mut lines: Vec<String> = Arm::ALL.into_iter().map(|arm| arm_line(evidence, arm)).collect();
    if let Some(difference) = evidence.difference() {
        lines.push(format!("Difference, candidate minus stable: {:+.1} points.", difference * 100.0));
    }
    lines.push(rollback_line(&evidence.rollback, design));
    lines.push(promotion_line(&evidence.promotion, design));
    lines.push(blocks_line(evidence));
    lines.extend(alarm_lines(evidence));
    lines
}

fn arm_line(evidence: &Evidence, arm: Arm) -> String {
    let found = evidence.arms.get(arm);
    let (Some(mean), Some(interval), Some(coverage)) = (found.mean(), found.interval(), found.coverage()) else {
        return format!("{arm}: {} units, no known value.", found.units);
    };
    let scored = found.known() - found.pass - found.fail;
    let between = if scored > 0 { format!(", {scored} in between") } else { String::new() };
    format!(
        "{arm}: {} units, {} passed, {} failed{between}, {} unknown; success {:.1}% (95% interval of one look {:.1}% to \
         {:.1}%), coverage {:.0}%.",
        found.units,
        found.pass,
        found.fail,
        found.unknown,
        mean * 100.0,
        interval.lower * 100.0,
        interval.upper * 100.0,
        coverage * 100.0,
    )
}

fn rollback_line(test: &TestEvidence, design: &Design) -> String {
    let chance = design.plan.alpha.rollback * 100.0;
    match test.reached_at {
        Some(sequence) => format!(
            "The candidate is worse than stable: the e-value reached {:.0} at observation {sequence} (peak {}, now {}). If it \
             were not worse, that would happen in at most {chance}% of rollouts, however often one looks.",
            test.threshold, test.peak, test.e_value,
        ),
        None => format!(
            "Evidence that the candidate is worse: e-value {} (peak {}) of {:.0}.",
            test.e_value, test.peak, test.threshold,
        ),
    }
}

fn promotion_line(test: &TestEvidence, design: &Design) -> String {
    let (margin, chance) = (design.plan.margin * 100.0, design.plan.alpha.promote * 100.0);
    if test.e_value.reaches(test.threshold) {
        format!(
            "The candidate is not worse than stable by {margin:.1} points: the e-value {} is at least {:.0}. If it were, that \
             would happen in at most {chance}% of rollouts, however often one looks.",
            test.e_value, test.threshold,
        )
    } else {
        format!(
            "Evidence that the candidate is not worse by {margin:.1} points: e-value {} (peak {}) of {:.0}.",
            test.e_value, test.peak, test.threshold,
        )
    }
}

fn blocks_line(evidence: &Evidence) -> String {
    let unpaired: u64 = evidence.stages.iter().map(|stage| stage.unpaired.stable + stage.unpaired.candidate).sum();
    format!("Judged in {} blocks; {unpaired} known units found no partner in time.", evidence.blocks)
}

fn alarm_lines(evidence: &Evidence) -> impl Iterator<Item = String> {
    (1..).zip(&evidence.stages).filter_map(|(number, stage)| {
        if stage.sample_ratio.reaches(SampleRatio::ALARM) {
            Some(format!(
                "Sample ratio mismatch in stage {number}: {} stable and {} candidate units at a share of {} (Bayes factor \
                 {}). Assignment or recording is broken, so nothing is promoted.",
                stage.units.stable, stage.units.candidate, stage.share, stage.sample_ratio,
            ))
        } else if stage.coverage.reaches(SampleRatio::ALARM) {
            Some(format!(
                "Values are missing unevenly in stage {number}: {} of {} stable and {} of {} candidate units are known \
                 (Bayes factor {}). The known ones do not represent their arm, so nothing is promoted.",
                stage.known.stable, stage.units.stable, stage.known.candidate, stage.units.candidate, stage.coverage,
            ))
        } else {
            None
        }
    })
}
