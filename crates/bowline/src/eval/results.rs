//! From the journal of a run to its report. Results are read back one at a time, in the order of the suites.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use bowline_eval::{
    CaseResult, GateReport, ModelEntry, Policy, Reason, Report, Side, SuiteReport, Tally, Totals, VersionEntry,
    flip_reason, gate,
};
use bowline_store::Provenance;
use bowline_types::{Clock as _, Digest, EnvironmentName, PromptName, SystemClock};

use super::journal::Journal;
use super::plan::{Plan, PlannedSuite, Target, TargetSubject};
use super::runner::Outcome;
use super::session::Session;
use crate::failure::{Failure, Result};

/// The results of a run that came to its end.
pub(crate) struct Results<'a> {
    session: &'a Session<'a>,
    journal: &'a Journal,
    /// Why a result could not be read back; an iterator of results ends there.
    broken: RefCell<Option<Failure>>,
}

/// What is known of a run beside its results.
pub(crate) struct About {
    /// The environment whose gate this is; `None` where it is none.
    pub(crate) environment: Option<EnvironmentName>,
    /// The commit of the working tree, and whether files differed from it when the run began.
    pub(crate) provenance: Provenance,
    /// What the gate decides by.
    pub(crate) policy: Policy,
    /// Whether the gate is that of an environment with real providers, for which simulated answers are no evidence.
    pub(crate) is_real: bool,
}

/// Sums over the calls of a run.
#[derive(Default)]
struct Sums {
    totals: Totals,
    simulated: bool,
}

// === impl Results ===

impl<'a> Results<'a> {
    /// Returns the results in a journal.
    pub(crate) const fn new(session: &'a Session<'a>, journal: &'a Journal) -> Self {
        Self { session, journal, broken: RefCell::new(None) }
    }

    /// Returns the report without its cases.
    ///
    /// # Errors
    /// A result cannot be read back.
    pub(crate) fn report(&self, about: About) -> Result<Report> {
        let mut sums = Sums::default();
        let mut suites = Vec::new();
        for (number, planned) in self.plan().suites.iter().enumerate() {
            for (place, target) in planned.candidates() {
                let judged = self.judged(planned, number, place, &about.policy, &mut sums)?;
                suites.push(SuiteReport {
                    name: planned.suite.file.clone(),
                    description: planned.suite.description.clone(),
                    prompt: target.prompt().to_owned(),
                    model: target.model.clone(),
                    digest: planned.suite.digest,
                    datasets: planned.suite.datasets.clone(),
                    gate: judged,
                });
            }
        }
        if about.is_real && sums.simulated {
            suites.iter_mut().for_each(|suite| suite.gate.verdict.refuse(Reason::Simulated));
        }
        let gate = about.environment.is_some();
        Ok(Report {
            schema_version: Report::SCHEMA_VERSION,
            bowline: env!("CARGO_PKG_VERSION").to_owned(),
            project: self.session.project_name().to_string(),
            environment: about.environment,
            gate,
            commit: about.provenance.commit,
            dirty: about.provenance.dirty,
            started_at: self.journal.head().started_at,
            finished_at: SystemClock.now(),
            versions: versions(self.plan()),
            models: self.models(),
            simulated: sums.simulated,
            partial: self.session.is_partial(),
            totals: sums.totals,
            suites,
        })
    }

    /// Judges one candidate on one suite.
    fn judged(
        &self,
        planned: &PlannedSuite,
        suite: usize,
        candidate: usize,
        policy: &Policy,
        sums: &mut Sums,
    ) -> Result<GateReport> {
        let stable = planned.baseline_of(candidate);
        let mut of_candidate = Tally::with_capacity(planned.cases.len());
        let mut of_stable = Tally::with_capacity(stable.map_or(0, |_| planned.cases.len()));
        for position in 0..planned.cases.len() {
            let Some(case) = planned.case(position) else { continue };
            for job in self.plan().jobs_of(suite, position) {
                let tally = match job.target {
                    target if target == candidate => &mut of_candidate,
                    target if Some(target) == stable => &mut of_stable,
                    _ => continue,
                };
                let Some(outcome) = self.journal.read::<Outcome>(job.cell)? else { continue };
                sums.add(&outcome);
                tally.push(case.id, case.rules.must_pass, &outcome.called.subject, &outcome.grade);
            }
        }
        let stable = stable.map(|_| of_stable);
        let cases = (0..planned.cases.len()).filter_map(|position| planned.case(position));
        let explained = cases.filter_map(|case| Some((case.id, flip_reason(&case.rules.metadata)?.to_owned())));
        let report = gate(of_candidate, stable, &planned.suite.thresholds, &explained.collect(), policy);
        Ok(report.map_err(anyhow::Error::from)?)
    }

