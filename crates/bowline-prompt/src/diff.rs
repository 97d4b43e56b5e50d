//! What changed between two versions, for people.

use std::fmt;

use serde::Serialize;
use serde_json::Value;
use similar::{ChangeTag, TextDiff};

use crate::version::{Version, VersionTool};

/// What changed between two versions, part by part; parts that are the same are left out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct VersionDiff {
    /// The parts that differ: the model, the configuration, schemas, tools, the body, partials.
    pub sections: Vec<DiffSection>,
}

/// One part of two versions that differs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DiffSection {
    /// The part, such as `body` or `partial tone`.
    pub title: String,
    /// Its lines: what changed, and a little around it.
    pub lines: Vec<DiffLine>,
}

/// One line of a difference.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DiffLine {
    /// What became of it.
    pub kind: DiffKind,
    /// The line, without its end; empty for [`DiffKind::Gap`].
    pub text: String,
}

/// What became of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DiffKind {
    /// It stayed.
    Same,
    /// It was removed.
    Removed,
    /// It was added.
    Added,
    /// Lines that stayed are not shown here.
    Gap,
}

/// Lines shown around a change.
const CONTEXT: usize = 2;

// === impl VersionDiff ===

impl VersionDiff {
    /// Compares two versions.
    #[must_use]
    pub fn between(old: &Version, new: &Version) -> Self {
        let mut sections = vec![
            DiffSection::of("model", &model(old), &model(new)),
            DiffSection::of("config", &config(old), &config(new)),
            DiffSection::of("input", &input(old), &input(new)),
            DiffSection::of("output", &output(old), &output(new)),
        ];
        let names = |version: &Version| version.tools.iter().map(|tool| tool.name.clone()).collect::<Vec<_>>();
        for name in union(names(old), names(new)) {
            let tool =
                |version: &Version| version.tools.iter().find(|tool| tool.name == name).map(tool).unwrap_or_default();
            sections.push(DiffSection::of(format!("tool {name}"), &tool(old), &tool(new)));
        }
        sections.push(DiffSection::of("order of tools", &names(old).join("\n"), &names(new).join("\n")));
        sections.push(DiffSection::of("body", &old.body, &new.body));
        let names = |version: &Version| version.partials.keys().cloned().collect::<Vec<_>>();
        for name in union(names(old), names(new)) {
            let partial = |version: &Version| version.partials.get(&name).cloned().unwrap_or_default();
            sections.push(DiffSection::of(format!("partial {name}"), &partial(old), &partial(new)));
        }
        Self { sections: sections.into_iter().flatten().collect() }
    }

    /// Returns whether nothing changed.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.sections.is_empty()
    }
}

impl fmt::Display for VersionDiff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for section in &self.sections {
            writeln!(f, "{}", section.title)?;
            for line in &section.lines {
                writeln!(f, "  {line}")?;
            }
        }
        Ok(())
    }
}

// === impl DiffSection ===

impl DiffSection {
    /// Returns the difference of two texts, `None` where they are the same.
    fn of(title: impl Into<String>, old: &str, new: &str) -> Option<Self> {
        if old == new {
            return None;
        }
        let (old, new): (Vec<&str>, Vec<&str>) = (lines(old), lines(new));
        let diff = TextDiff::from_slices(&old, &new);
        let mut shown = Vec::new();
        let mut next = 0;
        for group in diff.grouped_ops(CONTEXT) {
            if group.first().is_some_and(|operation| operation.old_range().start > next) {
                shown.push(DiffLine { kind: DiffKind::Gap, text: String::new() });
            }
            next = group.last().map_or(next, |operation| operation.old_range().end);
            for change in group.iter().flat_map(|operation| diff.iter_changes(operation)) {
                let kind = match change.tag() {
                    ChangeTag::Equal => DiffKind::Same,
                    ChangeTag::Delete => DiffKind::Removed,
                    ChangeTag::Insert => DiffKind::Added,
                };
                shown.push(DiffLine { kind, text: change.value().to_owned() });
            }
        }
        if next < old.len() {
            shown.push(DiffLine { kind: DiffKind::Gap, text: String::new() });
        }
        Some(Self { title: title.into(), lines: shown })
    }
}

impl fmt::Display for DiffLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            DiffKind::Same => write!(f, "  {}", self.text),
            DiffKind::Removed => write!(f, "- {}", self.text),
            DiffKind::Added => write!(f, "+ {}", self.text),
            DiffKind::Gap => f.write_str("…"),
        }
    }
}

/// A final line end counts as one more, empty, line: whether it is there is content too.
fn lines(text: &str) -> Vec<&str> {
    if text.is_empty() { Vec::new() } else { text.split('\n').collect() }
}

/// Returns the names of both, the old ones first.
fn union(old: Vec<String>, new: Vec<String>) -> Vec<String> {
    let added: Vec<String> = new.into_iter().filter(|name| !old.contains(name)).collect();
    old.into_iter().chain(added).collect()
}

