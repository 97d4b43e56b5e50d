use std::time::Duration;

use bowline_types::format_duration;
use serde::{Deserialize, Serialize};

use crate::design::Design;
use crate::evidence::to_f64;
use crate::observation::Arms;
use crate::simulate::{End, Run, Scenario, Spread, Watch, play};
use crate::span;

/// What a rollout may be expected to take, before it starts: played with the engine itself, seeded.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Preview {
    /// Whether at least 80 % of rollouts are decided rightly in time, both where the candidate is worse by the plan's effect
    /// and where it is as good as stable.
    pub can_decide: bool,
    /// Stable's success rate that this assumes.
    pub assumed_rate: f64,
    /// A candidate that is worse by the effect: until it is rolled back.
    pub rollback: Estimate,
    /// A candidate as good as stable: until it is promoted.
    pub promotion: Estimate,
    /// What that means, in sentences.
    pub advice: Vec<String>,
}

/// What one kind of rollout may be expected to take.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// The part of rollouts that get the right verdict in time, 0 to 1.
    pub decided: f64,
    /// Units with a known value until a verdict; beyond [`Preview::UNITS_MAX`] they are counted as that many.
    pub units: Spread,
    /// Those of them on the candidate.
    pub candidate_units: Spread,
    /// The time of 80 % of rollouts until a verdict, `None` where the traffic is not known.
    #[serde(rename = "duration_q80_us", with = "span::micros::option")]
    pub duration_q80: Option<Duration>,
}

/// Rollouts played for each of the two truths: the part decided is known to within about three points.
const RUNS: u32 = 200;
const SEED: u64 = 0x626f_776c_696e_6531;

/// A time that is not worth a number: ten years.
const ENDLESS: Duration = Duration::from_secs(10 * 365 * 86_400);

/// The part of rollouts that must be decided rightly in time.
const DECIDED_MIN: f64 = 0.8;

/// Estimates what a rollout takes where `units_per_hour` units with a known value arrive; without it, in units only.
#[must_use]
pub fn preview(design: &Design, units_per_hour: Option<f64>) -> Preview {
    let stable = design.assumed_rate;
    let estimate = |candidate, right| estimate(design, Arms { stable, candidate }, right, units_per_hour);
    let rollback = estimate(design.worse_rate(), End::RolledBack);
    let promotion = estimate(stable, End::Promoted);
    let can_decide = rollback.decided >= DECIDED_MIN && promotion.decided >= DECIDED_MIN;
    let mut preview = Preview { can_decide, assumed_rate: stable, rollback, promotion, advice: Vec::new() };
    preview.advice = advice(&preview, design, units_per_hour);
    preview
}

fn estimate(design: &Design, rates: Arms<f64>, right: End, units_per_hour: Option<f64>) -> Estimate {
    let scenario = Scenario {
        design: design.clone(),
        rates,
        runs: RUNS,
        units_max: Preview::UNITS_MAX,
        blocks_max: u64::MAX,
        watch: Watch::Both,
        seed: SEED,
    };
    let runs: Vec<Run> = play(&scenario).collect();
    let time = |units: f64| units_per_hour.map(|rate| time_for(design, units, rate));
    let in_time =
        |run: &&Run| run.end == right && time(to_f64(run.units)).is_none_or(|time| time <= design.plan.max_duration);
    let decided = to_f64(u64::try_from(runs.iter().filter(in_time).count()).unwrap_or(0)) / f64::from(RUNS);
    let units = Spread::of(runs.iter().map(|run| run.units));
    let earliest = if right == End::Promoted { design.plan.min_duration } else { Duration::ZERO };
    Estimate {
        decided,
        units,
        candidate_units: Spread::of(runs.iter().map(|run| run.candidate_units)),
        duration_q80: time(units.q80).map(|time| time.max(earliest)),
    }
}

/// Returns the time in which `units` arrive and mature; the end of time where none do.
fn time_for(design: &Design, units: f64, units_per_hour: f64) -> Duration {
    let arrival = Duration::try_from_secs_f64(units / units_per_hour * 3_600.0).unwrap_or(Duration::MAX);
    arrival.saturating_add(design.plan.maturity)
}

