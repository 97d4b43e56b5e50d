//! Plots as inline SVG: the course of the e-values, and the success rates with their intervals.
//!
//! Lines and marks differ in form as well as in colour, and each plot says in words what it shows.

mod evidence;
mod rates;
mod scale;

pub(super) use evidence::evidence;
pub(super) use rates::rates;
