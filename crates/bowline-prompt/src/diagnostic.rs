//! What is wrong in a file, where, and what to do about it.

use std::cmp::Ordering;
use std::fmt::Write as _;

use serde::Serialize;

/// A place in a text file; both numbers count from 1, the column in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Position {
    /// The line.
    pub line: usize,
    /// The character of the line.
    pub column: usize,
}

/// A stretch of a text file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Span {
    /// The first character.
    pub start: Position,
    /// The place behind the last character.
    pub end: Position,
}

/// How bad a [`Diagnostic`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The project cannot be released as it is.
    Error,
    /// Worth a look; nothing is refused.
    Warning,
}

/// One finding in one file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// A stable name of the kind of finding, such as `unknown-variable`.
    pub code: &'static str,
    /// What is wrong, in one line without a full stop.
    pub message: String,
    /// The project-relative path of the file.
    pub file: String,
    /// Where in the file, if it is about a place.
    pub span: Option<Span>,
    /// A few words beside the underlined place.
    pub label: Option<String>,
    /// What to do about it.
    pub hints: Vec<String>,
    /// Whether the line is not shown, as it holds a secret.
    #[serde(skip)]
    pub line_hidden: bool,
}

/// Findings in the order they were made.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Diagnostics {
    items: Vec<Diagnostic>,
}

// === impl Position ===

impl Position {
    /// Returns the place at `line` and `column`, both from 1.
    #[must_use]
    pub const fn new(line: usize, column: usize) -> Self {
        Self { line, column }
    }

    /// Returns the place of byte `offset` in `text`; past the end it is the end.
    #[must_use]
    pub fn of_offset(text: &str, offset: usize) -> Self {
        let before = text.get(..offset).unwrap_or(text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let line = before.matches('\n').count() + 1;
        let column = before.get(line_start..).map_or(0, |line| line.chars().count()) + 1;
        Self { line, column }
    }

    /// Returns the same place in a file where `lines` more lines stand before it.
    #[must_use]
    pub const fn down(self, lines: usize) -> Self {
        Self { line: self.line + lines, column: self.column }
    }
}

// === impl Span ===

impl Span {
    /// Returns the stretch from `start` to before `end`.
    #[must_use]
    pub const fn new(start: Position, end: Position) -> Self {
        Self { start, end }
    }

    /// Returns a stretch of `length` characters on one line.
    #[must_use]
    pub const fn on_line(line: usize, column: usize, length: usize) -> Self {
        Self { start: Position::new(line, column), end: Position::new(line, column + length) }
    }

    /// Returns the stretch of the bytes `range` of `text`.
    #[must_use]
    pub fn of_range(text: &str, range: std::ops::Range<usize>) -> Self {
        Self { start: Position::of_offset(text, range.start), end: Position::of_offset(text, range.end) }
    }

    /// Returns the same stretch in a file where `lines` more lines stand before it.
    #[must_use]
    pub const fn down(self, lines: usize) -> Self {
        Self { start: self.start.down(lines), end: self.end.down(lines) }
    }
}

// === impl Diagnostic ===

impl Diagnostic {
    /// Returns an error in `file`.
    pub fn error(code: &'static str, file: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(Severity::Error, code, file.into(), message.into())
    }

    /// Returns a warning about `file`.
    pub fn warning(code: &'static str, file: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(Severity::Warning, code, file.into(), message.into())
    }

    fn new(severity: Severity, code: &'static str, file: String, message: String) -> Self {
        Self { severity, code, message, file, span: None, label: None, hints: Vec::new(), line_hidden: false }
    }

    /// Says where.
    #[must_use]
    pub const fn at(mut self, span: Span) -> Self {
        self.span = Some(span);
        self
    }

    /// Puts a few words beside the place.
    #[must_use]
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = Some(label.into());
        self
    }

    /// Adds what to do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// Keeps the line out of [`render`], as it holds a secret.
    #[must_use]
    pub const fn hide_line(mut self) -> Self {
        self.line_hidden = true;
        self
    }

    /// Orders by file, then place, so that output does not depend on the order of checks.
    #[must_use]
    pub fn by_place(&self, other: &Self) -> Ordering {
        let place = |diagnostic: &Self| diagnostic.span.map(|span| span.start);
        self.file.cmp(&other.file).then_with(|| place(self).cmp(&place(other)))
    }
}

/// Returns `diagnostic` as text for a person, without colour; `source` is the text of its file, if it could be read.
///
/// The first line starts with the severity and hints with `hint:`, so that a terminal can colour them.
#[must_use]
pub fn render(diagnostic: &Diagnostic, source: Option<&str>) -> String {
    let mut out = String::new();
    // Writing to a String does not fail.
    let _ = write_diagnostic(&mut out, diagnostic, source);
    out
}