fn model(version: &Version) -> String {
    let identities = version.model.identities.iter().map(ToString::to_string);
    std::iter::once(format!("alias: {}", version.model.alias)).chain(identities).collect::<Vec<_>>().join("\n")
}

fn config(version: &Version) -> String {
    // Writing a struct of numbers and texts as JSON does not fail.
    match serde_json::to_value(&version.config) {
        Ok(Value::Object(entries)) => {
            entries.iter().map(|(key, value)| format!("{key}: {value}")).collect::<Vec<_>>().join("\n")
        }
        _ => String::new(),
    }
}

fn input(version: &Version) -> String {
    let default = Value::Object(version.input.default.clone());
    let default = (!version.input.default.is_empty()).then_some(&default);
    titled([("schema", version.input.schema.as_ref()), ("default", default)])
}

fn output(version: &Version) -> String {
    let format = version.output.format.map(|format| format!("format: {}", format.as_str()));
    let schema = titled([("schema", version.output.schema.as_ref())]);
    format.into_iter().chain((!schema.is_empty()).then_some(schema)).collect::<Vec<_>>().join("\n")
}

fn tool(tool: &VersionTool) -> String {
    let description = tool.description.as_ref().map(|text| Value::from(text.as_str()));
    let name = Value::from(tool.name.as_str());
    titled([
        ("name", Some(&name)),
        ("description", description.as_ref()),
        ("input", tool.input.as_ref()),
        ("output", tool.output.as_ref()),
    ])
}

fn titled<const N: usize>(parts: [(&str, Option<&Value>); N]) -> String {
    let parts = parts.into_iter().filter_map(|(title, value)| value.map(|value| format!("{title}: {value:#}")));
    parts.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn version(change: impl FnOnce(&mut Version)) -> Version {
        let value = json!({
            "schema_version": 1,
            "model": {"alias": "fast", "identities": [{"provider": "openai", "model": "gpt-5-mini"}]},
            "config": {"temperature": 0.2},
            "input": {"schema": {"type": "object", "properties": {"ticket": {"type": "string"}}}},
            "tools": [{"name": "lookup"}, {"name": "close"}],
            "body": "one\ntwo\nthree\nfour\nfive\nsix\n",
            "partials": {"tone": "Be brief."}
        });
        let mut version = serde_json::from_value(value).unwrap();
        change(&mut version);
        version
    }

    fn check(change: impl FnOnce(&mut Version), expected: &str) {
        let diff = VersionDiff::between(&version(|_| {}), &version(change));
        assert_eq!(diff.to_string(), expected);
    }

    #[test]
    fn the_same_has_no_difference() {
        assert!(VersionDiff::between(&version(|_| {}), &version(|_| {})).is_empty());
    }

    #[test]
    fn each_part_is_shown_with_a_little_around_it() {
        check(
            |version| version.body = "one\ntwo\nthree\n4\nfive\nsix\n".to_owned(),
            "body\n  …\n    two\n    three\n  - four\n  + 4\n    five\n    six\n  …\n",
        );
        check(|version| version.config.temperature = Some(0.4), "config\n  - temperature: 0.2\n  + temperature: 0.4\n");
        check(
            |version| version.model.identities[0].model = "gpt-6".to_owned(),
            "model\n    alias: fast\n  - openai/gpt-5-mini\n  + openai/gpt-6\n",
        );
        check(
            |version| {
                version.partials.remove("tone");
                version.partials.insert("voice".to_owned(), "Be kind.".to_owned());
            },
            "partial tone\n  - Be brief.\npartial voice\n  + Be kind.\n",
        );
        check(|version| version.tools.reverse(), "order of tools\n  + close\n    lookup\n  - close\n");
        check(
            |version| {
                version.input.schema = Some(json!({"type": "object", "properties": {"ticket": {"type": "integer"}}}))
            },
            "input\n  …\n      \"properties\": {\n        \"ticket\": {\n  -       \"type\": \"string\"\n  +       \"type\": \
             \"integer\"\n        }\n      }\n  …\n",
        );
    }

    #[test]
    fn a_change_of_the_digest_is_always_shown() {
        let ordered = |names: [&str; 2]| {
            version(|version| {
                let properties =
                    names.into_iter().map(|name| (name.to_owned(), json!({}))).collect::<serde_json::Map<_, _>>();
                version.output.schema = Some(json!({ "properties": properties }));
            })
        };
        let (old, new) = (ordered(["a", "b"]), ordered(["b", "a"]));
        assert_ne!(old.digest(), new.digest());
        assert!(!VersionDiff::between(&old, &new).is_empty());
        let ended = version(|version| version.body.push('\n'));
        assert!(!VersionDiff::between(&version(|_| {}), &ended).is_empty());
    }
}
