use super::text::{singular, stems};

/// What a prompt says about the labels that it wants: definitions and examples, wherever in the prompt they stand.
#[derive(Debug, Default)]
pub(super) struct Instructions {
    pub(super) definitions: Vec<Definition>,
    pub(super) examples: Vec<Example>,
}

/// A line such as `- billing: charges, refunds`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Definition {
    /// The last line before it that ends with a colon, such as `Categories:`.
    pub(super) heading: Option<String>,
    pub(super) label: String,
    pub(super) meaning: String,
}

/// A line such as `- "How do I add a user?" -> how_to, low`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Example {
    pub(super) text: String,
    pub(super) labels: Vec<String>,
}

/// What a line of a prompt is.
enum Line {
    Heading(String),
    Definition { label: String, meaning: String },
    Example(Example),
    Other,
}

// === impl Instructions ===

impl Instructions {
    /// Reads the lines of a text and adds what they define.
    pub(super) fn read(&mut self, text: &str) {
        let mut heading = None;
        for line in text.lines() {
            match Line::of(line) {
                Line::Heading(text) => heading = Some(text),
                Line::Definition { label, meaning } => {
                    self.definitions.push(Definition { heading: heading.clone(), label, meaning });
                }
                Line::Example(example) => self.examples.push(example),
                Line::Other => {}
            }
        }
    }

    /// Returns the groups of labels that the headings name, each with the key it would have in an object.
    pub(super) fn groups(&self) -> Vec<(String, Vec<&str>)> {
        let mut groups: Vec<(String, Vec<&str>)> = Vec::new();
        for definition in &self.definitions {
            let key = definition.heading.as_deref().map_or_else(|| "label".to_owned(), key_of);
            match groups.iter_mut().find(|(known, _)| *known == key) {
                Some((_, labels)) => labels.push(&definition.label),
                None => groups.push((key, vec![&definition.label])),
            }
        }
        groups
    }

    /// Returns what the prompt says about a label; where several headings do, those that name the field.
    pub(super) fn meanings<'a>(&'a self, field: &'a str, label: &'a str) -> impl Iterator<Item = &'a str> {
        let all = move || self.definitions.iter().filter(move |d| d.label.eq_ignore_ascii_case(label));
        let named = all().any(|definition| definition.is_under(field));
        all().filter(move |d| !named || d.is_under(field)).map(|definition| definition.meaning.as_str())
    }
}

/// Returns the part of a message that is input rather than instructions: what follows its last definition or example.
pub(super) fn input_of(message: &str) -> &str {
    let mut start = 0;
    let mut offset = 0;
    for line in message.split_inclusive('\n') {
        offset += line.len();
        if matches!(Line::of(line), Line::Definition { .. } | Line::Example(_)) {
            start = offset;
        }
    }
    let rest = message.get(start..).unwrap_or(message).trim();
    if rest.is_empty() { message } else { rest }
}

/// The key a heading such as `The categories are:` stands for: its last telling word, singular, or the word in backticks.
fn key_of(heading: &str) -> String {
    let quoted = heading.split('`').nth(1);
    let last = || heading.split(|c: char| !(c.is_alphanumeric() || c == '_')).rfind(|word| !stems(word).is_empty());
    quoted.map(str::to_owned).or_else(|| last().map(|word| singular(&word.to_lowercase()))).unwrap_or_default()
}

// === impl Definition ===

impl Definition {
    fn is_under(&self, field: &str) -> bool {
        let heading = self.heading.as_deref().map(stems).unwrap_or_default();
        stems(field).iter().any(|word| heading.contains(word))
    }
}

// === impl Line ===

impl Line {
    fn of(line: &str) -> Self {
        let line = line.trim();
        let item = ["- ", "* ", "• "].iter().find_map(|bullet| line.strip_prefix(bullet));
        let quoted = item.unwrap_or(line).starts_with(['"', '“']);
        let arrow = ["->", "=>", "→"].iter().find_map(|arrow| item.unwrap_or(line).rsplit_once(arrow));
        if let Some((text, labels)) = arrow.filter(|_| item.is_some() || quoted) {
            let labels = labels.split(|c: char| !is_of_label(c)).filter(|label| !label.is_empty());
            let labels: Vec<String> = labels.map(str::to_owned).collect();
            return Self::Example(Example { text: text.trim_matches(['"', ' ', '“', '”']).to_owned(), labels });
        }
        let Some(item) = item else {
            return line.strip_suffix(':').map_or(Self::Other, |heading| Self::Heading(heading.to_owned()));
        };
        let Some((label, meaning)) = item.split_once(':') else { return Self::Other };
        let label = label.trim_matches(['`', '*', '"', ' ']);
        if label.is_empty() || !label.chars().all(is_of_label) || meaning.trim().is_empty() {
            return Self::Other;
        }
        Self::Definition { label: label.to_owned(), meaning: meaning.trim().to_owned() }
    }
}

fn is_of_label(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '-' | '/')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn definitions_and_examples_are_found() {
        let mut instructions = Instructions::default();
        instructions.read(
            "You sort mail. Answer with JSON:\n\nThe categories are:\n- billing: charges, refunds\n* `how_to`: questions\n\
             Urgency:\n- low: can wait\n\nExamples:\n- \"How do I pay?\" -> how_to, low\n- no definition here\n",
        );
        let labels: Vec<_> = instructions.definitions.iter().map(|d| d.label.as_str()).collect();
        assert_eq!(labels, ["billing", "how_to", "low"]);
        assert_eq!(
            instructions.groups(),
            [("category".to_owned(), vec!["billing", "how_to"]), ("urgency".to_owned(), vec!["low"])]
        );
        assert_eq!(instructions.meanings("category", "Billing").collect::<Vec<_>>(), ["charges, refunds"]);
        let example = Example { text: "How do I pay?".to_owned(), labels: vec!["how_to".to_owned(), "low".to_owned()] };
        assert_eq!(instructions.examples, [example]);
    }

    #[test]
    fn input_is_what_is_no_instruction() {
        let check = |message, input| assert_eq!(input_of(message), input);
        check("My parcel is lost", "My parcel is lost");
        check("- a: one\n- b: two\n\nText: my parcel", "Text: my parcel");
        check("- a: one", "- a: one");
    }
}
