use serde_json::json;

use super::*;
use crate::yaml;

fn named(name: &str) -> Option<Json> {
    (name == "Ticket").then(|| json!({"type": "object", "description": "a ticket"}))
}

fn check(source: &str, expected: Json) {
    let node = yaml::parse("a.prompt", source, 0).unwrap();
    assert_eq!(compile("a.prompt", &node, &named).unwrap(), Some(expected), "{source}");
}

fn check_error(source: &str, span: Span, message: &str) {
    let node = yaml::parse("a.prompt", source, 0).unwrap();
    let error = compile("a.prompt", &node, &named).unwrap_err();
    assert_eq!((error.span, error.message.as_str()), (Some(span), message), "{source}");
}

#[test]
fn every_form_compiles() {
    check("Ticket", json!({"type": "object", "description": "a ticket"}));
    check("Ticket, mine", json!({"type": "object", "description": "mine"}));
    check(
        "t?: Ticket\nany: any",
        json!({"type": "object", "properties": {
            "t": {"type": ["object", "null"], "description": "a ticket"}, "any": {}
        }, "required": ["any"], "additionalProperties": false}),
    );
    check(
        "tags?(array, the tags): string, one tag\nkind(enum): [a, b]\n(*): string",
        json!({"type": "object", "properties": {
            "tags": {"type": ["array", "null"], "items": {"type": "string", "description": "one tag"}, "description": "the tags"},
            "kind": {"enum": ["a", "b"]}
        }, "required": ["kind"], "additionalProperties": {"type": "string"}}),
    );
}

#[test]
fn json_schema_passes_as_it_is() {
    check("type: [string, 'null']", json!({"type": ["string", "null"]}));
    check("$ref: '#/$defs/a'", json!({"$ref": "#/$defs/a"}));
    check("anyOf: [{type: string}]", json!({"anyOf": [{"type": "string"}]}));
    // Properties of Picoschema that are called like keywords stay properties.
    check(
        "enum: string",
        json!({"type": "object", "properties": {"enum": {"type": "string"}}, "required": ["enum"],
            "additionalProperties": false}),
    );
}

#[test]
fn what_is_no_schema_is_told_at_its_place() {
    check_error("a: strin", Span::on_line(1, 4, 5), "unknown type `strin`");
    check_error("a: 7", Span::on_line(1, 4, 1), "a schema is a type name or keys and values, not a number");
    check_error("a(map): string", Span::on_line(1, 1, 6), "`map` cannot stand in parentheses");
    check_error("a(enum): x", Span::on_line(1, 10, 1), "an enum is a list of values, not text");
    check_error("a?: string\na: string", Span::on_line(2, 1, 1), "the property `a` stands twice");
}
