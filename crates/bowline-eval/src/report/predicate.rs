//! What an attestation says of a run: the report without answers, variables and reasons.

use std::collections::BTreeSet;
use std::io::{self, Write};

use bowline_types::Digest;
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use super::{CaseResult, Report, SuiteReport, json};
use crate::gate::{OnInconclusive, Verdict};

/// The type of the predicate in an in-toto statement.
pub const PREDICATE_TYPE: &str = "https://bowline.dev/eval-report/v1";

/// How a suite ended for whoever asks whether it passed, best first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Outcome {
    Pass,
    Inconclusive,
    Failed,
}

/// Writes the predicate with the digest of the JSON report of the same cases.
pub(super) fn write(report: &Report, cases: impl Iterator<Item = CaseResult>, out: &mut dyn Write) -> io::Result<()> {
    let mut hasher = Hasher(Sha256::new());
    json::write(report, cases, &mut hasher)?;
    let digest = Digest::from_bytes(hasher.0.finalize().into());
    serde_json::to_writer_pretty(&mut *out, &report.predicate(&digest))?;
    out.write_all(b"\n")
}

/// Hashes what is written.
struct Hasher(Sha256);

impl Write for Hasher {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

// === impl Report ===

impl Report {
    /// Returns the predicate of an in-toto statement about this run, of type [`PREDICATE_TYPE`]. `report` is the digest of the JSON
    /// report, with which the whole can be found and checked.
    ///
    /// A suite stands in it once; it has passed where it has on every prompt and model. Its verdict is the one of the exit code: an
    /// inconclusive one counts as `pass` where the policy only warns of it, and `decided` says whether the statistics did. A partial
    /// run passes nothing.
    #[must_use]
    pub fn predicate(&self, report: &Digest) -> Value {
        let mut seen = BTreeSet::new();
        let names = self.suites.iter().map(|suite| suite.name.as_str()).filter(|name| seen.insert(*name));
        let suites: Vec<Value> = names.map(|name| self.suite(name)).collect();
        let versions: Map<String, Value> =
            self.versions.iter().map(|version| (version.prompt.to_string(), json!(version.candidate))).collect();
        let compared: Map<String, Value> = self
            .versions
            .iter()
            .filter_map(|version| Some((version.prompt.to_string(), json!(version.stable?))))
            .collect();
        json!({
            "schema_version": self.schema_version,
            "bowline": self.bowline,
            "project": self.project,
            "environment": self.environment,
            "gate": self.gate,
            "commit": self.commit,
            "dirty": self.dirty,
            "started_at": format!("{:.3}", self.started_at),
            "finished_at": format!("{:.3}", self.finished_at),
            "simulated": self.simulated,
            "partial": self.partial,
            "verdict": self.outcome(&self.suites.iter().collect::<Vec<_>>()).as_str(),
            "versions": versions,
            "compared_with": compared,
            "models": self.models,
            "suites": suites,
            "totals": self.totals,
            "report": report,
        })
    }

    fn suite(&self, name: &str) -> Value {
        let runs: Vec<&SuiteReport> = self.suites.iter().filter(|suite| suite.name == name).collect();
        let sum = |count: fn(&SuiteReport) -> u64| runs.iter().map(|suite| count(suite)).sum::<u64>();
        let decided = runs.iter().all(|suite| !matches!(suite.gate.verdict, Verdict::Inconclusive { .. }));
        let first = runs.first();
        json!({
            "name": name,
            "digest": first.map(|suite| suite.digest),
            "datasets": first.map(|suite| &suite.datasets),
            "verdict": self.outcome(&runs).as_str(),
            "decided": decided,
            "policy": first.map(|suite| suite.gate.policy),
            "cases": sum(|suite| suite.gate.candidate.cases),
            "passed": sum(|suite| suite.gate.candidate.passed),
            "errored": sum(|suite| suite.gate.candidate.errored),
            "flips": sum(|suite| suite.gate.flips.to_fail.count),
        })
    }

    /// Returns how several runs of suites ended together; none at all is a failure.
    fn outcome(&self, runs: &[&SuiteReport]) -> Outcome {
        let each = runs.iter().map(|suite| match suite.gate.verdict {
            Verdict::Failed { .. } => Outcome::Failed,
            Verdict::Inconclusive { .. } if suite.gate.policy.on_inconclusive == OnInconclusive::Fail => {
                Outcome::Inconclusive
            }
            _ if self.partial => Outcome::Inconclusive,
            Verdict::Pass | Verdict::Inconclusive { .. } => Outcome::Pass,
        });
        each.max().unwrap_or(Outcome::Failed)
    }
}

// === impl Outcome ===

impl Outcome {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Inconclusive => "inconclusive",
            Self::Failed => "failed",
        }
    }
}
