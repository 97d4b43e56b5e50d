//! The report of a run of suites, as its attestation carries it.

use std::collections::BTreeMap;

use bowline_types::{Digest, EnvironmentName, Timestamp};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

/// What kind of statement a report is.
pub const PREDICATE: &str = "https://bowline.dev/eval-report/v1";

/// The schemas of reports that are read. What a report of schema 1 does not say is not held to be so.
const SCHEMAS: std::ops::RangeInclusive<u32> = 1..=2;

/// What a policy asks of a report. What else is in it is for people, and kept as it is in the attestation.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Report {
    /// The schema of the report.
    pub schema_version: u32,
    /// When the run ended: RFC 3339.
    #[serde(deserialize_with = "time")]
    pub finished_at: Timestamp,
    /// The environment that the candidate was compared with.
    #[serde(default)]
    pub environment: Option<EnvironmentName>,
    /// Whether it was a run of the gate; not known in schema 1.
    #[serde(default)]
    pub gate: Option<bool>,
    /// The versions that were live there, by prompt; a prompt that is not among them was compared with nothing.
    #[serde(default)]
    pub compared_with: BTreeMap<String, Digest>,
    /// Whether the tree differed from its commit; not known in schema 1.
    #[serde(default)]
    pub dirty: Option<bool>,
    /// The commit.
    #[serde(default)]
    pub commit: Option<String>,
    /// The bundle, where the run was one of a bundle.
    #[serde(default)]
    pub bundle: Option<Digest>,
    /// The versions that were tested: a map of names to digests, or a list of `{name, digest}`.
    #[serde(default, deserialize_with = "versions")]
    pub versions: BTreeMap<String, Digest>,
    /// The suites.
    pub suites: Vec<ReportSuite>,
    /// Whether any answer came from the simulator.
    pub simulated: bool,
    /// The verdict over all suites.
    pub verdict: Verdict,
}

/// A suite of a report.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct ReportSuite {
    /// Its name, or its path.
    pub name: String,
    /// The digest of its text.
    pub digest: Digest,
    /// Its verdict.
    pub verdict: Verdict,
    /// How many cases it has.
    pub cases: u64,
    /// How many of them passed.
    pub passed: u64,
}

/// How a gate ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It holds.
    #[serde(alias = "passed")]
    Pass,
    /// It does not.
    #[serde(alias = "fail")]
    Failed,
    /// There is not enough to say.
    Inconclusive,
}

/// Why a document is no report.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// A field is missing or is something else.
    #[error("not the report of a run of suites")]
    Read(#[from] serde_json::Error),
    /// A report of another schema.
    #[error("a report of schema {0} cannot be read here\nhint: upgrade Bowline")]
    Schema(u32),
}

// === impl Report ===

impl Report {
    /// Reads a report.
    ///
    /// # Errors
    /// Says what is missing.
    pub fn read(predicate: &Value) -> Result<Self, ReportError> {
        let report = Self::deserialize(predicate)?;
        if SCHEMAS.contains(&report.schema_version) {
            Ok(report)
        } else {
            Err(ReportError::Schema(report.schema_version))
        }
    }
}

// === impl ReportSuite ===

impl ReportSuite {
    /// Returns whether the suite is the one that a policy calls `name`.
    #[must_use]
    pub fn is(&self, name: &str) -> bool {
        is_called(&self.name, name)
    }
}

/// Returns whether a suite goes by `name`: it is its name, its path, or its path without folder and end.
pub(super) fn is_called(suite: &str, name: &str) -> bool {
    let stem = suite.rsplit('/').next().unwrap_or(suite);
    let stem = stem.strip_suffix(".yaml").or_else(|| stem.strip_suffix(".yml")).unwrap_or(stem);
    suite == name || stem == name
}

fn time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Timestamp, D::Error> {
    let text = String::deserialize(deserializer)?;
    let time: jiff::Timestamp =
        text.parse().map_err(|_| serde::de::Error::custom(format_args!("`{text}` is not a time of RFC 3339")))?;
    Ok(Timestamp::from_micros(time.as_microsecond()))
}

fn versions<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<String, Digest>, D::Error> {
    #[derive(Deserialize)]
    struct Entry {
        #[serde(alias = "prompt")]
        name: String,
        #[serde(alias = "version")]
        digest: Digest,
    }
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Either {
        Map(BTreeMap<String, Digest>),
        List(Vec<Entry>),
    }
    Ok(match Either::deserialize(deserializer)? {
        Either::Map(map) => map,
        Either::List(entries) => entries.into_iter().map(|entry| (entry.name, entry.digest)).collect(),
    })
}
