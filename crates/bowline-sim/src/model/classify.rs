use std::collections::{BTreeSet, HashMap};

use super::instructions::{Example, Instructions};
use super::text::stems;
use super::thesaurus::related;
use crate::random::Seed;

/// What a word in the input says for a label, by where the prompt connects the two.
mod weight {
    /// The word is in the label's definition.
    pub(super) const DEFINED: f64 = 1.0;
    /// The word is in an example of the label.
    pub(super) const EXAMPLE: f64 = 0.9;
    /// The word means much the same as one in the definition.
    pub(super) const RELATED: f64 = 0.75;
    /// The word is the label's name: all there is, where a label has no definition.
    pub(super) const NAMED: f64 = 0.6;
    /// The word means much the same as the label's name.
    pub(super) const NAMED_RELATED: f64 = 0.4;
    /// The input begins as an example of the label does: an example teaches a form, not only words.
    pub(super) const OPENING: f64 = 1.5;
    /// The label's definition says that it holds for everything else.
    pub(super) const REMAINDER: f64 = 0.55;
}

/// What one unit of noise adds to a score: with the weights above, 0.3 of it lets a definition win almost always and two words of
/// different labels be taken for each other now and then.
const NOISE_UNIT: f64 = 0.27;

/// Definitions with one of these words hold where no other does.
const REMAINDER_WORDS: [&str; 5] = ["else", "otherwise", "remaining", "default", "rest"];

/// Chooses among labels by what the instructions say about them. Knows nothing about a label but its name and its meaning.
pub(super) struct Classifier<'a> {
    labels: &'a [String],
    /// The words that the prompt connects with labels, by stem.
    cues: HashMap<String, Vec<Cue>>,
    /// The first words of the examples, and the labels they are examples of.
    openings: Vec<(Vec<String>, usize)>,
    /// By label, what holds before a word was read.
    prior: Vec<f64>,
}

/// A connection between a word and a label.
struct Cue {
    label: usize,
    /// What the word itself says.
    direct: f64,
    /// What a word says that means much the same.
    related: f64,
}

// === impl Classifier ===

impl<'a> Classifier<'a> {
    /// Reads what the instructions say about the labels of a field.
    pub(super) fn new(instructions: &Instructions, field: &str, labels: &'a [String]) -> Self {
        let mut classifier = Self { labels, cues: HashMap::new(), openings: Vec::new(), prior: Vec::new() };
        for (label, name) in labels.iter().enumerate() {
            let meaning = instructions.meanings(field, name).collect::<Vec<_>>().join(", ");
            let remainder = REMAINDER_WORDS.iter().any(|word| meaning.split_whitespace().any(|said| said == *word));
            classifier.prior.push(if remainder { weight::REMAINDER } else { 0.0 });
            for word in stems(&meaning) {
                let cue = Cue { label, direct: weight::DEFINED, related: weight::RELATED };
                classifier.cues.entry(word).or_default().push(cue);
            }
            for word in stems(name) {
                let cue = Cue { label, direct: weight::NAMED, related: weight::NAMED_RELATED };
                classifier.cues.entry(word).or_default().push(cue);
            }
        }
        classifier.learn(instructions);
        classifier
    }

    /// Learns from the examples: their first words, and the words that no definition claims, since those are the topic.
    fn learn(&mut self, instructions: &Instructions) {
        let mut taught: BTreeSet<(String, usize)> = BTreeSet::new();
        for (label, name) in self.labels.iter().enumerate() {
            for example in examples_of(instructions, name) {
                let words = stems(&example.text).into_iter().filter(|word| self.weights(word).is_none());
                taught.extend(words.map(|word| (word, label)));
                self.openings.push((opening_of(&example.text), label));
            }
        }
        for (word, label) in taught {
            self.cues.entry(word).or_default().push(Cue { label, direct: weight::EXAMPLE, related: 0.0 });
        }
    }

