//! Whether a bundle may be released to an environment: what its signatures and reports say, held against the policy of the environment.

mod evaluate;
mod report;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::time::Duration;

use bowline_prompt::Project;
use bowline_types::{Digest, EnvironmentName, Timestamp};
use serde::Serialize;

pub use report::{PREDICATE, Report, ReportError, ReportSuite, Verdict as ReportVerdict};

/// What an environment asks of a bundle.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// Keys that must have signed it, every one of them, by the names that people know them by. None: no signature is asked for.
    pub signers: Vec<String>,
    /// Suites that must have passed, by name. None: no report is asked for.
    pub suites: Vec<String>,
    /// How old the report may be. None: of any age.
    pub report_age_max: Option<Duration>,
    /// The environments whose gate counts, the one that is released to first. None: any.
    pub gates: Vec<EnvironmentName>,
    /// Whether a report counts only where the tree was as its commit: where the environment is protected.
    pub clean: bool,
    /// Whether a report of simulated providers counts: where the environment itself serves simulated ones.
    pub simulated: bool,
}

/// What there is of a bundle. Only what was verified goes in here.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Evidence {
    /// The keys of the policy that signed the bundle, by their place in [`Policy::signers`].
    pub signers: Vec<usize>,
    /// How many signatures and reports are of other keys, or damaged: they count for nothing, and that is told.
    pub strangers: usize,
    /// The reports that a key of the policy signed.
    pub reports: Vec<Report>,
    /// The versions of the bundle.
    pub versions: Vec<Held>,
    /// The suites of the bundle by path, with the digests that reports name them by. One that refers to files which no bundle has is not there.
    pub suites: BTreeMap<String, Digest>,
}

/// A version of the bundle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// The prompt.
    pub name: String,
    /// Its version.
    pub digest: Digest,
    /// The path of the suite that the prompt names.
    pub suite: Option<String>,
}

/// One line of a policy, and whether it holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Line {
    /// What is asked.
    pub what: String,
    /// Whether it holds.
    pub held: bool,
    /// What was found.
    pub why: String,
    /// Where it does not hold: what to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

// === impl Policy ===

impl Policy {
    /// Returns what the project file `here` asks of a bundle whose own project file is `theirs`.
    ///
    /// Who is judged does not bring the law, so the lines are those of `here`; but an environment is real where either of the two files says so: a
    /// bundle does not make a real environment a simulated one, and be judged as such.
    #[must_use]
    pub fn declared(here: &Project, theirs: &Project, environment: &EnvironmentName) -> Self {
        let found = here.environments.get(environment);
        let declared = found.map(|environment| environment.policy.clone()).unwrap_or_default();
        Self {
            signers: declared.signers.iter().map(ToString::to_string).collect(),
            suites: declared.suites,
            report_age_max: Some(declared.report_max_age),
            gates: std::iter::once(environment.clone()).chain(declared.report_env).collect(),
            clean: found.is_some_and(|environment| environment.protected),
            simulated: !(here.is_real(environment) || theirs.is_real(environment)),
        }
    }

    /// Holds the evidence against every line of the policy; a policy without lines asks nothing.
    #[must_use]
    pub fn evaluate(&self, evidence: &Evidence, now: Timestamp) -> Vec<Line> {
        evaluate::lines(self, evidence, now)
    }
}
