//! Compares two JSON Schemas: which of the values that one allows the other does not.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{Step, properties};
use crate::diagnostic::Severity;

/// Which way values flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    /// From the application: what was accepted must still be.
    Input,
    /// To the application: nothing may come that could not before.
    Output,
}

/// One incompatibility.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Finding {
    /// Where in the schema.
    pub(super) path: Vec<Step>,
    /// Warning where it cannot be told.
    pub(super) severity: Severity,
    /// What changed, in a few words.
    pub(super) label: String,
    /// What to do, where there is more than the usual.
    pub(super) hint: Option<String>,
}

/// A comparison under way.
pub(super) struct Comparison<'a> {
    direction: Direction,
    old_root: &'a Value,
    new_root: &'a Value,
    /// Properties of the root that need not be sent, as they have defaults.
    defaults: BTreeSet<String>,
    path: Vec<Step>,
    /// Pairs of references that were followed, since schemas may contain themselves.
    seen: BTreeSet<(String, String)>,
    findings: Vec<Finding>,
}

/// Bounds from below: the larger, the fewer values.
const LEAST: [&str; 5] = ["minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties"];
/// Bounds from above: the smaller, the fewer values.
const MOST: [&str; 5] = ["maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties"];
/// Keywords that restrict values in ways that are only compared for being the same.
const EXACT: [&str; 3] = ["pattern", "multipleOf", "uniqueItems"];
/// Keywords whose effect is not worked out here.
const OPAQUE: [&str; 14] = [
    "allOf",
    "not",
    "if",
    "then",
    "else",
    "contains",
    "minContains",
    "maxContains",
    "prefixItems",
    "patternProperties",
    "propertyNames",
    "dependentSchemas",
    "dependentRequired",
    "unevaluatedProperties",
];
const UNIONS: [&str; 2] = ["anyOf", "oneOf"];

// === impl Finding ===

impl Finding {
    /// Returns an error about a schema as a whole.
    pub(super) fn whole(label: impl Into<String>) -> Self {
        Self { path: Vec::new(), severity: Severity::Error, label: label.into(), hint: None }
    }
}

// === impl Comparison ===

impl<'a> Comparison<'a> {
    /// Returns every incompatibility of `new` with `old`.
    pub(super) fn run(
        direction: Direction,
        old: &'a Value,
        new: &'a Value,
        defaults: BTreeSet<String>,
    ) -> Vec<Finding> {
        let mut comparison = Self::new(direction, old, new, defaults);
        comparison.schemas(old, new);
        comparison.findings
    }

    fn new(direction: Direction, old_root: &'a Value, new_root: &'a Value, defaults: BTreeSet<String>) -> Self {
        let seen = BTreeSet::new();
        Self { direction, old_root, new_root, defaults, path: Vec::new(), seen, findings: Vec::new() }
    }

    fn schemas(&mut self, old: &Value, new: &Value) {
        if let (Some(old), Some(new)) = (reference(old), reference(new))
            && !self.seen.insert((old.to_owned(), new.to_owned()))
        {
            return;
        }
        let (Some(old), Some(new)) = (resolve(self.old_root, old), resolve(self.new_root, new)) else {
            return self.unclear("refers to a schema elsewhere");
        };
        let (narrow, wide) = self.ordered(old, new);
        if *narrow == Value::Bool(false) {
            return;
        }
        if *wide == Value::Bool(false) {
            return self.push("nothing is allowed here now", None);
        }
        if UNIONS.iter().any(|union| old.get(union).is_some() || new.get(union).is_some()) {
            self.unions(old, new);
        }
        self.types(old, new);
        self.values(old, new);
        self.bounds(old, new);
        for keyword in OPAQUE.into_iter().filter(|keyword| old.get(keyword) != new.get(keyword)) {
            self.unclear(format!("`{keyword}` changed"));
        }
        self.items(old, new);
        match self.direction {
            Direction::Input => self.sent(old, new),
            Direction::Output => self.read(old, new),
        }
    }

