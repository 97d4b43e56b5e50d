use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::sample::select;
use serde_json::json;

use super::*;
use crate::diagnostic::render;
use crate::template::{CompiledTemplate, Missing, Partial, RenderInput};

const FILE: &str = "prompts/support/classify.prompt";

fn parse(text: &str) -> ParsedPrompt {
    ParsedPrompt::parse(FILE, text).unwrap()
}

fn partials() -> BTreeMap<String, Partial> {
    let partial = |name: &str, text: &str| (name.to_owned(), Partial::new(format!("prompts/_{name}.prompt"), text));
    BTreeMap::from([
        partial("tone", "Be kind.\n"),
        partial("sign", "Yours,\n  {{name}}"),
        partial("loop", "{{> round}}"),
        partial("round", "{{#if x}}{{> loop}}{{/if}}"),
        partial("frame", "<{{> @partial-block}}>{{> nav}}"),
        partial("broken", "{{#if}}"),
    ])
}

/// Every finding as `line:column code: message`.
fn findings(text: &str) -> Vec<String> {
    let schemas = |name: &str| (name == "Ticket").then(|| json!({"type": "object", "properties": {"id": {}}}));
    let found = check_prompt(&parse(text), &CheckContext { partials: &partials(), schemas: &schemas });
    let line = |error: &Diagnostic| {
        let place = error.span.map_or_else(String::new, |span| format!("{}:{} ", span.start.line, span.start.column));
        let file = if error.file == FILE { String::new() } else { format!("{}:", error.file) };
        format!("{file}{place}{}: {}", error.code, error.message)
    };
    found.iter().map(line).collect()
}

/// Checks the findings in a body whose prompt declares a usual set of inputs. The body starts on line 14.
fn check_body(body: &str, expected: &[&str]) {
    let front = "---\nmodel: main\ninput:\n  schema:\n    ticket?: string\n    name?: string\n    users?(array):\n      first: string\n      tags?(array): string\n    who?:\n      (*): string\n    any?: any\n---\n";
    assert_eq!(findings(&format!("{front}{body}")), expected, "{body}");
}

#[test]
fn front_matter_is_read_with_places() {
    let prompt = parse(
        "# a licence\n\n---\nname: classify\nmodel: fast\nversion: 2\ntools: [search]\ntoolDefs:\n  - name: send\n    inputSchema: {to: string}\nconfig: {temperature: 0.2}\ninput:\n  default: {tone: calm}\n  schema: {ticket: string}\noutput: {format: json, schema: string}\nbowline.suite: support\nbowline.rollout.plan: x\n---\n\n  Hello\r\n",
    );
    assert_eq!(prompt.model, Some(Spanned { value: "fast".to_owned(), span: Span::on_line(5, 8, 4) }));
    assert_eq!(prompt.version.as_ref().map(|version| version.value.as_str()), Some("2"));
    assert_eq!(prompt.tools, [Spanned { value: "search".to_owned(), span: Span::on_line(7, 9, 6) }]);
    assert_eq!(prompt.tool_definitions[0].name.value, "send");
    assert_eq!(prompt.defaults(), Map::from_iter([("tone".to_owned(), json!("calm"))]));
    let suite: Vec<_> = prompt.namespace("bowline").map(|field| (field.field.as_str(), field.key.span)).collect();
    assert_eq!(suite, [("suite", Span::on_line(16, 1, 13))]);
    assert_eq!(prompt.namespace("bowline.rollout").count(), 1);
    assert_eq!((prompt.body.as_str(), prompt.body_start), ("Hello", Position::new(20, 3)));
}

#[test]
fn without_front_matter_all_is_body() {
    let check = |text: &str, body: &str| {
        let prompt = parse(text);
        assert_eq!((prompt.body.as_str(), prompt.raw.is_null()), (body, true), "{text:?}");
    };
    check("Hello\n", "Hello\n");
    check("# Title\n\nHello\n---\n", "# Title\n\nHello\n---\n");
    check("---\n---\nHello", "Hello");
    check("", "");
}