    /// Returns the results case by case; where one cannot be read back they end, and [`Results::check`] says why.
    pub(crate) fn cases(&self) -> impl Iterator<Item = CaseResult> + '_ {
        let suites = self.plan().suites.iter().enumerate();
        let of_suite = move |(suite, planned): (usize, &'a PlannedSuite)| {
            planned.candidates().flat_map(move |(candidate, target)| {
                (0..planned.cases.len()).flat_map(move |position| {
                    let jobs = self.plan().jobs_of(suite, position);
                    let jobs = jobs.into_iter().filter(move |job| job.target == candidate);
                    jobs.map_while(move |job| self.told(planned, target, position, job.repeat, candidate))
                })
            })
        };
        suites.flat_map(of_suite)
    }

    /// Reports what ended an iterator of results early.
    ///
    /// # Errors
    /// A result could not be read back.
    pub(crate) fn check(&self) -> Result<()> {
        self.broken.borrow_mut().take().map_or(Ok(()), Err)
    }

    fn told(
        &self,
        planned: &PlannedSuite,
        target: &Target,
        position: usize,
        repeat: u32,
        candidate: usize,
    ) -> Option<CaseResult> {
        let case = planned.case(position)?;
        let stable =
            planned.baseline_of(candidate).and_then(|stable| self.side(planned.cell(stable, position, repeat)));
        Some(CaseResult {
            suite: planned.suite.file.clone(),
            prompt: target.prompt().to_owned(),
            model: target.model.clone(),
            case: case.id.to_string(),
            description: case.description.as_deref().map(str::to_owned),
            must_pass: case.rules.must_pass,
            repeat,
            vars: case.vars.to_map(),
            candidate: self.side(planned.cell(candidate, position, repeat))?,
            stable,
        })
    }

    fn side(&self, cell: usize) -> Option<Side> {
        if self.broken.borrow().is_some() {
            return None;
        }
        match self.journal.read::<Outcome>(cell) {
            Ok(outcome) => {
                outcome.map(|Outcome { called, grade, cached, .. }| Side { subject: called.subject, grade, cached })
            }
            Err(failure) => {
                *self.broken.borrow_mut() = Some(failure);
                None
            }
        }
    }

    fn plan(&self) -> &'a Plan {
        &self.session.plan
    }

    fn models(&self) -> Vec<ModelEntry> {
        let entry = |(name, (kind, model), judge): (&str, &(String, String), bool)| ModelEntry {
            name: name.to_owned(),
            identity: format!("{kind}/{model}"),
            judge,
        };
        let targets = self.plan().suites.iter().flat_map(|planned| &planned.targets);
        let answer = targets.map(|target| (target.model.as_str(), &target.priced_as, false));
        let judge = self.session.judges().map(|(name, judge)| (name, &judge.priced_as, true));
        let mut seen = BTreeSet::new();
        answer.chain(judge).filter(|(name, _, judge)| seen.insert((name.to_string(), *judge))).map(entry).collect()
    }
}

fn versions(plan: &Plan) -> Vec<VersionEntry> {
    let digest = |target: &Target| match &target.subject {
        TargetSubject::Version { name, digest, .. } => Some((name.clone(), *digest)),
        TargetSubject::Inline { .. } => None,
    };
    let mut found: BTreeMap<PromptName, (Digest, Option<Digest>)> = BTreeMap::new();
    for planned in &plan.suites {
        for (place, target) in planned.candidates() {
            let Some((name, candidate)) = digest(target) else { continue };
            let stable = planned.baseline_of(place).and_then(|stable| planned.targets.get(stable)).and_then(digest);
            found.insert(name, (candidate, stable.map(|(_, digest)| digest)));
        }
    }
    found.into_iter().map(|(prompt, (candidate, stable))| VersionEntry { prompt, candidate, stable }).collect()
}

// === impl Sums ===

impl Sums {
    fn add(&mut self, outcome: &Outcome) {
        let (called, totals) = (&outcome.called, &mut self.totals);
        totals.calls += 1;
        totals.cached += u64::from(outcome.cached);
        totals.cost_usd += outcome.cost_usd();
        totals.costs_unknown += u64::from(outcome.answer_cost_usd().is_none() && called.subject.error.is_none());
        totals.input_tokens += called.tokens_in.unwrap_or(0);
        totals.output_tokens += called.tokens_out.unwrap_or(0);
        self.simulated |= called.simulated || outcome.judge_simulated;
    }
}
