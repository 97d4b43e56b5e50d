use std::time::Duration;

use bowline_types::format_duration;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::share::Share;
use crate::span;

/// How a change reaches an environment: stages, gates and limits.
///
/// Every field has a default, so `rollout: {}` is a plan. A plan is frozen into a [`Design`](crate::Design) when its rollout
/// starts; later edits concern later rollouts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Plan {
    /// Shares of units on the candidate, one per stage, strictly growing, each at most 50%, 1 to 8 of them. After the last
    /// comes promotion, which is decided by evidence and may come at any stage. Default: 10%, 50%.
    pub stages: Vec<Share>,
    /// How much worse, in success rate, a candidate may be and still be promoted: above 0, at most 0.5. Default: 0.05.
    /// A smaller margin needs more units, about with the square.
    pub margin: f64,
    /// The drop in success rate that rollback is tuned to find fast: above 0, at most 0.5. Default: 0.05. Other drops are
    /// found too, later or sooner.
    pub effect: f64,
    /// The largest chance of each wrong verdict.
    pub alpha: Alpha,
    /// Candidate units with a known value that a stage needs before the next one begins: at least 1. Default: 100.
    pub stage_units: u64,
    /// Units with a known value that each arm needs before promotion: at least 1. Default: 100.
    pub min_units: u64,
    /// The time a rollout runs before promotion. Default: 1h. Zero means none.
    #[serde(with = "span::text")]
    #[schemars(schema_with = "span::text::schema")]
    pub min_duration: Duration,
    /// The window after the assignment of a unit in which its outcomes may arrive; then its value is frozen, and what has not
    /// come is unknown. Default: 30s.
    #[serde(with = "span::text")]
    #[schemars(schema_with = "span::text::schema")]
    pub maturity: Duration,
    /// The time without any known candidate observation after which a rollout says that it has no data. Default: 1h.
    #[serde(with = "span::text")]
    #[schemars(schema_with = "span::text::schema")]
    pub no_data_after: Duration,
    /// The time after which a rollout without a verdict ends inconclusive. Default: 7d.
    #[serde(with = "span::text")]
    #[schemars(schema_with = "span::text::schema")]
    pub max_duration: Duration,
    /// What happens to a candidate that nothing was proved about in time. Default: hold.
    pub when_undecided: WhenUndecided,
}

/// The largest chance of each wrong verdict, over the whole rollout and however often one looks.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Alpha {
    /// Of rolling back a candidate that is not worse than stable: 0.000001 to 0.5. Default: 0.05.
    pub rollback: f64,
    /// Of promoting a candidate that is worse than stable by the margin or more: 0.000001 to 0.5. Default: 0.05.
    pub promote: f64,
}

/// What happens to a candidate that nothing was proved about in time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum WhenUndecided {
    /// It stays at its stage until a person decides.
    #[default]
    Hold,
    /// Its units return to stable.
    Rollback,
}

/// Why a plan cannot be carried out.
#[derive(Debug, thiserror::Error, PartialEq)]
pub enum PlanError {
    /// There are no stages, or too many.
    #[error("a plan has 1 to {most} stages, not {0}", most = Plan::STAGES_MAX)]
    StageCount(usize),
    /// A stage gives the candidate more than half.
    #[error("stage {0} is above 50%: after half of the units comes promotion, which evidence decides")]
    StageShare(Share),
    /// A stage is not larger than the one before.
    #[error("stage {after} follows {before}: stages must grow, so that a unit on the candidate stays there")]
    StageOrder {
        /// The stage.
        before: Share,
        /// The next one.
        after: Share,
    },
    /// A number is outside its range.
    #[error("`{field}` is {value}, which is not within {range}")]
    Range {
        /// The field, as in the file.
        field: &'static str,
        /// Its value.
        value: String,
        /// What is allowed, in words.
        range: &'static str,
    },
    /// A duration is longer than the rollout may take.
    #[error("`{field}` ({}) is not shorter than `max_duration` ({})", format_duration(*value), format_duration(*max_duration))]
    Duration {
        /// The field, as in the file.
        field: &'static str,
        /// Its value.
        value: Duration,
        /// The limit.
        max_duration: Duration,
    },
}

// === impl Plan ===

impl Default for Plan {
    fn default() -> Self {
        const HOUR: Duration = Duration::from_secs(3_600);
        Self {
            stages: vec![Share::percent(10), Share::HALF],
            margin: 0.05,
            effect: 0.05,
            alpha: Alpha::default(),
            stage_units: 100,
            min_units: 100,
            min_duration: HOUR,
            maturity: Duration::from_secs(30),
            no_data_after: HOUR,
            max_duration: HOUR * 24 * 7,
            when_undecided: WhenUndecided::default(),
        }
    }
}