#[test]
fn what_front_matter_gets_wrong_is_told_at_its_place() {
    let check = |text: &str, expected: &[(usize, usize, &str)]| {
        let found = ParsedPrompt::parse(FILE, text).unwrap_err();
        let found: Vec<_> = found.iter().map(|error| (error.span.unwrap().start, error.message.as_str())).collect();
        let expected: Vec<_> = expected.iter().map(|(line, column, m)| (Position::new(*line, *column), *m)).collect();
        assert_eq!(found, expected, "{text}");
    };
    check("---\nmodel: x\n", &[(1, 1, "the front matter is not closed")]);
    check("---\n- x\n---\n", &[(2, 1, "the front matter must be keys and values, not a list")]);
    check(
        "---\nmodel: [x]\ninput:\n  shema: string\ntools: x\n---\n",
        &[
            (2, 8, "`model` must be text, not a list"),
            (4, 3, "unknown key `shema` in input"),
            (5, 8, "`tools` must be a list of names, not text"),
        ],
    );
    check("---\nmodel: x\nmodel: y\n---\n", &[(3, 1, "the key `model` stands twice in one mapping")]);
}

#[test]
fn variables_are_checked_against_the_schema() {
    check_body("{{ticket}} {{#if name}}{{name}}{{/if}} {{json who}} {{who.any}} {{any.x.y}}", &[]);
    check_body("a\n  {{tiket}}", &["15:5 unknown-variable: variable `tiket` is not in the input schema"]);
    check_body(
        "{{#each users}}{{first}} {{this.last}} {{../name}} {{@root.nme}} {{@index}}{{#each tags}}{{.}}{{/each}}{{/each}}",
        &[
            "14:33 unknown-variable: `last` is not in the schema of this value",
            "14:60 unknown-variable: variable `nme` is not in the input schema",
        ],
    );
    check_body(
        "{{#each users as |u i|}}{{u.first}}{{u.x}}{{i}}{{/each}}",
        &["14:40 unknown-variable: `x` is not in the schema of `u`"],
    );
    check_body(
        "{{#with who}}{{x}}{{../ticket}}{{../../ticket}}{{/with}}",
        &["14:34 scope: `..` leads out of the template"],
    );
    check_body(
        "{{#each users}}{{else}}{{first}}{{/each}}",
        &["14:26 unknown-variable: variable `first` is not in the input schema"],
    );
    check_body(
        "{{ticket.id}} {{users.first}} {{users.0.first}}",
        &[
            "14:10 unknown-variable: `ticket` is text and has no `id`",
            "14:23 unknown-variable: `users` is a list and has no `first`",
        ],
    );
    check_body(
        "{{users}}{{who}}{{this}}",
        &[
            "14:3 type: `users` is a list, which has no text of its own",
            "14:12 type: `who` is an object, which has no text of its own",
            "14:19 type: `this` is an object, which has no text of its own",
        ],
    );
    check_body(
        "{{@index}}{{@auth.email}}{{#each ticket}}{{/each}}",
        &[
            "14:3 scope: `@index` is set only inside `each`",
            "14:34 type: `each` goes through a list, and this is a string",
        ],
    );
    check_body(
        "{{#if (lookup who nam)}}{{json x indent=y}}{{/if}}{{#if a}}{{else if b}}{{/if}}",
        &[
            "14:19 unknown-variable: variable `nam` is not in the input schema",
            "14:32 unknown-variable: variable `x` is not in the input schema",
            "14:41 unknown-variable: variable `y` is not in the input schema",
            "14:57 unknown-variable: variable `a` is not in the input schema",
            "14:70 unknown-variable: variable `b` is not in the input schema",
        ],
    );
}

#[test]
fn helpers_are_checked() {
    check_body("{{role \"system\"}}{{history}}{{section \"x\"}}{{media url=ticket contentType=\"a/b\"}}", &[]);
    check_body(
        "{{shout name}}{{#uppr name}}{{x}}{{/uppr}}{{#name}}{{x}}{{/name}}",
        &[
            "14:3 unknown-helper: unknown helper `shout`",
            "14:18 unknown-helper: unknown helper `uppr`",
            "14:46 unknown-helper: unknown helper `name`",
        ],
    );
    check_body(
        "{{role ticket}}{{role \"assistant\"}}{{role}}",
        &[
            "14:8 role: this is not a role",
            "14:23 role: this is not a role",
            "14:38 helper: `role` takes one argument, not 0",
        ],
    );
    check_body(
        "{{if name}}{{#json who}}{{/json}}{{media uri=name}}{{#ifEquals name}}{{/ifEquals}}",
        &[
            "14:3 helper: `if` is a block: `{{#if …}}…{{/if}}`",
            "14:15 helper: `json` is not a block: `{{json …}}`",
            "14:46 helper: `media` has no argument `uri`",
            "14:36 helper: `media` needs a `url`",
            "14:55 helper: `ifEquals` takes 2 arguments, not 1",
        ],
    );
}