fn write_diagnostic(out: &mut String, diagnostic: &Diagnostic, source: Option<&str>) -> std::fmt::Result {
    let severity = match diagnostic.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    };
    writeln!(out, "{severity}: {}", diagnostic.message)?;
    match diagnostic.span {
        None => writeln!(out, "  --> {}", diagnostic.file)?,
        Some(span) => {
            writeln!(out, "  --> {}:{}:{}", diagnostic.file, span.start.line, span.start.column)?;
            let source = if diagnostic.line_hidden { None } else { source };
            if let Some(line) = source.and_then(|text| text.lines().nth(span.start.line.saturating_sub(1))) {
                write_excerpt(out, line, span, diagnostic.label.as_deref())?;
            }
        }
    }
    for hint in &diagnostic.hints {
        writeln!(out, "hint: {hint}")?;
    }
    Ok(())
}

fn write_excerpt(out: &mut String, line: &str, span: Span, label: Option<&str>) -> std::fmt::Result {
    let number = span.start.line.to_string();
    let gutter = number.len().max(2);
    let before = span.start.column.saturating_sub(1);
    let length = if span.end.line == span.start.line {
        span.end.column.saturating_sub(span.start.column)
    } else {
        line.chars().count().saturating_sub(before)
    };
    // A tab is kept in the padding, so that the marks stand below what they mark however wide the terminal draws it.
    let padding: String =
        line.chars().map(|c| if c == '\t' { '\t' } else { ' ' }).chain(std::iter::repeat(' ')).take(before).collect();
    let marks = "^".repeat(length.max(1));
    let label = label.map(|label| format!(" {label}")).unwrap_or_default();
    writeln!(out, "{:gutter$} |", "")?;
    writeln!(out, "{number:>gutter$} | {}", line.trim_end())?;
    writeln!(out, "{:gutter$} | {padding}{marks}{label}", "")
}

// === impl Diagnostics ===

impl Diagnostics {
    /// Returns an empty collection.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a finding.
    pub fn push(&mut self, diagnostic: Diagnostic) {
        self.items.push(diagnostic);
    }

    /// Adds the error of `result` if it is one, and returns its value otherwise.
    pub fn take<T>(&mut self, result: Result<T, Diagnostic>) -> Option<T> {
        result.map_err(|diagnostic| self.push(diagnostic)).ok()
    }

    /// Returns the findings so far.
    #[must_use]
    pub fn as_slice(&self) -> &[Diagnostic] {
        &self.items
    }

    /// Returns whether there is no finding at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Returns whether a finding is an error.
    #[must_use]
    pub fn has_errors(&self) -> bool {
        self.count(Severity::Error) > 0
    }

    /// Returns how many findings are of a severity.
    #[must_use]
    pub fn count(&self, severity: Severity) -> usize {
        self.items.iter().filter(|diagnostic| diagnostic.severity == severity).count()
    }

    /// Returns the findings, ordered by file and place.
    #[must_use]
    pub fn into_sorted(mut self) -> Vec<Diagnostic> {
        self.items.sort_by(Diagnostic::by_place);
        self.items
    }
}

impl Extend<Diagnostic> for Diagnostics {
    fn extend<I: IntoIterator<Item = Diagnostic>>(&mut self, iter: I) {
        self.items.extend(iter);
    }
}

impl FromIterator<Diagnostic> for Diagnostics {
    fn from_iter<I: IntoIterator<Item = Diagnostic>>(iter: I) -> Self {
        Self { items: iter.into_iter().collect() }
    }
}

impl IntoIterator for Diagnostics {
    type Item = Diagnostic;
    type IntoIter = std::vec::IntoIter<Diagnostic>;

    fn into_iter(self) -> Self::IntoIter {
        self.items.into_iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_shows_its_line_and_what_to_do() {
        let source = "---\nmodel: main\n---\nTicket: {{ticket_text}}\n";
        let diagnostic = Diagnostic::error("unknown-variable", "prompts/a.prompt", "variable `ticket_text` is unknown")
            .at(Span::on_line(4, 11, 11))
            .label("not declared")
            .hint("did you mean `ticket`?");
        let expected = "\
error: variable `ticket_text` is unknown
  --> prompts/a.prompt:4:11
   |
 4 | Ticket: {{ticket_text}}
   |           ^^^^^^^^^^^ not declared
hint: did you mean `ticket`?
";
        assert_eq!(render(&diagnostic, Some(source)), expected);
    }

    #[test]
    fn a_finding_without_a_place_or_text_is_whole() {
        let nowhere = Diagnostic::warning("no-prompts", "bowline.yaml", "there are no prompts");
        assert_eq!(render(&nowhere, None), "warning: there are no prompts\n  --> bowline.yaml\n");
        let unread = nowhere.at(Span::on_line(7, 1, 1));
        assert_eq!(render(&unread, None), "warning: there are no prompts\n  --> bowline.yaml:7:1\n");
    }

    #[test]
    fn positions_count_characters_from_one() {
        assert_eq!(Position::of_offset("ä\nöx", 0), Position::new(1, 1));
        assert_eq!(Position::of_offset("ä\nöx", 5), Position::new(2, 2));
        assert_eq!(Position::of_offset("a", 9), Position::new(1, 2));
    }
}
