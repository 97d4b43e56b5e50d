use std::time::Duration;

use bowline_types::Arm;

use super::{Action, Decision, Reason, Situation};
use crate::design::Design;
use crate::evidence::Evidence;
use crate::plan::Plan;
use crate::ratio::SampleRatio;

/// Returns what to do with a rollout.
///
/// In this order:
/// 1. Rollback, as soon as its evidence *ever* reached the threshold: at any stage, with any number of units.
/// 2. Promotion, at any stage, if its evidence is at the threshold *now*, both arms have their units, the rollout its age, and
///    the data can be trusted: no alarm, and at most 1 % of either arm's records lost.
/// 3. No data, if no value of the candidate is known.
/// 4. Inconclusive, if the time is over.
/// 5. Hold, if the data cannot be trusted.
/// 6. The next stage, if this one has its units and the evidence does not lean to rollback.
///
/// Rollback looks back and promotion does not: so the time between two looks never hides a rollback, and a candidate that
/// became worse meanwhile is not promoted on past merits. Both stay within their error bound, which holds for all times at once.
#[must_use]
pub fn decide(design: &Design, evidence: &Evidence, situation: &Situation) -> Decision {
    let plan = &design.plan;
    let age = situation.now.since(situation.started_at);
    let expired = age >= plan.max_duration;
    let rollback = evidence.rollback;
    if let Some(sequence) = rollback.reached_at {
        let reason = Reason::Worse { e_value: rollback.peak, threshold: rollback.threshold, sequence };
        return Decision::new(Action::Rollback, [reason]);
    }

    let alarms = alarms(evidence);
    let mut missing = unmet(plan, evidence, age);
    missing.extend(losses(evidence, situation));
    if missing.is_empty() && alarms.is_empty() {
        let test = evidence.promotion;
        let reason = Reason::NotWorse { e_value: test.e_value, threshold: test.threshold, margin: plan.margin };
        return Decision::new(Action::Promote, [reason]);
    }

    let expiry = Reason::Expired { max_duration: plan.max_duration };
    if evidence.arms.candidate.known() == 0 && (expired || age >= plan.no_data_after) {
        let then = expired.then_some(plan.when_undecided);
        let mut reasons = vec![Reason::NoObservations { age }];
        reasons.extend(expired.then_some(expiry));
        reasons.extend(alarms);
        return Decision::new(Action::NoData { then }, reasons);
    }
    if expired {
        let reasons: Vec<Reason> = [expiry].into_iter().chain(alarms).chain(missing).collect();
        return Decision::new(Action::Inconclusive { then: plan.when_undecided }, reasons);
    }
    if !alarms.is_empty() {
        return Decision::new(Action::Hold, alarms);
    }
    next_stage(plan, evidence, situation, missing)
}

/// What promotion still needs, besides data that can be trusted.
fn unmet(plan: &Plan, evidence: &Evidence, age: Duration) -> Vec<Reason> {
    let mut unmet = Vec::new();
    let test = evidence.promotion;
    if !test.e_value.reaches(test.threshold) {
        unmet.push(Reason::Evidence { e_value: test.e_value, threshold: test.threshold });
    }
    for arm in Arm::ALL {
        let known = evidence.arms.get(arm).known();
        if known < plan.min_units {
            unmet.push(Reason::Units { arm, known, needed: plan.min_units });
        }
    }
    if age < plan.min_duration {
        unmet.push(Reason::Duration { age, needed: plan.min_duration });
    }
    unmet
}

/// Arms of which more than 1 % of the records were lost: who is missing may not be like who is there.
fn losses(evidence: &Evidence, situation: &Situation) -> impl Iterator<Item = Reason> {
    Arm::ALL.into_iter().filter_map(|arm| {
        let (lost, units) = (*situation.lost.get(arm), evidence.arms.get(arm).units);
        (lost.saturating_mul(100) > units).then_some(Reason::Lost { arm, lost, units })
    })
}

fn alarms(evidence: &Evidence) -> Vec<Reason> {
    let mut alarms = Vec::new();
    for (stage, found) in (0..).zip(&evidence.stages) {
        if found.sample_ratio.reaches(SampleRatio::ALARM) {
            alarms.push(Reason::SampleRatio { stage, units: found.units });
        } else if found.coverage.reaches(SampleRatio::ALARM) {
            alarms.push(Reason::Coverage { stage, known: found.known, units: found.units });
        }
    }
    alarms
}

fn next_stage(plan: &Plan, evidence: &Evidence, situation: &Situation, missing: Vec<Reason>) -> Decision {
    let stage = situation.stage;
    let to = stage.saturating_add(1);
    let mut reasons = missing;
    if usize::from(to) >= plan.stages.len() {
        return Decision::new(Action::Continue, reasons);
    }
    let lost = reasons.iter().any(|reason| matches!(reason, Reason::Lost { .. }));
    match stage_blocker(plan, evidence, stage) {
        Some(blocker) => reasons.push(blocker),
        None if lost => {}
        None => {
            let known = known_candidates(evidence, stage);
            return Decision::new(Action::AdvanceStage { to }, [Reason::StageComplete { stage, known }]);
        }
    }
    Decision::new(Action::Continue, reasons)
}

/// Returns what keeps a rollout from leaving a stage, as far as the observations say.
pub(crate) fn stage_blocker(plan: &Plan, evidence: &Evidence, stage: u16) -> Option<Reason> {
    let known = known_candidates(evidence, stage);
    if known < plan.stage_units {
        return Some(Reason::StageUnits { stage, known, needed: plan.stage_units });
    }
    let test = evidence.rollback;
    let now = test.e_value.to_f64();
    // Half of the way in logarithms: the square root, without taking one.
    let leans = now * now >= test.threshold;
    leans.then_some(Reason::LeansToRollback { e_value: test.e_value, threshold: test.threshold })
}

fn known_candidates(evidence: &Evidence, stage: u16) -> u64 {
    evidence.stages.get(usize::from(stage)).map_or(0, |found| found.known.candidate)
}
