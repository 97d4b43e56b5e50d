//! Assertions on the text as it is.

use serde_json::Value;

use super::pattern::Pattern;
use super::{javascript, not, verdict};
use crate::assertion::Kind;
use crate::subject::{Grade, Subject, shorten};

/// The most bytes of an answer that a reason quotes.
const QUOTE_BYTES_MAX: usize = 400;

fn quote(text: &str) -> String {
    format!("{:?}", shorten(text.to_owned(), QUOTE_BYTES_MAX))
}

fn text_of(value: &Value, kind: Kind) -> Result<&str, String> {
    value.as_str().ok_or_else(|| format!("`{}` needs a text as its value", kind.as_str()))
}

/// `equals`.
pub(super) enum Equals {
    Text(String),
    Json(Value),
}

// === impl Equals ===

impl Equals {
    pub(super) fn new(value: &Value) -> Result<Self, String> {
        match value {
            Value::Null => Err("`equals` needs a value".to_owned()),
            Value::Array(_) | Value::Object(_) => Ok(Self::Json(value.clone())),
            Value::String(_) | Value::Number(_) | Value::Bool(_) => Ok(Self::Text(javascript::string(value))),
        }
    }

    pub(super) fn grade(&self, subject: &Subject, negated: bool) -> Grade {
        let (holds, expected) = match self {
            Self::Text(text) => (*text == subject.text, quote(text)),
            Self::Json(value) => {
                let found = serde_json::from_str::<Value>(&subject.text);
                (found.is_ok_and(|found| javascript::equal(value, &found)), shorten(value.to_string(), QUOTE_BYTES_MAX))
            }
        };
        verdict(holds, negated, || format!("expected {} to {}equal {expected}", quote(&subject.text), not(negated)))
    }
}

/// The family of `contains`.
pub(super) struct Contains {
    texts: Vec<String>,
    all: bool,
    any_case: bool,
}

// === impl Contains ===

impl Contains {
    /// One text: `contains`, `icontains`.
    pub(super) fn one(value: &Value, kind: Kind) -> Result<Self, String> {
        let usable = value.is_number() || value.as_str().is_some_and(|text| !text.is_empty());
        if !usable {
            return Err(format!("`{}` needs a text or a number as its value", kind.as_str()));
        }
        Ok(Self::new(vec![javascript::string(value)], kind))
    }

    /// Several: a list, or one text with commas.
    pub(super) fn several(value: &Value, kind: Kind) -> Result<Self, String> {
        let texts = match value {
            Value::Array(items) => items.iter().map(javascript::string).collect(),
            Value::String(text) if !text.is_empty() => fields(text).map_err(|reason| {
                format!("`{}` needs a list, or texts with commas between them: {reason}", kind.as_str())
            })?,
            _ => return Err(format!("`{}` needs a list, or texts with commas between them", kind.as_str())),
        };
        Ok(Self::new(texts, kind))
    }

    fn new(mut texts: Vec<String>, kind: Kind) -> Self {
        let any_case = matches!(kind, Kind::IContains | Kind::IContainsAll | Kind::IContainsAny);
        if any_case {
            texts.iter_mut().for_each(|text| *text = text.to_lowercase());
        }
        Self { texts, all: !matches!(kind, Kind::ContainsAny | Kind::IContainsAny), any_case }
    }

    pub(super) fn grade(&self, subject: &Subject, negated: bool) -> Grade {
        let lowered = if self.any_case { subject.text.to_lowercase() } else { String::new() };
        let text = if self.any_case { &lowered } else { &subject.text };
        let missing = || self.texts.iter().filter(|expected| !text.contains(expected.as_str()));
        let (holds, amount) = match (self.texts.as_slice(), self.all) {
            ([_], true) => (missing().next().is_none(), ""),
            (_, true) => (missing().next().is_none(), "all of "),
            (_, false) => (missing().count() < self.texts.len(), "one of "),
        };
        verdict(holds, negated, || {
            let list =
                |texts: &mut dyn Iterator<Item = &String>| texts.map(|text| quote(text)).collect::<Vec<_>>().join(", ");
            let mut reason =
                format!("expected the answer to {}contain {amount}{}", not(negated), list(&mut self.texts.iter()));
            if self.all && self.texts.len() > 1 && !negated {
                reason.push_str(&format!("; missing: {}", list(&mut missing())));
            }
            reason
        })
    }
}

