//! `bowline inference`.

pub(crate) mod list;
pub(crate) mod show;
pub(crate) mod tail;

use bowline_store::{InferenceFilter, InferenceRecord};
use bowline_types::CheckResult;

use crate::wording::moment;

/// The head of a table of inferences.
const HEAD: [&str; 10] =
    ["when (UTC)", "id", "env", "prompt or model", "version", "arm", "status", "success", "tokens", "cost and time"];

/// Returns an inference as cells under [`HEAD`].
fn cells(record: &InferenceRecord) -> [String; 10] {
    let dash = || "–".to_owned();
    let tokens = |count: Option<u64>| count.map_or_else(dash, |count| count.to_string());
    let cost = record.cost.map_or_else(dash, |cost| format!("${cost}"));
    [
        moment(record.started_at),
        record.id.to_string(),
        record.environment.to_string(),
        record.prompt.as_ref().map_or_else(|| record.model.to_string(), ToString::to_string),
        record.version.map_or_else(dash, |version| version.short()),
        record.arm.map_or_else(dash, |arm| arm.to_string()),
        record
            .error
            .map_or_else(|| record.status.to_string(), |error| format!("{} {}", record.status, error.spec().code)),
        success(record).to_owned(),
        format!("{}+{}", tokens(record.usage.input), tokens(record.usage.output)),
        format!("{cost} {} ms", record.duration_us / 1_000),
    ]
}

/// Returns whether an inference was a success, in a word.
fn success(record: &InferenceRecord) -> &'static str {
    if record.checks.is_empty() {
        return "–";
    }
    match record.success() {
        CheckResult::Pass => "pass",
        CheckResult::Fail => "fail",
        CheckResult::Unknown => "unknown",
    }
}

/// Returns a filter as the query of the control API.
fn query(filter: &InferenceFilter) -> String {
    let named = [
        ("environment", filter.environment.as_ref().map(ToString::to_string)),
        ("prompt", filter.prompt.as_ref().map(ToString::to_string)),
        ("after", filter.after.map(|id| id.to_string())),
    ];
    // Names and ids consist of letters, digits and `-_./`, all of which may stand in a query as they are.
    let named = named.into_iter().filter_map(|(name, value)| Some(format!("&{name}={}", value?)));
    format!("/inferences?limit={}{}", filter.limit, named.collect::<String>())
}
