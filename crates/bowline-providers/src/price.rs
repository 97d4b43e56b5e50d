//! The price table: what a call costs, to the last digit, by provider, model and time.
//!
//! The figures are carried over from a public collection ([`import()`]) into a form of our own, `data/prices.json`, which is compiled
//! in. Beside the figures the table holds, per provider and API flavour, where a response body states its usage ([`Table::usage`]).
//! All arithmetic is decimal; no figure is ever a binary fraction. A model that is not listed, or whose usage does not add up, has
//! an unknown cost, which is never zero.

mod extract;
mod import;
mod meter;
mod model;
mod pattern;
mod rate;
mod table;
mod usage;

pub use extract::{ExtractError, Extracted};
pub use import::{ImportError, import};
pub use meter::Meter;
pub use model::Model;
pub use rate::{Cost, CostError, ModelPrice};
pub use table::{Source, Table};
pub use usage::Usage;

#[cfg(test)]
mod tests;
