use serde_json::json;

use super::*;

fn object(value: Value) -> Map<String, Value> {
    value.as_object().cloned().unwrap()
}

#[track_caller]
fn check_render(template: &str, vars: Value, expected: &str) {
    assert_eq!(render(template, &object(vars)).as_deref(), Ok(expected), "{template}");
    assert_eq!(check(template), Ok(()), "{template}");
}

#[track_caller]
fn check_error(template: &str, vars: Value, expected: &str) {
    let error = check(template).and_then(|()| render(template, &object(vars)).map(|_| ()));
    assert_eq!(error.map_err(|error| error.to_string()), Err(expected.to_owned()), "{template}");
}

#[test]
fn values_print_as_in_nunjucks() {
    check_render("no tags\n", json!({}), "no tags\n");
    check_render("{{ name }}!\n", json!({ "name": "Ada" }), "Ada!\n");
    check_render("[{{ a }}{{ a.b.c }}{{ n }}]", json!({ "n": null }), "[]");
    check_render("{{ i }} {{ f }} {{ g }} {{ t }}", json!({ "i": 3, "f": 2.0, "g": 0.25, "t": true }), "3 2 0.25 true");
    check_render("{{ list }}", json!({ "list": ["a", 1, null, ["b", "c"]] }), "a,1,,b,c");
    check_render("<{{ html }}>", json!({ "html": "<b>&</b>" }), "<<b>&</b>>");
    check_render("{{ ticket.lines[1] }}", json!({ "ticket": { "lines": ["x", "y"] } }), "y");
}

