//! `bowline env`.

pub(crate) mod list;
pub(crate) mod log;
