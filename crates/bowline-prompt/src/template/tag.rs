//! Finds the tags of a template and the places of their words.
//!
//! The engine parses templates, but its tree has no place for a parameter and its errors are those of a grammar. This scan
//! gives both: the tokens of every tag in the order of the text, and plain words for a tag or block that is not closed.

use std::borrow::Cow;
use std::ops::Range;

/// How deep blocks and parentheses may nest, so that parsing and rendering cannot exhaust the stack.
const DEPTH_MAX: usize = 48;

/// One `{{…}}`.
#[derive(Clone, Debug)]
pub(crate) struct Tag {
    pub(crate) kind: TagKind,
    /// The bytes of the whole tag.
    pub(crate) range: Range<usize>,
    pub(crate) tokens: Vec<Token>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TagKind {
    /// `{{x}}`, `{{> p}}`, `{{*d}}`.
    Inline,
    /// `{{#x}}`, `{{#> p}}`, `{{#*d}}`, `{{{{x}}}}`.
    Open,
    /// `{{else}}`.
    Else,
    /// `{{else if x}}`.
    ElseChain,
    /// `{{/x}}`.
    Close,
}

/// A word, literal or mark of a tag.
#[derive(Clone, Debug)]
pub(crate) struct Token {
    pub(crate) text: String,
    pub(crate) range: Range<usize>,
}

/// Why a text is no template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TagError {
    pub(crate) range: Range<usize>,
    pub(crate) message: String,
    pub(crate) hint: Option<String>,
}

/// Returns the tags of `source` in their order, comments left out.
pub(crate) fn scan(source: &str) -> Result<Vec<Tag>, TagError> {
    let mut scanner = Scanner { source, at: 0, tags: Vec::new() };
    scanner.run()?;
    check_nesting(&scanner.tags)?;
    Ok(scanner.tags)
}

/// Returns `source` with `.` and `..` as the engine wants them, `this` and `../this`.
pub(crate) fn spell_out_dots<'a>(source: &'a str, tags: &[Tag]) -> Cow<'a, str> {
    let mut out = String::new();
    let mut copied = 0;
    for token in tags.iter().flat_map(|tag| &tag.tokens) {
        if let Cow::Owned(spelled) = spelled_out(&token.text) {
            out.push_str(source.get(copied..token.range.start).unwrap_or_default());
            out.push_str(&spelled);
            copied = token.range.end;
        }
    }
    if copied == 0 {
        return Cow::Borrowed(source);
    }
    out.push_str(source.get(copied..).unwrap_or_default());
    Cow::Owned(out)
}

/// Returns a path as the engine wants it.
pub(crate) fn spelled_out(path: &str) -> Cow<'_, str> {
    match path {
        "." => Cow::Borrowed("this").into_owned().into(),
        up if up.ends_with("..") && up.split('/').all(|step| step == "..") => format!("{up}/this").into(),
        other => Cow::Borrowed(other),
    }
}

struct Scanner<'a> {
    source: &'a str,
    at: usize,
    tags: Vec<Tag>,
}

// === impl Scanner ===

impl<'a> Scanner<'a> {
    fn rest(&self) -> &'a str {
        self.source.get(self.at..).unwrap_or_default()
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn skip(&mut self, text: &str) -> bool {
        let found = self.rest().starts_with(text);
        if found {
            self.at += text.len();
        }
        found
    }

    fn skip_while(&mut self, mut wanted: impl FnMut(char) -> bool) {
        let rest = self.rest();
        self.at += rest.find(|c| !wanted(c)).unwrap_or(rest.len());
    }

    fn skip_space(&mut self) {
        self.skip_while(char::is_whitespace);
    }

    fn run(&mut self) -> Result<(), TagError> {
        loop {
            self.skip_while(|c| c != '\\' && c != '{');
            if self.rest().is_empty() {
                return Ok(());
            }
            if self.peek() == Some('\\') {
                self.backslashes();
            } else if !self.rest().starts_with("{{") {
                self.at += 1;
            } else if self.rest().starts_with("{{!") {
                self.comment()?;
            } else if self.rest().starts_with("{{{{") {
                self.raw_block()?;
            } else {
                self.tag()?;
            }
        }
    }

    /// One backslash before a tag makes it text; more are text themselves.
    fn backslashes(&mut self) {
        let start = self.at;
        self.skip_while(|c| c == '\\');
        if self.at - start == 1 && self.skip("{{") {
            self.skip("{{");
        }
    }

    fn comment(&mut self) -> Result<(), TagError> {
        let start = self.at;
        let content = self.rest().strip_prefix("{{!").unwrap_or_default();
        let long = content.trim_start().strip_prefix("--").filter(|content| content.contains("--}}"));
        let (content, end) = long.map_or((content, "}}"), |content| (content, "--}}"));
        let Some(length) = content.find(end) else { return Err(self.unclosed(start, "this comment", "--}}")) };
        self.at = self.source.len() - content.len() + length + end.len();
        Ok(())
    }