/// Splits at commas. A field may stand in double quotes, inside which `""` and `\"` are a quote; empty fields are none.
fn fields(text: &str) -> Result<Vec<String>, String> {
    let mut fields = Vec::new();
    let mut rest = text;
    loop {
        rest = rest.trim_start_matches(|character| character == ',' || javascript::is_space(character));
        let Some(quoted) = rest.strip_prefix('"') else {
            if rest.is_empty() {
                return Ok(fields);
            }
            let (field, after) = rest.split_once(',').unwrap_or((rest, ""));
            fields.push(javascript::trim(field).to_owned());
            rest = after;
            continue;
        };
        let (field, after) = quoted_field(quoted).ok_or("a quoted field has no end")?;
        fields.push(field);
        rest = after.trim_start_matches(javascript::is_space);
        if !rest.is_empty() && !rest.starts_with(',') {
            return Err("a quoted field is followed by something other than a comma".to_owned());
        }
    }
}

/// Reads a field after its opening quote, and returns it and what follows its closing one.
fn quoted_field(text: &str) -> Option<(String, &str)> {
    let mut field = String::new();
    let mut characters = text.chars();
    loop {
        let next = characters.next()?;
        let rest = characters.as_str();
        match next {
            '\\' if rest.starts_with(['"', '\\']) => field.extend(characters.next()),
            '"' if rest.starts_with('"') => field.extend(characters.next()),
            '"' => return Some((field, rest)),
            other => field.push(other),
        }
    }
}

/// `starts-with`.
pub(super) struct StartsWith(String);

// === impl StartsWith ===

impl StartsWith {
    pub(super) fn new(value: &Value) -> Result<Self, String> {
        let text = text_of(value, Kind::StartsWith)?;
        if text.is_empty() {
            return Err("`starts-with` needs a text that is not empty".to_owned());
        }
        Ok(Self(text.to_owned()))
    }

    pub(super) fn grade(&self, subject: &Subject, negated: bool) -> Grade {
        let Self(start) = self;
        verdict(subject.text.starts_with(start.as_str()), negated, || {
            format!("expected the answer to {}start with {}", not(negated), quote(start))
        })
    }
}

/// `regex`.
pub(super) struct Matches {
    source: String,
    pattern: Pattern,
}

// === impl Matches ===

impl Matches {
    pub(super) fn new(value: &Value) -> Result<Self, String> {
        let source = text_of(value, Kind::Regex)?;
        if source.is_empty() {
            return Err("`regex` needs an expression that is not empty".to_owned());
        }
        Ok(Self { source: source.to_owned(), pattern: Pattern::compile(source)? })
    }

    pub(super) fn grade(&self, subject: &Subject, negated: bool) -> Result<Grade, String> {
        let holds = self.pattern.is_match(&subject.text)?;
        Ok(verdict(holds, negated, || format!("expected the answer to {}match `{}`", not(negated), self.source)))
    }
}

/// `levenshtein`.
pub(super) struct Levenshtein {
    expected: Vec<u16>,
    threshold: f64,
}

// === impl Levenshtein ===

impl Levenshtein {
    /// The most steps that one comparison may take: the product of the two lengths.
    const STEPS_MAX: usize = 100_000_000;

    const THRESHOLD: f64 = 5.0;

