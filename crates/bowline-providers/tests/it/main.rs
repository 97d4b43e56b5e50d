//! Integration tests of the providers and the price table.

mod prices;
mod traffic;
