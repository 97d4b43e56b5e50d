use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use bowline_sim::{Calls, Case, Feedback, Limit, Load, PromptCalls};
use bowline_types::Secret;
use tokio_util::sync::CancellationToken;

use super::repository::{PROMPT, TICKETS};
use crate::failure::{Failure, Result};

/// Calls at once.
const CONCURRENCY: NonZeroUsize = NonZeroUsize::new(8).expect("8 is not 0");
/// Calls per second: slow enough to watch a rollout, fast enough for a story of a minute.
const RATE: f64 = 120.0;
/// How long a call may take.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The users of the story: each sends one ticket and says whether it was sorted rightly.
pub(super) struct Traffic {
    gateway: String,
    key: String,
    seed: u64,
    cases: Arc<[Case]>,
}

// === impl Traffic ===

impl Traffic {
    /// Returns the users of one course of the story.
    pub(super) fn new(gateway: &str, key: &str, seed: u64) -> Result<Self> {
        let cases = Case::read_all(TICKETS).context("the tickets of the example cannot be read")?;
        Ok(Self { gateway: format!("http://{gateway}"), key: key.to_owned(), seed, cases: cases.into() })
    }

    /// Makes a number of calls.
    pub(super) async fn calls(&mut self, count: u64) -> Result<()> {
        self.run(Limit { calls: Some(count), duration: None }, None, CancellationToken::new()).await
    }

    /// Makes calls until told to stop.
    pub(super) async fn until(&mut self, stop: &CancellationToken) -> Result<()> {
        self.run(Limit::default(), Some(RATE), stop.clone()).await
    }

    async fn run(&mut self, limit: Limit, rate: Option<f64>, stop: CancellationToken) -> Result<()> {
        // Every act has users of its own.
        self.seed = self.seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(1);
        let calls = PromptCalls {
            model: format!("prompt:{PROMPT}"),
            variable: "ticket".to_owned(),
            cases: Arc::clone(&self.cases),
            stream: false,
            fields: vec!["category".to_owned()],
            feedback: Some(Feedback { name: "correct".to_owned() }),
        };
        let load = Load {
            gateway: self.gateway.clone(),
            key: Some(Secret::new(self.key.clone())),
            calls: Calls::Prompt(calls),
            concurrency: CONCURRENCY,
            rate,
            limit,
            seed: self.seed,
            timeout: TIMEOUT,
        };
        let report = load.run(stop, |_| {}).await.context("the traffic of the story could not be sent")?;
        if report.sent == report.ok && report.feedback_errors.is_empty() {
            return Ok(());
        }
        Err(Failure::user(format!("some calls of the story failed: {:?} {:?}", report.errors, report.feedback_errors)))
    }
}
