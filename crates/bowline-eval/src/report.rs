//! One result, and what is made of it: a table for the terminal, JSON, JUnit, Markdown for a pull request, one HTML page, and the
//! predicate of an attestation.
//!
//! The [`Report`] is small, whatever the number of cases. The results of cases are an iterator beside it, read once and in order, so
//! that a hundred thousand of them need not be in memory; renderings for people show a bounded number, what changed and failed
//! first, and say what they leave out. Texts of models are quoted and escaped everywhere: they may be anything.

use std::io::{self, Write};
use std::str::FromStr;

use bowline_types::{Digest, EnvironmentName, PromptName, Timestamp, Usd};
use serde::{Deserialize, Serialize, Serializer};
use serde_json::{Map, Value};

use crate::gate::{GateReport, Verdict};
use crate::subject::{Grade, Subject};

mod html;
mod json;
mod junit;
mod markdown;
mod predicate;
mod select;
mod terminal;
mod text;

pub use predicate::PREDICATE_TYPE;

/// The result of a run of suites, without its cases.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// The version of this form: [`Report::SCHEMA_VERSION`].
    pub schema_version: u16,
    /// The version of Bowline that made it.
    pub bowline: String,
    /// The name of the project.
    pub project: String,
    /// The environment whose stable versions were compared with; `None` where nothing was.
    pub environment: Option<EnvironmentName>,
    /// Whether this was a run of the gate, which is held against the policy of an environment; since schema 2.
    pub gate: bool,
    /// The Git commit of the working tree; `None` outside of Git. In schema 1, `-dirty` stood behind it.
    pub commit: Option<String>,
    /// Whether files differed from the commit when the run began, or there was none; since schema 2.
    pub dirty: bool,
    /// When the run started.
    #[serde(serialize_with = "rfc3339")]
    pub started_at: Timestamp,
    /// When it ended.
    #[serde(serialize_with = "rfc3339")]
    pub finished_at: Timestamp,
    /// The versions that were tested.
    pub versions: Vec<VersionEntry>,
    /// The models that answered and judged.
    pub models: Vec<ModelEntry>,
    /// Whether an answer or a judgement comes from a simulator. Such evidence satisfies no environment that serves real providers.
    pub simulated: bool,
    /// Whether cases were left out, by a filter or by a budget. Such a run is good to look at, and no evidence for a release.
    pub partial: bool,
    /// Sums over all suites.
    pub totals: Totals,
    /// The suites, each once for every prompt and model that it tests.
    pub suites: Vec<SuiteReport>,
}

/// A version that was tested.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VersionEntry {
    /// The prompt.
    pub prompt: PromptName,
    /// The version in the working tree.
    pub candidate: Digest,
    /// The version now in the environment; `None` where there is none.
    pub stable: Option<Digest>,
}

/// A model that answered or judged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelEntry {
    /// The alias of the project, or the id that the suite writes.
    pub name: String,
    /// Its identity: the kind of the provider and the upstream model, such as `openai/gpt-5-mini`.
    pub identity: String,
    /// Whether it judged or embedded, in place of answering.
    pub judge: bool,
}

/// Sums over a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// Calls for cases, those answered from the cache included.
    pub calls: u64,
    /// Those answered from the cache.
    pub cached: u64,
    /// What the run cost, judges and stable included, the cache excluded; a model without a price adds nothing.
    pub cost_usd: Usd,
    /// Calls whose cost is not known.
    pub costs_unknown: u64,
    /// Tokens of requests.
    pub input_tokens: u64,
    /// Tokens of answers.
    pub output_tokens: u64,
}

/// One suite on one prompt and model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SuiteReport {
    /// The project-relative path of its file.
    pub name: String,
    /// What it says of itself.
    pub description: Option<String>,
    /// The prompt: its name, or the label of one that stands in the suite.
    pub prompt: String,
    /// The label of the model.
    pub model: String,
    /// Of the file and of everything it refers to.
    pub digest: Digest,
    /// The files of cases and variables.
    pub datasets: Vec<crate::suite::Dataset>,
    /// What the gate found.
    pub gate: GateReport,
}

/// The result of one call for a case, with stable's beside it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CaseResult {
    /// The suite, prompt and model, as in [`SuiteReport`].
    pub suite: String,
    /// See `suite`.
    pub prompt: String,
    /// See `suite`.
    pub model: String,
    /// The id of the case.
    pub case: String,
    /// What the suite calls it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Whether the gate fails when it does.
    pub must_pass: bool,
    /// Which repeat this is, from 0.
    pub repeat: u32,
    /// The variables.
    pub vars: Map<String, Value>,
    /// The candidate's answer and its grade.
    pub candidate: Side,
    /// Those of stable, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stable: Option<Side>,
}

