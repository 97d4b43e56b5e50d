//! Assertions of one row of a dataset as a short text, where no other row has the same: 100,000 of them stay small, and are expanded when the
//! turn of their case comes.
//!
//! A list of lists: `["not-contains", VALUE, {…}]` is an assertion, `[[…], {…}]` a set; what is the default is left out. Where the text would not
//! give back what it was made of, there is none.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::known::{Known, known};
use super::{Assertion, AssertionNode, AssertionSet};

/// Returns the text; `None` where it would not stand for the same.
pub(crate) fn pack(nodes: &[AssertionNode]) -> Option<String> {
    let file = file_of(nodes)?;
    let packed: Vec<Value> = nodes.iter().map(pack_node).collect();
    let text = serde_json::to_string(&packed).ok()?;
    (unpack(&text, file).as_deref() == Some(nodes)).then_some(text)
}

/// Returns the assertions of a text that was packed from those of `file`; `None` where it is no such text.
pub(crate) fn unpack(text: &str, file: &Arc<str>) -> Option<Vec<AssertionNode>> {
    let packed: Vec<Value> = serde_json::from_str(text).ok()?;
    packed.into_iter().map(|node| unpack_node(node, file)).collect()
}

/// Returns the file in which assertions stand.
fn file_of(nodes: &[AssertionNode]) -> Option<&Arc<str>> {
    let assertion = match nodes.first()? {
        AssertionNode::One(assertion) => assertion,
        AssertionNode::Set(set) => set.members.first()?,
    };
    Some(&assertion.file)
}

fn pack_node(node: &AssertionNode) -> Value {
    match node {
        AssertionNode::One(assertion) => pack_one(assertion),
        AssertionNode::Set(set) => {
            let members = set.members.iter().map(|member| pack_one(member)).collect();
            with_rest(Value::Array(members), None, rest(set.threshold, set.weight, set.metric.as_deref()))
        }
    }
}

fn pack_one(assertion: &Assertion) -> Value {
    let Assertion { kind, negated, value, threshold, weight, metric, provider, rubric_prompt, config, .. } = assertion;
    let word = format!("{}{}", if *negated { "not-" } else { "" }, kind.as_str());
    let mut rest = rest(*threshold, *weight, metric.as_deref());
    rest.extend(provider.as_deref().map(|provider| ("p".to_owned(), provider.into())));
    rest.extend(rubric_prompt.as_deref().map(|prompt| ("r".to_owned(), prompt.clone())));
    if !config.is_empty() {
        rest.insert("c".to_owned(), Value::Object((**config).clone()));
    }
    with_rest(word.into(), Some(value), rest)
}

fn rest(threshold: Option<f64>, weight: f64, metric: Option<&str>) -> Map<String, Value> {
    let mut rest = Map::new();
    rest.extend(threshold.map(|threshold| ("t".to_owned(), threshold.into())));
    if weight.to_bits() != 1.0_f64.to_bits() {
        rest.insert("w".to_owned(), weight.into());
    }
    rest.extend(metric.map(|metric| ("m".to_owned(), metric.into())));
    rest
}

fn with_rest(first: Value, value: Option<&Value>, rest: Map<String, Value>) -> Value {
    let mut items = vec![first];
    items.extend(value.filter(|value| !value.is_null() || !rest.is_empty()).cloned());
    if !rest.is_empty() {
        items.push(Value::Object(rest));
    }
    Value::Array(items)
}

