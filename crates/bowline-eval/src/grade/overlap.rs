//! ROUGE-N and BLEU: how many words and sequences of words an answer shares with a reference.
//!
//! - ROUGE-1 (Lin, "ROUGE: A Package for Automatic Evaluation of Summaries", 2004): F1 of clipped counts of lower-cased tokens, which
//!   are those of the Penn Treebank.
//! - BLEU-4 (Papineni et al., "BLEU: a Method for Automatic Evaluation of Machine Translation", 2002, doi 10.3115/1073083.1073135):
//!   the geometric mean of clipped precisions of 1 to 4 words, times the brevity penalty against the reference of the nearest length.
//!   Orders longer than the answer are left out, a precision of 0 counts as 1e-7, and of several references the one counts that shares
//!   most sequences of an order, where the paper joins them: as promptfoo does it.

use std::collections::HashMap;

use serde_json::Value;

use super::{javascript, treebank};
use crate::subject::{Grade, Subject};

/// The longest answer or reference that is split into tokens, in bytes.
const TEXT_BYTES_MAX: usize = 1024 * 1024;

/// `rouge-n`.
pub(super) struct RougeN {
    reference: Vec<String>,
    threshold: f64,
}

/// `bleu`.
pub(super) struct Bleu {
    references: Vec<Vec<String>>,
    threshold: f64,
}

// === impl RougeN ===

impl RougeN {
    const THRESHOLD: f64 = 0.75;

    pub(super) fn new(value: &Value, threshold: Option<f64>) -> Result<Self, String> {
        let reference = value.as_str().ok_or("`rouge-n` needs a text as its value")?;
        Ok(Self { reference: tokens(reference)?, threshold: threshold.unwrap_or(Self::THRESHOLD) })
    }

    pub(super) fn grade(&self, subject: &Subject, negated: bool) -> Result<Grade, String> {
        let score = rouge_1(&tokens(&subject.text)?, &self.reference);
        Ok(scored("ROUGE-N", score, self.threshold, negated))
    }
}

fn tokens(text: &str) -> Result<Vec<String>, String> {
    if text.len() > TEXT_BYTES_MAX {
        return Err(format!("a text of `rouge-n` is longer than {TEXT_BYTES_MAX} bytes"));
    }
    treebank::tokens(&text.to_lowercase())
}

fn rouge_1(candidate: &[String], reference: &[String]) -> f64 {
    let shared = shared(candidate, reference, 1) as f64;
    if shared == 0.0 {
        return 0.0;
    }
    let (precision, recall) = (shared / candidate.len() as f64, shared / reference.len() as f64);
    2.0 * precision * recall / (precision + recall)
}

// === impl Bleu ===

impl Bleu {
    const THRESHOLD: f64 = 0.5;
    const ORDER_MAX: usize = 4;

    /// What a precision of zero counts as, so that one order without a match does not decide.
    const PRECISION_MIN: f64 = 1e-7;

    pub(super) fn new(value: &Value, threshold: Option<f64>) -> Result<Self, String> {
        let wrong = "`bleu` needs a text or a list of texts as its value";
        let references = match value {
            Value::String(text) => vec![words(text)],
            Value::Array(items) if !items.is_empty() => {
                items.iter().map(|item| item.as_str().map(words).ok_or(wrong)).collect::<Result<_, _>>()?
            }
            _ => return Err(wrong.to_owned()),
        };
        Ok(Self { references, threshold: threshold.unwrap_or(Self::THRESHOLD) })
    }

    pub(super) fn grade(&self, subject: &Subject, negated: bool) -> Grade {
        let score = if javascript::trim(&subject.text).is_empty() { 0.0 } else { self.score(&words(&subject.text)) };
        scored("BLEU", score, self.threshold, negated)
    }

    fn score(&self, candidate: &[String]) -> f64 {
        let orders = Self::ORDER_MAX.min(candidate.len());
        let logarithms = (1..=orders).map(|order| {
            let matched =
                self.references.iter().map(|reference| shared(candidate, reference, order)).max().unwrap_or(0);
            let precision = matched as f64 / (candidate.len() + 1 - order) as f64;
            if matched == 0 { Self::PRECISION_MIN.ln() } else { precision.ln() }
        });
        let mean = logarithms.sum::<f64>() / orders as f64;
        let nearest =
            self.references.iter().map(Vec::len).min_by_key(|length| (length.abs_diff(candidate.len()), *length));
        let reference = nearest.unwrap_or(0) as f64;
        let length = candidate.len() as f64;
        let penalty = if length > reference { 1.0 } else { (1.0 - reference / length).exp() };
        penalty * mean.exp()
    }
}

/// Returns lower-cased words; an empty text has one empty word.
fn words(text: &str) -> Vec<String> {
    let lowered = text.to_lowercase();
    let words: Vec<String> = javascript::words(&lowered).map(str::to_owned).collect();
    if words.is_empty() { vec![String::new()] } else { words }
}

/// Returns how many sequences of `order` words two texts share; one that stands twice counts twice where it stands twice in both.
fn shared(left: &[String], right: &[String], order: usize) -> usize {
    let mut counts: HashMap<&[String], usize> = HashMap::new();
    right.windows(order).for_each(|gram| *counts.entry(gram).or_default() += 1);
    left.windows(order)
        .filter(|gram| {
            let left = counts.get_mut(gram).filter(|count| **count > 0);
            left.map(|count| *count -= 1).is_some()
        })
        .count()
}

fn scored(name: &str, score: f64, threshold: f64, negated: bool) -> Grade {
    let reaches = score >= threshold;
    let relation = if reaches { "not below" } else { "below" };
    let reason = format!("the {name} score is {score:.4}, which is {relation} the threshold of {threshold}");
    let score = if negated { 1.0 - score } else { score };
    let pass = reaches != negated;
    Grade::scored(pass, score, if pass { String::new() } else { reason })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Golden: `sentence_bleu` of NLTK 3.9 without smoothing, on one reference; the first is an example of its documentation.
    #[test]
    fn bleu_is_that_of_nltk() {
        let check = |reference: &str, candidate: &str, expected: f64| {
            let found = Bleu::new(&Value::String(reference.to_owned()), None).unwrap().score(&words(candidate));
            assert!((found - expected).abs() < 1e-12, "{candidate}: {found}");
        };
        check(
            "It is a guide to action that ensures that the military will forever heed Party commands",
            "It is a guide to action which ensures that the military always obeys the commands of the party",
            0.420_859_806_952_409_1,
        );
        check(
            "the quick brown fox jumps over the lazy dog",
            "the quick brown fox jumped over the lazy dog",
            0.596_949_179_201_964_6,
        );
        // Every precision is 1, so this is the brevity penalty alone.
        check("a b c d e f g", "a b c d e", (1.0_f64 - 7.0 / 5.0).exp());
    }

    /// Golden: `rouge1` of rouge-score 0.1.2, on texts that both tokenizers split alike.
    #[test]
    fn rouge_is_that_of_rouge_score() {
        let check = |reference: &str, candidate: &str, expected: f64| {
            let found = rouge_1(&tokens(candidate).unwrap(), &tokens(reference).unwrap());
            assert!((found - expected).abs() < 1e-12, "{candidate}: {found}");
        };
        check("the cat sat on the mat", "the cat is on the mat", 5.0 / 6.0);
        check("the cat sat on the mat", "the the the cat", 0.6);
        check("police killed the gunman", "police kill the gunman", 0.75);
        check("one two three four five", "five four three", 0.75);
        check("one", "two", 0.0);
        check("", "two", 0.0);
    }
}
