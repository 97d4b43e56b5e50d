/// Returns the candidate nearest to `text` by edit distance, where one is near enough to be meant.
///
/// Near enough is at most a third of the longer text's characters, and at least one (a transposition counts two).
#[must_use]
pub fn closest<'a>(text: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let near = candidates.into_iter().map(|candidate| (distance(text, candidate), candidate));
    let within = near.filter(|(distance, candidate)| {
        let longer = text.chars().count().max(candidate.chars().count());
        *distance <= (longer / 3).max(1)
    });
    within.min_by_key(|(distance, _)| *distance).map(|(_, candidate)| candidate)
}

/// Levenshtein's distance in characters.
fn distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (i, a) in left.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in right.iter().enumerate() {
            let substitute = diagonal + usize::from(a != *b);
            diagonal = row[j + 1];
            row[j + 1] = substitute.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_suggested() {
        assert_eq!(closest("enviroments", ["models", "environments", "providers"]), Some("environments"));
        assert_eq!(closest("ticket_text", ["ticket", "customer"]), None);
        assert_eq!(closest("tiket", ["ticket", "customer"]), Some("ticket"));
        assert_eq!(closest("zebra", ["models"]), None);
    }
}
