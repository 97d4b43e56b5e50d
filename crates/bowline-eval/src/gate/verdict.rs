use serde::{Deserialize, Serialize};

use super::{Finding, GateReport, OnInconclusive, count};

/// Whether a candidate may go on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "verdict", rename_all = "snake_case")]
pub enum Verdict {
    /// It may.
    Pass,
    /// It may not.
    Failed {
        /// Why, in the order of the gate's rules.
        reasons: Vec<Reason>,
    },
    /// Nothing speaks against it, and the suite cannot say that it is not worse.
    Inconclusive {
        /// How many cases it would take at the least; `None` where that is beyond any suite.
        cases_needed: Option<u64>,
    },
}

/// Why a candidate may not go on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Reason {
    /// The suite has no cases, or the filter leaves none.
    NoCases,
    /// Must-pass cases failed.
    MustPass {
        /// How many.
        cases: u64,
    },
    /// Calls could not be graded.
    Errored {
        /// How many.
        calls: u64,
        /// Of how many.
        of: u64,
    },
    /// A threshold does not hold.
    Threshold {
        /// The bound and what was measured, in words.
        bound: String,
    },
    /// Cases that stable passes fail.
    Flips {
        /// How many.
        cases: u64,
    },
    /// The comparison says that the candidate is worse.
    Worse {
        /// The mean difference over the compared cases, candidate minus stable.
        difference: f64,
        /// The cases compared.
        cases: u64,
    },
    /// Cases failed that stable has no graded answer to, and nothing says how many may.
    Uncompared {
        /// How many.
        cases: u64,
    },
    /// Answers come from a simulator, and the environment serves real providers.
    Simulated,
}

/// Returns the exit code of `bowline test --gate` for the verdicts of its suites: 0 where it passes, 100 where one failed, 101 where
/// one is inconclusive and that counts. Without a verdict at all nothing was shown, which is 100.
#[must_use]
pub fn exit_code<'a>(verdicts: impl IntoIterator<Item = &'a Verdict>, on_inconclusive: OnInconclusive) -> u8 {
    const PASS: u8 = 0;
    const FAILED: u8 = 100;
    const INCONCLUSIVE: u8 = 101;
    let codes = verdicts.into_iter().map(|verdict| match verdict {
        Verdict::Failed { .. } => FAILED,
        Verdict::Inconclusive { .. } if on_inconclusive == OnInconclusive::Fail => INCONCLUSIVE,
        Verdict::Pass | Verdict::Inconclusive { .. } => PASS,
    });
    // A failure says more than an open question.
    codes.max_by_key(|code| [PASS, INCONCLUSIVE, FAILED].iter().position(|rank| rank == code)).unwrap_or(FAILED)
}

// === impl Verdict ===

impl Verdict {
    pub(super) fn of(report: &GateReport) -> Self {
        let reasons = reasons(report);
        if !reasons.is_empty() {
            return Self::Failed { reasons };
        }
        match &report.comparison {
            Some(comparison) if comparison.finding == Finding::Undecided => {
                Self::Inconclusive { cases_needed: comparison.cases_needed }
            }
            _ => Self::Pass,
        }
    }

    /// Makes it a failure for one reason more, whatever it was.
    pub fn refuse(&mut self, reason: Reason) {
        match self {
            Self::Failed { reasons } => reasons.push(reason),
            Self::Pass | Self::Inconclusive { .. } => *self = Self::Failed { reasons: vec![reason] },
        }
    }

    /// Returns the word for people and machines: `pass`, `failed` or `inconclusive`.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Failed { .. } => "failed",
            Self::Inconclusive { .. } => "inconclusive",
        }
    }

    /// Returns the verdict with the number of cases that an inconclusive one needs.
    #[must_use]
    pub fn words(&self) -> String {
        match self {
            Self::Inconclusive { cases_needed: Some(needed) } => format!("inconclusive: needs at least {needed} cases"),
            Self::Inconclusive { cases_needed: None } => "inconclusive: no suite would be large enough".to_owned(),
            other => other.as_str().to_owned(),
        }
    }

    /// Returns the verdict of several suites together: the first that failed, else the first that is inconclusive, else pass.
    /// `None` where there are none.
    pub fn together<'a>(verdicts: impl IntoIterator<Item = &'a Self>) -> Option<&'a Self> {
        let rank = |verdict: &&Self| match verdict {
            Self::Failed { .. } => 0,
            Self::Inconclusive { .. } => 1,
            Self::Pass => 2,
        };
        verdicts.into_iter().min_by_key(rank)
    }
}

fn reasons(report: &GateReport) -> Vec<Reason> {
    let GateReport { candidate, must_pass_failed, uncompared_failed, bounds, flips, comparison, policy, .. } = report;
    if candidate.cases == 0 {
        return vec![Reason::NoCases];
    }
    let mut reasons = Vec::new();
    if must_pass_failed.count > 0 {
        reasons.push(Reason::MustPass { cases: must_pass_failed.count });
    }
    if count(candidate.errored) > policy.errored_max * count(candidate.calls) {
        reasons.push(Reason::Errored { calls: candidate.errored, of: candidate.calls });
    }
    if uncompared_failed.count > 0 {
        reasons.push(Reason::Uncompared { cases: uncompared_failed.count });
    }
    let broken = bounds.iter().filter(|bound| !bound.holds);
    reasons.extend(broken.map(|bound| Reason::Threshold { bound: bound.words() }));
    if flips.to_fail.count > 0 {
        reasons.push(Reason::Flips { cases: flips.to_fail.count });
    }
    if let Some(comparison) = comparison.filter(|comparison| comparison.finding == Finding::Worse) {
        reasons.push(Reason::Worse { difference: comparison.difference, cases: comparison.evidence.cases });
    }
    reasons
}

// === impl Reason ===

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let cases = |count: &u64| if *count == 1 { "1 case".to_owned() } else { format!("{count} cases") };
        match self {
            Self::NoCases => f.write_str("there are no cases to judge by"),
            Self::MustPass { cases: count } => write!(f, "{} that must pass did not", cases(count)),
            Self::Errored { calls, of } => write!(f, "{calls} of {of} calls could not be graded"),
            Self::Threshold { bound } => f.write_str(bound),
            Self::Flips { cases: count } => write!(f, "{} that stable passes failed, unexplained", cases(count)),
            Self::Uncompared { cases: count } => {
                write!(
                    f,
                    "{} failed that stable could not be graded on, and the suite has no `pass_rate`",
                    cases(count)
                )
            }
            Self::Simulated => f.write_str("answers come from a simulator, and the environment serves real providers"),
            Self::Worse { difference, cases: count } => {
                write!(f, "worse than stable by {:.1} points on {}", -difference * 100.0, cases(count))
            }
        }
    }
}
