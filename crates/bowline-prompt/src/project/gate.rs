use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What the gate decides by before a change may be released to an environment.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct GatePolicy {
    /// What follows where the suites are too small for the statistical comparison to decide. Default: `warn`.
    pub on_inconclusive: OnInconclusive,
    /// The chance of a wrong statistical verdict, each way. Above 0 and at most 0.5. Default: 0.05.
    #[schemars(extend("exclusiveMinimum" = 0, "maximum" = 0.5))]
    pub alpha: f64,
    /// The loss of the pass rate that is still accepted: a candidate is as good where it is worse by less. Above 0 and below 1.
    /// Default: 0.05.
    #[schemars(extend("exclusiveMinimum" = 0, "exclusiveMaximum" = 1))]
    pub margin: f64,
}

/// What follows where a gate cannot decide.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnInconclusive {
    /// The gate passes, and says how many cases a verdict would need.
    #[default]
    Warn,
    /// The gate does not pass.
    Fail,
}

// === impl GatePolicy ===

impl Default for GatePolicy {
    fn default() -> Self {
        Self { on_inconclusive: OnInconclusive::default(), alpha: 0.05, margin: 0.05 }
    }
}

impl GatePolicy {
    /// Returns whether nothing differs from the default.
    pub(crate) fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// Returns the field that is out of its range, and what the range is.
    #[must_use]
    pub fn wrong(&self) -> Option<(&'static str, &'static str)> {
        if !(self.alpha > 0.0 && self.alpha <= 0.5) {
            return Some(("alpha", "above 0 and at most 0.5"));
        }
        (!(self.margin > 0.0 && self.margin < 1.0)).then_some(("margin", "above 0 and below 1"))
    }
}
