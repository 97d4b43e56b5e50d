//! The run itself: workers that take one call after the other, grade the answer and hand the result to the journal.

use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context;
use bowline_eval::Grade;
use bowline_types::Usd;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::answer::Called;
use super::caller::{Caller, Halt};
use super::grading::{Grader, Judged, Question};
use super::journal::{self, Journal, Written};
use super::plan::{Job, Plan, Target};
use super::progress::Progress;
use crate::failure::{Failure, Result};

/// What a run came to.
pub(crate) struct Ran {
    /// The results.
    pub(crate) journal: Journal,
    /// Why it ended before all was called; `None` where all was.
    pub(crate) stopped: Option<Stopped>,
}

/// Why a run ended before all was called.
#[derive(Debug)]
pub(crate) enum Stopped {
    /// The next call could cost more than is left of the budget.
    Budget,
    /// Somebody asked for it.
    Interrupted,
    /// It is of no use to go on.
    Failed(Failure),
}

/// The result of one call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Outcome {
    /// What was answered.
    pub(crate) called: Called,
    /// Whether the answer is one of an earlier run.
    pub(crate) cached: bool,
    /// Whether a simulator judged it.
    #[serde(default)]
    pub(crate) judge_simulated: bool,
    /// What judges cost that were not in the cache.
    #[serde(default)]
    pub(crate) judge_cost_usd: Usd,
    /// What the assertions found.
    pub(crate) grade: Grade,
}

// === impl Outcome ===

impl Outcome {
    /// Returns what the answer cost in this run: nothing where it was cached, `None` where the model has no price.
    pub(crate) fn answer_cost_usd(&self) -> Option<Usd> {
        if self.cached { Some(Usd::ZERO) } else { self.called.subject.cost_usd.as_deref()?.parse().ok() }
    }

    /// Returns what the answer and its judges cost in this run; what has no price counts as nothing.
    pub(crate) fn cost_usd(&self) -> Usd {
        let mut cost = self.judge_cost_usd;
        cost += self.answer_cost_usd().unwrap_or_default();
        cost
    }
}

/// What the workers share.
pub(crate) struct Run {
    /// What is called.
    pub(crate) plan: Arc<Plan>,
    /// Makes the calls.
    pub(crate) caller: Arc<Caller>,
    /// Grades the answers.
    pub(crate) grader: Grader,
    /// How far it is.
    pub(crate) progress: Progress,
    /// Ends it.
    pub(crate) stop: CancellationToken,
    stopped: Mutex<Option<Stopped>>,
}

// === impl Run ===

impl Run {
    /// Returns a run that has not begun.
    pub(crate) fn new(
        plan: Arc<Plan>,
        caller: Arc<Caller>,
        grader: Grader,
        progress: Progress,
        stop: CancellationToken,
    ) -> Self {
        Self { plan, caller, grader, progress, stop, stopped: Mutex::new(None) }
    }

    /// Calls everything that `journal` has no result of, at most `workers` at once.
    ///
    /// # Errors
    /// The disk does not take the results, or a task of ours broke.
    pub(crate) async fn work(self, journal: Journal, workers: usize) -> Result<Ran> {
        let run = Arc::new(self);
        let left: Vec<bool> = (0..run.plan.cells).map(|cell| !journal.has(cell)).collect();
        let (sender, receiver) = journal::queue();
        let tasks = TaskTracker::new();
        let writer = tasks.spawn_blocking(move || journal.write_all(receiver));
        // Taken in turns: what is compared is called at about the same time.
        let jobs = Jobs { run: Arc::clone(&run), left };
        let jobs = Arc::new(Mutex::new(jobs.into_iter()));
        for _ in 0..workers.clamp(1, run.plan.calls.max(1)) {
            let (run, jobs, sender) = (Arc::clone(&run), Arc::clone(&jobs), sender.clone());
            tasks.spawn(async move { run.worker(&jobs, &sender).await });
        }
        drop(sender);
        let caller = Arc::clone(&run.caller);
        let told = run.progress.tell(|| caller.spent());
        let written = tokio::select! {
            written = writer => written,
            () = told => return Err(Failure::internal(anyhow::anyhow!("the progress of the run ended before it"))),
        };
        run.progress.clear();
        tasks.close();
        let journal = written.context("the journal broke")??;
        tasks.wait().await;
        let stopped = run.stopped.lock().unwrap_or_else(PoisonError::into_inner).take();
        let interrupted = (journal.done() < run.plan.calls).then_some(Stopped::Interrupted);
        Ok(Ran { journal, stopped: stopped.or(interrupted) })
    }

