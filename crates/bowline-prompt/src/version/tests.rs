use proptest::prelude::*;
use serde_json::json;

use super::*;

/// A version of which every field is there.
fn full() -> Version {
    let value = json!({
        "schema_version": 1,
        "model": {"alias": "smart", "identities": [
            {"provider": "openai", "model": "gpt-5"}, {"provider": "anthropic", "model": "claude-sonnet-4-5"}
        ]},
        "config": {"temperature": 0.2, "topP": 1, "topK": 40, "maxOutputTokens": 256, "stopSequences": ["END"], "seed": 7,
            "presencePenalty": -0.5, "frequencyPenalty": 0.5},
        "input": {
            "schema": {"type": "object", "properties": {
                "ticket": {"type": "string", "description": "what the customer wrote"},
                "customer": {"type": "object", "properties": {"name": {"type": "string"}, "plan": {"enum": ["free", "team"]}}}
            }, "required": ["ticket"], "additionalProperties": false},
            "default": {"customer": {"name": "you", "plan": "free"}}
        },
        "output": {"format": "json", "schema": {"type": "object", "properties": {
            "category": {"type": "string"}, "urgent": {"type": "boolean"}
        }}},
        "tools": [
            {"name": "lookup", "description": "find an order", "input": {"type": "object", "properties": {
                "order": {"type": "integer"}, "year": {"type": "integer"}
            }}},
            {"name": "close", "output": {"type": "null"}}
        ],
        "body": "{{> tone}}\nTicket: {{ticket}}\n",
        "partials": {"tone": "Be brief. {{> inner}}", "inner": "Be kind."}
    });
    serde_json::from_value(value).unwrap()
}

fn least() -> Version {
    let model = json!({"alias": "fast", "identities": [{"provider": "openai", "model": "gpt-5-mini"}]});
    serde_json::from_value(json!({"schema_version": 1, "model": model, "body": "Hello\n"})).unwrap()
}

fn middle() -> Version {
    Version {
        input: VersionInput {
            schema: Some(
                json!({"type": "object", "properties": {"b": {"type": "string"}, "a": {"type": ["number", "null"]}}}),
            ),
            default: Map::new(),
        },
        body: "Grüße, {{b}} \u{1f600}\n".to_owned(),
        ..least()
    }
}

/// These digests are identities in other people's stores: they must never change.
#[test]
fn digests_are_stable_across_releases() {
    let check = |version: &Version, expected: &str| {
        assert_eq!(version.digest().to_string(), expected, "{}", version.canonical())
    };
    check(&least(), "sha256:d7c0e6818128db365e5f1b5f5e3031b326128bbb12288290bda2b90abbd7ccae");
    check(&middle(), "sha256:2a9ad88b0b0017cddc7a59e6b61ff426b58a0d6eaaa936da07873ae3162539f4");
    check(&full(), "sha256:dd405c429ef2d0c55ee5084d773455d6d31f15f2a6bd5ff2500e4c92911b84be");
}

#[test]
fn the_canonical_form_keeps_the_order_of_properties_only() {
    assert_eq!(
        middle().canonical(),
        "{\"body\":\"Grüße, {{b}} 😀\\n\",\"input\":{\"schema\":{\"properties\":{\"ordered\":[[\"b\",{\"type\":\"string\"}],\
         [\"a\",{\"type\":[\"number\",\"null\"]}]]},\"type\":\"object\"}},\"model\":{\"alias\":\"fast\",\"identities\":\
         [{\"model\":\"gpt-5-mini\",\"provider\":\"openai\"}]}}"
    );
}

/// Returns copies of `value` in each of which one thing differs: a leaf, a key, or the order of a list.
fn changed(value: &Value) -> Vec<Value> {
    match value {
        Value::Null => vec![json!(true)],
        Value::Bool(value) => vec![json!(!value)],
        Value::Number(number) => vec![json!(number.as_f64().unwrap() + 0.25)],
        Value::String(text) => vec![json!(format!("{text} ")), json!("")],
        Value::Array(items) => {
            let with = |index: usize, item: Value| {
                let mut items = items.clone();
                items[index] = item;
                Value::Array(items)
            };
            let inner = items
                .iter()
                .enumerate()
                .flat_map(|(index, item)| changed(item).into_iter().map(move |item| with(index, item)));
            let mut all: Vec<Value> = inner.collect();
            all.push(items.iter().rev().cloned().collect());
            all.push(items.iter().skip(1).cloned().collect());
            all.retain(|changed| changed != value);
            all
        }
        Value::Object(entries) => {
            let mut all = Vec::new();
            for (key, value) in entries {
                for value in changed(value) {
                    let mut entries = entries.clone();
                    entries[key] = value;
                    all.push(Value::Object(entries));
                }
                let mut without = entries.clone();
                without.shift_remove(key);
                let mut renamed = without.clone();
                renamed.insert(format!("{key}x"), value.clone());
                all.extend([Value::Object(without), Value::Object(renamed)]);
            }
            all
        }
    }
}

