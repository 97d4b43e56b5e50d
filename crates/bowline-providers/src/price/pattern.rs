use std::borrow::Cow;

use serde::{Deserialize, Deserializer, Serialize};

/// A form of model names: `*` stands for any text and `#` for one digit; case makes no difference.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub(super) struct Pattern(String);

// === impl Pattern ===

impl Pattern {
    pub(super) fn new(pattern: &str) -> Self {
        Self(pattern.to_ascii_lowercase())
    }

    /// Returns whether all of `text` has this form.
    pub(super) fn matches(&self, text: &str) -> bool {
        let (pattern, text) = (self.0.as_bytes(), text.as_bytes());
        let (mut at, mut next) = (0, 0);
        // The last star, and where the text that it stands for ends so far: a mismatch lets it take one more byte.
        let mut star: Option<(usize, usize)> = None;
        while at < text.len() {
            match pattern.get(next) {
                Some(b'*') => {
                    star = Some((next, at));
                    next += 1;
                }
                Some(expected) if fits(*expected, text[at]) => {
                    at += 1;
                    next += 1;
                }
                _ => {
                    let Some((position, taken)) = star else { return false };
                    star = Some((position, taken + 1));
                    at = taken + 1;
                    next = position + 1;
                }
            }
        }
        pattern.iter().skip(next).all(|rest| *rest == b'*')
    }
}

fn fits(expected: u8, byte: u8) -> bool {
    if expected == b'#' { byte.is_ascii_digit() } else { expected == byte.to_ascii_lowercase() }
}

impl<'de> Deserialize<'de> for Pattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Cow::<'de, str>::deserialize(deserializer).map(|pattern| Self::new(&pattern))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_whole_names() {
        let check = |pattern: &str, text: &str, expected: bool| {
            assert_eq!(Pattern::new(pattern).matches(text), expected, "{pattern} against {text}");
        };
        check("gpt-4o", "gpt-4o", true);
        check("gpt-4o", "GPT-4o", true);
        check("gpt-4o", "gpt-4o-mini", false);
        check("GLM-4.5", "glm-4.5", true);
        check("claude-3*", "claude-3", true);
        check("claude-3*", "claude-3-opus", true);
        check("*claude-v2*", "anthropic.claude-v2:1", true);
        check("*flash", "gemini-2.0-flash", true);
        check("*flash", "gemini-2.0-flash-001", false);
        check("*ab*ab", "abab-ab", true);
        check("grok-4.3-########", "grok-4.3-20260101", true);
        check("grok-4.3-########", "grok-4.3-2026010a", false);
        check("grok-4.3-########", "grok-4x3-20260101", false);
        check("*", "", true);
        check("", "x", false);
    }
}
