//! Storage records and traits, with the contract suite that every implementation passes.
