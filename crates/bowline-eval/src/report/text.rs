//! Texts of models in reports.

use std::borrow::Cow;

use super::{Report, Side};

/// Replaces what does not show, or changes how other text shows: control characters, which terminals obey, and marks of direction.
pub(super) fn clean(text: &str) -> Cow<'_, str> {
    let is_bad = |character: char| {
        (character.is_control() && !matches!(character, '\n' | '\t'))
            || matches!(character, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}')
    };
    let text = if text.contains("\r\n") { Cow::Owned(text.replace("\r\n", "\n")) } else { Cow::Borrowed(text) };
    if text.contains(is_bad) { Cow::Owned(text.replace(is_bad, "\u{fffd}")) } else { text }
}

/// Returns at most `chars_max` characters, and how many are left out.
pub(super) fn cut(text: &str, chars_max: usize) -> (&str, usize) {
    match text.char_indices().nth(chars_max) {
        Some((end, _)) => text.split_at_checked(end).map_or((text, 0), |(head, rest)| (head, rest.chars().count())),
        None => (text, 0),
    }
}

/// Returns a text on one line, of at most `chars_max` characters.
pub(super) fn line(text: &str, chars_max: usize) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    let joined = words.join(" ");
    let cleaned = clean(&joined);
    let (head, left) = cut(&cleaned, chars_max);
    if left == 0 { head.to_owned() } else { format!("{head}…") }
}

/// Returns `1 case` or `5 cases`.
pub(super) fn counted(count: u64, one: &str) -> String {
    if count == 1 { format!("1 {one}") } else { format!("{count} {one}s") }
}

/// Returns a rate as a percentage with one place.
pub(super) fn percent(rate: f64) -> String {
    format!("{:.1}%", rate * 100.0)
}

/// What every rendering says of a run that is no evidence.
pub(super) fn notices(report: &Report) -> Vec<&'static str> {
    let mut notices = Vec::new();
    if report.simulated {
        notices.push(
            "Simulated: answers come from a simulator. This is no evidence for an environment that serves real providers.",
        );
    }
    if report.partial {
        notices.push("Partial: cases were left out. This is no evidence for a release.");
    }
    notices
}

/// Returns the text of an answer with its calls of tools behind it.
pub(super) fn answer(side: &Side) -> String {
    let mut lines = Vec::new();
    let subject = &side.subject;
    if let Some(error) = &subject.error {
        lines.push(format!("[error] {error}"));
    }
    if !subject.text.is_empty() {
        lines.push(subject.text.clone());
    }
    lines.extend(subject.tool_calls.iter().map(|call| format!("[calls {}] {}", call.name, call.arguments)));
    if lines.is_empty() { "[empty]".to_owned() } else { lines.join("\n") }
}