fn advice(preview: &Preview, design: &Design, units_per_hour: Option<f64>) -> Vec<String> {
    let plan = &design.plan;
    let (effect, margin) = (plan.effect * 100.0, plan.margin * 100.0);
    let mut lines = vec![
        format!("A drop by {effect:.1} points is rolled back after {}.", preview.rollback.words()),
        format!(
            "A candidate as good as stable is promoted, at a margin of {margin:.1} points, after {}.",
            preview.promotion.words()
        ),
    ];
    if preview.can_decide {
        return lines;
    }
    let limit = match units_per_hour {
        Some(rate) => format!("{} at {rate:.0} units per hour", format_duration(plan.max_duration)),
        None => format!("{} units", Preview::UNITS_MAX),
    };
    lines.push(format!(
        "This plan cannot decide: within {limit}, {:.0}% of such drops are rolled back and {:.0}% of such candidates promoted, \
         and both should be at least 80%.",
        preview.rollback.decided * 100.0,
        preview.promotion.decided * 100.0,
    ));
    if preview.promotion.decided < DECIDED_MIN {
        lines.push("A larger margin needs fewer units, about with the square.".to_owned());
    }
    if plan.stages.iter().all(|share| share.fraction() < 0.25) {
        lines.push("A stage of 50% needs fewer units in all, and more on the candidate.".to_owned());
    }
    if units_per_hour.is_some() {
        lines.push(
            "More time, checks that judge every unit instead of feedback on a few, or a comparison on recorded inputs before \
             the rollout help as well."
                .to_owned(),
        );
    }
    lines
}

// === impl Preview ===

impl Preview {
    /// Units after which a simulated rollout is given up.
    pub const UNITS_MAX: u64 = 20_000;
}

// === impl Estimate ===

impl Estimate {
    fn words(&self) -> String {
        let Self { units, candidate_units, duration_q80, .. } = self;
        let most = to_f64(Preview::UNITS_MAX);
        let units_q80 = if units.q80 >= most { format!("more than {most}") } else { format!("{:.0}", units.q80) };
        let time = match duration_q80 {
            Some(time) if *time >= ENDLESS => "; too few units arrive".to_owned(),
            Some(time) => format!("; 80% within {}", in_words(*time)),
            None => String::new(),
        };
        format!(
            "{:.0} units on average ({:.0} of them on the candidate), 80% within {units_q80} units{time}",
            units.mean, candidate_units.mean,
        )
    }
}

/// Writes a time to two digits or so: what it estimates is not known better.
fn in_words(time: Duration) -> String {
    let minutes = time.as_secs_f64() / 60.0;
    match minutes {
        short if short < 90.0 => format!("{short:.0} minutes"),
        hours if hours < 48.0 * 60.0 => format!("{:.0} hours", hours / 60.0),
        days => format!("{:.0} days", days / 1_440.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::design::BaselineRate;
    use crate::plan::Plan;

    fn design(plan: Plan) -> Design {
        Design::new(plan, Some(BaselineRate { pass: 900, total: 1_000 })).unwrap()
    }

    #[test]
    fn traffic_decides_whether_a_plan_can() {
        let check = |plan: Plan, rate: Option<f64>, expected: bool| {
            let preview = preview(&design(plan.clone()), rate);
            assert_eq!(preview.can_decide, expected, "{plan:?} at {rate:?}: {:#?}", preview.advice);
        };
        let tight = Plan { margin: 0.01, ..Plan::default() };
        check(Plan::default(), None, true);
        check(Plan::default(), Some(1_000.0), true);
        check(Plan::default(), Some(5.0), false);
        check(Plan::default(), Some(0.0), false);
        check(tight, Some(1_000_000.0), false);
    }

    #[test]
    fn previews_are_repeatable_and_say_what_they_mean() {
        let plan = Plan { stages: vec!["50%".parse().unwrap()], ..Plan::default() };
        let preview = preview(&design(plan.clone()), Some(100.0));
        println!("{}", preview.advice.join("\n"));
        assert_eq!(preview, super::preview(&design(plan.clone()), Some(100.0)));
        assert!((1_000.0..1_500.0).contains(&preview.rollback.units.mean), "{preview:#?}");
        assert!(preview.advice[0].contains("A drop by 5.0 points is rolled back after"), "{preview:#?}");

        let slow = super::preview(&design(plan), Some(2.0));
        println!("{}", slow.advice.join("\n"));
        assert!(slow.advice[2].starts_with("This plan cannot decide: within 7d at 2 units per hour"), "{slow:#?}");
        let stored: Preview = serde_json::from_str(&serde_json::to_string(&slow).unwrap()).unwrap();
        assert_eq!(stored.can_decide, slow.can_decide);
    }
}
