//! What an attestation says of a run: the report without answers, variables and reasons.

use bowline_types::Digest;
use serde_json::{Map, Value, json};

use super::{Report, SuiteReport};
use crate::gate::Verdict;

/// The type of the predicate in an in-toto statement.
pub const PREDICATE_TYPE: &str = "https://bowline.dev/eval-report/v1";

// === impl Report ===

impl Report {
    /// Returns the predicate of an in-toto statement about this run, of type [`PREDICATE_TYPE`]. `report` is the digest of the JSON
    /// report, with which the whole can be found and checked.
    ///
    /// A suite stands in it once; it has passed where it has on every prompt and model.
    #[must_use]
    pub fn predicate(&self, report: &Digest) -> Value {
        let mut names: Vec<&str> = self.suites.iter().map(|suite| suite.name.as_str()).collect();
        names.dedup();
        let mut seen = std::collections::BTreeSet::new();
        names.retain(|name| seen.insert(*name));
        let suites: Vec<Value> = names.into_iter().map(|name| self.suite(name)).collect();
        let versions: Map<String, Value> = self
            .versions
            .iter()
            .map(|version| {
                (version.prompt.to_string(), json!({"candidate": version.candidate, "stable": version.stable}))
            })
            .collect();
        json!({
            "schema_version": self.schema_version,
            "bowline": self.bowline,
            "project": self.project,
            "environment": self.environment,
            "commit": self.commit,
            "started_at": format!("{:.3}", self.started_at),
            "finished_at": format!("{:.3}", self.finished_at),
            "simulated": self.simulated,
            "verdict": self.verdict().as_str(),
            "versions": versions,
            "models": self.models,
            "suites": suites,
            "totals": self.totals,
            "report": report,
        })
    }

    fn suite(&self, name: &str) -> Value {
        let runs: Vec<&SuiteReport> = self.suites.iter().filter(|suite| suite.name == name).collect();
        let verdict = Verdict::together(runs.iter().map(|suite| &suite.gate.verdict)).map_or("failed", Verdict::as_str);
        let sum = |count: fn(&SuiteReport) -> u64| runs.iter().map(|suite| count(suite)).sum::<u64>();
        let first = runs.first();
        json!({
            "name": name,
            "digest": first.map(|suite| suite.digest),
            "datasets": first.map(|suite| &suite.datasets),
            "verdict": verdict,
            "cases": sum(|suite| suite.gate.candidate.cases),
            "passed": sum(|suite| suite.gate.candidate.passed),
            "errored": sum(|suite| suite.gate.candidate.errored),
            "flips": sum(|suite| suite.gate.flips.to_fail.count),
        })
    }
}
