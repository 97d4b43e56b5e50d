//! Runs suites: calls through the gateway's own code, with a cache, lanes, a budget, and a journal on disk.

mod answer;
mod budget;
mod cache;
mod caller;
mod grading;
mod journal;
mod lane;
mod models;
mod plan;
mod progress;
mod request;
mod results;
mod runner;
mod session;
mod targets;
mod world;

pub(crate) use caller::Effort;
pub(crate) use plan::Plan;
pub(crate) use results::{About, Results};
pub(crate) use runner::{Ran, Stopped};
pub(crate) use session::Session;
pub(crate) use targets::{Live, prompts};
