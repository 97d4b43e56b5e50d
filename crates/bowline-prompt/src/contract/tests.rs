use serde_json::{Map, json};

use super::*;
use crate::diagnostic::render;
use crate::picoschema;
use crate::version::VersionInput;

/// Reads a prompt and makes its version, as far as the contract is concerned.
fn version(text: &str) -> (ParsedPrompt, Version) {
    let prompt = ParsedPrompt::parse("prompts/a.prompt", text).unwrap();
    let schema = |node: &Option<crate::yaml::Node>| {
        node.as_ref().and_then(|node| picoschema::compile("prompts/a.prompt", node, &|_| None).unwrap())
    };
    let format = prompt.output.format.as_ref().map(|format| serde_json::from_value(json!(format.value)).unwrap());
    let model = json!({"alias": "fast", "identities": []});
    let version = Version {
        input: VersionInput { schema: schema(&prompt.input.schema), default: prompt.defaults() },
        output: VersionOutput { format, schema: schema(&prompt.output.schema) },
        ..serde_json::from_value(json!({"schema_version": 1, "model": model, "body": ""})).unwrap()
    };
    (prompt, version)
}

fn found(live: &str, candidate: &str) -> Vec<Diagnostic> {
    let ((_, live), (prompt, candidate)) = (version(live), version(candidate));
    check_contract(&prompt, &candidate, &live, live.digest(), &"prod".parse().unwrap())
}

/// Checks that the change from `live` to `candidate` has exactly the findings `expected`, as `line:column label`.
fn check(live: &str, candidate: &str, expected: &[&str]) {
    let found = found(live, candidate).into_iter().map(|diagnostic| {
        let start = diagnostic.span.unwrap().start;
        format!("{}:{} {}", start.line, start.column, diagnostic.label.unwrap())
    });
    assert_eq!(found.collect::<Vec<_>>(), expected, "{live} → {candidate}");
}

/// Both as the only property `x` of the input, and then of the output.
fn property(live: &str, candidate: &str, input: &[&str], output: &[&str]) {
    let text = |section: &str, schema: &str| {
        format!("---\n{section}:\n  schema:\n    type: object\n    properties:\n      x: {schema}\n---\n")
    };
    check(&text("input", live), &text("input", candidate), input);
    check(&text("output", live), &text("output", candidate), output);
}

#[test]
fn inputs_may_accept_more_but_not_less() {
    let input = |schema: &str| format!("---\ninput:\n  schema:\n{schema}---\n");
    let live = input("    ticket: string\n    customer?: string\n    tags(array): string\n");
    check(&live, &live, &[]);
    let locale = input("    ticket: string\n    locale: string\n    customer?: string\n    tags(array): string\n");
    check(&live, &locale, &["5:5 new required input; applications do not send it"]);
    check(&live, &locale.replace("locale:", "locale?:"), &[]);
    check(&live, &locale.replace("input:", "input:\n  default: {locale: en}"), &[]);
    check(
        &live,
        &input("    ticket: string\n    customer: string\n    tags(array): string\n"),
        &["5:5 now required; applications may not send it", "5:5 was `string` or `null`, is `string` now"],
    );
    check(
        &live,
        &input("    ticket?: string\n    tags(array): integer\n"),
        &["5:5 was `string`, is `integer` now", "3:3 `customer` is gone; applications still send it, and are refused"],
    );
    check(
        &live,
        "---\nmodel: a\n---\nx",
        &[
            "4:1 `ticket` is gone; applications still send it, and are refused",
            "4:1 `customer` is gone; applications still send it, and are refused",
            "4:1 `tags` is gone; applications still send it, and are refused",
        ],
    );
    check(
        "---\nmodel: a\n---\nx",
        &live,
        &["4:5 new required input; applications do not send it", "6:5 new required input; applications do not send it"],
    );
    let nested = |inner: &str| input(&format!("    customer(object):\n      name: string\n{inner}"));
    check(&nested(""), &nested("      age(enum): [1]\n"), &["6:7 new required input; applications do not send it"]);
}