#[test]
fn every_change_of_content_changes_the_digest() {
    let original = full();
    let value = serde_json::to_value(&original).unwrap();
    let versions: Vec<Version> =
        changed(&value).into_iter().filter_map(|value| serde_json::from_value(value).ok()).collect();
    assert!(versions.len() > 150, "{}", versions.len());
    for version in versions {
        assert_ne!(version.digest(), original.digest(), "{}", version.canonical());
    }
}

#[test]
fn the_order_of_schema_properties_is_content_and_the_order_of_other_keys_is_not() {
    let with =
        |schema: Value| Version { output: VersionOutput { format: None, schema: Some(schema) }, ..least() }.digest();
    let check = |left: Value, right: Value, same: bool| {
        assert_eq!(with(left.clone()) == with(right.clone()), same, "{left} {right}")
    };
    let (ab, ba) = (json!({"properties": {"a": {}, "b": {}}}), json!({"properties": {"b": {}, "a": {}}}));
    check(ab.clone(), ba.clone(), false);
    check(json!({"items": ab}), json!({"items": ba}), false);
    check(json!({"anyOf": [ab]}), json!({"anyOf": [ba]}), false);
    check(json!({"$defs": {"x": ab, "y": {}}}), json!({"$defs": {"y": {}, "x": ba}}), false);
    check(json!({"$defs": {"x": ab, "y": {}}}), json!({"$defs": {"y": {}, "x": ab}}), true);
    check(json!({"properties": {"properties": ab}}), json!({"properties": {"properties": ba}}), false);
    check(json!({"type": "string", "maxLength": 2}), json!({"maxLength": 2.0, "type": "string"}), true);
    check(json!({"const": ab}), json!({"const": ba}), true);
    check(json!({"properties": {"a": {}}}), json!({"properties": [["a", {}]]}), false);
    check(json!({"properties": {"a": {}}}), json!({"properties": {"ordered": [["a", {}]]}}), false);
}

#[test]
fn versions_survive_a_store() {
    for version in [least(), middle(), full()] {
        let text = serde_json::to_string(&version).unwrap();
        let read: Version = serde_json::from_str(&text).unwrap();
        assert_eq!(read, version);
        assert_eq!(read.digest(), version.digest());
        assert_eq!(serde_json::to_string(&read).unwrap(), text);
    }
}

#[test]
fn what_has_no_single_identity_is_not_read() {
    let check = |path: &str, value: Value, expected: &str| {
        let mut version = serde_json::to_value(full()).unwrap();
        *version.pointer_mut(path).unwrap() = value;
        let error = serde_json::from_value::<Version>(version).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    };
    check("/schema_version", json!(2), "schema 2 cannot be read here");
    check("/config/seed", json!(9_007_199_254_740_992_i64), "not within");
    check("/input/schema/properties/ticket", json!({"maxLength": u64::MAX}), "beyond");
    check("/input/default/customer", json!(u64::MAX), "beyond");
    check("/tools/0/input", json!({"maximum": i64::MAX}), "beyond");
    check("/model", json!({"alias": "a", "identities": [], "weight": 1}), "unknown field `weight`");
}

fn values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-1_000_000_i64..1_000_000).prop_map(Value::from),
        any::<f64>().prop_filter("finite", |double| double.is_finite()).prop_map(Value::from),
        ".{0,6}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        let names = prop_oneof!["properties", "items", "ordered", "anyOf", "[$]defs", "[a-c]"];
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((names, inner), 0..4)
                .prop_map(|entries| Value::Object(entries.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn different_schemas_have_different_digests(left in values(), right in values()) {
        let with = |schema: &Value| Version { output: VersionOutput { format: None, schema: Some(schema.clone()) }, ..least() };
        // The canonical form of the bare schema forgets the order of properties; what differs beyond that differs as a version.
        if canonical_json(&left) != canonical_json(&right) {
            prop_assert_ne!(with(&left).digest(), with(&right).digest());
        }
        prop_assert_eq!(with(&left).digest(), with(&left.clone()).digest());
    }

    #[test]
    fn stored_schemas_keep_their_digest(schema in values()) {
        let version = Version { input: VersionInput { schema: Some(schema), default: Map::new() }, ..least() };
        let read: Version = serde_json::from_str(&serde_json::to_string(&version).unwrap()).unwrap();
        prop_assert_eq!(read.digest(), version.digest());
    }
}