#[test]
fn partials_are_checked_where_they_are_included() {
    check_body("{{> tone}}{{> sign}}{{> sign name=ticket}}{{> sign who}}", &[]);
    check_body(
        "{{#each users}}{{> sign}}{{/each}}",
        &["prompts/_sign.prompt:2:5 unknown-variable: `name` is not in the schema of this value"],
    );
    check_body(
        "{{> tine}}\n{{> (lookup . \"x\")}}",
        &[
            "14:5 unknown-partial: the partial `tine` does not exist",
            "15:6 partial: the name of a partial must be written out",
        ],
    );
    check_body(
        "{{> loop x=name}}",
        &["prompts/_round.prompt:1:14 partial-cycle: partials include each other: loop → round → loop"],
    );
    check_body(
        "{{#> frame}}{{name}}{{#*inline \"nav\"}}{{x}}{{/inline}}{{/frame}}",
        &["14:41 unknown-variable: variable `x` is not in the input schema"],
    );
    check_body(
        "{{> frame}}",
        &[
            "prompts/_frame.prompt:1:6 partial: there is no block here",
            "prompts/_frame.prompt:1:27 unknown-partial: the partial `nav` does not exist",
        ],
    );
    check_body(
        "{{#*inline \"x\"}}{{> x}}{{/inline}}{{> x}}",
        &["14:21 partial-cycle: partials include each other: x → x"],
    );
}

#[test]
fn inputs_must_be_used_and_declared() {
    let check = |front: &str, body: &str, expected: &[&str]| {
        assert_eq!(findings(&format!("---\n{front}---\n{body}")), expected, "{front}{body}");
    };
    check(
        "input:\n  schema:\n    a: string\n    b(array, x): string\n",
        "{{a}}",
        &["5:5 unused-input: the required input `b` is never used"],
    );
    check("input:\n  schema:\n    a: string\n", "{{json this}}", &[]);
    check("input:\n  schema:\n    a: string\n", "{{> sign name=a}}", &[]);
    check(
        "input:\n  schema: {type: object, properties: {a: {}}, required: [a]}\n",
        "x",
        &["3:39 unused-input: the required input `a` is never used"],
    );
    check(
        "model: x\n",
        "{{a}}",
        &["4:3 unknown-variable: variable `a` is not declared: the prompt has no input schema"],
    );
    check("input: {default: {a: 1}}\n", "{{a}}", &[]);
    check(
        "input:\n  default: {tone: 1, tine: x}\n  schema: {tone?: string}\n",
        "{{tone}}",
        &[
            "3:22 default: the default of `tine` is not an input; did you mean `tone`?",
            "3:13 default: the default of `tone` is not as declared: the value is not of types \"null\", \"string\"",
        ],
    );
}

#[test]
fn schemas_and_keys_are_checked() {
    let check =
        |front: &str, expected: &[&str]| assert_eq!(findings(&format!("---\n{front}---\nx")), expected, "{front}");
    check("input: {schema: {t?: Ticket}}\noutput: {schema: {id: strin}}\n", &["3:23 schema: unknown type `strin`"]);
    check("input: {schema: string}\n", &["2:17 schema: the input schema must describe named variables"]);
    let wrong = findings("---\noutput:\n  schema:\n    type: object\n    properties: {a: {type: [7]}}\n---\nx");
    assert!(wrong[0].starts_with("5:28 schema: this is not JSON Schema"), "{wrong:?}");
    check("modle: x\nacme.team: y\n", &["2:1 unknown-field: unknown key `modle` in the front matter"]);
    check(
        "name: other\nvariant: short\n",
        &[
            "2:7 name: the name `other` is not that of the file, `support/classify`",
            "3:10 name: the variant `short` is not that of the file",
        ],
    );
    check("name: classify\n", &[]);
}