impl Plan {
    /// The most stages a plan may have.
    pub const STAGES_MAX: usize = 8;

    /// Checks every field.
    ///
    /// # Errors
    /// Names the first field that breaks its rule.
    pub fn validate(&self) -> Result<(), PlanError> {
        self.validate_stages()?;
        for (field, value) in [("margin", self.margin), ("effect", self.effect)] {
            within(value > 0.0 && value <= 0.5, field, value, "above 0, at most 0.5")?;
        }
        for (field, value) in [("alpha.rollback", self.alpha.rollback), ("alpha.promote", self.alpha.promote)] {
            within((1e-6..=0.5).contains(&value), field, value, "0.000001 to 0.5")?;
        }
        for (field, value) in [("stage_units", self.stage_units), ("min_units", self.min_units)] {
            within(value >= 1, field, value, "1 and more")?;
        }
        let limits =
            [("min_duration", self.min_duration), ("maturity", self.maturity), ("no_data_after", self.no_data_after)];
        match limits.into_iter().find(|(_, value)| *value >= self.max_duration) {
            Some((field, value)) => Err(PlanError::Duration { field, value, max_duration: self.max_duration }),
            None => Ok(()),
        }
    }

    fn validate_stages(&self) -> Result<(), PlanError> {
        if self.stages.is_empty() || self.stages.len() > Self::STAGES_MAX {
            return Err(PlanError::StageCount(self.stages.len()));
        }
        if let Some(share) = self.stages.iter().find(|share| **share > Share::HALF) {
            return Err(PlanError::StageShare(*share));
        }
        match self.stages.iter().zip(self.stages.iter().skip(1)).find(|(before, after)| before >= after) {
            Some((before, after)) => Err(PlanError::StageOrder { before: *before, after: *after }),
            None => Ok(()),
        }
    }
}

fn within(holds: bool, field: &'static str, value: impl ToString, range: &'static str) -> Result<(), PlanError> {
    if holds { Ok(()) } else { Err(PlanError::Range { field, value: value.to_string(), range }) }
}

// === impl Alpha ===

impl Default for Alpha {
    fn default() -> Self {
        Self { rollback: 0.05, promote: 0.05 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(json: &str, expected: &str) {
        let found = match serde_json::from_str::<Plan>(json) {
            Ok(plan) => plan.validate().map_or_else(|error| error.to_string(), |()| "valid".to_owned()),
            Err(error) => error.to_string(),
        };
        assert!(found.starts_with(expected), "{json}: {found}");
    }

    #[test]
    fn plans_are_checked() {
        check("{}", "valid");
        check(r#"{"stages": ["5%", "20%", "50%"], "min_duration": "0s", "when_undecided": "rollback"}"#, "valid");
        check(r#"{"stage": ["5%"]}"#, "unknown field `stage`");
        check(r#"{"alpha": {"rolback": 0.1}}"#, "unknown field `rolback`");
        check(r#"{"stages": []}"#, "a plan has 1 to 8 stages, not 0");
        check(r#"{"stages": ["50%", "10%"]}"#, "stage 10% follows 50%");
        check(r#"{"stages": ["10%", "10%"]}"#, "stage 10% follows 10%");
        check(r#"{"stages": ["10%", "60%"]}"#, "stage 60% is above 50%");
        check(r#"{"stages": ["10"]}"#, "`10` is not a share");
        check(r#"{"margin": 0}"#, "`margin` is 0, which is not within above 0");
        check(r#"{"effect": 0.6}"#, "`effect` is 0.6");
        check(r#"{"alpha": {"promote": 0}}"#, "`alpha.promote` is 0");
        check(r#"{"min_units": 0}"#, "`min_units` is 0");
        check(r#"{"maturity": "30"}"#, "`30` is not a duration");
        check(r#"{"max_duration": "30m"}"#, "`min_duration` (1h) is not shorter than `max_duration` (30m)");
    }

    #[test]
    fn plans_round_trip_and_partial_ones_take_defaults() {
        let plan = Plan::default();
        assert_eq!(serde_json::from_str::<Plan>(&serde_json::to_string(&plan).unwrap()).unwrap(), plan);
        let partial: Plan = serde_json::from_str(r#"{"alpha": {"rollback": 0.01}}"#).unwrap();
        assert_eq!(partial.alpha, Alpha { rollback: 0.01, promote: 0.05 });
        assert_eq!(partial.stages, plan.stages);
    }

    #[test]
    fn the_schema_names_every_field() {
        let schema = serde_json::to_value(schemars::schema_for!(Plan)).unwrap();
        let plan = serde_json::to_value(Plan::default()).unwrap();
        for field in plan.as_object().unwrap().keys() {
            assert!(schema["properties"][field]["description"].is_string(), "{field}: {schema:#}");
        }
        assert_eq!(schema["additionalProperties"], false);
    }
}
