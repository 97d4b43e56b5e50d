//! What follows a backslash.

use super::{Last, Translator};

/// `\s`, as the inside of a class.
pub(super) const SPACE: &str =
    r"\t\n\x0B\x0C\r \x{A0}\x{1680}\x{2000}-\x{200A}\x{2028}\x{2029}\x{202F}\x{205F}\x{3000}\x{FEFF}";
pub(super) const DIGIT: &str = "0-9";
pub(super) const WORD: &str = "0-9A-Za-z_";

const BOUNDARY: &str = "(?:(?<=[0-9A-Za-z_])(?![0-9A-Za-z_])|(?<![0-9A-Za-z_])(?=[0-9A-Za-z_]))";
const NO_BOUNDARY: &str = "(?:(?<=[0-9A-Za-z_])(?=[0-9A-Za-z_])|(?<![0-9A-Za-z_])(?![0-9A-Za-z_]))";

// === impl Translator ===

impl Translator {
    pub(super) fn escape(&mut self) -> Result<(), String> {
        let Some(next) = self.peek() else { return Err("`\\` at the end of the pattern".to_owned()) };
        match next {
            'b' | 'B' => {
                self.at += 1;
                self.anchor(if next == 'b' { BOUNDARY } else { NO_BOUNDARY });
            }
            '1'..='9' if self.number().is_some_and(|number| number <= self.groups) => {
                let number = self.number().unwrap_or_default();
                self.at += number.to_string().len();
                self.back_reference(number);
            }
            'k' if !self.names.is_empty() => {
                self.at += 1;
                if !self.eat("<") {
                    return Err("`\\k` is followed by no name of a group".to_owned());
                }
                let name = self.name()?;
                let Some((_, number)) = self.names.iter().find(|(known, _)| *known == name) else {
                    return Err(format!("there is no group `{name}`"));
                };
                self.back_reference(*number);
            }
            _ => match self.set() {
                Some((set, negated)) => {
                    let negation = if negated { "^" } else { "" };
                    self.atom(&format!("[{negation}{set}]"));
                }
                None => {
                    let character = self.character()?;
                    self.literal(character);
                }
            },
        }
        Ok(())
    }

    /// A group that has not matched is empty to JavaScript.
    fn back_reference(&mut self, number: usize) {
        self.out.push_str(&format!(r"(?:(?({number})\{number}|))"));
        self.last = Last::Atom;
    }

    /// Returns the decimal number that follows, without reading it.
    fn number(&self) -> Option<usize> {
        let digits: String = self.pattern.iter().skip(self.at).take_while(|c| c.is_ascii_digit()).collect();
        digits.parse().ok()
    }

    /// Reads the letter of a set of characters, and returns the inside of its class and whether it is turned around.
    pub(super) fn set(&mut self) -> Option<(&'static str, bool)> {
        let found = match self.peek()? {
            'd' => (DIGIT, false),
            'D' => (DIGIT, true),
            'w' => (WORD, false),
            'W' => (WORD, true),
            's' => (SPACE, false),
            'S' => (SPACE, true),
            _ => return None,
        };
        self.at += 1;
        Some(found)
    }

    /// Reads an escape that stands for one character.
    pub(super) fn character(&mut self) -> Result<char, String> {
        let Some(next) = self.next() else { return Err("`\\` at the end of the pattern".to_owned()) };
        Ok(match next {
            't' => '\t',
            'n' => '\n',
            'r' => '\r',
            'v' => '\u{b}',
            'f' => '\u{c}',
            '0'..='7' => self.octal(next),
            'c' => match self.peek().filter(char::is_ascii_alphabetic) {
                Some(letter) => {
                    self.at += 1;
                    char::from(u8::try_from(letter).unwrap_or_default() % 32)
                }
                None => {
                    // The backslash stands for itself, and the letter is read again.
                    self.at -= 1;
                    '\\'
                }
            },
            'x' => self.hexadecimal(2).map_or(Ok('x'), code_point)?,
            'u' => match self.hexadecimal(4) {
                Some(high @ 0xd800..=0xdbff) => {
                    let low = if self.eat("\\u") { self.hexadecimal(4) } else { None };
                    match low.filter(|low| (0xdc00..=0xdfff).contains(low)) {
                        Some(low) => code_point(0x1_0000 + ((high - 0xd800) << 10) + (low - 0xdc00))?,
                        None => code_point(high)?,
                    }
                }
                Some(code) => code_point(code)?,
                None => 'u',
            },
            other => other,
        })
    }

    /// Reads an octal escape of at most three digits and at most 255, whose first digit is read.
    fn octal(&mut self, first: char) -> char {
        let mut code = first.to_digit(8).unwrap_or_default();
        while let Some(digit) = self.peek().and_then(|next| next.to_digit(8)).filter(|digit| code * 8 + digit <= 0o377)
        {
            code = code * 8 + digit;
            self.at += 1;
        }
        char::from_u32(code).unwrap_or_default()
    }

    /// Reads exactly `count` hexadecimal digits, if that is what follows.
    fn hexadecimal(&mut self, count: usize) -> Option<u32> {
        let digits: String = self.pattern.iter().skip(self.at).take(count).collect();
        let all = digits.chars().count() == count && digits.chars().all(|digit| digit.is_ascii_hexdigit());
        let code = u32::from_str_radix(&digits, 16).ok().filter(|_| all)?;
        self.at += count;
        Some(code)
    }
}

fn code_point(code: u32) -> Result<char, String> {
    char::from_u32(code)
        .ok_or_else(|| format!("`\\u{code:04x}` is half of a character; hint: write the character itself"))
}
