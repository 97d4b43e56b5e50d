//! `bowline.lock`: what a commit stands for, in lines that a reviewer can read and a merge can join.

use std::collections::BTreeMap;
use std::fmt;

use bowline_types::{Digest, ModelAlias, PromptName};

use crate::diagnostic::{Diagnostic, Diagnostics, Span};
use crate::version::ModelIdentity;

/// The locked identities of a project: one sorted line per model alias, prompt and suite.
///
/// ```text
/// model fast openai/gpt-5-mini
/// prompt support/answer sha256:3f9a…
/// suite evals/support.yaml sha256:77b0…
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lock {
    entries: BTreeMap<(Kind, String), Entry>,
}

/// What a line is about, in the order of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Model,
    Prompt,
    Suite,
}

/// The value of a line, and where it stands in the file that it was read from.
#[derive(Clone, Debug, Eq)]
struct Entry {
    value: String,
    span: Option<Span>,
}

/// The comment that opens the file.
const HEADER: &str = "# Made by `bowline lock`: commit it and review it, but do not edit it.\n";

// === impl Lock ===

impl Lock {
    /// The name of the file, at the root of a project.
    pub const FILE: &str = "bowline.lock";

    /// Adds what is behind a model alias.
    pub fn insert_model(&mut self, alias: &ModelAlias, identities: &[ModelIdentity]) {
        let identities = identities.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
        self.insert(Kind::Model, alias.as_str(), identities);
    }

    /// Adds the version of a prompt.
    pub fn insert_prompt(&mut self, name: &PromptName, version: Digest) {
        self.insert(Kind::Prompt, name.as_str(), version.to_string());
    }

    /// Adds a suite: the digest of its text with LF line ends.
    pub fn insert_suite(&mut self, path: &str, text: Digest) {
        self.insert(Kind::Suite, path, text.to_string());
    }

    fn insert(&mut self, kind: Kind, name: &str, value: String) {
        self.entries.insert((kind, name.to_owned()), Entry { value, span: None });
    }

    /// Reads the text of a lock.
    ///
    /// # Errors
    /// Every line that is not one of a lock, such as what a merge left behind.
    pub fn parse(file: &str, text: &str) -> Result<Self, Diagnostics> {
        let mut lock = Self::default();
        let mut found = Diagnostics::new();
        for (index, line) in
            text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty() && !line.starts_with('#'))
        {
            let span = Span::on_line(index + 1, 1, line.chars().count());
            let wrong = |message: &str| {
                let error = Diagnostic::error("lock", file, message).at(span);
                error.hint("run `bowline lock`; it is made anew from the project, so a merge needs no hand")
            };
            let mut parts = line.splitn(3, ' ');
            let (kind, name, value) = (parts.next().and_then(Kind::parse), parts.next(), parts.next());
            let (Some(kind), Some(name), Some(value)) = (kind, name, value) else {
                found.push(wrong("not a line of a lock"));
                continue;
            };
            let entry = Entry { value: value.trim_end().to_owned(), span: Some(span) };
            if lock.entries.insert((kind, name.to_owned()), entry).is_some() {
                found.push(wrong(&format!("{} `{name}` stands twice", kind.as_str())));
            }
        }
        if found.is_empty() { Ok(lock) } else { Err(found) }
    }

    /// Returns everything in which this lock, read from `file`, differs from the project as it is now.
    #[must_use]
    pub fn compare(&self, file: &str, now: &Self) -> Vec<Diagnostic> {
        let stale = |message: String| {
            Diagnostic::error("lock-stale", file, message).hint("the lock is stale: run `bowline lock`")
        };
        let mut found = Vec::new();
        for ((kind, name), locked) in &self.entries {
            let error = match now.entries.get(&(*kind, name.clone())) {
                Some(entry) if entry == locked => continue,
                Some(entry) => {
                    stale(format!("{} `{name}` is {}, not what is locked", kind.as_str(), entry.value)).label("locked")
                }
                None => stale(format!("{} `{name}` is locked but no longer there", kind.as_str())),
            };
            found.push(match locked.span {
                Some(span) => error.at(span),
                None => error,
            });
        }
        let unlocked = now.entries.keys().filter(|key| !self.entries.contains_key(key));
        found.extend(unlocked.map(|(kind, name)| stale(format!("{} `{name}` is not locked", kind.as_str()))));
        found
    }
}

