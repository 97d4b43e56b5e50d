//! Runs over corpora of recorded cases; called by tests and by `cargo xtask conformance`.

mod prices;

pub use prices::prices;
