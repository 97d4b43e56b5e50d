use serde::{Deserialize, Serialize};

/// The success contract of a prompt: the checks that an inference must pass, in the order they are declared.
///
/// Success is the conjunction: one failed check fails the inference; else one unknown check leaves it unknown; else it passed.
/// An empty contract means `complete` and, where the prompt has an output schema, `schema`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SuccessContract(pub Vec<Check>);

/// One check of a success contract.
///
/// In files and JSON: `schema`, `complete`, `not_refusal`, `{feedback: NAME}` or `{cel: EXPRESSION}`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Check {
    /// The output is JSON that fits the output schema of the version.
    Schema,
    /// The call ended without an error and the answer was not cut off.
    Complete,
    /// The answer is not a refusal.
    NotRefusal,
    /// An application sent feedback of this name: `true` or a number of at least 0.5 passes.
    Feedback(String),
    /// A CEL expression over `output` (JSON where it is JSON, else text), `text`, `variables`, `finish`; true passes.
    Cel(String),
}

/// What a check found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CheckResult {
    /// It holds.
    Pass,
    /// It does not hold.
    Fail,
    /// It cannot be said, or not yet.
    Unknown,
}

// === impl Check ===

impl Check {
    /// Returns the name under which results are recorded: `schema`, `feedback:NAME`, `cel:EXPRESSION`, …
    #[must_use]
    pub fn name(&self) -> String {
        match self {
            Self::Schema => "schema".to_owned(),
            Self::Complete => "complete".to_owned(),
            Self::NotRefusal => "not_refusal".to_owned(),
            Self::Feedback(name) => format!("feedback:{name}"),
            Self::Cel(expression) => format!("cel:{expression}"),
        }
    }
}

// === impl CheckResult ===

impl CheckResult {
    /// Returns the conjunction: fail wins over unknown, unknown over pass.
    #[must_use]
    pub fn all(results: impl IntoIterator<Item = Self>) -> Self {
        results.into_iter().fold(Self::Pass, |all, each| match (all, each) {
            (Self::Fail, _) | (_, Self::Fail) => Self::Fail,
            (Self::Unknown, _) | (_, Self::Unknown) => Self::Unknown,
            (Self::Pass, Self::Pass) => Self::Pass,
        })
    }

    /// Returns the word used in records and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::Unknown => "unknown",
        }
    }
}

impl From<bool> for CheckResult {
    fn from(holds: bool) -> Self {
        if holds { Self::Pass } else { Self::Fail }
    }
}

#[cfg(test)]
mod tests {
    use super::CheckResult::{Fail, Pass, Unknown};
    use super::*;

    #[test]
    fn conjunction_has_three_values() {
        assert_eq!(CheckResult::all([]), Pass);
        assert_eq!(CheckResult::all([Pass, Unknown]), Unknown);
        assert_eq!(CheckResult::all([Unknown, Fail]), Fail);
    }

    #[test]
    fn checks_read_as_in_files() {
        let text = r#"["schema","complete","not_refusal",{"feedback":"correct"},{"cel":"size(text) < 5"}]"#;
        let contract: SuccessContract = serde_json::from_str(text).unwrap();
        assert_eq!(contract.0.len(), 5);
        assert_eq!(serde_json::to_string(&contract).unwrap(), text);
    }
}
