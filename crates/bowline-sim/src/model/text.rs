//! Words of a text, without their endings, so that `charged` and `charges` meet.

use std::collections::HashSet;
use std::sync::LazyLock;

/// Words that say nothing about a topic. Question words are not among them: they tell a question from a complaint.
const STOP_TEXT: &str = "a about after again all also although am an and any are as at be because been before being but by \
    can cannot could did do does doing done for from get gets got had has have having he hello her here hers hi him his i if \
    in into is it its itself just kindly let like many may me might more most much must my no nor not now of off on one \
    only or other our ours out over own please quite s same shall she should since so some such t than thank thanks that \
    the their them then there these they this those through to too two three under until up us very was we were which \
    while who will with would yes yet you your yours arent cant couldnt didnt doesnt dont hasnt havent im isnt ive wasnt wont \
    wouldnt";

static STOP_WORDS: LazyLock<HashSet<&str>> = LazyLock::new(|| STOP_TEXT.split_ascii_whitespace().collect());

/// Returns the stems of the words of a text that say something, in order. A question mark is a word.
pub(crate) fn stems(text: &str) -> Vec<String> {
    let lower = text.to_lowercase().replace(['\'', '’'], "").replace('?', " ? ");
    let words = lower.split(|c: char| !c.is_alphanumeric() && c != '?').filter(|word| !word.is_empty());
    words.filter(|word| !STOP_WORDS.contains(word)).map(stem).collect()
}

/// Splits a text into pieces of about one token, which join to the text again.
pub(crate) fn pieces(text: &str) -> Vec<&str> {
    const CHARACTERS_MAX: usize = 6;
    let mut pieces = Vec::new();
    let mut start = 0;
    let mut length = 0;
    let mut in_word = false;
    for (index, c) in text.char_indices() {
        let starts_word = in_word && !c.is_alphanumeric();
        if length > 0 && (starts_word || length >= CHARACTERS_MAX) {
            pieces.extend(text.get(start..index));
            start = index;
            length = 0;
        }
        length += 1;
        in_word = c.is_alphanumeric();
    }
    pieces.extend(text.get(start..).filter(|rest| !rest.is_empty()));
    pieces
}

/// Cuts the common English endings of a lowercase word. Crude, and the same for the prompt and the input, which is what counts.
pub(crate) fn stem(word: &str) -> String {
    let singular = singular(word);
    let root = ["ations", "ation", "ement", "ment", "ings", "ing", "ied", "ed", "ly", "al"]
        .iter()
        .find_map(|ending| singular.strip_suffix(ending).filter(|root| root.chars().count() >= 3))
        .unwrap_or(&singular);
    let root = root.strip_suffix(['e', 'y']).filter(|root| root.chars().count() >= 3).unwrap_or(root);
    let doubled = root.chars().rev().take(2).collect::<Vec<_>>();
    match doubled.as_slice() {
        [last, before] if last == before && root.chars().count() > 4 && !"aeiou".contains(*last) => {
            root.strip_suffix(*last).unwrap_or(root).to_owned()
        }
        _ => root.to_owned(),
    }
}

/// Cuts the ending of a plural.
pub(crate) fn singular(word: &str) -> String {
    let keeps = ["ss", "us", "is"].iter().any(|ending| word.ends_with(ending)) || word.chars().count() < 4;
    if keeps {
        return word.to_owned();
    }
    if let Some(root) = word.strip_suffix("ies") {
        return format!("{root}y");
    }
    let after_hiss = word.strip_suffix("es").filter(|root| {
        ["s", "x", "z", "ch", "sh"].iter().any(|ending| root.ends_with(ending)) && root.chars().count() > 2
    });
    after_hiss.or_else(|| word.strip_suffix('s')).unwrap_or(word).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_of_a_word_share_a_stem() {
        for family in [
            &["charge", "charges", "charged", "charging"][..],
            &["cancel", "cancelled", "cancels", "cancellation", "canceling"],
            &["deliver", "delivery", "deliveries", "delivered"],
            &["pay", "payment", "payments", "paying"],
            &["crash", "crashes", "crashed"],
            &["bill", "bills", "billing", "billed"],
            &["subscription", "subscriptions"],
            &["category", "categories"],
        ] {
            for word in family {
                assert_eq!(stem(word), stem(family[0]), "{word}");
            }
        }
        assert_eq!(stems("I can't log in since Monday, and it's urgent!"), ["log", "monda", "urgent"]);
    }

    #[test]
    fn pieces_join_to_the_text() {
        let text = r#"{"category":"billing", "note":"Zürich – Genève, überraschend"}"#;
        let pieces = pieces(text);
        assert_eq!(pieces.concat(), text);
        assert!(pieces.len() > 8);
        assert!(super::pieces("").is_empty());
    }
}
