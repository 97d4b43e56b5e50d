//! Which projections are kept: whoever wants more history has the pointer log.

use std::collections::BTreeMap;

use bowline_crd::{PromptRollout, PromptVersion};
use bowline_types::{Digest, PromptName};

use super::known::Entries;
use super::view::View;

/// PromptVersions that are kept of a prompt, beside those that something refers to.
pub(super) const VERSIONS_KEPT: usize = 20;
/// PromptRollouts that are kept of a prompt, beside those that go on.
pub(super) const ROLLOUTS_KEPT: usize = 20;

/// Returns the PromptVersions that go: of each prompt all but the newest, and but those that a pointer, a rollout, a quarantine or the present
/// bundle refers to.
pub(super) fn versions(known: &Entries<PromptVersion>, is_kept: impl Fn(&PromptName, &Digest) -> bool) -> Vec<String> {
    let mut by_prompt: BTreeMap<&PromptName, Vec<(i64, &String)>> = BTreeMap::new();
    for (name, entry) in known {
        if !is_kept(&entry.subject.prompt, &entry.subject.version) {
            by_prompt.entry(&entry.subject.prompt).or_default().push((entry.created, name));
        }
    }
    oldest(by_prompt, VERSIONS_KEPT)
}

/// Returns the PromptRollouts that go: of each prompt all but the newest that have ended.
pub(super) fn rollouts(known: &Entries<PromptRollout>, view: &View) -> Vec<String> {
    let active: std::collections::BTreeSet<_> =
        view.active().map(|rollout| i64::try_from(rollout.number).unwrap_or(i64::MAX)).collect();
    let mut by_prompt: BTreeMap<&PromptName, Vec<(i64, &String)>> = BTreeMap::new();
    for (name, entry) in known {
        if !active.contains(&entry.subject.number) {
            by_prompt.entry(&entry.subject.prompt).or_default().push((entry.subject.number, name));
        }
    }
    oldest(by_prompt, ROLLOUTS_KEPT)
}

fn oldest(by_prompt: BTreeMap<&PromptName, Vec<(i64, &String)>>, kept: usize) -> Vec<String> {
    let mut gone = Vec::new();
    for mut objects in by_prompt.into_values() {
        objects.sort_unstable();
        let excess = objects.len().saturating_sub(kept);
        gone.extend(objects.into_iter().take(excess).map(|(_, name)| name.clone()));
    }
    gone
}

#[cfg(test)]
mod tests {
    use super::super::known::{Entry, RolloutSubject, VersionSubject};
    use super::*;

    fn entry<S>(subject: S, created: i64) -> Entry<S> {
        let uid = String::new();
        let conditions = Box::default();
        Entry {
            subject,
            uid,
            generation: 1,
            created,
            version: 1,
            owners: 0,
            status: 0,
            conditions,
            lever: None,
            pulled: false,
        }
    }

    #[test]
    fn of_each_prompt_the_newest_versions_stay_and_those_that_something_refers_to() {
        let (answer, brief): (PromptName, PromptName) = ("answer".parse().unwrap(), "brief".parse().unwrap());
        let one = |prompt: &PromptName, number: i64| {
            let version = Digest::of(format!("{prompt} {number}").as_bytes());
            (format!("{prompt}-{number}"), entry(VersionSubject { prompt: prompt.clone(), version }, number))
        };
        let known: Entries<PromptVersion> =
            (0..25).map(|number| one(&answer, number)).chain((0..5).map(|number| one(&brief, number))).collect();
        let live = Digest::of(b"answer 0");
        let gone = versions(&known, |_, version| *version == live);
        assert_eq!(gone, ["answer-1", "answer-2", "answer-3", "answer-4"]);
    }

    #[test]
    fn of_each_prompt_the_newest_rollouts_stay_and_those_that_go_on() {
        let subject = |number: i64| RolloutSubject {
            prompt: "answer".parse().unwrap(),
            environment: "prod".parse().unwrap(),
            number,
            state: "promoted".to_owned(),
            stage: 1,
        };
        let known: Entries<PromptRollout> =
            (1..=22).map(|number| (format!("answer-prod-{number}"), entry(subject(number), 0))).collect();
        assert_eq!(rollouts(&known, &View::default()), ["answer-prod-1", "answer-prod-2"]);
    }
}
