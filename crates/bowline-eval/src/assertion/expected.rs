//! What a column `__expected` of a CSV dataset says: `contains: text`, `similar(0.8): text`, `is-json`, or a text to equal.
//!
//! Source: promptfoo's `assertionFromString` (0.121.20, read 2026-11-25).

use std::sync::Arc;

use serde_json::Value;

use super::known::{Known, Refusal, known};
use super::{Assertion, Kind};
use crate::suite::files::{SCHEME, is_code};

/// What `similar` asks for where the cell says nothing.
const SIMILAR_THRESHOLD: f64 = 0.8;
/// What the other assertions with a threshold ask for where the cell says nothing.
const THRESHOLD: f64 = 0.75;

/// Why a cell is no assertion.
#[derive(Debug, PartialEq)]
pub(crate) enum CellError {
    /// It names an assertion that is not there.
    Refused(Refusal, String),
    /// Its list does not end.
    Unquoted,
}

/// What a cell asserts.
#[derive(Debug, PartialEq)]
pub(crate) struct Expected {
    pub(crate) kind: Kind,
    pub(crate) negated: bool,
    pub(crate) value: Value,
    pub(crate) threshold: Option<f64>,
}

/// Reads a cell that is not empty.
pub(crate) fn read_expected(cell: &str) -> Result<Expected, CellError> {
    let cell = cell.trim();
    let refuse = |refusal, name: &str| Err(CellError::Refused(refusal, name.to_owned()));
    for (prefix, name) in
        [("javascript:", "javascript"), ("fn:", "javascript"), ("eval:", "javascript"), ("python:", "python")]
    {
        if cell.starts_with(prefix) {
            return refuse(Refusal::Code, name);
        }
    }
    if cell.starts_with(SCHEME) && is_code(cell) {
        return refuse(Refusal::Code, cell);
    }
    if let Some(rubric) = cell.strip_prefix("grade:").or_else(|| cell.strip_prefix("llm-rubric:")) {
        return Ok(Expected { kind: Kind::LlmRubric, negated: false, value: rubric.into(), threshold: None });
    }
    let equals = || Expected { kind: Kind::Equals, negated: false, value: cell.into(), threshold: None };
    let Some((name, threshold, value)) = split(cell) else { return Ok(equals()) };
    match known(name) {
        Known::Kind(kind, negated) => expected(kind, negated, threshold, value),
        Known::Refused(Refusal::Unknown) => Ok(equals()),
        Known::Refused(refusal) => refuse(refusal, name),
    }
}

fn expected(kind: Kind, negated: bool, threshold: Option<f64>, value: Option<&str>) -> Result<Expected, CellError> {
    let trimmed = || value.map_or(Value::Null, |value| value.trim().into());
    let (value, threshold) = match kind {
        Kind::ContainsAll | Kind::ContainsAny | Kind::IContainsAll | Kind::IContainsAny => {
            (Value::Array(list(value.unwrap_or_default())?), None)
        }
        Kind::IsJson | Kind::ContainsJson => (value.map_or(Value::Null, Value::from), None),
        Kind::Similar => (trimmed(), Some(threshold.unwrap_or(SIMILAR_THRESHOLD))),
        Kind::Cost
        | Kind::Latency
        | Kind::Levenshtein
        | Kind::Perplexity
        | Kind::PerplexityScore
        | Kind::RougeN
        | Kind::StartsWith => (trimmed(), Some(threshold.unwrap_or(THRESHOLD))),
        _ => (trimmed(), None),
    };
    Ok(Expected { kind, negated, value, threshold })
}

/// Splits `name(threshold): value`; the last two may be missing.
fn split(cell: &str) -> Option<(&str, Option<f64>, Option<&str>)> {
    let ends = |c: char| !(c.is_ascii_alphanumeric() || c == '-');
    let end = cell.find(ends).unwrap_or(cell.len());
    // Some names have a colon of their own.
    let end = ["similar:cosine", "similar:dot", "similar:euclidean", "not-similar:cosine"]
        .into_iter()
        .find(|name| cell.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with([':', '('])))
        .map_or(end, str::len);
    let (name, rest) = cell.split_at_checked(end)?;
    let (threshold, rest) = match rest.strip_prefix('(').and_then(|rest| rest.split_once(')')) {
        Some((number, rest)) if !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit() || b == b'.') => {
            (Some(number.parse().ok()?), rest)
        }
        Some(_) => return None,
        None => (None, rest),
    };
    match rest.strip_prefix(':') {
        Some(value) => Some((name, threshold, Some(value))),
        None => rest.is_empty().then_some((name, threshold, None)),
    }
}