    /// Returns the label that the input fits best.
    ///
    /// A word that speaks for several labels counts less for each. `noise` is the scale of what a real model's sampling and
    /// misreading add to every score; `seed` names the prompt, so that another wording of it errs elsewhere.
    pub(super) fn choose(&self, input: &str, noise: f64, seed: Seed) -> Option<&'a str> {
        let mut scores = self.prior.clone();
        let words: BTreeSet<String> = stems(input).into_iter().collect();
        for weights in words.iter().filter_map(|word| self.weights(word)) {
            let total: f64 = weights.iter().sum();
            for (score, weight) in scores.iter_mut().zip(weights) {
                *score += weight * weight / total;
            }
        }
        let opening = opening_of(input);
        for (label, score) in scores.iter_mut().enumerate() {
            if self.openings.iter().any(|(words, of)| *of == label && *words == opening) {
                *score += weight::OPENING;
            }
        }
        let drawn = self.labels.iter().zip(scores).map(|(label, score)| {
            let draw = seed.text(label).text(input).gumbel();
            (label.as_str(), (noise * NOISE_UNIT).mul_add(draw, score))
        });
        drawn.max_by(|(_, one), (_, other)| one.total_cmp(other)).map(|(label, _)| label)
    }

    /// Returns what a word says for each label by its strongest connection; `None` where it has none.
    fn weights(&self, word: &str) -> Option<Vec<f64>> {
        let mut weights = vec![0.0_f64; self.labels.len()];
        let mut add = |cue: &Cue, said: f64| {
            if let Some(weight) = weights.get_mut(cue.label) {
                *weight = weight.max(said);
            }
        };
        let cues_of = |word: &str| self.cues.get(word).into_iter().flatten();
        cues_of(word).for_each(|cue| add(cue, cue.direct));
        for neighbour in related(word) {
            cues_of(neighbour).for_each(|cue| add(cue, cue.related));
        }
        weights.iter().any(|weight| *weight > 0.0).then_some(weights)
    }
}

/// The examples that name a label.
fn examples_of<'a>(instructions: &'a Instructions, label: &'a str) -> impl Iterator<Item = &'a Example> {
    let examples = instructions.examples.iter();
    examples.filter(move |example| example.labels.iter().any(|named| named.eq_ignore_ascii_case(label)))
}

/// The first two words of a text.
fn opening_of(text: &str) -> Vec<String> {
    let words = text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    words.take(2).map(str::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(prompt: &str, labels: &[&str], input: &str, expected: &str) {
        let mut instructions = Instructions::default();
        instructions.read(prompt);
        let labels: Vec<String> = labels.iter().map(|&label| label.to_owned()).collect();
        let classifier = Classifier::new(&instructions, "kind", &labels);
        assert_eq!(classifier.choose(input, 0.0, Seed::new(1)), Some(expected), "{input}");
    }

    #[test]
    fn definitions_decide() {
        let labels = ["fruit", "animal"];
        let prompt = "- fruit: grows on trees, such as an apple\n- animal: lives and moves, such as a dog";
        check(prompt, &labels, "An apple fell from the tree", "fruit");
        check(prompt, &labels, "The dog barks", "animal");
        check("- a: apples\n- b: everything else", &["a", "b"], "The dog barks", "b");
    }

    #[test]
    fn meaning_follows_the_prompt_and_not_the_label() {
        check("- x1: refunds\n- x2: parcels", &["x1", "x2"], "I want a refund", "x1");
        check("- x1: parcels\n- x2: refunds", &["x1", "x2"], "I want a refund", "x2");
        check("- x1: parcels\n- x2: refunds", &["x1", "x2"], "Please reimburse me", "x2");
    }

    #[test]
    fn examples_teach() {
        let labels = ["bill", "question"];
        let plain = "- bill: invoices\n- question: asking about something";
        check(plain, &labels, "How can I download an invoice?", "bill");
        let taught = format!("{plain}\n- \"How can I download this document?\" -> question");
        check(&taught, &labels, "How can I download an invoice?", "question");
    }
}