#[test]
fn outputs_may_promise_more_but_not_less() {
    let output = |schema: &str| format!("---\noutput:\n  format: json\n  schema:\n{schema}---\n");
    let live = output("    category(enum): [billing, access]\n    urgent: boolean\n    note?: string\n");
    check(&live, &live, &[]);
    check(&live, &output("    category(enum): [billing]\n    urgent: boolean\n    note: string\n    more: any\n"), &[]);
    check(
        &live,
        &output("    category(enum): [billing, access, other]\n    urgent?: boolean\n"),
        &[
            "5:5 applications do not know: `\"other\"`",
            "6:5 was always there, is optional now",
            "6:5 was `boolean`, is `boolean` or `null` now",
            "4:3 output field `note` is gone; applications read it",
        ],
    );
    check(
        &live,
        &output("    category: string\n    urgent: boolean\n    note?: string\n"),
        &["5:5 only some values came, any may now"],
    );
    check(&live, "---\noutput: {format: text}\n---\n", &["2:1 the answer was JSON and is text now"]);
    check("---\nmodel: a\n---\n", &live, &["4:3 the answer was text and is JSON now"]);
    check(
        &live,
        "---\noutput: {format: json}\n---\n",
        &["2:1 the output schema is gone, and with it what was promised"],
    );
    check("---\noutput: {format: json}\n---\n", &live, &[]);
}

#[test]
fn each_keyword_narrows_one_way_and_widens_the_other() {
    let narrower = |wide: &str, narrow: &str, label: &str, reverse: &str| {
        property(wide, narrow, &[&format!("6:7 {label}")], &[]);
        property(narrow, wide, &[], &[&format!("6:7 {reverse}")]);
    };
    narrower("{type: number}", "{type: integer}", "was `number`, is `integer` now", "was `integer`, is `number` now");
    narrower("{}", "{type: string}", "was `any`, is `string` now", "was `string`, is `any` now");
    narrower("{maxLength: 9}", "{maxLength: 5}", "`maxLength` was `9`, is `5` now", "`maxLength` was `5`, is `9` now");
    narrower("{}", "{minimum: 0}", "`minimum` was not there, is `0` now", "`minimum` was `0`, is not there now");
    narrower(
        "{}",
        "{pattern: a}",
        "`pattern` was not there, is `\"a\"` now",
        "`pattern` was `\"a\"`, is not there now",
    );
    narrower("{enum: [1, 2]}", "{const: 1}", "no longer accepted: `2`", "applications do not know: `2`");
    narrower(
        "{anyOf: [{type: string}, {type: 'null'}]}",
        "{anyOf: [{type: string}]}",
        "an alternative that was accepted no longer is",
        "an alternative that applications do not know",
    );
    narrower(
        "{type: array, items: {type: [string, integer]}}",
        "{type: array, items: {type: string}}",
        "was `string` or `integer`, is `string` now",
        "was `string`, is `string` or `integer` now",
    );
    property("{title: a}", "{title: b, description: c}", &[], &[]);
    property("{type: string}", "{enum: [a]}", &["6:7 any value was accepted, only some are now"], &[]);
}

#[test]
fn references_are_followed_even_in_circles() {
    let tree = |leaf: &str| {
        format!(
            "---\noutput:\n  schema:\n    $ref: '#/$defs/node'\n    $defs:\n      node:\n        type: object\n        \
             properties:\n          leaf: {{type: {leaf}}}\n          next: {{$ref: '#/$defs/node'}}\n---\n"
        )
    };
    check(&tree("string"), &tree("string"), &[]);
    check(&tree("string"), &tree("integer"), &["3:3 was `string`, is `integer` now"]);
}

#[test]
fn what_cannot_be_compared_is_a_warning() {
    let text = |keyword: &str| format!("---\ninput:\n  schema:\n    type: object\n    {keyword}\n---\n");
    let found = found(&text("not: {required: [a]}"), &text("not: {required: [b]}"));
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].severity, Severity::Warning);
    assert_eq!(found[0].label.as_deref(), Some("`not` changed"));
}

#[test]
fn a_finding_reads_like_this() {
    let live = "---\nmodel: fast\ninput:\n  schema:\n    ticket: string\n---\n{{ticket}}\n";
    let candidate = "---\nmodel: fast\ninput:\n  schema:\n    ticket: string\n    locale: string\n---\n{{ticket}}\n";
    let (_, version) = version(live);
    let found = found(live, candidate);
    assert_eq!(
        found.iter().map(|diagnostic| render(diagnostic, Some(candidate))).collect::<String>(),
        format!(
            "\
error: breaking for running applications (against prod, version {}…)
  --> prompts/a.prompt:6:5
   |
 6 |     locale: string
   |     ^^^^^^ new required input; applications do not send it
hint: make it optional (`locale?: …`) or give it a value in `input.default`, or release the application first and pin it \
with `@sha256:…`
",
            version.digest().short()
        )
    );
    assert_eq!(version.input.default, Map::new());
}
