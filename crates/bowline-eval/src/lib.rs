//! Suites in promptfoo's format, their assertions, the gate, and the reports of a run.
//!
//! A [`Suite`] is read from files by a [`bowline_prompt::Source`] and expanded into [`Case`]s. Somebody else makes the calls: what
//! came back is a [`Subject`], which every assertion grades to a [`Grade`]. A judge is no special case: an assertion that needs
//! one says what to [`Ask`], and grades with the [`Answer`]. The gate compares graded results of two versions.
//!
//! Nothing here does IO.

mod assertion;
mod case_id;
pub mod conformance;
mod gate;
mod grade;
mod report;
mod subject;
mod suite;
pub mod template;
mod vars;

pub use assertion::{Assertion, AssertionNode, AssertionSet, Kind};
pub use case_id::CaseId;
pub use gate::{
    Bound, CaseList, CaseTally, Comparison, Explained, Finding, Flips, GateReport, OnInconclusive, Policy, Quantity,
    Reason, Standing, Tally, Verdict, exit_code, flip_reason, gate,
};
pub use grade::{Context, Prepared, Render, assertions, check, grade_case, has_template};
pub use report::{
    CaseResult, Format, FormatError, ModelEntry, PREDICATE_TYPE, Report, Side, SuiteReport, Totals, VersionEntry,
};
pub use subject::{Answer, Ask, AskMessage, Grade, MetricScore, Part, Score, Subject, ToolCall};
pub use suite::{Case, Dataset, Model, Only, Prompt, Rules, RunOptions, Suite, Thresholds};
pub use vars::Vars;