#[test]
fn a_template_that_is_none_is_told_at_its_place() {
    check_body("\n\na {{#if name}}", &["16:3 template: the block `if` is not closed"]);
    check_body("  x {{name", &["14:5 template: this tag is not closed"]);
    check_body("{{name x=}}", &["14:10 template: this is not Handlebars"]);
    let found = check_partial(&partials()["broken"]);
    assert_eq!(found[0].message, "the block `if` is not closed");
    let with_front = check_partial(&Partial::new("prompts/_a.prompt", "---\nmodel: x\n---\nHello"));
    assert_eq!(with_front[0].message, "a partial has no front matter");
}

#[test]
fn a_finding_reads_as_in_the_documentation() {
    let text = "---\ninput:\n  schema:\n    ticket: string\n    customer?: string\n---\nAnswer. {{json ticket}}\n\nTicket: {{ticket_text}}\n";
    let schemas = |_: &str| None;
    let found = check_prompt(&parse(text), &CheckContext { partials: &partials(), schemas: &schemas });
    let shown: String = found.iter().map(|diagnostic| render(diagnostic, Some(text))).collect();
    let expected = "\
error: variable `ticket_text` is not in the input schema
  --> prompts/support/classify.prompt:9:11
   |
 9 | Ticket: {{ticket_text}}
   |           ^^^^^^^^^^^ not declared
hint: declared inputs are `ticket`, `customer`; did you mean `ticket`?
";
    assert_eq!(shown, expected);
}

/// Pieces of bodies, most of them right.
fn body_like() -> impl Strategy<Value = String> {
    let fragments = select(vec![
        "{{name}}",
        "{{nme}}",
        "{{json users indent=2}}",
        "{{#each users}}",
        "{{first}}",
        "{{this.first}}",
        "{{../name}}",
        "{{@index}}",
        "{{/each}}",
        "{{else}}",
        "{{#each users as |u i|}}",
        "{{u.first}}{{i}}",
        "{{#if name}}",
        "{{#if x}}",
        "{{else if users}}",
        "{{/if}}",
        "{{#with who}}",
        "{{first}}",
        "{{/with}}",
        "{{> tone}}",
        "{{> sign}}",
        "{{> sign name=first}}",
        "{{> sign who}}",
        "{{#> frame}}",
        "{{/frame}}",
        "{{#*inline \"nav\"}}",
        "{{/inline}}",
        "{{> nav}}",
        "{{> round}}",
        "{{role \"system\"}}",
        "{{role name}}",
        "{{history}}",
        "{{media url=name}}",
        "{{section \"s\"}}",
        "{{#ifEquals name \"x\"}}",
        "{{/ifEquals}}",
        "{{#unlessEquals i 1}}",
        "{{/unlessEquals}}",
        "{{lookup who \"first\"}}",
        "{{@auth.email}}",
        "{{@root.name}}",
        "{{!-- c --}}",
        "\\{{x}}",
        "text ",
        "\n  ",
        "{{~name~}}",
        "{{{name}}}",
        "{{.}}",
    ]);
    proptest::collection::vec(fragments, 0..10).prop_map(|parts| parts.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn what_the_check_accepts_compiles_and_renders(body in body_like()) {
        let front = "---\ninput:\n  schema:\n    name?: string\n    users?(array):\n      first: string\n    who?:\n      first: string\n      name?: string\n---\n";
        let prompt = parse(&format!("{front}{body}"));
        let schemas = |_: &str| None;
        if check_prompt(&prompt, &CheckContext { partials: &partials(), schemas: &schemas }).is_empty() {
            let sources = partials().into_iter().map(|(name, partial)| (name, partial.source().to_owned())).collect();
            let template = CompiledTemplate::compile(&prompt.body, &sources, Missing::Empty).unwrap();
            let all = json!({"name": "x", "users": [{"first": "a"}, {"first": "b"}], "who": {"first": "c", "name": "n"}});
            let empty = Map::new();
            let variables = all.as_object().unwrap();
            let input = RenderInput { variables, defaults: &empty, context: &empty, history: &[], nonce: 1 };
            prop_assert!(template.render(&input).is_ok(), "{:?}", template.render(&input));
        }
    }
}