fn unpack_node(node: Value, file: &Arc<str>) -> Option<AssertionNode> {
    let Value::Array(items) = node else { return None };
    let mut items = items.into_iter();
    match items.next()? {
        Value::Array(members) => {
            let members = members.into_iter().map(|member| match unpack_node(member, file)? {
                AssertionNode::One(assertion) => Some(assertion),
                AssertionNode::Set(_) => None,
            });
            let rest = items.next().unwrap_or_default();
            Some(AssertionNode::Set(Arc::new(AssertionSet {
                members: members.collect::<Option<_>>()?,
                threshold: rest.get("t").and_then(Value::as_f64),
                weight: rest.get("w").and_then(Value::as_f64).unwrap_or(1.0),
                metric: text(&rest, "m"),
            })))
        }
        Value::String(word) => {
            let Known::Kind(kind, negated) = known(&word) else { return None };
            let (value, mut rest) = (items.next().unwrap_or_default(), items.next().unwrap_or_default());
            let config = match rest.get_mut("c").map(Value::take) {
                Some(Value::Object(config)) => Arc::new(config),
                _ => Arc::default(),
            };
            Some(AssertionNode::One(Arc::new(Assertion {
                kind,
                negated,
                value,
                threshold: rest.get("t").and_then(Value::as_f64),
                weight: rest.get("w").and_then(Value::as_f64).unwrap_or(1.0),
                metric: text(&rest, "m"),
                provider: text(&rest, "p"),
                rubric_prompt: rest.get_mut("r").map(Value::take).map(Arc::new),
                config,
                file: Arc::clone(file),
                span: None,
            })))
        }
        _ => None,
    }
}

fn text(rest: &Value, key: &str) -> Option<Arc<str>> {
    rest.get(key).and_then(Value::as_str).map(Arc::from)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::Kind;
    use super::*;

    fn one(change: impl FnOnce(&mut Assertion)) -> Arc<Assertion> {
        let mut assertion = Assertion {
            kind: Kind::Contains,
            negated: false,
            value: "ticket 17".into(),
            threshold: None,
            weight: 1.0,
            metric: None,
            provider: None,
            rubric_prompt: None,
            config: Arc::default(),
            file: "evals/cases.jsonl".into(),
            span: None,
        };
        change(&mut assertion);
        Arc::new(assertion)
    }

    /// Checks that assertions have this text, and come back from it.
    fn check(nodes: &[AssertionNode], expected: &str) {
        assert_eq!(pack(nodes).as_deref(), Some(expected));
        assert_eq!(unpack(expected, &"evals/cases.jsonl".into()).as_deref(), Some(nodes));
    }

    #[test]
    fn assertions_come_back_as_they_were() {
        check(&[AssertionNode::One(one(|_| {}))], r#"[["contains","ticket 17"]]"#);
        let latency =
            one(|it| (it.kind, it.negated, it.value, it.threshold) = (Kind::Latency, true, Value::Null, Some(0.1)));
        check(&[AssertionNode::One(Arc::clone(&latency))], r#"[["not-latency",null,{"t":0.1}]]"#);
        check(&[AssertionNode::One(one(|it| (it.kind, it.value) = (Kind::IsJson, Value::Null)))], r#"[["is-json"]]"#);
        let whole = one(|it| {
            (it.weight, it.metric) = (0.0, Some("tone".into()));
            (it.provider, it.rubric_prompt) = (Some("judge".into()), Some(Arc::new(json!([1, null]))));
            it.config = Arc::new(json!({ "z": 1.5, "a": "é" }).as_object().unwrap().clone());
        });
        let rest = r#"{"w":0.0,"m":"tone","p":"judge","r":[1,null],"c":{"z":1.5,"a":"é"}}"#;
        check(&[AssertionNode::One(whole)], &format!(r#"[["contains","ticket 17",{rest}]]"#));
        let set = AssertionSet { members: vec![one(|_| {}), latency], threshold: Some(0.5), weight: 2.0, metric: None };
        let members = r#"[["contains","ticket 17"],["not-latency",null,{"t":0.1}]]"#;
        check(&[AssertionNode::Set(Arc::new(set))], &format!(r#"[[{members},{{"t":0.5,"w":2.0}}]]"#));
        for kind in Kind::ALL {
            assert!(pack(&[AssertionNode::One(one(|it| it.kind = *kind))]).is_some(), "{}", kind.as_str());
        }
    }

    #[test]
    fn what_would_come_back_as_something_else_is_not_packed() {
        let refused = |assertion| assert_eq!(pack(&[AssertionNode::One(assertion)]), None);
        refused(one(|it| it.threshold = Some(f64::INFINITY)));
        refused(one(|it| it.span = Some(bowline_prompt::Span::on_line(1, 1, 1))));
        let elsewhere = one(|it| it.file = "evals/other.jsonl".into());
        assert_eq!(pack(&[AssertionNode::One(one(|_| {})), AssertionNode::One(elsewhere)]), None);
        assert_eq!(pack(&[]), None);
    }
}