    /// Returns the schema whose values must all be allowed, and the one that must allow them.
    const fn ordered<'v>(&self, old: &'v Value, new: &'v Value) -> (&'v Value, &'v Value) {
        match self.direction {
            Direction::Input => (old, new),
            Direction::Output => (new, old),
        }
    }

    fn unions(&mut self, old: &Value, new: &Value) {
        let (narrow, wide) = self.ordered(old, new);
        let (narrow, wide) = (alternatives(narrow), alternatives(wide));
        let fits = |narrow: &Value, wide: &Value| {
            let (old, new) = self.ordered(narrow, wide);
            let mut inner = Comparison::new(self.direction, self.old_root, self.new_root, BTreeSet::new());
            inner.seen.clone_from(&self.seen);
            inner.schemas(old, new);
            inner.findings.is_empty()
        };
        if !narrow.iter().all(|narrow| wide.iter().any(|wide| fits(narrow, wide))) {
            let label = match self.direction {
                Direction::Input => "an alternative that was accepted no longer is",
                Direction::Output => "an alternative that applications do not know",
            };
            self.push(label, None);
        }
    }

    fn types(&mut self, old: &Value, new: &Value) {
        let (narrow, wide) = self.ordered(old, new);
        let Some(allowed) = types(wide) else { return };
        let fits = |name: &&str| allowed.contains(name) || (*name == "integer" && allowed.contains(&"number"));
        let holds = match types(narrow) {
            Some(types) => types.iter().all(fits),
            // Values listed one by one need no type.
            None => values(narrow).is_some_and(|values| values.iter().all(|value| fits(&type_of(value)))),
        };
        if !holds {
            let told = |schema: &Value| {
                let types = types(schema).unwrap_or_else(|| vec!["any"]);
                types.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(" or ")
            };
            self.push(format!("was {}, is {} now", told(old), told(new)), None);
        }
    }

    fn values(&mut self, old: &Value, new: &Value) {
        let (narrow, wide) = self.ordered(old, new);
        let Some(allowed) = values(wide) else { return };
        let Some(found) = values(narrow) else {
            let label = match self.direction {
                Direction::Input => "any value was accepted, only some are now",
                Direction::Output => "only some values came, any may now",
            };
            return self.push(label, None);
        };
        let extra: Vec<String> =
            found.iter().filter(|value| !allowed.contains(value)).map(|value| format!("`{value}`")).collect();
        if !extra.is_empty() {
            let label = match self.direction {
                Direction::Input => "no longer accepted",
                Direction::Output => "applications do not know",
            };
            self.push(format!("{label}: {}", extra.join(", ")), None);
        }
    }

    fn bounds(&mut self, old: &Value, new: &Value) {
        let (narrow, wide) = self.ordered(old, new);
        let number = |schema: &Value, keyword: &str| schema.get(keyword).and_then(Value::as_f64);
        let least = LEAST.into_iter().map(|keyword| (keyword, 1.0));
        for (keyword, sign) in least.chain(MOST.into_iter().map(|keyword| (keyword, -1.0))) {
            let Some(allowed) = number(wide, keyword) else { continue };
            if !number(narrow, keyword).is_some_and(|found| found * sign >= allowed * sign) {
                self.changed(keyword, old, new);
            }
        }
        for keyword in EXACT {
            let allowed = wide.get(keyword).filter(|value| **value != Value::Bool(false));
            if allowed.is_some() && allowed != narrow.get(keyword) {
                self.changed(keyword, old, new);
            }
        }
    }

    fn changed(&mut self, keyword: &str, old: &Value, new: &Value) {
        let told =
            |schema: &Value| schema.get(keyword).map_or_else(|| "not there".to_owned(), |value| format!("`{value}`"));
        self.push(format!("`{keyword}` was {}, is {} now", told(old), told(new)), None);
    }

    fn items(&mut self, old: &Value, new: &Value) {
        let any = Value::Bool(true);
        let of = |schema: &Value| schema.get("items").cloned();
        match (of(old), of(new)) {
            (None, None) => {}
            (old, new) => self.inside(Step::Items, &old.unwrap_or_else(|| any.clone()), &new.unwrap_or(any)),
        }
    }

    /// The properties of an object that applications send.
    fn sent(&mut self, old: &Value, new: &Value) {
        let find = |schema: &Value, name: &str| schema.get("properties").and_then(|all| all.get(name)).cloned();
        let needed: Vec<&str> =
            required(new).filter(|name| !self.path.is_empty() || !self.defaults.contains(*name)).collect();
        for name in &needed {
            if required(old).any(|old| old == *name) {
                continue;
            }
            let known = find(old, name).is_some();
            let label = if known {
                "now required; applications may not send it"
            } else {
                "new required input; applications do not send it"
            };
            let default = if self.path.is_empty() { " or give it a value in `input.default`" } else { "" };
            let hint = format!("make it optional (`{name}?: …`){default}");
            self.at(Step::Property((*name).to_owned()), |inner| inner.push(label, Some(hint)));
        }
        for (name, new) in properties(new) {
            if let Some(old) = find(old, name) {
                self.inside(Step::Property(name.to_owned()), &old, new);
            }
        }
        let other = new.get("additionalProperties").unwrap_or(&Value::Bool(true));
        for (name, old) in properties(old).filter(|(name, _)| find(new, name).is_none()) {
            if *other == Value::Bool(false) {
                self.push(
                    format!("`{name}` is gone; applications still send it, and are refused"),
                    Some(format!("keep `{name}` as an optional input")),
                );
            } else {
                self.inside(Step::Property(name.to_owned()), old, other);
            }
        }
        let was_open = old.get("additionalProperties") != Some(&Value::Bool(false)) && accepts_objects(old);
        if was_open && *other == Value::Bool(false) {
            self.push("properties beside those named were accepted, and are refused now", None);
        }
    }

    /// The properties of an object that applications read.
    fn read(&mut self, old: &Value, new: &Value) {
        let find = |name: &str| properties(new).find(|(new, _)| *new == name).map(|(_, schema)| schema);
        for (name, old_property) in properties(old) {
            let Some(new_property) = find(name) else {
                self.push(
                    format!("output field `{name}` is gone; applications read it"),
                    Some(format!("keep `{name}`")),
                );
                continue;
            };
            if required(old).any(|old| old == name) && !required(new).any(|new| new == name) {
                let hint = Some("keep it required".to_owned());
                self.at(Step::Property(name.to_owned()), |inner| inner.push("was always there, is optional now", hint));
            }
            self.inside(Step::Property(name.to_owned()), old_property, new_property);
        }
    }

    fn inside(&mut self, step: Step, old: &Value, new: &Value) {
        self.at(step, |inner| inner.schemas(old, new));
    }

    fn at(&mut self, step: Step, compare: impl FnOnce(&mut Self)) {
        self.path.push(step);
        compare(self);
        self.path.pop();
    }

    fn push(&mut self, label: impl Into<String>, hint: Option<String>) {
        self.findings.push(Finding { path: self.path.clone(), severity: Severity::Error, label: label.into(), hint });
    }

    fn unclear(&mut self, label: impl Into<String>) {
        let (path, severity) = (self.path.clone(), Severity::Warning);
        self.findings.push(Finding { path, severity, label: label.into(), hint: None });
    }
}

