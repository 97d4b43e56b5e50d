//! A run from its suites to its results.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use bowline_eval::Suite;
use bowline_prompt::Project;
use bowline_providers::price::Table;
use bowline_types::{Clock as _, EnvironmentName, ProjectName, PromptName, ProviderName, SystemClock, Usd};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::budget::Budget;
use super::cache::Cache;
use super::caller::{Caller, Effort, Way};
use super::grading::{self, Grader, Judge, JudgeName};
use super::journal::{Head, Journal};
use super::lane::Lane;
use super::models::Models;
use super::plan::{Plan, Target, TargetSubject};
use super::progress::Progress;
use super::runner::{Outcome, Ran, Run};
use super::targets::{self, Live};
use super::world::World;
use crate::cli::Test;
use crate::failure::{Failure, Result};
use crate::project::Loaded;
use crate::up::signals;

/// A run that is ready to begin.
pub(crate) struct Session<'a> {
    loaded: &'a Loaded,
    environment: &'a EnvironmentName,
    options: &'a Test,
    live: &'a Live,
    /// The project with an alias for each model that a suite names.
    project: Project,
    /// What is called.
    pub(crate) plan: Arc<Plan>,
    judges: BTreeMap<JudgeName, Judge>,
    prompts: BTreeMap<PromptName, Judge>,
}

// === impl Session ===

impl<'a> Session<'a> {
    /// Prepares a run: every prompt, model and judge is found before the first call is paid for.
    ///
    /// # Errors
    /// One is not there, no case is left to be called, or the budget cannot be held.
    pub(crate) fn new(
        loaded: &'a Loaded,
        environment: &'a EnvironmentName,
        options: &'a Test,
        live: &'a Live,
        suites: Vec<Suite>,
    ) -> Result<Self> {
        let mut models = Models::new(loaded.project()?, environment);
        let (names, asked_prompts) = grading::asked(suites.iter().flat_map(|suite| &suite.cases));
        let mut planned = Vec::new();
        for suite in suites {
            let targets = targets::of_suite(&suite, loaded, &mut models, live)?;
            planned.push((suite, targets));
        }
        let repeat = options.repeat.map(std::num::NonZero::get);
        let plan = Plan::new(planned, repeat, options.filter.as_deref());
        if plan.calls == 0 {
            return Err(nothing(options));
        }
        let judges = names.into_iter().map(|name| judge(&mut models, &name).map(|judge| (name, judge)));
        let judges = judges.collect::<Result<BTreeMap<_, _>>>()?;
        let prompts = asked_prompts.into_iter().map(|name| {
            let target = targets::of_prompt(&name, loaded, &models)?;
            Ok((name, Judge { subject: target.subject, way: target.way, priced_as: target.priced_as }))
        });
        let prompts = prompts.collect::<Result<BTreeMap<_, _>>>()?;
        let session =
            Self { loaded, environment, options, live, project: models.project, plan: Arc::new(plan), judges, prompts };
        session.check_budget()?;
        Ok(session)
    }

    /// Refuses a budget where a call has no known price.
    fn check_budget(&self) -> Result<()> {
        if self.options.budget.is_none() {
            return Ok(());
        }
        let judges = self.judges.values().chain(self.prompts.values()).map(|judge| &judge.priced_as);
        let mut models = self.targets().map(|target| &target.priced_as).chain(judges);
        match models.find(|(kind, model)| Table::embedded().model(kind, model).is_none()) {
            None => Ok(()),
            Some((kind, model)) => {
                let hint = "hint: leave `--budget` out, or limit the run with `--filter`";
                Err(Failure::user(format!("a budget cannot be held, as {kind}/{model} has no known price\n{hint}")))
            }
        }
    }

    /// Returns the name of the project.
    pub(crate) const fn project_name(&self) -> &ProjectName {
        &self.project.name
    }

    /// Returns whether cases are left out.
    pub(crate) const fn is_partial(&self) -> bool {
        self.options.filter.is_some()
    }

    /// Returns who can be asked to judge, by name.
    pub(crate) fn judges(&self) -> impl Iterator<Item = (&str, &Judge)> {
        let models = self.judges.iter().map(|(name, judge)| (name.id.as_str(), judge));
        models.chain(self.prompts.iter().map(|(name, judge)| (name.as_str(), judge)))
    }

    fn targets(&self) -> impl Iterator<Item = &Target> {
        self.plan.suites.iter().flat_map(|suite| &suite.targets)
    }

