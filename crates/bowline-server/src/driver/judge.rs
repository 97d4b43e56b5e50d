use bowline_canary::{Arms, Assignment, Design, Engine, Evidence, Observation, Point, Situation, Value};
use bowline_store::{ObservationRecord, RolloutRecord, Store};
use bowline_types::Timestamp;

use super::design;
use crate::error::{Error, Result};
use crate::wire::Ruling;

/// The engine of one rollout, with the course of its e-values for people.
pub(crate) struct Judge {
    engine: Engine,
    course: Course,
}

/// Points of the e-values, evenly spaced; thinned as the log grows, so that a look costs the same however long it is.
struct Course {
    points: Vec<Point>,
    /// Observations between two points.
    step: u64,
    /// The point of the last observation.
    last: Option<Point>,
}

/// A course has at most this many points, and at least half as many once it had them.
const POINTS_MAX: usize = 400;

// === impl Judge ===

impl Judge {
    /// Returns the judge of a rollout before its first observation.
    ///
    /// # Errors
    /// Fails where the stored design cannot be read.
    pub(crate) fn new(rollout: &RolloutRecord) -> Result<Self> {
        let course = Course { points: Vec::new(), step: 1, last: None };
        Ok(Self { engine: Engine::new(design(rollout)?), course })
    }

    /// Returns the judge of a rollout as its observation log leaves it.
    ///
    /// # Errors
    /// Fails where the store does, or where the log does not follow the design.
    pub(crate) async fn rebuild(store: &dyn Store, rollout: &RolloutRecord) -> Result<Self> {
        let mut judge = Self::new(rollout)?;
        loop {
            let page = store.observation_list(rollout.id, judge.next_sequence()).await?;
            if page.is_empty() {
                return Ok(judge);
            }
            page.iter().try_for_each(|record| judge.push(rollout.number, record))?;
        }
    }

    /// Judges the next observation of the log.
    ///
    /// # Errors
    /// Refuses one that does not follow the log or the design.
    pub(crate) fn push(&mut self, number: u64, record: &ObservationRecord) -> Result<()> {
        let observation = observation(record);
        self.engine.push(&observation).map_err(|error| Error::Log(number, error))?;
        let point = self.point(observation.sequence, observation.assigned_at);
        self.course.push(point, self.evidence().observations);
        Ok(())
    }

    /// Returns the place of the next observation in the log.
    pub(crate) fn next_sequence(&self) -> u64 {
        self.evidence().last_sequence.map_or(0, |last| last + 1)
    }

    /// Returns what to do now, with all that it was decided on.
    pub(crate) fn rule(&self, rollout: &RolloutRecord, lost: Arms<u64>, now: Timestamp) -> Ruling {
        let RolloutRecord { started_at, stage, .. } = *rollout;
        let decision = self.engine.decide(&Situation { now, started_at, stage, lost });
        Ruling { decision, stage, lost, evidence: self.evidence().clone() }
    }

    /// Returns the frozen parameters.
    pub(crate) const fn design(&self) -> &Design {
        self.engine.design()
    }

    /// Returns what the observations say so far.
    pub(crate) const fn evidence(&self) -> &Evidence {
        self.engine.evidence()
    }

    /// Returns the course of the e-values, up to the last observation.
    pub(crate) fn points(&self) -> Vec<Point> {
        let Course { points, last, .. } = &self.course;
        let beyond = last.filter(|last| points.last() != Some(last));
        points.iter().copied().chain(beyond).collect()
    }

    fn point(&self, sequence: u64, assigned_at: Timestamp) -> Point {
        let Evidence { arms, rollback, promotion, .. } = self.evidence();
        Point {
            sequence,
            assigned_at,
            known: Arms { stable: arms.stable.known(), candidate: arms.candidate.known() },
            rollback: rollback.e_value,
            promotion: promotion.e_value,
        }
    }
}

// === impl Course ===

impl Course {
    fn push(&mut self, point: Point, observations: u64) {
        self.last = Some(point);
        if !observations.is_multiple_of(self.step) {
            return;
        }
        self.points.push(point);
        if self.points.len() >= POINTS_MAX {
            // The second of each two, so that the points stay multiples of the new step.
            let kept = self.points.iter().skip(1).step_by(2).copied().collect();
            self.points = kept;
            self.step *= 2;
        }
    }
}

/// Returns what the engine reads of an observation.
fn observation(record: &ObservationRecord) -> Observation {
    Observation {
        sequence: record.sequence,
        assigned_at: record.assigned_at,
        unit: Assignment::new(record.rollout, &record.unit).digest(),
        unit_kind: record.unit.kind,
        arm: record.arm,
        stage: record.stage,
        value: Value::try_from(record.value).unwrap_or(Value::UNKNOWN),
    }
}
