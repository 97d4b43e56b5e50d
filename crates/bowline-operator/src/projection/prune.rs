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