    /// Calls and grades everything that has no result yet.
    ///
    /// # Errors
    /// There is nothing to resume, another run is in the way, or the machine fails.
    pub(crate) async fn run(&self, workspace: &Path) -> Result<(Ran, Effort)> {
        let folder = workspace.join("eval");
        let head = self.head();
        let journal = if self.options.resume {
            Journal::resume(&folder, &head, self.plan.cells)?
        } else {
            Journal::begin(&folder, head, self.plan.cells)?
        };
        // Whoever brings the checkout brings what is in its cache.
        let is_fresh = self.options.no_cache || self.options.is_attested();
        let cache = if is_fresh { None } else { Some(Cache::open(&workspace.join("cache/eval"))?) };
        let world = World::start(&self.project, self.environment, self.versions())?;
        let concurrency = self.concurrency();
        let judges = self.judges.values().chain(self.prompts.values()).map(|judge| &judge.way);
        let ways = self.targets().map(|target| &target.way).chain(judges);
        let lanes: BTreeMap<_, _> = ways.map(|way| (way.provider.clone(), Lane::new(concurrency))).collect();
        let kept =
            |name: &ProviderName| Some((name.clone(), self.project.provider_in(self.environment, name)?.api_key?));
        let credentials = lanes.keys().filter_map(kept).collect();
        // A budget is that of the run, however often it was interrupted.
        let budget = Budget::new(self.options.budget, self.spent(&journal)?);
        let caller = Arc::new(Caller::new(world.gateway.clone(), world.key.clone(), lanes, credentials, cache, budget));
        let grader = Grader::new(self.judges.clone(), self.prompts.clone());
        let progress = Progress::new(self.plan.calls, journal.done());
        let stop = signals()?;
        self.bound_time(&stop);
        let run = Run::new(Arc::clone(&self.plan), Arc::clone(&caller), grader, progress, stop);
        let ran = run.work(journal, concurrency).await;
        world.close().await;
        Ok((ran?, caller.effort()))
    }

    /// Returns what the results that are there already have cost.
    fn spent(&self, journal: &Journal) -> Result<Usd> {
        let mut spent = Usd::ZERO;
        for cell in 0..self.plan.cells {
            if let Some(outcome) = journal.read::<Outcome>(cell)? {
                spent += outcome.cost_usd();
            }
        }
        Ok(spent)
    }

    /// Ends the run after as long as a suite allows.
    fn bound_time(&self, stop: &CancellationToken) {
        let bounds = self.plan.suites.iter().filter_map(|planned| planned.suite.run.time_ms_max);
        if let Some(bound) = bounds.min() {
            let stop = stop.clone();
            TaskTracker::new().spawn(async move {
                tokio::time::sleep(std::time::Duration::from_millis(bound)).await;
                stop.cancel();
            });
        }
    }

    /// Returns the most calls at once: what was typed, and no more than any of the suites allows.
    fn concurrency(&self) -> usize {
        let wanted = self.plan.suites.iter().filter_map(|planned| planned.suite.run.concurrency_max);
        let least = wanted.min().and_then(|least| usize::try_from(least).ok()).unwrap_or(usize::MAX);
        self.options.max_concurrency.get().min(least).max(1)
    }

    fn versions(&self) -> impl Iterator<Item = (PromptName, bowline_types::Digest, &bowline_prompt::Version)> {
        let tree =
            self.loaded.report.prompts.iter().map(|prompt| (prompt.name.clone(), prompt.digest, &prompt.version));
        tree.chain(self.live.iter().map(|(name, (digest, version))| (name.clone(), *digest, version)))
    }

    /// Returns everything that results depend on.
    fn head(&self) -> Head {
        let mut parts = BTreeMap::from([
            ("Bowline".to_owned(), env!("CARGO_PKG_VERSION").to_owned()),
            ("the environment".to_owned(), self.environment.to_string()),
            ("`--filter`".to_owned(), self.options.filter.clone().unwrap_or_default()),
            ("`--repeat`".to_owned(), self.options.repeat.map(|repeat| repeat.to_string()).unwrap_or_default()),
        ]);
        for planned in &self.plan.suites {
            parts.insert(format!("the suite {}", planned.suite.file), planned.suite.digest.to_string());
        }
        for (number, target) in self.targets().enumerate() {
            let what = match &target.subject {
                TargetSubject::Version { digest, .. } => digest.to_string(),
                TargetSubject::Inline { .. } => target.model.clone(),
            };
            let part = format!("{what} {}", target.way.identity);
            parts.insert(format!("what is tested ({} {number})", target.prompt()), part);
        }
        for (name, judge) in self.prompts.iter() {
            if let TargetSubject::Version { digest, .. } = &judge.subject {
                parts.insert(format!("the judge {name}"), format!("{digest} {}", judge.way.identity));
            }
        }
        for (name, judge) in &self.judges {
            parts.insert(format!("the judge {}", name.id), judge.way.identity.clone());
        }
        Head::new(SystemClock.now(), parts)
    }
}

fn nothing(options: &Test) -> Failure {
    match &options.filter {
        Some(text) => {
            let hint = "hint: `--filter` looks at descriptions, ids and metadata of cases";
            Failure::user(format!("no case has the text `{text}`\n{hint}"))
        }
        None => Failure::user("the suites have no cases\nhint: cases stand under `tests` of a suite"),
    }
}

fn judge(models: &mut Models<'_>, name: &JudgeName) -> Result<Judge> {
    let routed = models.find(&name.id).map_err(|failure| {
        let hint = "hint: name who judges as `provider` of the assertion, or under `defaultTest.options`";
        Failure::user(format!("nobody can judge: {}\n{hint}", failure.message()))
    })?;
    let parameters = super::request::parameters(&name.parameters())
        .map_err(|reason| Failure::user(format!("the judge `{}`: {reason}", name.id)))?;
    let (label, alias) = (name.id.clone(), routed.alias.to_string());
    let subject = TargetSubject::Inline { label, template: String::new(), alias, parameters };
    let way = Way { endpoint: name.endpoint, ..routed.way };
    Ok(Judge { subject, way, priced_as: routed.priced_as })
}