    fn raw_block(&mut self) -> Result<(), TagError> {
        let start = self.at;
        self.at += 4;
        let tokens = self.tokens(start)?;
        self.skip("}}");
        self.tags.push(Tag { kind: TagKind::Open, range: start..self.at, tokens });
        let Some(length) = self.rest().find("{{{{") else {
            return Err(self.unclosed(start, "this raw block", "{{{{/…}}}}"));
        };
        self.at += length;
        let close = self.at;
        self.at += 4;
        self.skip_space();
        self.skip("/");
        let tokens = self.tokens(close)?;
        self.skip("}}");
        self.tags.push(Tag { kind: TagKind::Close, range: close..self.at, tokens });
        Ok(())
    }

    fn tag(&mut self) -> Result<(), TagError> {
        let start = self.at;
        self.at += 2;
        self.skip_space();
        self.skip("~");
        self.skip_space();
        let mut kind = TagKind::Inline;
        let mut inverse = false;
        match self.peek() {
            Some('#') => {
                kind = TagKind::Open;
                self.at += 1;
                self.skip_space();
                let _mark = self.skip(">") || self.skip("*");
            }
            Some('/') => {
                kind = TagKind::Close;
                self.at += 1;
            }
            Some('^') => {
                inverse = true;
                self.at += 1;
            }
            Some('>' | '*' | '&' | '{') => self.at += 1,
            _ => {}
        }
        let mut tokens = self.tokens(start)?;
        if kind == TagKind::Inline && tokens.first().is_some_and(|token| token.text == "else") {
            inverse = true;
            tokens.remove(0);
        }
        if inverse {
            kind = if tokens.is_empty() { TagKind::Else } else { TagKind::ElseChain };
        }
        self.tags.push(Tag { kind, range: start..self.at, tokens });
        Ok(())
    }

    /// Reads up to and over the `}}` of the tag that starts at `start`.
    fn tokens(&mut self, start: usize) -> Result<Vec<Token>, TagError> {
        let mut tokens = Vec::new();
        let (mut braces, mut parentheses) = (0_usize, 0_usize);
        loop {
            self.skip_space();
            let token_start = self.at;
            match self.peek() {
                None => return Err(self.unclosed(start, "this tag", "}}")),
                Some('}') if braces == 0 => {
                    self.at += 1;
                    // The first brace of `}}}` belongs to `{{{`.
                    if self.rest().starts_with("}}") {
                        self.at += 2;
                        break;
                    }
                    self.skip_space();
                    self.skip("~");
                    if self.skip("}}") || self.skip("}") {
                        break;
                    }
                    return Err(self.unclosed(start, "this tag", "}}"));
                }
                Some('{') if self.rest().starts_with("{{") => return Err(self.unclosed(start, "this tag", "}}")),
                Some('{') => {
                    braces += 1;
                    self.at += 1;
                }
                Some('}') => {
                    braces -= 1;
                    self.at += 1;
                }
                Some('(') => {
                    parentheses += 1;
                    self.at += 1;
                }
                Some(')') => {
                    parentheses = parentheses.saturating_sub(1);
                    self.at += 1;
                }
                Some('~' | '=' | '|' | ',') => self.at += 1,
                Some(quote @ ('"' | '\'')) => self.quoted(quote, start)?,
                Some(_) => self.word(start)?,
            }
            if braces > DEPTH_MAX || parentheses > DEPTH_MAX {
                return Err(self.too_deep(start..self.at));
            }
            let text = self.source.get(token_start..self.at).unwrap_or_default();
            if !matches!(text, "~" | "=" | "|" | "," | "(" | ")" | "{" | "}") {
                tokens.push(Token { text: text.to_owned(), range: token_start..self.at });
            }
        }
        Ok(tokens)
    }

    fn quoted(&mut self, quote: char, start: usize) -> Result<(), TagError> {
        self.at += 1;
        let mut escaped = false;
        self.skip_while(|c| {
            let ends = c == quote && !escaped;
            escaped = c == '\\' && !escaped;
            !ends
        });
        if self.rest().is_empty() {
            return Err(self.unclosed(start, "a text in this tag", &quote.to_string()));
        }
        self.at += 1;
        Ok(())
    }

    /// A path, name or number; `[…]` is one step of it, whatever stands inside.
    fn word(&mut self, start: usize) -> Result<(), TagError> {
        loop {
            self.skip_while(|c| {
                !c.is_whitespace() && !matches!(c, '(' | ')' | '{' | '}' | '|' | '=' | '"' | '\'' | '~' | ',' | '[')
            });
            if self.peek() != Some('[') {
                return Ok(());
            }
            let mut depth = 0_usize;
            self.skip_while(|c| {
                depth = depth + usize::from(c == '[') - usize::from(c == ']' && depth > 0);
                depth > 0
            });
            if self.rest().is_empty() {
                return Err(self.unclosed(start, "a `[` in this tag", "]"));
            }
            self.at += 1;
        }
    }

