use std::borrow::Borrow;

use bowline_types::{Arm, Timestamp};
use serde::{Deserialize, Serialize};

use crate::decision::{Decision, Situation, decide};
use crate::design::{Bets, Design};
use crate::evalue::EValue;
use crate::evidence::{ArmEvidence, Evidence, TestEvidence};
use crate::observation::{Arms, Observation, Value};
use crate::process::Process;
use crate::stage::Stage;

/// The judge of one rollout.
///
/// - Signals: the differences of [blocks](crate::StageDesign), in the order of the log.
/// - Rollback: a [`Process`] bets that the difference (stable minus candidate) is above 0.
/// - Promotion: another bets that the margin minus the difference is above 0.
/// - Stages: the processes go on through all stages; a stage has its own blocks and its own size of the targeted bet.
/// - At the start: both are at 1, which says nothing.
///
/// The state is a function of the design and of the observations alone, in whatever batches they are pushed.
#[derive(Clone, Debug)]
pub struct Engine {
    design: Design,
    rollback: Process,
    promotion: Process,
    stages: Vec<Stage>,
    evidence: Evidence,
}

/// An observation that does not belong where it came.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
pub enum PushError {
    /// It does not follow the last one.
    #[error("observation {sequence} came after {last}")]
    Order {
        /// Its place in the log.
        sequence: u64,
        /// The place of the last one.
        last: u64,
    },
    /// The plan has no such stage.
    #[error("observation {sequence} is of stage {stage}, and the plan has {stages} stages")]
    Stage {
        /// Its place in the log.
        sequence: u64,
        /// Its stage, from 0.
        stage: u16,
        /// Stages of the plan.
        stages: usize,
    },
}

/// The e-values after one observation, for a plot.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// The place of the observation in the log.
    pub sequence: u64,
    /// When its unit was assigned.
    pub assigned_at: Timestamp,
    /// Units with a known value until then.
    pub known: Arms<u64>,
    /// The evidence for rollback.
    pub rollback: EValue,
    /// The evidence for promotion.
    pub promotion: EValue,
}

/// Recomputes the evidence from the log.
///
/// # Errors
/// Refuses a log that is out of order or of another plan.
pub fn replay<O: Borrow<Observation>>(
    design: Design,
    observations: impl IntoIterator<Item = O>,
) -> Result<Evidence, PushError> {
    let mut engine = Engine::new(design);
    observations.into_iter().try_for_each(|observation| engine.push(observation.borrow()))?;
    Ok(engine.evidence)
}

/// Recomputes the course of the evidence: about `points_max` points, evenly spaced, the last observation always among them.
///
/// # Errors
/// Refuses a log that is out of order or of another plan.
pub fn trace(design: Design, observations: &[Observation], points_max: usize) -> Result<Vec<Point>, PushError> {
    let mut engine = Engine::new(design);
    let step = observations.len().div_ceil(points_max.max(1)).max(1);
    let mut points = Vec::with_capacity(observations.len() / step + 1);
    for (index, observation) in observations.iter().enumerate() {
        engine.push(observation)?;
        if (index + 1) % step == 0 || index + 1 == observations.len() {
            points.push(engine.point(observation));
        }
    }
    Ok(points)
}

// === impl Engine ===

impl Engine {
    /// Returns the judge before the first observation.
    #[must_use]
    pub fn new(design: Design) -> Self {
        let stages: Vec<Stage> = design.stages.iter().map(Stage::new).collect();
        let evidence = Evidence {
            observations: 0,
            last_sequence: None,
            arms: Arms::default(),
            blocks: 0,
            rollback: TestEvidence::new(&design.rollback),
            promotion: TestEvidence::new(&design.promotion),
            stages: stages.iter().map(Stage::evidence).collect(),
        };
        Self {
            rollback: Process::new(&design.rollback),
            promotion: Process::new(&design.promotion),
            stages,
            evidence,
            design,
        }
    }

    /// Judges the next observation of the log.
    ///
    /// # Errors
    /// Refuses one that is out of order or of a stage that the plan does not have; the state is as before.
    pub fn push(&mut self, observation: &Observation) -> Result<(), PushError> {
        let Observation { sequence, stage, arm, value, .. } = *observation;
        if let Some(last) = self.evidence.last_sequence.filter(|last| *last >= sequence) {
            return Err(PushError::Order { sequence, last });
        }
        self.judge(sequence, stage, arm, value)
    }

    /// Judges a unit whose place in the log is known to be the next.
    pub(crate) fn judge(&mut self, sequence: u64, stage: u16, arm: Arm, value: Value) -> Result<(), PushError> {
        let stages = self.stages.len();
        let index = usize::from(stage);
        let (Some(state), Some(stage_evidence)) = (self.stages.get_mut(index), self.evidence.stages.get_mut(index))
        else {
            return Err(PushError::Stage { sequence, stage, stages });
        };
        let block = state.push(arm, value);
        *stage_evidence = state.evidence();
        self.evidence.observations += 1;
        self.evidence.last_sequence = Some(sequence);
        self.evidence.arms.get_mut(arm).count(value);
        if let Some(difference) = block {
            let bets = state.design();
            let rollback = self.rollback.settle(bets.rollback_bet, difference);
            let promotion = self.promotion.settle(bets.promotion_bet, self.design.plan.margin - difference);
            self.evidence.blocks += 1;
            self.evidence.rollback.update(rollback, sequence);
            self.evidence.promotion.update(promotion, sequence);
        }
        Ok(())
    }

    /// Returns the frozen parameters.
    #[must_use]
    pub const fn design(&self) -> &Design {
        &self.design
    }

    /// Returns what the observations say so far.
    #[must_use]
    pub const fn evidence(&self) -> &Evidence {
        &self.evidence
    }

    /// Returns what to do now; see [`decide`].
    #[must_use]
    pub fn decide(&self, situation: &Situation) -> Decision {
        decide(&self.design, &self.evidence, situation)
    }

    fn point(&self, observation: &Observation) -> Point {
        let Evidence { arms, rollback, promotion, .. } = &self.evidence;
        Point {
            sequence: observation.sequence,
            assigned_at: observation.assigned_at,
            known: Arms { stable: arms.stable.known(), candidate: arms.candidate.known() },
            rollback: rollback.e_value,
            promotion: promotion.e_value,
        }
    }
}

// === impl TestEvidence ===

impl TestEvidence {
    const fn new(bets: &Bets) -> Self {
        Self { e_value: EValue::ONE, peak: EValue::ONE, threshold: bets.threshold, reached_at: None }
    }

    fn update(&mut self, e_value: EValue, sequence: u64) {
        self.e_value = e_value;
        self.peak = self.peak.max(e_value);
        if self.reached_at.is_none() && e_value.reaches(self.threshold) {
            self.reached_at = Some(sequence);
        }
    }
}

// === impl ArmEvidence ===

impl ArmEvidence {
    fn count(&mut self, value: Value) {
        self.units += 1;
        match value.get() {
            Some(score) => {
                self.score += score;
                self.pass += u64::from(score >= 1.0);
                self.fail += u64::from(score <= 0.0);
            }
            None => self.unknown += 1,
        }
    }
}

#[cfg(test)]
mod tests;