/// An answer and its grade.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Side {
    /// The answer.
    pub subject: Subject,
    /// The grade of the case.
    pub grade: Grade,
    /// Whether the answer comes from the cache.
    pub cached: bool,
}

/// A form of reports, as `--report FORMAT=PATH` names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Everything, for machines.
    Json,
    /// For CI systems: a test per call, and one per suite for the gate.
    Junit,
    /// For the comment or the summary of a pull request, at most [`Format::MARKDOWN_CHARS_MAX`] characters.
    Markdown,
    /// One page without anything from elsewhere.
    Html,
    /// What `bowline bundle push --attest` signs: the [predicate](Report::predicate), with the digest of the JSON report.
    Attestation,
}

/// A word that names no format.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[error("there is no report format `{0}`; hint: json, junit, markdown, html or attestation")]
pub struct FormatError(String);

// === impl Report ===

impl Report {
    /// The version of the form.
    pub const SCHEMA_VERSION: u16 = 2;

    /// Returns the verdict over all suites; a run without any has failed.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        let none = || Verdict::Failed { reasons: vec![crate::gate::Reason::NoCases] };
        Verdict::together(self.suites.iter().map(|suite| &suite.gate.verdict)).cloned().unwrap_or_else(none)
    }

    /// Returns the table for the terminal, with the cases that changed or failed below it.
    pub fn terminal(&self, cases: impl IntoIterator<Item = CaseResult>) -> String {
        terminal::render(self, cases.into_iter())
    }

    /// Returns the commit as people read it, with `-dirty` behind it where files differed from it.
    fn revision(&self) -> Option<String> {
        let commit = self.commit.as_deref()?;
        Some(if self.dirty { format!("{commit}-dirty") } else { commit.to_owned() })
    }

    /// Returns the position of the suite that a case belongs to.
    fn suite_of(&self, case: &CaseResult) -> Option<usize> {
        self.suites
            .iter()
            .position(|suite| suite.name == case.suite && suite.prompt == case.prompt && suite.model == case.model)
    }
}

fn rfc3339<S: Serializer>(time: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("{time:.3}"))
}

// === impl SuiteReport ===

impl SuiteReport {
    /// Returns what the suite tests, for headings: `evals/support.yaml · support/answer · fast`.
    #[must_use]
    pub fn title(&self) -> String {
        [&self.name, &self.prompt, &self.model]
            .into_iter()
            .filter(|part| !part.is_empty())
            .cloned()
            .collect::<Vec<_>>()
            .join(" · ")
    }
}

// === impl CaseResult ===

impl CaseResult {
    /// Returns what people call the case: its description, else its id.
    #[must_use]
    pub fn title(&self) -> &str {
        self.description.as_deref().filter(|text| !text.trim().is_empty()).unwrap_or(&self.case)
    }

    /// Returns what a heading calls the case: its title and, where that is a mere id, its variables.
    fn heading(&self) -> String {
        let mut heading = self.title().to_owned();
        if heading == self.case {
            for (name, value) in &self.vars {
                heading.push_str(&format!(" · {name}: "));
                match value {
                    Value::String(text) => heading.push_str(text),
                    other => heading.push_str(&other.to_string()),
                }
            }
        }
        heading
    }
}

// === impl Format ===

impl Format {
    /// The most characters of a Markdown report: GitHub takes 65,536 in a comment.
    pub const MARKDOWN_CHARS_MAX: usize = 60_000;

    /// Every format.
    pub const ALL: [Self; 5] = [Self::Json, Self::Junit, Self::Markdown, Self::Html, Self::Attestation];

    /// Returns the word of the command line.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Junit => "junit",
            Self::Markdown => "markdown",
            Self::Html => "html",
            Self::Attestation => "attestation",
        }
    }

    /// Writes a report with its cases. They are read once; JSON, JUnit and the attestation hold one at a time.
    ///
    /// # Errors
    /// Returns the error of the writer.
    pub fn write(
        self,
        report: &Report,
        cases: impl IntoIterator<Item = CaseResult>,
        out: &mut dyn Write,
    ) -> io::Result<()> {
        let cases = cases.into_iter();
        match self {
            Self::Json => json::write(report, cases, out),
            Self::Junit => junit::write(report, cases, out),
            Self::Markdown => out.write_all(markdown::render(report, cases).as_bytes()),
            Self::Html => out.write_all(html::render(report, cases).as_bytes()),
            Self::Attestation => predicate::write(report, cases, out),
        }
    }
}

impl FromStr for Format {
    type Err = FormatError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|format| format.as_str() == text).ok_or_else(|| FormatError(text.to_owned()))
    }
}

#[cfg(test)]
mod tests;
