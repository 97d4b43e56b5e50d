//! Which projections are kept: whoever wants more history has the pointer log.

use std::collections::BTreeMap;

use bowline_crd::{PromptRollout, PromptVersion};
use bowline_types::{Digest, PromptName};

use super::known::{Entries, RolloutSubject};
use super::view::{Rollout, View};

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

/// Returns the PromptRollouts that are of no rollout which the control role knows: it was restored from a backup, and numbers come again. One of
/// before the oldest that it lists is history, and stays.
pub(super) fn forgotten(known: &Entries<PromptRollout>, view: &View) -> Vec<String> {
    let number = |rollout: &Rollout| i64::try_from(rollout.number).unwrap_or(i64::MAX);
    let rollouts: BTreeMap<i64, &Rollout> = view.rollouts.iter().map(|rollout| (number(rollout), rollout)).collect();
    let newest = rollouts.last_key_value().map_or(0, |(number, _)| *number);
    let is_forgotten = |subject: &RolloutSubject| match rollouts.get(&subject.number) {
        Some(rollout) => {
            (&rollout.prompt, &rollout.scope.environment, rollout.candidate)
                != (&subject.prompt, &subject.environment, subject.candidate)
        }
        None => subject.number > newest,
    };
    known.iter().filter(|(_, entry)| is_forgotten(&entry.subject)).map(|(name, _)| name.clone()).collect()
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
    use bowline_types::Timestamp;
    use serde_json::json;

    use super::super::known::{Entry, VersionSubject};
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

    fn subject(number: i64) -> RolloutSubject {
        RolloutSubject {
            prompt: "answer".parse().unwrap(),
            environment: "prod".parse().unwrap(),
            number,
            candidate: Digest::of(b"better"),
            state: "promoted".to_owned(),
            stage: 1,
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
        let known: Entries<PromptRollout> =
            (1..=22).map(|number| (format!("answer-prod-{number}"), entry(subject(number), 0))).collect();
        assert_eq!(rollouts(&known, &View::default()), ["answer-prod-1", "answer-prod-2"]);
    }

    #[test]
    fn a_rollout_that_the_control_role_has_forgotten_goes_and_history_stays() {
        let rollout = |number: u64, candidate: &[u8]| -> Rollout {
            serde_json::from_value(json!({
                "number": number,
                "scope": { "project": "desk", "environment": "prod" },
                "prompt": "answer",
                "stable": Digest::of(b"stable"),
                "candidate": Digest::of(candidate),
                "design": { "plan": { "stages": ["10%"] } },
                "state": "running",
                "stage": 0,
                "started_at": Timestamp::default(),
                "ended_at": null,
                "actor": "ada",
                "provenance": { "dirty": false },
                "why": "",
                "evidence": null,
            }))
            .unwrap()
        };
        let known: Entries<PromptRollout> =
            (1..=4).map(|number| (format!("answer-prod-{number}"), entry(subject(number), 0))).collect();
        let view = |rollouts: Vec<Rollout>| View { rollouts, ..View::default() };
        let all = (2..=4).map(|number| rollout(number, b"better"));
        assert_eq!(forgotten(&known, &view(all.collect())), [] as [String; 0], "the first is too old to be listed");
        let restored = view(vec![rollout(2, b"better"), rollout(3, b"another")]);
        assert_eq!(forgotten(&known, &restored), ["answer-prod-3", "answer-prod-4"]);
    }
}
