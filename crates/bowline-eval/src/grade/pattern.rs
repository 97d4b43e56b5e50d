//! Regular expressions of JavaScript (`new RegExp(pattern)`, no flags) on an engine that gives up instead of hanging.
//!
//! The pattern is rewritten for [`fancy_regex`], which knows look-around and back-references and counts its steps. What differs
//! is spelled out: `\d`, `\w` and `\b` know ASCII only, `\s` and `.` their own characters, `$` ends the text, an escaped letter
//! without a meaning is that letter, and `{` or `]` without a partner are themselves. Source: ECMA-262, "Patterns" and annex B.1.2,
//! read 2026-11-25. One difference stays: characters beyond U+FFFF are one character here, two in JavaScript without the flag `u`.

use fancy_regex::{Regex, RegexBuilder};

mod class;
mod escape;

/// How often an expression may backtrack on one text before the assertion is errored.
const BACKTRACKS_MAX: usize = 1_000_000;

/// The longest pattern, in bytes.
const PATTERN_BYTES_MAX: usize = 16 * 1024;

/// A compiled expression.
#[derive(Clone, Debug)]
pub(crate) struct Pattern(Regex);

// === impl Pattern ===

impl Pattern {
    /// Compiles an expression.
    ///
    /// # Errors
    /// Says why it is none.
    pub(crate) fn compile(pattern: &str) -> Result<Self, String> {
        Self::compile_with(pattern, "")
    }

    /// Compiles an expression that matches whatever the case of letters (flag `i`).
    ///
    /// # Errors
    /// Says why it is none.
    pub(crate) fn compile_any_case(pattern: &str) -> Result<Self, String> {
        Self::compile_with(pattern, "(?i)")
    }

    fn compile_with(pattern: &str, flags: &str) -> Result<Self, String> {
        if pattern.len() > PATTERN_BYTES_MAX {
            return Err(format!("the regular expression is longer than {PATTERN_BYTES_MAX} bytes"));
        }
        let refused = |reason: String| format!("the regular expression `{pattern}` is invalid: {reason}");
        let translated = Translator::new(pattern).translate().map_err(refused)?;
        let regex = RegexBuilder::new(&format!("{flags}{translated}")).backtrack_limit(BACKTRACKS_MAX).build();
        regex.map(Self).map_err(|error| refused(error.to_string().replace('\n', " ")))
    }

    /// Returns whether the expression matches somewhere.
    ///
    /// # Errors
    /// Says that it backtracked too often.
    pub(crate) fn is_match(&self, text: &str) -> Result<bool, String> {
        self.0.is_match(text).map_err(|_| {
            format!("the regular expression backtracked more than {BACKTRACKS_MAX} times on this answer; hint: avoid nested repetitions")
        })
    }
}

/// What a piece of a pattern is, for what may follow it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Last {
    /// Nothing that can be repeated: the start of a group or alternative, an anchor.
    Nothing,
    /// Something that can be repeated.
    Atom,
}

struct Translator {
    pattern: Vec<char>,
    at: usize,
    out: String,
    last: Last,
    /// Capturing groups, and the names that some have.
    groups: usize,
    names: Vec<(String, usize)>,
}

// === impl Translator ===

impl Translator {
    fn new(pattern: &str) -> Self {
        let pattern: Vec<char> = pattern.chars().collect();
        let (groups, names) = groups(&pattern);
        Self { pattern, at: 0, out: String::new(), last: Last::Nothing, groups, names }
    }

    fn translate(mut self) -> Result<String, String> {
        while let Some(next) = self.next() {
            match next {
                '\\' => self.escape()?,
                '[' => self.class()?,
                '.' => self.atom(r"[^\n\r\x{2028}\x{2029}]"),
                '^' => self.anchor(r"\A"),
                '$' => self.anchor(r"\z"),
                '(' => self.group()?,
                ')' => self.atom(")"),
                '|' => self.anchor("|"),
                '*' | '+' | '?' => self.repeat(&next.to_string())?,
                '{' => match self.bounds()? {
                    Some(bounds) => self.repeat(&bounds)?,
                    None => self.literal('{'),
                },
                other => self.literal(other),
            }
        }
        Ok(self.out)
    }

