//! Rust source as far as `tidy` reads it: which lines are code, and which of them are tests.

/// Returns the number of lines that hold code, without blank lines, comments and items under `#[cfg(test)]`.
pub(super) fn code_lines(source: &str) -> usize {
    let masked = mask(source);
    if masked.contains("#![cfg(test)]") {
        return 0;
    }
    without_tests(&masked).lines().filter(|line| !line.trim().is_empty()).count()
}

/// Returns the source without comments and with `_` for everything inside literals; line ends stay.
pub(super) fn mask(source: &str) -> String {
    let mut scanner = Scanner { rest: source, masked: String::with_capacity(source.len()) };
    while scanner.step() {}
    scanner.masked
}

fn without_tests(masked: &str) -> String {
    let mut kept = String::new();
    let mut rest = masked;
    while let Some((before, after)) = rest.split_once("#[cfg(test)]") {
        kept.push_str(before);
        rest = after_item(after);
    }
    kept.push_str(rest);
    kept
}

/// Returns what follows the item at the start of `masked`.
fn after_item(masked: &str) -> &str {
    let mut depth = 0_usize;
    for (index, character) in masked.char_indices() {
        match character {
            '{' | '[' | '(' => depth += 1,
            '}' | ']' | ')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth == 0 && matches!(character, '}' | ';') {
            return masked.get(index + 1..).unwrap_or_default();
        }
    }
    ""
}

struct Scanner<'a> {
    rest: &'a str,
    masked: String,
}

// === impl Scanner ===

impl Scanner<'_> {
    /// Takes one token, or one character where that is enough; false at the end.
    fn step(&mut self) -> bool {
        let Some(first) = self.rest.chars().next() else { return false };
        if self.rest.starts_with("//") {
            self.take_while(|character| character != '\n', Self::blank);
        } else if self.rest.starts_with("/*") {
            self.block_comment();
        } else if first == '"' {
            self.take(1, Self::keep);
            self.literal('"');
        } else if first == '\'' {
            self.quote();
        } else if first.is_alphanumeric() || first == '_' {
            self.word();
        } else {
            self.take(1, Self::keep);
        }
        true
    }

    fn block_comment(&mut self) {
        let mut depth = 0_usize;
        while !self.rest.is_empty() {
            if self.rest.starts_with("/*") {
                depth += 1;
                self.take(2, Self::blank);
            } else if self.rest.starts_with("*/") {
                depth -= 1;
                self.take(2, Self::blank);
                if depth == 0 {
                    return;
                }
            } else {
                self.take(1, Self::blank);
            }
        }
    }

    /// Takes the inside of a literal and the quote that ends it.
    fn literal(&mut self, end: char) {
        while let Some(character) = self.rest.chars().next() {
            if character == end {
                return self.take(1, Self::keep);
            }
            self.take(if character == '\\' { 2 } else { 1 }, Self::hide);
        }
    }

    /// Takes a character literal, or the quote before the name of a lifetime.
    fn quote(&mut self) {
        self.take(1, Self::keep);
        let mut next = self.rest.chars();
        let is_character = next.next() == Some('\\') || next.next() == Some('\'');
        if is_character {
            self.literal('\'');
        }
    }

    /// Takes an identifier or number, and the raw string that it may be the prefix of.
    fn word(&mut self) {
        let length = self.rest.chars().take_while(|character| character.is_alphanumeric() || *character == '_').count();
        let is_raw = ["r", "br", "cr"].iter().any(|prefix| {
            self.rest.strip_prefix(prefix).is_some_and(|after| after.trim_start_matches('#').starts_with('"'))
        });
        self.take(length, Self::keep);
        if !is_raw {
            return;
        }
        let hashes = self.rest.chars().take_while(|character| *character == '#').count();
        self.take(hashes + 1, Self::keep);
        let end = format!("\"{}", "#".repeat(hashes));
        while !self.rest.is_empty() && !self.rest.starts_with(&end) {
            self.take(1, Self::hide);
        }
        self.take(end.len(), Self::keep);
    }

    fn take(&mut self, count: usize, write: fn(char) -> char) {
        let mut characters = self.rest.chars();
        self.masked.extend(characters.by_ref().take(count).map(write));
        self.rest = characters.as_str();
    }

    fn take_while(&mut self, wanted: impl Fn(char) -> bool, write: fn(char) -> char) {
        let count = self.rest.chars().take_while(|character| wanted(*character)).count();
        self.take(count, write);
    }

    const fn keep(character: char) -> char {
        character
    }

    const fn hide(character: char) -> char {
        if character == '\n' { '\n' } else { '_' }
    }

    const fn blank(character: char) -> char {
        if character == '\n' { '\n' } else { ' ' }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_literals_are_masked() {
        let check = |source: &str, expected: &str| assert_eq!(mask(source), expected, "{source}");
        check("a // b\nc", "a     \nc");
        check("a /* b /* c\n */ */ d", &format!("a{}\n{}d", " ".repeat(10), " ".repeat(7)));
        check(r#""a // \" {" b"#, r#""_________" b"#);
        check("'{' '\\'' b'}' 'a x::<'b>", "'_' '__' b'_' 'a x::<'b>");
        check("r\"\\\" {", "r\"_\" {");
        check("br#\"a\"\n}\"# for r#type", "br#\"__\n_\"# for r#type");
        check("\"open", "\"____");
    }

    #[test]
    fn lines_of_code_are_counted() {
        let check = |source: &str, expected| assert_eq!(code_lines(source), expected, "{source}");
        check("", 0);
        check("//! Words.\n\n/// More.\nfn a() {\n    // why\n    b();\n}\n", 3);
        check("const A: &str = \"\n// not a comment\n\n\";\n", 3);
        check("fn a() {}\n#[cfg(test)]\nmod tests;\nfn b() {}\n", 2);
        check("fn a() {}\n#[cfg(test)]\nmod tests {\n    const B: &str = \"}\";\n    fn c() { }\n}\nfn b() {}\n", 2);
        check("#[cfg(test)]\n#[expect(dead_code, reason = \"[{\")]\nfn a(b: [u8; 3]) -> u8 {\n    b[0]\n}\n", 0);
        check("#![cfg(test)]\nfn a() {}\n", 0);
    }
}
