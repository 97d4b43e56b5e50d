use std::collections::{BTreeSet, HashMap};
use std::sync::LazyLock;

use super::text::{stem, stems};

/// Words that bring each other up, by stem.
static RELATED: LazyLock<HashMap<String, BTreeSet<String>>> = LazyLock::new(|| read(include_str!("thesaurus.txt")));

/// Returns the stems that a stem brings up, itself among them; none for a word the model does not know.
pub(super) fn related(stem: &str) -> impl Iterator<Item = &'static str> + use<> {
    RELATED.get(stem).into_iter().flatten().map(String::as_str)
}

fn read(text: &str) -> HashMap<String, BTreeSet<String>> {
    let mut related: HashMap<String, BTreeSet<String>> = HashMap::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let group: BTreeSet<String> = line.split_ascii_whitespace().flat_map(known).collect();
        for word in &group {
            related.entry(word.clone()).or_default().extend(group.iter().cloned());
        }
    }
    related
}

/// The stems of an entry; a word that texts would skip, such as `how`, still counts when it is written here alone.
fn known(entry: &str) -> Vec<String> {
    let stems = stems(entry);
    if stems.is_empty() { vec![stem(entry)] } else { stems }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_bring_up_their_neighbours() {
        let bring_up = |word: &str, other: &str| related(&stem(word)).any(|neighbour| neighbour == stem(other));
        assert!(bring_up("charges", "deducted"));
        assert!(!bring_up("charges", "courier"));
        assert_eq!(related("qwertz").count(), 0);
    }
}
