use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde_json::Value;

/// A labelled input: what the load generator sends, and what the right answer holds.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Case {
    /// Names the case within its file.
    pub id: String,
    /// The input.
    pub text: String,
    /// The right values of the answer's fields, by field: every further field of the line.
    #[serde(flatten)]
    pub labels: BTreeMap<String, String>,
}

/// Why a file of cases cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CaseError {
    /// A line is not a JSON object with `id`, `text` and labels.
    #[error("line {line} is not a labelled case")]
    Read {
        /// The line, from 1.
        line: usize,
        /// What is wrong with it.
        #[source]
        source: serde_json::Error,
    },
    /// Two cases have one id.
    #[error("line {line}: the id `{id}` is taken")]
    Duplicate {
        /// The line, from 1.
        line: usize,
        /// The id.
        id: String,
    },
    /// There is no case.
    #[error("there is no case in the file")]
    Empty,
}

// === impl Case ===

impl Case {
    /// Reads a file of cases: one JSON object per line, blank lines skipped.
    ///
    /// # Errors
    /// Names the first line that is no case, or repeats an id.
    pub fn read_all(jsonl: &str) -> Result<Vec<Self>, CaseError> {
        let mut ids = BTreeSet::new();
        let mut cases = Vec::new();
        for (index, text) in jsonl.lines().enumerate().filter(|(_, text)| !text.trim().is_empty()) {
            let line = index + 1;
            let case: Self = serde_json::from_str(text).map_err(|source| CaseError::Read { line, source })?;
            if !ids.insert(case.id.clone()) {
                return Err(CaseError::Duplicate { line, id: case.id });
            }
            cases.push(case);
        }
        if cases.is_empty() { Err(CaseError::Empty) } else { Ok(cases) }
    }

    /// Returns whether an answer is a JSON object that has the right value in `field`.
    #[must_use]
    pub fn is_right(&self, field: &str, answer: &str) -> bool {
        let answer: Option<Value> = serde_json::from_str(answer).ok();
        let given = answer.as_ref().and_then(|answer| answer.get(field)).and_then(Value::as_str);
        given.is_some() && given == self.labels.get(field).map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cases_are_read_by_line() {
        let cases = Case::read_all("{\"id\":\"a\",\"text\":\"hi\",\"kind\":\"x\"}\n\n").unwrap();
        assert_eq!(cases[0].labels["kind"], "x");
        assert!(cases[0].is_right("kind", r#"{"kind":"x"}"#));
        for wrong in [r#"{"kind":"y"}"#, r#"{"other":"x"}"#, "x", r#"["x"]"#] {
            assert!(!cases[0].is_right("kind", wrong), "{wrong}");
        }
        assert!(!cases[0].is_right("other", r#"{"other":null}"#));
        assert!(matches!(Case::read_all("{}"), Err(CaseError::Read { line: 1, .. })));
        let twice = "{\"id\":\"a\",\"text\":\"\"}\n".repeat(2);
        assert!(matches!(Case::read_all(&twice), Err(CaseError::Duplicate { line: 2, .. })));
        assert!(matches!(Case::read_all("\n"), Err(CaseError::Empty)));
    }
}
