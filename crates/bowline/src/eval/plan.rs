//! What a run calls: each case of each suite, as often as it repeats, on each version and model. Nothing is listed that can be counted:
//! a call is a number, and 100,000 cases cost no memory here.

use std::collections::BTreeMap;
use std::time::Duration;

use bowline_eval::{Case, Suite};
use bowline_types::{Digest, PromptName};
use serde_json::{Map, Value};

use super::caller::Way;
use super::journal::Cell;

/// Everything that a run calls.
pub(crate) struct Plan {
    /// The suites, in order.
    pub(crate) suites: Vec<PlannedSuite>,
    /// How many numbers calls may have.
    pub(crate) cells: usize,
    /// How many calls there are: a case may leave prompts and models out.
    pub(crate) calls: usize,
}

/// A suite with what it is run on.
pub(crate) struct PlannedSuite {
    /// The suite.
    pub(crate) suite: Suite,
    /// What is tested: a candidate, and right after it what it is compared with.
    pub(crate) targets: Vec<Target>,
    /// The numbers of the cases that the filter leaves.
    pub(crate) cases: Vec<u32>,
    /// For each of them, how many calls come before it on one target; at the end, how many there are.
    starts: Vec<u32>,
    /// The first call.
    first: Cell,
}

/// What a case is called on.
pub(crate) struct Target {
    /// What is called.
    pub(crate) subject: TargetSubject,
    /// The place of its prompt in the suite.
    pub(crate) prompt_place: usize,
    /// The place of its model in the suite; `None` where the prompt brings its own.
    pub(crate) model_place: Option<usize>,
    /// What reports call the model.
    pub(crate) model: String,
    /// The pause after each call.
    pub(crate) delay: Duration,
    /// How long a call may take, retries included; `None` where only the gateway bounds it.
    pub(crate) timeout: Option<Duration>,
    /// Where calls go.
    pub(crate) way: Way,
    /// The kind of the provider and its name of the model, which have a price or none.
    pub(crate) priced_as: (String, String),
    /// The tools that are offered, in the form of OpenAI's `tools`.
    pub(crate) tools: Vec<Value>,
    /// Whether it is what the target before it is compared with.
    pub(crate) is_baseline: bool,
}

/// What is called.
#[derive(Clone, Debug)]
pub(crate) enum TargetSubject {
    /// A version of a prompt of the project.
    Version {
        /// The prompt.
        name: PromptName,
        /// The version.
        digest: Digest,
        /// What it takes: the JSON Schema of each variable. `None` where it takes whatever a case has.
        inputs: Option<BTreeMap<String, Value>>,
    },
    /// A template of a suite.
    Inline {
        /// What reports call it.
        label: String,
        /// The template.
        template: String,
        /// The alias of the model.
        alias: String,
        /// Parameters of the call.
        parameters: Map<String, Value>,
    },
}

/// One call of a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Job {
    /// Its number.
    pub(crate) cell: Cell,
    /// The number of the suite.
    pub(crate) suite: usize,
    /// The number of the target in the suite.
    pub(crate) target: usize,
    /// The position among the cases that the filter leaves.
    pub(crate) position: usize,
    /// Which of the equal calls it is, from 0.
    pub(crate) repeat: u32,
}

// === impl Plan ===

