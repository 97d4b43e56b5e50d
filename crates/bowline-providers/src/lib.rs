//! One pure file per provider: neutral to wire and back; the price table.

pub mod conformance;
pub mod price;
