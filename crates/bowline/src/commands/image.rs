//! `bowline image`.

pub(crate) mod build;
pub(crate) mod inspect;
mod origin;
mod place;
mod program;
mod report;