    fn peek(&self) -> Option<char> {
        self.pattern.get(self.at).copied()
    }

    fn next(&mut self) -> Option<char> {
        let next = self.peek()?;
        self.at += 1;
        Some(next)
    }

    fn eat(&mut self, text: &str) -> bool {
        let found = text.chars().eq(self.pattern.iter().skip(self.at).take(text.chars().count()).copied());
        if found {
            self.at += text.chars().count();
        }
        found
    }

    fn atom(&mut self, text: &str) {
        self.out.push_str(text);
        self.last = Last::Atom;
    }

    fn anchor(&mut self, text: &str) {
        self.out.push_str(text);
        self.last = Last::Nothing;
    }

    fn literal(&mut self, character: char) {
        let mut text = [0; 4];
        let escaped = fancy_regex::escape(character.encode_utf8(&mut text)).into_owned();
        self.atom(&escaped);
    }

    fn repeat(&mut self, quantifier: &str) -> Result<(), String> {
        if self.last == Last::Nothing {
            return Err(format!("nothing to repeat before `{quantifier}`"));
        }
        let lazy = if self.eat("?") { "?" } else { "" };
        self.anchor(&format!("{quantifier}{lazy}"));
        Ok(())
    }

    /// Reads `n}`, `n,}` or `n,m}` after a brace, if that is what follows.
    fn bounds(&mut self) -> Result<Option<String>, String> {
        let Some(close) = self.pattern.iter().skip(self.at).position(|character| *character == '}') else {
            return Ok(None);
        };
        let inside: String = self.pattern.iter().skip(self.at).take(close).collect();
        let (least, most) = inside.split_once(',').map_or((inside.as_str(), None), |(least, most)| (least, Some(most)));
        let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let most = most.filter(|most| !most.is_empty());
        if !is_number(least) || most.is_some_and(|most| !is_number(most)) {
            return Ok(None);
        }
        if let (Ok(least), Some(Ok(most))) = (least.parse::<u64>(), most.map(str::parse::<u64>))
            && least > most
        {
            return Err(format!("the numbers in `{{{inside}}}` are out of order"));
        }
        self.at += close + 1;
        Ok(Some(format!("{{{inside}}}")))
    }

    fn group(&mut self) -> Result<(), String> {
        let opening = if !self.eat("?") {
            "("
        } else if self.eat(":") {
            "(?:"
        } else if self.eat("=") {
            "(?="
        } else if self.eat("!") {
            "(?!"
        } else if self.eat("<=") {
            "(?<="
        } else if self.eat("<!") {
            "(?<!"
        } else if self.eat("<") {
            self.name()?;
            "("
        } else {
            return Err(
                "`(?` is followed by no kind of group; JavaScript has no inline flags such as `(?i)`".to_owned()
            );
        };
        self.anchor(opening);
        Ok(())
    }

    /// Reads a name up to `>`.
    fn name(&mut self) -> Result<String, String> {
        let mut name = String::new();
        loop {
            match self.next() {
                Some('>') if !name.is_empty() => return Ok(name),
                Some(character) if character.is_alphanumeric() || matches!(character, '_' | '$') => {
                    name.push(character)
                }
                _ => return Err("the name of a group is not valid".to_owned()),
            }
        }
    }
}

/// Counts the capturing groups, and returns the names that some have.
fn groups(pattern: &[char]) -> (usize, Vec<(String, usize)>) {
    let (mut count, mut names, mut in_class, mut at) = (0, Vec::new(), false, 0);
    while let Some(character) = pattern.get(at) {
        match character {
            '\\' => at += 1,
            '[' => in_class = true,
            ']' => in_class = false,
            '(' if !in_class => match (pattern.get(at + 1), pattern.get(at + 2), pattern.get(at + 3)) {
                (Some('?'), Some('<'), Some('=' | '!')) => {}
                (Some('?'), Some('<'), _) => {
                    count += 1;
                    names.push((pattern.iter().skip(at + 3).take_while(|c| **c != '>').collect(), count));
                }
                (Some('?'), ..) => {}
                _ => count += 1,
            },
            _ => {}
        }
        at += 1;
    }
    (count, names)
}

#[cfg(test)]
mod tests;
