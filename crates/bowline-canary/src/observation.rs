use bowline_types::{Arm, CheckResult, Digest, Timestamp, UnitKind};
use serde::{Deserialize, Serialize};

/// The frozen value of one unit in one rollout, taken at maturity.
///
/// One per unit: whoever writes the log keeps the first mature inference of a unit and refuses the rest. The log's order is
/// the order of evidence.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Observation {
    /// The place in the rollout's log; strictly growing, gaps allowed.
    pub sequence: u64,
    /// When the unit was first served.
    pub assigned_at: Timestamp,
    /// The unit: [`Assignment::digest`](crate::Assignment::digest).
    pub unit: Digest,
    /// Where the unit came from.
    pub unit_kind: UnitKind,
    /// The arm that served it.
    pub arm: Arm,
    /// The stage in which it was assigned, from 0.
    pub stage: u16,
    /// How it went.
    pub value: Value,
}

/// How a unit went: a score from 0 (failed) to 1 (passed), or unknown.
///
/// In JSON a number or null.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Option<f64>", into = "Option<f64>")]
pub struct Value(Option<f64>);

/// A score outside 0 to 1.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq)]
#[error("the score {0} is not within 0 to 1")]
pub struct ValueError(f64);

/// One of something for each arm.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Arms<T> {
    /// Of stable.
    pub stable: T,
    /// Of the candidate.
    pub candidate: T,
}

// === impl Value ===

impl Value {
    /// Passed.
    pub const PASS: Self = Self(Some(1.0));
    /// Failed.
    pub const FAIL: Self = Self(Some(0.0));
    /// Nothing came in time.
    pub const UNKNOWN: Self = Self(None);

    /// Returns a score.
    ///
    /// # Errors
    /// Refuses what is not within 0 to 1, NaN included.
    pub fn score(score: f64) -> Result<Self, ValueError> {
        // Adding zero turns -0 into 0, so that equal scores have equal bits.
        if (0.0..=1.0).contains(&score) { Ok(Self(Some(score + 0.0))) } else { Err(ValueError(score)) }
    }

    /// Returns the score, `None` where unknown.
    #[must_use]
    pub const fn get(self) -> Option<f64> {
        self.0
    }
}

impl TryFrom<Option<f64>> for Value {
    type Error = ValueError;

    fn try_from(value: Option<f64>) -> Result<Self, ValueError> {
        value.map_or(Ok(Self::UNKNOWN), Self::score)
    }
}

impl From<Value> for Option<f64> {
    fn from(value: Value) -> Self {
        value.0
    }
}

impl From<CheckResult> for Value {
    fn from(result: CheckResult) -> Self {
        match result {
            CheckResult::Pass => Self::PASS,
            CheckResult::Fail => Self::FAIL,
            CheckResult::Unknown => Self::UNKNOWN,
        }
    }
}

// === impl Arms ===

impl<T> Arms<T> {
    /// Returns the one of `arm`.
    #[must_use]
    pub const fn get(&self, arm: Arm) -> &T {
        match arm {
            Arm::Stable => &self.stable,
            Arm::Candidate => &self.candidate,
        }
    }

    /// Returns the one of `arm`, to change it.
    #[must_use]
    pub const fn get_mut(&mut self, arm: Arm) -> &mut T {
        match arm {
            Arm::Stable => &mut self.stable,
            Arm::Candidate => &mut self.candidate,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_read_and_write() {
        for (json, value) in [("1.0", Value::PASS), ("0.0", Value::FAIL), ("null", Value::UNKNOWN)] {
            assert_eq!(serde_json::to_string(&value).unwrap(), json);
            assert_eq!(serde_json::from_str::<Value>(json).unwrap(), value);
        }
        assert_eq!(serde_json::from_str::<Value>("1").unwrap(), Value::PASS);
        for json in ["1.5", "-0.1", "\"pass\"", "true"] {
            assert!(serde_json::from_str::<Value>(json).is_err(), "{json}");
        }
        assert!(Value::score(f64::NAN).is_err());
    }
}
