//! Suites in promptfoo's format, their assertions, the gate, and the reports of a run.
//!
//! A [`Suite`] is read from files by a [`bowline_prompt::Source`] and expanded into [`Case`]s. Somebody else makes the calls: what
//! came back is a [`Subject`], which every assertion grades to a [`Grade`]. A judge is no special case: an assertion that needs
//! one says what to [`Ask`], and grades with the [`Answer`]. The gate compares graded results of two versions.
//!
//! Nothing here does IO.

mod assertion;
pub mod conformance;
mod subject;
mod suite;
pub mod template;
mod vars;

pub use assertion::{Assertion, AssertionNode, AssertionSet, Kind};
pub use subject::{Answer, Ask, AskMessage, Grade, Score, Subject, ToolCall};
pub use suite::{Case, Dataset, Model, Only, Prompt, RunOptions, Suite, Thresholds};
pub use vars::Vars;
