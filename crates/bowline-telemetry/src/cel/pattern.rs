use regex_automata::Input;
use regex_automata::dfa::{Automaton, StartKind, dense};
use regex_automata::nfa::thompson::{self, WhichCaptures};

/// The longest pattern, in bytes.
const PATTERN_BYTES_MAX: usize = 512;

/// The most memory of one automaton, and of its construction.
const AUTOMATON_BYTES_MAX: usize = 1 << 20;

/// A regular expression as a whole DFA: one step per byte of text, whatever the pattern and the text are.
///
/// A backtracking engine, or one that builds its automaton while it runs, has texts on which a byte costs a thousand times more.
pub(super) struct Pattern(dense::DFA<Vec<u32>>);

// === impl Pattern ===

impl Pattern {
    pub(super) fn compile(pattern: &str) -> Result<Self, String> {
        if pattern.len() > PATTERN_BYTES_MAX {
            return Err(format!("a pattern is longer than {PATTERN_BYTES_MAX} bytes"));
        }
        let config = dense::Config::new()
            .start_kind(StartKind::Unanchored)
            .dfa_size_limit(Some(AUTOMATON_BYTES_MAX))
            .determinize_size_limit(Some(AUTOMATON_BYTES_MAX));
        let nfa = thompson::Config::new().nfa_size_limit(Some(AUTOMATON_BYTES_MAX)).which_captures(WhichCaptures::None);
        dense::Builder::new().configure(config).thompson(nfa).build(pattern).map(Self).map_err(|error| {
            let hint = if pattern.contains(r"\b") { r"; write `(?-u:\b)` for a word boundary" } else { "" };
            format!("pattern `{pattern}` is refused: {}{hint}", bowline_types::chain(&error))
        })
    }

    /// Returns whether the pattern occurs in the text; `None` where the automaton gives up.
    pub(super) fn matches(&self, text: &str) -> Option<bool> {
        let input = Input::new(text).earliest(true);
        self.0.try_search_fwd(&input).ok().map(|found| found.is_some())
    }
}
