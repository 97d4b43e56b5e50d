//! What a run over a corpus of recorded cases found; printed by `cargo xtask conformance` and asserted by tests.

use std::collections::BTreeMap;

/// The result of one corpus.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// The folder of the corpus.
    pub corpus: String,
    /// One group per dialect, file or other part.
    pub groups: Vec<Group>,
}

/// The result of one part of a corpus.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Group {
    /// The part.
    pub name: String,
    /// Cases that came out as the corpus says.
    pub passed: u64,
    /// Cases that are out of scope, counted by reason.
    pub refused: BTreeMap<String, u64>,
    /// Cases that came out wrong: which, and how.
    pub failed: Vec<String>,
}

// === impl Report ===

impl Report {
    /// Returns the number of cases that came out wrong.
    #[must_use]
    pub fn failed(&self) -> usize {
        self.groups.iter().map(|group| group.failed.len()).sum()
    }

    /// Returns the number of cases that came out as the corpus says.
    #[must_use]
    pub fn passed(&self) -> u64 {
        self.groups.iter().map(|group| group.passed).sum()
    }
}

// === impl Group ===

impl Group {
    /// Returns an empty group.
    #[must_use]
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), ..Self::default() }
    }

    /// Counts a case that is out of scope.
    pub fn refuse(&mut self, reason: impl Into<String>) {
        *self.refused.entry(reason.into()).or_default() += 1;
    }
}
