//! Runs over corpora of recorded cases; called by tests and by `cargo xtask conformance`.

mod prices;
mod traffic;

pub use prices::prices;
pub use traffic::provider_traffic;
