//! Changes, and how long it takes until somebody who watches sees what became of them.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Context as _;
use serde_json::json;

use super::figures::Times;
use super::observer::Observer;
use super::seed::{POLL_SECONDS, Project, Target};
use super::{Bench, cluster, http};

/// The status of a bundle that was taken up and is not looked at yet: it is not the answer to a change.
const UNDER_WAY: &str = "Fetching";
/// A line per event of a PromptBundle: where it is, its generation, the one that the status is of, the one that its condition is of, and a reason.
const BUNDLE_LINE: &str = r#"{.metadata.namespace},{.metadata.generation},{.status.observedGeneration},{.status.conditions[?(@.type=="Ready")].observedGeneration},{.status.conditions[?(@.type=="Ready")].reason}"#;
/// A line per event of a PromptRollout: where it is, its number, and its state.
const ROLLOUT_LINE: &str = "{.metadata.namespace},{.spec.number},{.status.state}";

/// Changes the specs of PromptBundles.
pub(super) struct Specs<'a> {
    bench: &'a Bench<'a>,
    projects: &'a [Project],
    observer: Observer,
    /// What the spec says now; each change is another value.
    poll_seconds: u32,
    /// The generation of each.
    generations: BTreeMap<String, i64>,
}

/// An event of a PromptBundle.
struct BundleEvent<'a> {
    namespace: &'a str,
    generation: i64,
    /// Whether the status says all of that generation.
    answered: bool,
}

// === impl Specs ===

impl<'a> Specs<'a> {
    /// Begins to watch.
    pub(super) fn watch(bench: &'a Bench<'a>, projects: &'a [Project]) -> anyhow::Result<Self> {
        let observer = Observer::start(bench.cluster, "promptbundles", BUNDLE_LINE)?;
        let mut generations = BTreeMap::new();
        observer.until("every PromptBundle is seen with its status", |_, line| {
            let event = BundleEvent::parse(line)?;
            if event.answered {
                generations.insert(event.namespace.to_owned(), event.generation);
            }
            Ok((generations.len() == projects.len()).then_some(()))
        })?;
        // Later than any earlier change: the specs of before are not repeated.
        let poll_seconds = POLL_SECONDS + generations.values().sum::<i64>().try_into().unwrap_or(0);
        Ok(Self { bench, projects, observer, poll_seconds, generations })
    }

    /// Changes so many bundles, one after the other.
    pub(super) fn one_at_a_time(&mut self, count: u32) -> anyhow::Result<Times> {
        let mut times = Times::default();
        for project in self.projects.iter().cycle().take(count as usize) {
            times.0.extend(self.change(&[project])?);
        }
        Ok(times)
    }

    /// Changes all bundles by one command, so many times.
    pub(super) fn together(&mut self, rounds: u32) -> anyhow::Result<Times> {
        let mut times = Times::default();
        let all: Vec<_> = self.projects.iter().collect();
        for _ in 0..rounds {
            times.0.extend(self.change(&all)?);
        }
        Ok(times)
    }

    /// Changes bundles, and returns how long each took from the event of the changed spec to that of its status.
    pub(super) fn change(&mut self, projects: &[&Project]) -> anyhow::Result<Vec<Duration>> {
        self.poll_seconds += 1;
        cluster::apply(self.bench.cluster, projects, self.poll_seconds)?;
        let mut begun = BTreeMap::new();
        let mut times = Vec::new();
        let generations = &mut self.generations;
        self.observer.until("a changed spec has its status", |at, line| {
            let event = BundleEvent::parse(line)?;
            let generation = generations.get_mut(event.namespace).context("the namespace is of the bench")?;
            if event.generation > *generation {
                begun.insert(event.namespace.to_owned(), at);
                *generation = event.generation;
            }
            if event.answered
                && let Some(from) = begun.remove(event.namespace)
            {
                times.push(at.saturating_sub(from));
            }
            Ok((times.len() == projects.len()).then_some(()))
        })?;
        Ok(times)
    }
}

// === impl BundleEvent ===

impl<'a> BundleEvent<'a> {
    fn parse(line: &'a str) -> anyhow::Result<Self> {
        let fields: Vec<_> = line.split(',').collect();
        let [namespace, generation, observed, condition, reason] = fields[..] else {
            anyhow::bail!("kubectl printed {line:?}");
        };
        let answered = observed == generation && condition == generation && reason != UNDER_WAY;
        let generation = generation.parse().with_context(|| format!("kubectl printed {line:?}"))?;
        Ok(Self { namespace, generation, answered })
    }
}

/// Ends rollouts at the control role, one after the other, and returns how long each took from the call to the event of its status.
pub(super) fn rollouts(bench: &Bench<'_>, target: &Target<'_>, count: u32) -> anyhow::Result<Times> {
    let observer = Observer::start(bench.cluster, "promptrollouts", ROLLOUT_LINE)?;
    let mut running: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut known = 0;
    observer.until("every PromptRollout is seen", |_, line| {
        let (namespace, number, state) = rollout(line)?;
        if state == "running" {
            running.entry(namespace.to_owned()).or_default().push(number.to_owned());
            known += 1;
        }
        Ok((known == bench.rollouts()).then_some(()))
    })?;
    let mut times = Times::default();
    // Each time that of another namespace, as rollouts of one team seldom end together.
    let most = bench.options.prompts as usize;
    let turns =
        (0..most).flat_map(|turn| running.iter().map(move |(namespace, numbers)| (namespace, numbers.get(turn))));
    let turns = turns.filter_map(|(namespace, number)| Some((namespace, number?)));
    for (namespace, number) in turns.take(count as usize) {
        let path = format!("/api/v1/projects/{namespace}/rollouts/{number}/promote");
        let body = json!({"actor": "grace", "why": "the bench"}).to_string();
        let from = observer.now();
        http::post(target.control, &path, target.token, &body)?;
        let until = observer.until("a rollout that has ended is shown", |at, line| {
            let (where_, which, state) = rollout(line)?;
            Ok((where_ == namespace && which == number && state == "promoted").then_some(at))
        })?;
        times.0.push(until.saturating_sub(from));
    }
    Ok(times)
}

fn rollout(line: &str) -> anyhow::Result<(&str, &str, &str)> {
    let fields: Vec<_> = line.split(',').collect();
    let [namespace, number, state] = fields[..] else { anyhow::bail!("kubectl printed {line:?}") };
    Ok((namespace, number, state))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_answers_when_all_of_it_is_of_the_generation() {
        let check =
            |line: &str, expected: bool| assert_eq!(BundleEvent::parse(line).unwrap().answered, expected, "{line}");
        check("desk,3,3,3,RollingOut", true);
        check("desk,3,2,2,Live", false);
        check("desk,3,3,2,Live", false);
        check("desk,3,3,3,Fetching", false);
        check("desk,1,,,", false);
        assert!(BundleEvent::parse("desk,3").is_err());
        assert!(BundleEvent::parse("desk,three,3,3,Live").is_err());
    }
}
