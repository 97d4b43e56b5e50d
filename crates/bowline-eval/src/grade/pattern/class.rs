//! Classes in brackets.

use super::Translator;

/// One item of a class.
enum Item {
    Character(char),
    /// The inside of a class, and whether it is turned around.
    Set(&'static str, bool),
}

// === impl Translator ===

impl Translator {
    /// Reads a class after its bracket.
    pub(super) fn class(&mut self) -> Result<(), String> {
        let negated = self.eat("^");
        let mut inside = String::new();
        while let Some(item) = self.item()? {
            let range = self.peek() == Some('-') && self.pattern.get(self.at + 1).is_some_and(|next| *next != ']');
            if !range {
                push(&mut inside, &item);
                continue;
            }
            self.at += 1;
            let Some(end) = self.item()? else { break };
            match (&item, &end) {
                (Item::Character(first), Item::Character(last)) if first <= last => {
                    push(&mut inside, &item);
                    inside.push('-');
                    push(&mut inside, &end);
                }
                (Item::Character(first), Item::Character(last)) => {
                    return Err(format!("the range `{first}-{last}` of a class is out of order"));
                }
                // Where a set stands at an end, the hyphen is one.
                _ => {
                    push(&mut inside, &item);
                    push(&mut inside, &Item::Character('-'));
                    push(&mut inside, &end);
                }
            }
        }
        match (inside.is_empty(), negated) {
            (true, false) => self.atom("(?!)"),
            (true, true) => self.atom("(?s:.)"),
            (false, false) => self.atom(&format!("[{inside}]")),
            (false, true) => self.atom(&format!("[^{inside}]")),
        }
        Ok(())
    }

    /// Reads an item; `None` at the end of the class.
    fn item(&mut self) -> Result<Option<Item>, String> {
        Ok(Some(match self.next() {
            None => return Err("a class has no end".to_owned()),
            Some(']') => return Ok(None),
            Some('\\') => match self.set() {
                Some((set, negated)) => Item::Set(set, negated),
                None if self.eat("b") => Item::Character('\u{8}'),
                None => Item::Character(self.character()?),
            },
            Some(other) => Item::Character(other),
        }))
    }
}

fn push(inside: &mut String, item: &Item) {
    match item {
        Item::Character(character) if character.is_ascii_alphanumeric() => inside.push(*character),
        Item::Character(character) => inside.push_str(&format!(r"\x{{{:X}}}", u32::from(*character))),
        Item::Set(set, false) => inside.push_str(set),
        Item::Set(set, true) => inside.push_str(&format!("[^{set}]")),
    }
}
