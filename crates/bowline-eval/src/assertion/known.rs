//! The assertions of promptfoo: which are there, and why the others are not.

use bowline_prompt::Diagnostic;
use bowline_types::closest;

use super::Kind;
use crate::suite::files::At;
use crate::suite::refuse::{unsupported, user_code};

/// What a name of an assertion stands for.
pub(crate) enum Known {
    /// An assertion, and whether it is negated.
    Kind(Kind, bool),
    /// No assertion that is there.
    Refused(Refusal),
}

/// Why an assertion is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// It runs code of the user.
    Code,
    /// It calls an address of the user.
    Address,
    /// It may come later.
    Later,
    /// promptfoo has none of this name either.
    Unknown,
}

/// Other names of what is there.
const ALIASES: [(&str, Kind); 2] = [("similar:cosine", Kind::Similar), ("model-graded-factuality", Kind::Factuality)];

/// Assertions of promptfoo that run code of the user.
const CODE: [&str; 3] = ["javascript", "python", "ruby"];

/// Assertions of promptfoo that are not there yet (0.121.20, read 2026-11-25).
const LATER: [&str; 36] = [
    "agent-rubric",
    "answer-relevance",
    "classifier",
    "contains-html",
    "context-faithfulness",
    "context-recall",
    "context-relevance",
    "conversation-relevance",
    "g-eval",
    "gleu",
    "guardrails",
    "human",
    "is-html",
    "is-valid-function-call",
    "is-valid-openai-function-call",
    "max-score",
    "meteor",
    "model-graded-closedqa",
    "moderation",
    "pi",
    "search-rubric",
    "select-best",
    "similar:dot",
    "similar:euclidean",
    "skill-used",
    "tool-call-f1",
    "trace-error-spans",
    "trace-span-count",
    "trace-span-duration",
    "trajectory:goal-success",
    "trajectory:step-count",
    "trajectory:tool-args-match",
    "trajectory:tool-sequence",
    "trajectory:tool-used",
    "promptfoo:redteam",
    "redteam",
];

/// Looks an assertion up by the name that stands in the file.
pub(crate) fn known(name: &str) -> Known {
    let (base, negated) = name.strip_prefix("not-").map_or((name, false), |base| (base, true));
    let kind = Kind::ALL.iter().copied().find(|kind| kind.as_str() == base);
    let kind = kind.or_else(|| ALIASES.iter().find(|(alias, _)| *alias == base).map(|(_, kind)| *kind));
    if let Some(kind) = kind {
        return Known::Kind(kind, negated);
    }
    Known::Refused(if CODE.contains(&base) {
        Refusal::Code
    } else if base == "webhook" {
        Refusal::Address
    } else if LATER.contains(&base) || base.starts_with("promptfoo:redteam:") {
        Refusal::Later
    } else {
        Refusal::Unknown
    })
}

// === impl Refusal ===

impl Refusal {
    pub(crate) fn diagnostic(self, at: At<'_>, name: &str) -> Diagnostic {
        let what = format!("the assertion `{name}`");
        match self {
            Self::Code => user_code(at, what),
            Self::Later => unsupported(at, what),
            Self::Address => unsupported(at, what).hint("suites name models and prompts, never URLs"),
            Self::Unknown => {
                let base = name.strip_prefix("not-").unwrap_or(name);
                let error = at.error("unknown-assertion", format!("unknown assertion `{name}`")).label("not known");
                match closest(base, Kind::ALL.iter().map(|kind| kind.as_str())) {
                    Some(near) => error.hint(format!("did you mean `{near}`?")),
                    None => error.hint("docs/suites.md lists the assertions"),
                }
            }
        }
    }
}
