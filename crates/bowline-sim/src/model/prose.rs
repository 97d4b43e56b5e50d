use super::text::stems;
use crate::random::Seed;

const OPENINGS: [&str; 4] = [
    "Thank you for your message about {topic}.",
    "I have read what you write about {topic}.",
    "Here is a short answer concerning {topic}.",
    "You mention {topic}, so let me start there.",
];

const SENTENCES: [&str; 8] = [
    "The usual cause is a setting that was changed some time ago and forgotten.",
    "I would first check {topic} and then compare it with what you expect.",
    "If that does not help, write down what you see and when it happens.",
    "Most people find that a second look at {topic} is enough.",
    "There are two ways to go on, and both can be undone later.",
    "Nothing else depends on it, so you can try it at once.",
    "It takes about five minutes, and you need no special rights.",
    "Tell me what happens, and I will take it from there.",
];

/// Returns a short text that picks up words of the input: what the model says where the prompt asks for no labels.
pub(super) fn reply(input: &str, seed: Seed) -> String {
    let seed = seed.text(input);
    let topic = summary(input);
    let opening = seed.number(0).pick(&OPENINGS).copied().unwrap_or_default();
    let count = 2 + seed.number(1).bits() % 3;
    let first = seed.number(2).bits();
    // An odd step walks through all eight sentences before one comes again.
    let rest = (0..count).filter_map(|step| {
        let index = usize::try_from(first.wrapping_add(step.wrapping_mul(3)) % 8).ok()?;
        SENTENCES.get(index).copied()
    });
    let sentences: Vec<String> = std::iter::once(opening).chain(rest).map(|s| s.replace("{topic}", &topic)).collect();
    sentences.join(" ")
}

/// Returns the first words of the input that say something.
pub(super) fn summary(input: &str) -> String {
    const WORDS_MAX: usize = 4;
    let telling = input.split_whitespace().filter(|word| !stems(word).is_empty());
    let words: Vec<&str> =
        telling.take(WORDS_MAX).map(|word| word.trim_matches(|c: char| !c.is_alphanumeric())).collect();
    if words.is_empty() { "that".to_owned() } else { words.join(" ") }
}