/// Splits a list at its commas; items in double quotes may hold commas, and `""` or `\"` for a quote.
fn list(text: &str) -> Result<Vec<Value>, CellError> {
    let mut items = Vec::new();
    let mut rest = text.chars().peekable();
    loop {
        while rest.next_if(|c| *c == ',' || c.is_whitespace()).is_some() {}
        let Some(first) = rest.peek() else { return Ok(items) };
        let mut item = String::new();
        if *first == '"' {
            rest.next();
            loop {
                match rest.next().ok_or(CellError::Unquoted)? {
                    '"' if rest.next_if_eq(&'"').is_some() => item.push('"'),
                    '"' => break,
                    '\\' => item.push(rest.next_if(|c| matches!(c, '"' | '\\')).unwrap_or('\\')),
                    c => item.push(c),
                }
            }
            while rest.next_if(|c| c.is_whitespace()).is_some() {}
            if rest.peek().is_some_and(|c| *c != ',') {
                return Err(CellError::Unquoted);
            }
        } else {
            while let Some(c) = rest.next_if(|c| *c != ',') {
                item.push(c);
            }
            item.truncate(item.trim_end().len());
        }
        items.push(Value::String(item));
    }
}

// === impl Expected ===

impl Expected {
    /// Returns the assertion that this stands for; it weighs as much as another.
    pub(crate) fn into_assertion(self, file: Arc<str>, metric: Option<Arc<str>>) -> Assertion {
        Assertion {
            kind: self.kind,
            negated: self.negated,
            value: self.value,
            threshold: self.threshold,
            weight: 1.0,
            metric,
            provider: None,
            rubric_prompt: None,
            config: Arc::default(),
            file,
            span: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check(cell: &str, kind: Kind, negated: bool, value: Value, threshold: Option<f64>) {
        assert_eq!(read_expected(cell), Ok(Expected { kind, negated, value, threshold }), "{cell}");
    }

    #[test]
    fn cells_say_what_is_expected() {
        check("Paris", Kind::Equals, false, json!("Paris"), None);
        check(" note: nothing of ours ", Kind::Equals, false, json!("note: nothing of ours"), None);
        check("contains: a, b", Kind::Contains, false, json!("a, b"), None);
        check("not-icontains:A", Kind::IContains, true, json!("A"), None);
        check("contains-any: a, \"b, c\" ,d\\", Kind::ContainsAny, false, json!(["a", "b, c", "d\\"]), None);
        check("icontains-all:\"say \"\"x\"\"\"", Kind::IContainsAll, false, json!(["say \"x\""]), None);
        check("similar(0.9): hello", Kind::Similar, false, json!("hello"), Some(0.9));
        check("similar:hello", Kind::Similar, false, json!("hello"), Some(0.8));
        check("similar:cosine(0.5):hello", Kind::Similar, false, json!("hello"), Some(0.5));
        check("levenshtein(3):abc", Kind::Levenshtein, false, json!("abc"), Some(3.0));
        check("latency(1000)", Kind::Latency, false, json!(null), Some(1000.0));
        check("is-json", Kind::IsJson, false, json!(null), None);
        check("llm-rubric: is polite", Kind::LlmRubric, false, json!(" is polite"), None);
        check("grade:is polite", Kind::LlmRubric, false, json!("is polite"), None);
        check("contains(x): y", Kind::Equals, false, json!("contains(x): y"), None);
    }

    #[test]
    fn cells_with_what_is_not_there_are_refused() {
        let refused = |cell: &str| read_expected(cell).unwrap_err();
        let error = |refusal, name: &str| CellError::Refused(refusal, name.to_owned());
        assert_eq!(refused("javascript: output.length > 5"), error(Refusal::Code, "javascript"));
        assert_eq!(refused("fn: true"), error(Refusal::Code, "javascript"));
        assert_eq!(refused("file://check.py:grade"), error(Refusal::Code, "file://check.py:grade"));
        assert_eq!(refused("g-eval: coherent"), error(Refusal::Later, "g-eval"));
        assert_eq!(refused("webhook:https://example.com"), error(Refusal::Address, "webhook"));
        assert_eq!(refused("contains-any: \"a"), CellError::Unquoted);
    }
}
