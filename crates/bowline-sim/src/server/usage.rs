use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use bowline_chat::{Message, Request};

use crate::tokens;

/// The most texts whose counts are kept.
const TEXTS_MAX: usize = 256;
/// The longest text whose count is kept, in bytes.
const TEXT_BYTES_MAX: usize = 64 * 1024;
/// What a message costs beside its text, as in OpenAI's cookbook; the start of the answer costs as much.
const MESSAGE_TOKENS: u64 = 3;

/// Counts the tokens of prompts, and knows those of the instructions that it saw last: they are the long part of most calls, and
/// counting them again each time would be most of the simulator's work.
pub(super) struct Counter {
    known: Mutex<HashMap<Box<str>, u64>>,
}

// === impl Counter ===

impl Counter {
    /// Returns a counter that is ready: reading its vocabulary takes 0.1 s.
    pub(super) fn new() -> Self {
        tokens::count("ready");
        Self { known: Mutex::default() }
    }

    /// Returns the tokens of a request.
    pub(super) fn input(&self, request: &Request) -> u64 {
        let of = |message: &Message| {
            let text = message.plain_text();
            let tokens = if message.role.is_instruction() { self.instructions(&text) } else { tokens::count(&text) };
            tokens.saturating_add(MESSAGE_TOKENS)
        };
        request.messages.iter().map(of).fold(MESSAGE_TOKENS, u64::saturating_add)
    }

    fn instructions(&self, text: &str) -> u64 {
        if text.len() > TEXT_BYTES_MAX {
            return tokens::count(text);
        }
        if let Some(tokens) = self.known.lock().unwrap_or_else(PoisonError::into_inner).get(text) {
            return *tokens;
        }
        let tokens = tokens::count(text);
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= TEXTS_MAX {
            known.clear();
        }
        known.insert(text.into(), tokens);
        tokens
    }
}

#[cfg(test)]
mod tests {
    use bowline_chat::Role;

    use super::*;

    #[test]
    fn known_texts_are_bounded_and_count_the_same() {
        let counter = Counter::new();
        let request = |text: &str| Request {
            messages: vec![Message::text(Role::System, text), Message::text(Role::User, "tiktoken is great!")],
            ..Request::default()
        };
        // 7 for the system text, 6 for the user's, 3 for each of two messages, 3 for the answer.
        for _ in 0..2 {
            assert_eq!(counter.input(&request("2 + 2 = 4")), 22);
        }
        for number in 0..TEXTS_MAX * 2 {
            counter.input(&request(&number.to_string()));
        }
        assert!(counter.known.lock().unwrap().len() <= TEXTS_MAX);
        assert_eq!(
            counter.input(&request(&"a ".repeat(TEXT_BYTES_MAX))),
            counter.input(&request(&"a ".repeat(TEXT_BYTES_MAX)))
        );
        assert!(counter.known.lock().unwrap().keys().all(|text| text.len() <= TEXT_BYTES_MAX));
    }
}
