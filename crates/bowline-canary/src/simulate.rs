use bowline_types::Arm;
use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::{Rng, SeedableRng};
use serde::{Deserialize, Serialize};

use crate::decision::stage_blocker;
use crate::design::Design;
use crate::engine::Engine;
use crate::evidence::to_f64;
use crate::observation::{Arms, Value};

/// Rollouts to play with the engine itself, seeded, and watched at every observation.
#[derive(Clone, Debug, PartialEq)]
pub struct Scenario {
    /// What the rollouts follow.
    pub design: Design,
    /// The true success rate of each arm.
    pub rates: Arms<f64>,
    /// Rollouts to play.
    pub runs: u32,
    /// Units after which a rollout is undecided.
    pub units_max: u64,
    /// Blocks after which a rollout is undecided.
    pub blocks_max: u64,
    /// What ends a rollout.
    pub watch: Watch,
    /// The seed; the same one gives the same rollouts on every machine.
    pub seed: u64,
}

/// What ends a simulated rollout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Watch {
    /// The evidence for rollback alone.
    Rollback,
    /// The evidence for promotion alone, without any minimum.
    Promotion,
    /// Whichever comes first, promotion with the plan's minimum of units, as in a real rollout.
    Both,
}

/// What came out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// Rollouts played.
    pub runs: u32,
    /// Those rolled back.
    pub rolled_back: u32,
    /// Those promoted.
    pub promoted: u32,
    /// Observations judged, over all rollouts.
    pub observations: u64,
    /// Blocks of a rollout.
    pub blocks: Spread,
    /// Units of a rollout.
    pub units: Spread,
    /// Candidate units of a rollout.
    pub candidate_units: Spread,
}

/// Where the values of all rollouts lie; an undecided rollout counts with what it had at its end.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Spread {
    /// The mean.
    pub mean: f64,
    /// Four of five are at most this.
    pub q80: f64,
}

/// One rollout that was played.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Run {
    pub(crate) end: End,
    pub(crate) units: u64,
    pub(crate) candidate_units: u64,
    pub(crate) blocks: u64,
}

/// How a played rollout ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    RolledBack,
    Promoted,
    Undecided,
}

/// Plays a scenario.
#[must_use]
pub fn simulate(scenario: &Scenario) -> Summary {
    let runs: Vec<Run> = play(scenario).collect();
    let count = |end| u32::try_from(runs.iter().filter(|run| run.end == end).count()).unwrap_or(u32::MAX);
    let spread = |value: fn(&Run) -> u64| Spread::of(runs.iter().map(value));
    Summary {
        runs: scenario.runs,
        rolled_back: count(End::RolledBack),
        promoted: count(End::Promoted),
        observations: runs.iter().map(|run| run.units).sum(),
        blocks: spread(|run| run.blocks),
        units: spread(|run| run.units),
        candidate_units: spread(|run| run.candidate_units),
    }
}

/// Plays the rollouts of a scenario, one at a time.
pub(crate) fn play(scenario: &Scenario) -> impl Iterator<Item = Run> {
    let fresh = Engine::new(scenario.design.clone());
    (0..scenario.runs).map(move |index| play_one(scenario, fresh.clone(), scenario.seed.wrapping_add(u64::from(index))))
}

fn play_one(scenario: &Scenario, mut engine: Engine, seed: u64) -> Run {
    let mut random = Xoshiro256PlusPlus::seed_from_u64(seed);
    let plan = &scenario.design.plan;
    let shares = &plan.stages;
    let mut stage = 0;
    loop {
        let evidence = engine.evidence();
        let end = ended(scenario, &engine);
        let over = evidence.observations >= scenario.units_max || evidence.blocks >= scenario.blocks_max;
        if end != End::Undecided || over {
            return Run {
                end,
                units: evidence.observations,
                candidate_units: evidence.arms.candidate.units,
                blocks: evidence.blocks,
            };
        }
        let last = usize::from(stage) + 1 >= shares.len();
        if !last && stage_blocker(plan, evidence, stage).is_none() {
            stage += 1;
        }
        let share = shares.get(usize::from(stage));
        let arm =
            if share.is_some_and(|share| share.contains(random.next_u64())) { Arm::Candidate } else { Arm::Stable };
        // 53 bits: every float in [0, 1) of that spacing is equally likely.
        let uniform = to_f64(random.next_u64() >> 11) / to_f64(1 << 53);
        let value = if uniform < *scenario.rates.get(arm) { Value::PASS } else { Value::FAIL };
        let sequence = evidence.observations + 1;
        if engine.judge(sequence, stage, arm, value).is_err() {
            // Only a design without stages gets here.
            return Run { end: End::Undecided, units: 0, candidate_units: 0, blocks: 0 };
        }
    }
}

fn ended(scenario: &Scenario, engine: &Engine) -> End {
    let evidence = engine.evidence();
    let worse = scenario.watch != Watch::Promotion && evidence.rollback.reached_at.is_some();
    let enough = || {
        let needed = if scenario.watch == Watch::Both { scenario.design.plan.min_units } else { 0 };
        Arm::ALL.into_iter().all(|arm| evidence.arms.get(arm).known() >= needed)
    };
    let test = evidence.promotion;
    if worse {
        End::RolledBack
    } else if scenario.watch != Watch::Rollback && test.e_value.reaches(test.threshold) && enough() {
        End::Promoted
    } else {
        End::Undecided
    }
}

// === impl Spread ===

impl Spread {
    /// Returns the spread of `values`; zero where there are none.
    pub(crate) fn of(values: impl Iterator<Item = u64>) -> Self {
        let mut values: Vec<u64> = values.collect();
        values.sort_unstable();
        let rank = (values.len() * 4).div_ceil(5).saturating_sub(1);
        let Some(q80) = values.get(rank) else { return Self { mean: 0.0, q80: 0.0 } };
        let count = u64::try_from(values.len()).unwrap_or(u64::MAX);
        Self { mean: to_f64(values.iter().sum()) / to_f64(count), q80: to_f64(*q80) }
    }
}

#[cfg(test)]
mod tests;