impl Plan {
    /// Returns the plan of suites with their targets. `repeat` goes before what cases say; `filter` leaves the cases that have the text.
    pub(crate) fn new(suites: Vec<(Suite, Vec<Target>)>, repeat: Option<u32>, filter: Option<&str>) -> Self {
        let (mut planned, mut first) = (Vec::new(), 0);
        let filter = filter.map(str::to_lowercase);
        for (suite, targets) in suites {
            let (mut cases, mut starts) =
                (Vec::with_capacity(suite.cases.len()), Vec::with_capacity(suite.cases.len() + 1));
            let mut calls = 0_u32;
            for (number, case) in (0_u32..).zip(&suite.cases) {
                if filter.as_ref().is_none_or(|text| has(case, text)) {
                    cases.push(number);
                    starts.push(calls);
                    calls = calls.saturating_add(repeat.unwrap_or(case.rules.repeat).max(1));
                }
            }
            starts.push(calls);
            let cells = targets.len() * usize::try_from(calls).unwrap_or(usize::MAX);
            planned.push(PlannedSuite { suite, targets, cases, starts, first });
            first += cells;
        }
        let mut plan = Self { suites: planned, cells: first, calls: 0 };
        let calls = |(suite, planned): (usize, &PlannedSuite)| {
            (0..planned.cases.len()).map(|position| plan.jobs_of(suite, position).len()).sum::<usize>()
        };
        plan.calls = plan.suites.iter().enumerate().map(calls).sum();
        plan
    }

    /// Returns the calls of one case: what is compared stands next to each other, so that both meet the same day of a provider.
    pub(crate) fn jobs_of(&self, suite: usize, position: usize) -> Vec<Job> {
        let Some(planned) = self.suites.get(suite) else { return Vec::new() };
        let Some(case) = planned.case(position) else { return Vec::new() };
        let taken: Vec<usize> = (0..planned.targets.len())
            .filter(|target| planned.targets.get(*target).is_some_and(|target| target.takes(case)))
            .collect();
        let repeats = 0..planned.repeats(position);
        let job =
            |(repeat, target)| Job { cell: planned.cell(target, position, repeat), suite, target, position, repeat };
        repeats.flat_map(|repeat| taken.iter().map(move |target| (repeat, *target))).map(job).collect()
    }
}

// === impl PlannedSuite ===

impl PlannedSuite {
    /// Returns the case at a position.
    pub(crate) fn case(&self, position: usize) -> Option<&Case> {
        let number = usize::try_from(*self.cases.get(position)?).ok()?;
        self.suite.cases.get(number)
    }

    /// Returns what is tested, with its place among the targets.
    pub(crate) fn candidates(&self) -> impl Iterator<Item = (usize, &Target)> {
        self.targets.iter().enumerate().filter(|(_, target)| !target.is_baseline)
    }

    /// Returns the place of what a candidate is compared with.
    pub(crate) fn baseline_of(&self, candidate: usize) -> Option<usize> {
        let next = candidate + 1;
        self.targets.get(next).filter(|target| target.is_baseline).map(|_| next)
    }

    /// Returns how often the case at a position is called.
    pub(crate) fn repeats(&self, position: usize) -> u32 {
        match (self.starts.get(position), self.starts.get(position + 1)) {
            (Some(start), Some(end)) => end - start,
            _ => 0,
        }
    }

    /// Returns the number of a call.
    pub(crate) fn cell(&self, target: usize, position: usize, repeat: u32) -> Cell {
        let calls = self.starts.last().copied().unwrap_or(0);
        let before = self.starts.get(position).copied().unwrap_or(0) + repeat;
        let wide = |number: u32| usize::try_from(number).unwrap_or(usize::MAX);
        self.first + target * wide(calls) + wide(before)
    }
}

// === impl Target ===

impl Target {
    /// Returns whether a case is called on it.
    fn takes(&self, case: &Case) -> bool {
        case.takes(self.prompt_place, self.model_place)
    }

    /// Returns what reports call the prompt.
    pub(crate) fn prompt(&self) -> &str {
        match &self.subject {
            TargetSubject::Version { name, .. } => name.as_str(),
            TargetSubject::Inline { label, .. } => label,
        }
    }
}

/// Whether a case has a text, in its description, its id or its metadata; whatever the case of letters.
fn has(case: &Case, lower: &str) -> bool {
    let found = |text: &str| text.to_lowercase().contains(lower);
    let in_metadata =
        |(key, value): (&String, &Value)| found(key) || value.as_str().map_or_else(|| found(&value.to_string()), found);
    case.description.as_deref().is_some_and(found)
        || found(&case.id.to_string())
        || case.rules.metadata.iter().any(in_metadata)
}