impl fmt::Display for Lock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HEADER)?;
        self.entries
            .iter()
            .try_for_each(|((kind, name), entry)| writeln!(f, "{} {name} {}", kind.as_str(), entry.value))
    }
}

// === impl Kind ===

impl Kind {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Model => "model",
            Self::Prompt => "prompt",
            Self::Suite => "suite",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        [Self::Model, Self::Prompt, Self::Suite].into_iter().find(|kind| kind.as_str() == text)
    }
}

// === impl Entry ===

impl PartialEq for Entry {
    /// The place is no part of what is locked.
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lock(answer: &[u8]) -> Lock {
        let mut lock = Lock::default();
        lock.insert_suite("evals/support.yaml", Digest::of(b"tests: []"));
        lock.insert_prompt(&"support/answer".parse().unwrap(), Digest::of(answer));
        lock.insert_prompt(&"greet".parse().unwrap(), Digest::of(b"greet"));
        let identity = |model: &str| ModelIdentity { provider: "openai".to_owned(), model: model.to_owned() };
        lock.insert_model(&"smart".parse().unwrap(), &[identity("gpt-5"), identity("gpt-5-mini")]);
        lock
    }

    #[test]
    fn locks_are_sorted_and_round_trip() {
        let lock = lock(b"answer");
        let text = lock.to_string();
        let starts: Vec<_> =
            text.lines().skip(1).map(|line| line.split_once(" sha256:").map_or(line, |(start, _)| start)).collect();
        assert_eq!(
            starts,
            [
                "model smart openai/gpt-5 openai/gpt-5-mini",
                "prompt greet",
                "prompt support/answer",
                "suite evals/support.yaml"
            ]
        );
        assert_eq!(Lock::parse("bowline.lock", &text).unwrap(), lock);
        assert_eq!(Lock::parse("bowline.lock", &text.replace('\n', "\r\n")).unwrap(), lock);
    }

    #[test]
    fn every_difference_is_told_at_its_line() {
        let now = lock(b"answer");
        assert_eq!(Lock::parse("bowline.lock", &now.to_string()).unwrap().compare("bowline.lock", &now), []);
        let text = lock(b"older").to_string().replace("prompt greet", "prompt gone");
        let found = Lock::parse("bowline.lock", &text).unwrap().compare("bowline.lock", &now);
        let told: Vec<_> = found.iter().map(|d| (d.span.map(|span| span.start.line), d.message.clone())).collect();
        let digest = Digest::of(b"answer");
        assert_eq!(
            told,
            [
                (Some(3), "prompt `gone` is locked but no longer there".to_owned()),
                (Some(4), format!("prompt `support/answer` is {digest}, not what is locked")),
                (None, "prompt `greet` is not locked".to_owned()),
            ]
        );
        assert!(found.iter().all(|diagnostic| diagnostic.hints == ["the lock is stale: run `bowline lock`"]));
    }

    #[test]
    fn what_a_merge_leaves_is_refused() {
        let text = "<<<<<<< ours\nprompt a sha256:1\n=======\nprompt a sha256:2\n>>>>>>> theirs\nprompt b\n";
        let found = Lock::parse("bowline.lock", text).unwrap_err().into_sorted();
        let lines: Vec<_> = found.iter().map(|diagnostic| diagnostic.span.unwrap().start.line).collect();
        assert_eq!(lines, [1, 3, 4, 5, 6]);
    }
}
