use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::json;

use super::*;
use crate::diagnostic::Position;

fn read(text: &str) -> Node {
    parse("a.yaml", text, 0).unwrap()
}

#[test]
fn every_kind_of_value_is_read_with_its_place() {
    let node = read("a: 1\nb:\n  - x y\n  - 1.5\n  - ~\nc: {d: true, e: \"7\"}\n");
    assert_eq!(node.to_json(), json!({"a": 1, "b": ["x y", 1.5, null], "c": {"d": true, "e": "7"}}));
    let second = &node.get("b").unwrap().items()[1];
    assert_eq!(second.span, Span::on_line(4, 5, 3));
    assert_eq!(node.entry("c").unwrap().0.span, Span::on_line(6, 1, 1));
    assert_eq!(read("").value, Value::Null);
    assert_eq!(parse("a", "x: ü y", 10).unwrap().get("x").unwrap().span, Span::on_line(11, 4, 3));
}

#[test]
fn aliases_are_copies() {
    assert_eq!(read("a: &x [1, 2]\nb: *x\n").to_json(), json!({"a": [1, 2], "b": [1, 2]}));
}

#[test]
fn what_is_not_strict_yaml_is_refused() {
    let deep = "[".repeat(200);
    let mut bomb = "a0: &a0 [1,1,1,1,1,1,1,1,1,1]\n".to_owned();
    for level in 1..9 {
        let previous = format!("*a{},", level - 1).repeat(10);
        bomb.push_str(&format!("a{level}: &a{level} [{previous}]\n"));
    }
    let check = |text: &str, position: Option<Position>, message: &str| {
        let error = parse("a.yaml", text, 0).unwrap_err();
        assert!(error.message.contains(message), "{}", error.message);
        if let Some(position) = position {
            assert_eq!(error.span.unwrap().start, position, "{}", error.message);
        }
    };
    check("a: 1\nb: 2\na: 3\n", Some(Position::new(3, 1)), "stands twice");
    check("a: [1\nb: 2", None, "not valid YAML");
    check("a: 1\n---\nb: 2\n", Some(Position::new(3, 1)), "second document");
    check("? [a]\n: 1\n", None, "a key must be plain text");
    check("a: .inf", Some(Position::new(1, 4)), "out of range");
    check("a: 99999999999999999999", Some(Position::new(1, 4)), "out of range");
    check(&deep, None, "levels deep");
    check(&bomb, None, "aliases expanded");
    check("a: *b", None, "not valid YAML");
}

#[derive(Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
struct Provider {
    kind: Kind,
    #[serde(default)]
    retries: u8,
    url: Option<String>,
}

#[derive(Debug, Deserialize, PartialEq)]
#[serde(rename_all = "snake_case")]
enum Kind {
    Openai,
    Other { identity: String },
}

fn providers(text: &str) -> Result<BTreeMap<String, Provider>, crate::Diagnostic> {
    decode("a.yaml", &parse("a.yaml", text, 0).unwrap())
}

#[test]
fn nodes_decode_into_types() {
    let read = providers("a: {kind: openai, retries: 3}\nb:\n  kind:\n    other: {identity: x}\n  url: u\n").unwrap();
    assert_eq!(read["a"], Provider { kind: Kind::Openai, retries: 3, url: None });
    let other = Kind::Other { identity: "x".to_owned() };
    assert_eq!(read["b"], Provider { kind: other, retries: 0, url: Some("u".to_owned()) });
}

#[test]
fn what_does_not_decode_is_told_at_its_place() {
    let check = |text: &str, span: Span, message: &str, hint: &str| {
        let error = providers(text).unwrap_err();
        assert_eq!((error.span, error.message.as_str()), (Some(span), message));
        assert!(error.hints.concat().contains(hint), "{:?}", error.hints);
    };
    check(
        "a:\n  kind: openai\n  retrie: 1\n",
        Span::on_line(3, 3, 6),
        "unknown key `retrie`",
        "did you mean `retries`?",
    );
    check("a:\n  kind: openia\n", Span::on_line(2, 9, 6), "unknown value `openia`", "did you mean `openai`?");
    check("a: {kind: openai, retries: -1}", Span::on_line(1, 28, 2), "invalid value: integer `-1`, expected u8", "");
    check("a: {kind: openai, url: 7}", Span::on_line(1, 24, 1), "expected a string, found integer `7`", "");
    check("a: {retries: 1}", Span::on_line(1, 4, 12), "the key `kind` is missing", "");
    check("a: {kind: {other: {id: 1}}}", Span::on_line(1, 19, 7), "the key `identity` is missing", "");
    check("a: {kind: other}", Span::on_line(1, 11, 5), "`other` needs a value", "");
}