    pub(super) fn new(value: &Value, threshold: Option<f64>) -> Result<Self, String> {
        let expected = text_of(value, Kind::Levenshtein)?.encode_utf16().collect();
        Ok(Self { expected, threshold: threshold.unwrap_or(Self::THRESHOLD) })
    }

    /// Lengths and edits are counted in UTF-16, as in JavaScript.
    pub(super) fn grade(&self, subject: &Subject, negated: bool) -> Result<Grade, String> {
        let found: Vec<u16> = subject.text.encode_utf16().collect();
        let least = found.len().abs_diff(self.expected.len());
        let (distance, known) = if (least as f64) > self.threshold {
            (least, "at least ")
        } else if found.len().saturating_mul(self.expected.len()) > Self::STEPS_MAX {
            return Err(format!("the answer is too long to count edits: {} characters", found.len()));
        } else {
            let distance = strsim::generic_levenshtein(&Sequence(&found), &Sequence(&self.expected));
            (distance, "")
        };
        Ok(verdict(distance as f64 <= self.threshold, negated, || {
            let relation = if negated { "at most" } else { "more than" };
            format!("the edit distance is {known}{distance}, which is {relation} {}", self.threshold)
        }))
    }
}

/// Code units that can be iterated over again and again.
struct Sequence<'a>(&'a [u16]);

impl<'a> IntoIterator for &Sequence<'a> {
    type Item = &'a u16;
    type IntoIter = std::slice::Iter<'a, u16>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

/// `finish-reason`.
pub(super) struct FinishReason(String);

// === impl FinishReason ===

impl FinishReason {
    pub(super) fn new(value: &Value) -> Result<Self, String> {
        text_of(value, Kind::FinishReason).map(|text| Self(text.to_owned()))
    }

    pub(super) fn grade(&self, subject: &Subject, negated: bool) -> Grade {
        let Self(expected) = self;
        let Some(found) = subject.finish.as_deref().filter(|finish| !finish.is_empty()) else {
            return verdict(false, negated, || "the provider did not say why the model stopped".to_owned());
        };
        verdict(expected.to_lowercase() == found.to_lowercase(), negated, || {
            format!("expected the finish reason {}to be `{expected}`, and it is `{found}`", not(negated))
        })
    }
}

/// `word-count`.
pub(super) struct WordCount {
    min: f64,
    max: f64,
}

// === impl WordCount ===

impl WordCount {
    pub(super) fn new(value: &Value) -> Result<Self, String> {
        let wrong = || "`word-count` needs a number, or `min`, `max` or both".to_owned();
        let bound = |name: &str, other: f64| match value.get(name) {
            None => Ok(other),
            Some(bound) => number(bound).ok_or_else(|| format!("`{name}` of `word-count` is no number")),
        };
        let (min, max) = match value {
            Value::Object(members) if members.contains_key("min") || members.contains_key("max") => {
                (bound("min", f64::NEG_INFINITY)?, bound("max", f64::INFINITY)?)
            }
            _ => number(value).map(|exact| (exact, exact)).ok_or_else(wrong)?,
        };
        if min > max {
            return Err(format!("`min` of `word-count` ({min}) is above `max` ({max})"));
        }
        Ok(Self { min, max })
    }

    pub(super) fn grade(&self, subject: &Subject, negated: bool) -> Grade {
        let count = javascript::words(&subject.text).count();
        let Self { min, max } = *self;
        verdict((min..=max).contains(&(count as f64)), negated, || {
            let expected = match (min.is_finite(), max.is_finite()) {
                (true, true) if min == max => format!("{min}"),
                (true, true) => format!("between {min} and {max}"),
                (true, false) => format!("at least {min}"),
                _ => format!("at most {max}"),
            };
            format!("expected the number of words {}to be {expected}, and it is {count}", not(negated))
        })
    }
}

/// Returns a number, or a text that is one.
fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => javascript::trim(text).parse().ok().filter(|number: &f64| number.is_finite()),
        _ => None,
    }
}