    async fn worker(&self, jobs: &Mutex<impl Iterator<Item = Job>>, results: &mpsc::Sender<Written>) {
        loop {
            if self.stop.is_cancelled() {
                return;
            }
            let job = jobs.lock().unwrap_or_else(PoisonError::into_inner).next();
            let Some(job) = job else { return };
            let outcome = tokio::select! {
                // A call in flight is given up: `--resume` makes it again.
                () = self.stop.cancelled() => return,
                outcome = self.outcome(job) => outcome,
            };
            let line = match outcome {
                Ok(outcome) => {
                    self.progress.count(outcome.grade.pass, outcome.grade.errored);
                    journal::line(job.cell, &outcome)
                }
                Err(halt) => return self.halt(halt),
            };
            match line {
                Ok(line) => {
                    if results.send((job.cell, line)).await.is_err() {
                        // The journal ended: its own error says why.
                        return self.stop.cancel();
                    }
                }
                Err(failure) => return self.halt(Halt::Broken(failure)),
            }
        }
    }

    async fn outcome(&self, job: Job) -> std::result::Result<Outcome, Halt> {
        let broken = || Halt::Broken(Failure::internal(anyhow::anyhow!("a call of the plan is of no case")));
        let planned = self.plan.suites.get(job.suite).ok_or_else(broken)?;
        let target = planned.targets.get(job.target).ok_or_else(broken)?;
        let case = planned.case(job.position).ok_or_else(broken)?;
        let vars = case.vars.to_map();
        let (called, prompt) = match super::request::of_case(&target.subject, case, &vars) {
            Ok((body, prompt)) => (self.called(target, body, job.repeat).await?, prompt),
            Err(reason) => (Called::unsendable(reason), None),
        };
        let delay = target.delay;
        if !delay.is_zero() && !called.cached {
            tokio::time::sleep(delay).await;
        }
        let question = Question { target, case, vars, prompt, called: &called, repeat: job.repeat };
        let (grade, judged) = self.grader.grade(&self.caller, question).await?;
        let Judged { simulated, cost_usd } = judged;
        let cached = called.cached;
        Ok(Outcome { called, cached, judge_simulated: simulated, judge_cost_usd: cost_usd, grade })
    }

    async fn called(&self, target: &Target, body: Bytes, repeat: u32) -> std::result::Result<Called, Halt> {
        let call = self.caller.call(&target.way, body, repeat);
        let Some(limit) = target.timeout else { return call.await };
        tokio::time::timeout(limit, call).await.unwrap_or_else(|_| {
            let limit = bowline_types::format_duration(limit);
            Ok(Called::unsendable(format!("no answer within {limit}, which the suite allows for a call")))
        })
    }

    /// Ends the run; what ended it first is told.
    fn halt(&self, halt: Halt) {
        let stopped = match halt {
            Halt::Budget => Stopped::Budget,
            Halt::Provider(message) => Stopped::Failed(Failure::user(message)),
            Halt::Broken(failure) => Stopped::Failed(failure),
        };
        self.stopped.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(stopped);
        self.stop.cancel();
    }
}

/// The calls that are left, owned by whoever takes them.
struct Jobs {
    run: Arc<Run>,
    left: Vec<bool>,
}

impl Jobs {
    /// Returns the calls one by one, without a list of them.
    fn into_iter(self) -> impl Iterator<Item = Job> + Send {
        let Self { run, left } = self;
        let suites = run.plan.suites.len();
        (0..suites)
            .flat_map(move |suite| {
                let run = Arc::clone(&run);
                let positions = run.plan.suites.get(suite).map_or(0, |planned| planned.cases.len());
                (0..positions).flat_map(move |position| run.plan.jobs_of(suite, position))
            })
            .filter(move |job| left.get(job.cell).copied().unwrap_or(false))
    }
}