#[test]
fn filters_of_nunjucks_are_there() {
    check_render("{{ o | dump }}", json!({ "o": { "z": [1, "\"x\""], "a": null } }), r#"{"z":[1,"\"x\""],"a":null}"#);
    check_render("{{ o | dump(2) }}", json!({ "o": { "a": 1.0 } }), "{\n  \"a\": 1\n}");
    check_render("{{ (s | load).tone }}", json!({ "s": "{\"tone\": \"dry\"}" }), "dry");
    check_render("{{ s | trim | upper | safe }}", json!({ "s": " a " }), "A");
    check_render("{{ l | join(', ') }}, {{ l | length }}", json!({ "l": ["a", "b"] }), "a, b, 2");
    check_render(
        "{{ l | join('+') }} {{ o | join('', 'n') }}",
        json!({ "l": [true, 1.0], "o": [{ "n": 1 }] }),
        "true+1 1",
    );
    check_render("{{ x | default('none') }}", json!({}), "none");
    check_render("{{ s | truncate(8) }}", json!({ "s": "one two three" }), "one two...");
    check_render("{{ s | truncate(8) }}", json!({ "s": "one two" }), "one two");
    check_render("{{ s | truncate(5, true, '') }}", json!({ "s": "one two" }), "one t");
    check_render("{{ n | round }} {{ n | round(1, 'floor') }} {{ -n | round }}", json!({ "n": 2.55 }), "3 2.5 -3");
    check_render("{{ n | round }} {{ n }}", json!({ "n": 2.5 }), "3 2.5");
    check_render("{{ s | wordcount }}", json!({ "s": "one two  three" }), "3");
    check_render("{{ s | replace('a', 'b') }}", json!({ "s": "aa" }), "bb");
}

#[test]
fn words_of_nunjucks_are_understood() {
    check_render("{% if a === 'x' %}1{% elseif a !== 'y' %}2{% else %}3{% endif %}", json!({ "a": "y" }), "3");
    check_render("{% if a == null %}{% endif %}{{ '===' }}", json!({}), "===");
    check_render("{% for k, v in o %}{{ k }}={{ v }};{% endfor %}", json!({ "o": { "z": 1, "a": 2 } }), "z=1;a=2;");
    check_render("{% for k, v in l -%} {{ k }}{{ v }};{% endfor %}", json!({ "l": [["a", 1], ["b", 2]] }), "a1;b2;");
    check_render("{% raw %}{% if a === b %}{% endraw %} === {# === #}", json!({}), "{% if a === b %} === ");
    check_render("JSON: {\"a\": {{ x", json!({}), "JSON: {\"a\": {{ x");
}

#[test]
fn what_a_template_cannot_do_is_told() {
    let no_env = "the template reads the environment (`env`), which suites do not see";
    check_error("{{ env.OPENAI_API_KEY }}", json!({}), no_env);
    let no_history = "the template asks for earlier answers (`_conversation`), which is not there yet";
    check_error("{% for turn in _conversation %}{% endfor %}", json!({}), no_history);
    check_error("a\n{% if %}", json!({}), "line 2 of the template: syntax error: unexpected end of block");
    check_error("{{ x | urlize }}", json!({}), "line 1 of the template: filter urlize is unknown");
    check_error(
        "{{ o }}",
        json!({ "o": { "a": 1 } }),
        "line 1 of the template: an object has no text of its own; write `| dump` for its JSON, or name one of its fields",
    );
    check_error(
        "{% for a in range(9999) %}{% for b in range(9999) %}{% endfor %}{% endfor %}",
        json!({}),
        "line 1 of the template: the template takes more than 5000000 steps",
    );
}

#[test]
fn the_environment_is_no_empty_text() {
    assert_eq!(render("{{ env.HOME }}", &Map::new()), Err(TemplateError::Environment));
    assert_eq!(render("{{ _conversation }}", &Map::new()), Err(TemplateError::Conversation));
    assert_eq!(render("environment {{ env }}", &object(json!({ "env": "prod" }))).as_deref(), Ok("environment prod"));
    let messages = render_prompt("{{ a }}", "", "", object(json!({ "a": "{{ env.HOME }}" }))).unwrap();
    assert_eq!(messages[0].content, "{{ env.HOME }}");
}

#[test]
fn filters_that_the_document_calls_missing_are() {
    for filter in ["urlize", "random", "striptags", "center"] {
        assert!(
            matches!(check(&format!("{{{{ x | {filter} }}}}")), Err(TemplateError::Unsupported { .. })),
            "{filter}"
        );
    }
    assert!(matches!(check("{{ 'x'.toUpperCase() }}"), Err(TemplateError::Unsupported { .. })));
}

proptest::proptest! {
    #[test]
    fn no_text_breaks_the_engine(parts in proptest::collection::vec(proptest::sample::select(vec![
        "{{", "}}", "{%", "%}", "{#", "#}", "-", " for a, b in x ", " raw ", " endraw ", "===", "!==", "'", "\"", "\\", " x ", "é", "\n", "|dump", "elseif",
    ]), 0..12)) {
        let text = parts.concat();
        let rendered = render(&text, &Map::new());
        if !text.contains("{{") && !text.contains("{%") && !text.contains("{#") {
            proptest::prop_assert_eq!(rendered.as_deref(), Ok(text.as_str()));
        }
        drop((check(&text), render_prompt(&text, "", "", Map::new())));
    }
}

#[test]
fn variables_may_refer_to_variables() {
    let vars =
        json!({ "greeting": "Hello {{ name }}\n", "name": "{{first}} L.", "first": "Ada", "loop": "{{loop}}", "n": 1 });
    let expected = json!({ "greeting": "Hello Ada L.", "name": "Ada L.", "first": "Ada", "loop": "{{loop}}", "n": 1 });
    assert_eq!(Value::Object(resolve(object(vars))), expected);
}

#[track_caller]
fn check_prompt(template: &str, vars: Value, expected: Value) {
    let messages = render_prompt(template, "", "", object(vars)).unwrap();
    assert_eq!(serde_json::to_value(messages).unwrap(), expected, "{template}");
}

#[test]
fn a_text_is_a_message_of_the_user() {
    check_prompt("Say {{ word }}", json!({ "word": "hi" }), json!([{ "role": "user", "content": "Say hi" }]));
    check_prompt("{{ a }}", json!({ "a": "{{ b | upper }}", "b": "x" }), json!([{ "role": "user", "content": "X" }]));
    check_prompt("[INST] hi [/INST]", json!({}), json!([{ "role": "user", "content": "[INST] hi [/INST]" }]));
    check_prompt("{\"a\": \"{{ b }}\"}", json!({ "b": 1 }), json!([{ "role": "user", "content": "{\"a\":\"1\"}" }]));
    let around = render_prompt("{{ x }}", "be brief: ", " ({{ x }})", object(json!({ "x": 1 }))).unwrap();
    assert_eq!(around[0].content, "be brief: 1 (1)");
}

#[test]
fn lists_of_messages_are_messages() {
    let list = json!([{ "role": "system", "content": "s" }, { "role": "user", "content": "say \"x\"" }]);
    // In a JSON prompt, what a variable holds cannot break the JSON.
    let template = r#"[{"role": "system", "content": "s"}, {"role": "user", "content": "say {{ word }}"}]"#;
    check_prompt(template, json!({ "word": "\"x\"" }), list.clone());
    check_prompt("- role: system\n  content: s\n- role: user\n  content: say \"{{w}}\"\n", json!({ "w": "x" }), list);
    let rendered = r#"[{% for m in turns %}{"role": "user", "content": {{ m | dump }} }{% if not loop.last %},{% endif %}{% endfor %}]"#;
    check_prompt(
        rendered,
        json!({ "turns": [["a", "b"], ["\"c\""]] }),
        json!([{ "role": "user", "content": ["a", "b"] }, { "role": "user", "content": ["\"c\""] }]),
    );
    let parts = r#"[{"role": "user", "content": [{"type": "text", "text": "{{ t }}"}], "name": "n"}]"#;
    check_prompt(
        parts,
        json!({ "t": "x" }),
        json!([{ "role": "user", "content": [{ "type": "text", "text": "x" }], "name": "n" }]),
    );
}

#[test]
fn what_looks_like_messages_and_is_none_is_told() {
    let error = |template: &str| render_prompt(template, "", "", Map::new()).unwrap_err().to_string();
    assert_eq!(
        error(r#"[{"role": "user", "content": "a"}, {"content": "b"}]"#),
        "the rendered prompt is no list of messages: missing field `role`"
    );
    assert_eq!(
        error(r#"[{"role": "user", {{ x }}]"#),
        "the rendered prompt is no list of messages: it looks like JSON, but key must be a string at line 1 column 19"
    );
}