    fn unclosed(&self, start: usize, what: &str, end: &str) -> TagError {
        let line_end =
            self.source.get(start..).and_then(|rest| rest.find('\n')).map_or(self.source.len(), |n| start + n);
        TagError {
            range: start..line_end.min(self.at.max(start + 2)),
            message: format!("{what} is not closed"),
            hint: Some(format!("`{end}` is missing; to write the braces themselves, put `\\` before them")),
        }
    }

    fn too_deep(&self, range: Range<usize>) -> TagError {
        TagError { range, message: format!("nested more than {DEPTH_MAX} levels deep"), hint: None }
    }
}

/// Every block is closed by its own name.
fn check_nesting(tags: &[Tag]) -> Result<(), TagError> {
    // The opening tag of every block that is open, and how many `else if` stand in it: each nests.
    let mut open: Vec<(&Tag, usize)> = Vec::new();
    for tag in tags {
        let error = |message: String, hint: Option<String>| TagError { range: tag.range.clone(), message, hint };
        let name = |tag: &Tag| tag.tokens.first().map(|token| token.text.clone()).unwrap_or_default();
        match tag.kind {
            TagKind::Inline => {}
            TagKind::Open => open.push((tag, 0)),
            TagKind::Else | TagKind::ElseChain => {
                let Some((_, chained)) = open.last_mut() else {
                    return Err(error("an `else` without a block".to_owned(), None));
                };
                *chained += usize::from(tag.kind == TagKind::ElseChain);
            }
            TagKind::Close => match open.pop() {
                None => return Err(error(format!("`{}` closes a block that is not open", name(tag)), None)),
                Some((opening, _)) if !name(tag).is_empty() && name(opening) != name(tag) => {
                    let message = format!("`{}` is closed as `{}`", name(opening), name(tag));
                    return Err(error(message, Some(format!("write `{{{{/{}}}}}`", name(opening)))));
                }
                Some(_) => {}
            },
        }
        let depth: usize = open.iter().map(|(_, chained)| 1 + chained).sum();
        if depth > DEPTH_MAX {
            return Err(error(format!("blocks nest more than {DEPTH_MAX} levels deep"), None));
        }
    }
    open.pop().map_or(Ok(()), |(tag, _)| {
        let name = tag.tokens.first().map(|token| token.text.clone()).unwrap_or_default();
        Err(TagError {
            range: tag.range.clone(),
            message: format!("the block `{name}` is not closed"),
            hint: Some(format!("write `{{{{/{name}}}}}` where it ends")),
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(source: &str) -> Vec<(TagKind, Vec<String>)> {
        let tags = scan(source).unwrap();
        tags.into_iter().map(|tag| (tag.kind, tag.tokens.into_iter().map(|token| token.text).collect())).collect()
    }

    #[test]
    fn tags_are_found_with_their_words() {
        let check = |source: &str, kind: TagKind, expected: &[&str]| {
            assert_eq!(
                words(source).first(),
                Some(&(kind, expected.iter().map(|&s| s.to_owned()).collect())),
                "{source}"
            );
        };
        check("a {{b.c}} d", TagKind::Inline, &["b.c"]);
        check("{{~ json x indent=2 ~}}", TagKind::Inline, &["json", "x", "indent", "2"]);
        check("{{{x}}}", TagKind::Inline, &["x"]);
        check("{{h {\"a\": {\"b\": 1}} }}", TagKind::Inline, &["h", "\"a\"", ":", "\"b\"", ":", "1"]);
        check("{{h \"}}\" '\\'' (g [1, 2])}}", TagKind::Inline, &["h", "\"}}\"", "'\\''", "g", "[1, 2]"]);
        check("{{a.[b }} c].d}}", TagKind::Inline, &["a.[b }} c].d"]);
        check("{{#each x as |y z|}}{{/each}}", TagKind::Open, &["each", "x", "as", "y", "z"]);
        check("{{!-- {{x}} --}}{{! y }}{{z}}", TagKind::Inline, &["z"]);
        check("\\{{x}} \\\\{{y}}", TagKind::Inline, &["y"]);
        check("{{{{raw}}}} {{x}} {{{{/raw}}}}", TagKind::Open, &["raw"]);
    }

    #[test]
    fn what_is_not_closed_is_told() {
        let check = |source: &str, at: usize, message: &str| {
            let error = scan(source).unwrap_err();
            assert_eq!((error.range.start, error.message.as_str()), (at, message), "{source}");
        };
        check("a {{b", 2, "this tag is not closed");
        check("a {{b {{c}}", 2, "this tag is not closed");
        check("{{#if a}}x", 0, "the block `if` is not closed");
        check("{{#if a}}{{/each}}", 9, "`if` is closed as `each`");
        check("{{/if}}", 0, "`if` closes a block that is not open");
        check("{{else}}", 0, "an `else` without a block");
        check("{{!-- x }", 0, "this comment is not closed");
        check(&"{{#if a}}".repeat(60), 48 * 9, "blocks nest more than 48 levels deep");
        check(&format!("{{{{a {}", "(".repeat(60)), 0, "nested more than 48 levels deep");
    }
}