fn reference(schema: &Value) -> Option<&str> {
    schema.get("$ref").and_then(Value::as_str)
}

/// Follows references inside the same document; `None` where one leads elsewhere, or in a circle.
fn resolve<'v>(root: &'v Value, schema: &'v Value) -> Option<&'v Value> {
    const REFERENCES_MAX: usize = 16;
    let mut schema = schema;
    for _ in 0..REFERENCES_MAX {
        match reference(schema) {
            None => return Some(schema),
            Some(reference) => schema = root.pointer(reference.strip_prefix('#')?)?,
        }
    }
    None
}

fn types(schema: &Value) -> Option<Vec<&str>> {
    match schema.get("type")? {
        Value::String(name) => Some(vec![name]),
        Value::Array(names) => Some(names.iter().filter_map(Value::as_str).collect()),
        _ => None,
    }
}

fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

fn values(schema: &Value) -> Option<Vec<Value>> {
    let listed = || schema.get("enum").and_then(Value::as_array).cloned();
    schema.get("const").map(|value| vec![value.clone()]).or_else(listed)
}

fn required(schema: &Value) -> impl Iterator<Item = &str> {
    schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str)
}

fn accepts_objects(schema: &Value) -> bool {
    types(schema).is_none_or(|types| types.contains(&"object")) && values(schema).is_none()
}

/// Returns the alternatives of a union; a schema without one is its only alternative.
fn alternatives(schema: &Value) -> Vec<Value> {
    let union = UNIONS.iter().find_map(|union| schema.get(union).and_then(Value::as_array));
    match union {
        Some(alternatives) => alternatives.clone(),
        None if schema.is_boolean() => vec![json!({})],
        None => vec![schema.clone()],
    }
}
