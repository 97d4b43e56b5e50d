use bowline_prompt::{Diagnostic, MemorySource};
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::assertion::Assertion;

const FILE: &str = "evals/s.yaml";

fn source(files: &[(&str, &str)]) -> MemorySource {
    files.iter().map(|(path, text)| (*path, *text)).collect()
}

#[track_caller]
fn read(files: &[(&str, &str)]) -> Suite {
    match Suite::read(&source(files), FILE) {
        Ok(suite) => suite,
        Err(found) => panic!("{:#?}", told(&found.into_sorted())),
    }
}

/// Reads a suite with one inline prompt and one model around `rest`.
#[track_caller]
fn read_with(rest: &str, files: &[(&str, &str)]) -> Suite {
    let text = format!("prompts: ['{{{{a}}}}']\nproviders: [openai:gpt-5]\n{rest}");
    let all: Vec<(&str, &str)> = files.iter().copied().chain([(FILE, text.as_str())]).collect();
    read(&all)
}

fn told(found: &[Diagnostic]) -> Vec<String> {
    let place = |finding: &Diagnostic| {
        finding.span.map_or_else(String::new, |at| format!(":{}:{}", at.start.line, at.start.column))
    };
    found.iter().map(|finding| format!("{}{} {}", finding.file, place(finding), finding.message)).collect()
}

fn vars(suite: &Suite) -> Vec<Value> {
    suite.cases.iter().map(|case| Value::Object(case.vars.to_map())).collect()
}

fn assertions(case: &Case) -> Vec<(String, Value)> {
    let one = |assertion: &Assertion| {
        let not = if assertion.negated { "not-" } else { "" };
        (format!("{not}{}", assertion.kind.as_str()), assertion.value.clone())
    };
    let node = |node: &AssertionNode| match node {
        AssertionNode::One(assertion) => one(assertion),
        AssertionNode::Set(set) => ("assert-set".to_owned(), set.members.len().into()),
    };
    case.assertions().iter().map(node).collect()
}

#[test]
fn a_suite_is_read() {
    let suite = read(&[(
        FILE,
        "\
description: Classification
tags: { team: support }
prompts:
  - prompt:support/classify
  - { id: short, label: Short, raw: 'Classify: {{text}}' }
providers:
  - openai:gpt-5-mini
  - { id: main, label: Main, config: { temperature: 0 }, prompts: [Short], delay: 5 }
defaultTest:
  assert: [{ type: is-json }]
  options: { provider: { text: { id: judge, config: { temperature: 0 } }, embedding: openai:embedding:small } }
  threshold: 0.5
tests:
  - description: refund
    vars: { text: I want my money back, label: refund }
    assert:
      - { type: not-icontains, value: '{{label}}', weight: 2, metric: label }
      - { type: assert-set, threshold: 0.5, assert: [{ type: cost, threshold: 0.01 }, { type: latency, threshold: 900 }] }
    metadata: { must_pass: true, kind: money }
    threshold: 1
    options: { prefix: 'Please. ', repeat: 3, temperature: 1, disableDefaultAsserts: true }
    providers: [main]
  - vars: { text: hello }
evaluateOptions: { maxConcurrency: 8, repeat: 2, delay: 10 }
bowline: { pass_rate: 0.9, metrics: { label: 0.8 }, cost_usd_mean_max: 0.01, latency_ms_p95_max: 800 }
",
    )]);
    assert_eq!(suite.description.as_deref(), Some("Classification"));
    assert_eq!(suite.prompts[0], Prompt::Project("support/classify".parse().unwrap()));
    assert_eq!(
        suite.prompts[1],
        Prompt::Inline { label: "Short".to_owned(), template: "Classify: {{text}}".to_owned() }
    );
    assert_eq!((suite.models[1].label.as_str(), suite.models[1].delay_ms), ("Main", 5));
    assert!(suite.models[0].takes(0) && !suite.models[1].takes(0) && suite.models[1].takes(1));
    assert_eq!(suite.run, RunOptions { concurrency_max: Some(8), delay_ms: 10, ..RunOptions::default() });
    assert_eq!((suite.thresholds.pass_rate, suite.thresholds.metrics["label"]), (Some(0.9), 0.8));

    let [first, second] = suite.cases.as_slice() else { panic!("{:?}", suite.cases) };
    assert_eq!(
        assertions(first),
        [("not-icontains".to_owned(), json!("{{label}}")), ("assert-set".to_owned(), json!(2))]
    );
    assert_eq!(
        (first.rules.threshold, first.rules.must_pass, first.rules.repeat, first.around()),
        (Some(1.0), true, 3, ("Please. ", ""))
    );
    assert_eq!(first.parameters().collect::<Vec<_>>(), [("temperature", &json!(1))]);
    assert!(first.takes(1, Some(1)) && !first.takes(1, Some(0)) && first.takes(0, None));
    assert_eq!(first.judge(Kind::LlmRubric), Some(("judge", Some(&json!({ "temperature": 0 })))));
    assert_eq!(first.judge(Kind::Similar), Some(("openai:embedding:small", None)));

    assert_eq!(assertions(second), [("is-json".to_owned(), Value::Null)]);
    assert_eq!((second.rules.threshold, second.rules.must_pass, second.rules.repeat), (Some(0.5), false, 2));
    assert_eq!(vars(&suite)[1], json!({ "text": "hello" }));
    assert!(suite.warnings.is_empty(), "{:?}", suite.warnings);
}

#[test]
fn variables_with_lists_are_several_cases() {
    let suite = read_with(
        "tests: [{ vars: { a: [x, y], b: 1, c: [p, q], d: [1, 2], e: { f: [z] } } }, { vars: { a: [x, y] }, options: { disableVarExpansion: true } }]",
        &[],
    );
    let rest = json!({ "d": [1, 2], "e": { "f": ["z"] } });
    let case = |a: &str, c: &str| json!({ "a": a, "b": 1, "c": c, "d": rest["d"], "e": rest["e"] });
    assert_eq!(
        vars(&suite),
        [case("x", "p"), case("x", "q"), case("y", "p"), case("y", "q"), json!({ "a": ["x", "y"] })]
    );
}

#[test]
fn variables_that_refer_to_others_have_them_worked_in() {
    let suite =
        read_with("tests: [{ vars: { a: 'Hi {{b}}', b: [Ada, Bob], c: '{{ a | upper }}', d: \"x\\n\" } }]", &[]);
    let case = |name: &str| json!({ "a": format!("Hi {name}"), "b": name, "c": "{{ a | upper }}", "d": "x" });
    assert_eq!(vars(&suite), [case("Ada"), case("Bob")]);
}

#[test]
fn files_stand_for_what_is_in_them() {
    let files = [
        ("evals/v/one.txt", " first\n"),
        ("evals/v/two.txt", "second"),
        ("evals/v/more.yaml", "b: [1]\n"),
        ("evals/schema.json", r#"{"type": "object"}"#),
        ("shared/rubric.txt", "Is it polite?\n"),
        ("evals/shared.yaml", "vars: { b: default }\nassert: [{ type: contains, value: x }]\n"),
    ];
    let suite = read_with(
        "\
defaultTest: file://shared.yaml
tests:
  - vars: { a: file://v/*.txt, y: file://v/more.yaml }
  - vars: v/more.yaml
    assert:
      - { type: is-json, value: file://schema.json }
      - { type: llm-rubric, value: file://../shared/rubric.txt }
",
        &files,
    );
    let yaml = r#"{"b":[1]}"#;
    assert_eq!(
        vars(&suite),
        [
            json!({ "b": "default", "a": "first", "y": yaml }),
            json!({ "b": "default", "a": "second", "y": yaml }),
            json!({ "b": [1] }),
        ]
    );
    assert_eq!(
        assertions(&suite.cases[2])[1..],
        [("is-json".to_owned(), json!({ "type": "object" })), ("llm-rubric".to_owned(), json!("Is it polite?")),]
    );
    let datasets: Vec<&str> = suite.datasets.iter().map(|dataset| dataset.path.as_str()).collect();
    assert_eq!(datasets, ["evals/v/more.yaml", "evals/v/one.txt", "evals/v/two.txt"]);
}

#[test]
fn anchors_merge_keys_and_references_are_worked_in() {
    let suite = read_with(
        "\
assertionTemplates:
  polite: &polite { type: llm-rubric, value: is polite }
x-base: &base { vars: { a: 1 }, threshold: 0.5 }
tests:
  - { <<: *base, assert: [{ $ref: '#/assertionTemplates/polite' }, { <<: *polite, weight: 3 }] }
  - { <<: *base, threshold: 1, assert: [{ type: is-json, value: { $ref: '#/$defs/x', $defs: { x: {} } } }] }
",
        &[],
    );
    let rubric = ("llm-rubric".to_owned(), json!("is polite"));
    assert_eq!(assertions(&suite.cases[0]), [rubric.clone(), rubric]);
    assert_eq!(suite.cases.iter().map(|case| case.rules.threshold).collect::<Vec<_>>(), [Some(0.5), Some(1.0)]);
    assert_eq!(assertions(&suite.cases[1])[0].1, json!({ "$ref": "#/$defs/x", "$defs": { "x": {} } }));
}

#[test]
fn scenarios_are_every_config_with_every_test() {
    let suite = read_with(
        "\
defaultTest: { vars: { d: 0 }, assert: [{ type: contains, value: d }] }
scenarios:
  - config:
      - { vars: { a: 1, b: 1 }, metadata: { m: 1 } }
      - { vars: { a: 2 }, assert: [{ type: contains, value: config }] }
    tests: file://t.yaml
",
        &[(
            "evals/t.yaml",
            "- { vars: { b: 9 }, assert: [{ type: contains, value: t }] }\n- { description: second }\n",
        )],
    );
    assert_eq!(
        vars(&suite),
        [
            json!({ "d": 0, "a": 1, "b": 9 }),
            json!({ "d": 0, "a": 1, "b": 1 }),
            json!({ "d": 0, "a": 2, "b": 9 }),
            json!({ "d": 0, "a": 2 }),
        ]
    );
    let elsewhere = read_with(
        "scenarios: [file://s/*.yaml]",
        &[
            ("evals/s/a.yaml", "- { config: [{ vars: { a: 1 } }] }\n"),
            ("evals/s/b.yaml", "{ tests: [{ vars: { a: 2 } }] }\n"),
        ],
    );
    assert_eq!(vars(&elsewhere), [json!({ "a": 1 }), json!({ "a": 2 })]);
    let values: Vec<Value> = assertions(&suite.cases[2]).into_iter().map(|(_, value)| value).collect();
    assert_eq!(values, ["d", "config", "t"]);
    assert_eq!(
        (suite.cases[1].description.as_deref(), suite.cases[1].rules.metadata["m"].clone()),
        (Some("second"), json!(1))
    );
}

#[test]
fn datasets_of_every_format_give_the_same_cases() {
    let yaml = "- { vars: { a: x, n: 1 }, assert: [{ type: contains, value: x }] }\n- { vars: { a: y, n: 2 } }\n";
    let lines = "{\"vars\": {\"a\": \"x\", \"n\": 1}, \"assert\": [{\"type\": \"contains\", \"value\": \"x\"}]}\n\n{\"vars\": {\"a\": \"y\", \"n\": 2}}\n";
    let list = format!("[{}]", lines.trim().replace("\n\n", ",\n"));
    let files = [("evals/d.yaml", yaml), ("evals/d.jsonl", lines), ("evals/d.json", list.as_str())];
    let read = |name: &str| {
        let suite = read_with(&format!("tests: {name}"), &files);
        assert_eq!(suite.datasets.len(), 1);
        let cases = suite.cases.iter().map(|case| (case.id, case.vars.to_map(), assertions(case)));
        cases.collect::<Vec<_>>()
    };
    let expected = read("file://d.yaml");
    assert_eq!(expected.len(), 2);
    assert_eq!(read("d.jsonl"), expected);
    assert_eq!(read("[file://d.json]"), expected);
    assert_eq!(read("{ path: file://d.json }"), expected);
    assert_eq!(read_with("tests: [d.yaml, d.json*]", &files).cases.len(), 6);
}

#[test]
fn rows_share_what_is_equal() {
    let rows: String = (0..9).map(|n| format!("{{\"vars\": {{\"a\": {n}}}, \"assert\": [{{\"type\": \"contains\", \"value\": {}}}], \"metadata\": {{\"k\": 1}}}}\n", n % 3)).collect();
    let suite = read_with("defaultTest: { assert: [{ type: is-json }] }\ntests: d.jsonl", &[("evals/d.jsonl", &rows)]);
    let [first, _, _, fourth, ..] = suite.cases.as_slice() else { panic!() };
    assert_eq!(assertions(first), [("is-json".to_owned(), Value::Null), ("contains".to_owned(), json!(0))]);
    assert!(Arc::ptr_eq(&first.rules.assertions, &fourth.rules.assertions));
    assert!(Arc::ptr_eq(&first.rules.metadata, &suite.cases[8].rules.metadata));
    assert!(Arc::ptr_eq(&first.rules.options, &fourth.rules.options));
}

/// Beyond a bound, rows keep what no other one has as text; what comes of it is the same.
#[test]
fn rows_with_assertions_of_their_own_are_what_they_were() {
    let own = |n: usize| {
        let set = json!({ "type": "assert-set", "threshold": 0.5, "assert": [{ "type": "regex", "value": "^{{a}}" }] });
        let one =
            json!({ "type": "not-contains", "value": format!("{n}"), "metric": "tone", "weight": 2, "threshold": 0.1 });
        let judged = json!({ "type": "llm-rubric", "value": n, "provider": { "id": "judge", "config": { "n": n } } });
        json!({ "vars": { "a": n, "list": ["x", "y"] }, "assert": [one, set, judged] })
    };
    let file = |rows: &[Value]| rows.iter().map(|row| format!("{row}\n")).collect::<String>();
    let all: Vec<Value> = (0..1_110).map(own).collect();
    let default = "defaultTest: { assert: [{ type: is-json }] }\ntests: d.jsonl";
    let many = read_with(default, &[("evals/d.jsonl", &file(&all))]);
    assert_eq!(many.cases.len(), 2_220, "a list of variables makes two cases of each row");
    assert!(many.cases[0].own_assertions().is_empty() && many.cases[2_219].own_assertions().len() == 3);
    assert!(Arc::ptr_eq(&many.cases[2_218].rules, &many.cases[2_100].rules));
    for number in [0, 1_023, 1_024, 1_109] {
        let few = read_with(default, &[("evals/d.jsonl", &file(&all[number..=number]))]);
        for (one, of_many) in few.cases.iter().zip(&many.cases[number * 2..]) {
            assert_eq!((one.id, &one.vars, one.assertions()), (of_many.id, &of_many.vars, of_many.assertions()));
        }
    }
    assert!(many.cases[2_100] != many.cases[2_102] && many.cases[2_100] == many.cases[2_100].clone());

    let rows: String = (0..1_110).map(|n| format!("{n},contains: {n}\n")).collect();
    let table = default.replace("d.jsonl", "d.csv");
    let table = read_with(&table, &[("evals/d.csv", &format!("a,__expected\n{rows}"))]);
    assert_eq!(table.cases[1_109].own_assertions().len(), 1);
    let expected = [("is-json".to_owned(), Value::Null), ("contains".to_owned(), json!("1109"))];
    assert_eq!(assertions(&table.cases[1_109]), expected);
}

/// A row that is wrong is told with its line, wherever it stands among many.
#[test]
fn rows_beyond_the_bound_are_still_checked() {
    let row = |n: usize| {
        format!(
            "{{\"assert\": [{{\"type\": \"{}\", \"value\": \"{n}\"}}]}}\n",
            if n == 1_100 { "cotains" } else { "contains" }
        )
    };
    let rows: String = (0..1_110).map(row).collect();
    let suite = "prompts: [prompt:p]\ntests: d.jsonl\n";
    let found = Suite::read(&source(&[(FILE, suite), ("evals/d.jsonl", &rows)]), FILE).unwrap_err();
    assert_eq!(told(found.as_slice()), ["evals/d.jsonl:1101:1 unknown assertion `cotains`"]);
}

#[test]
fn columns_of_csv_have_their_meaning() {
    let table = "\
a,__expected1,__expected2,__metric,__threshold,__description,__prefix,__metadata:kind,__metadata:tags[],__metadata:must_pass,__config:__expected2:threshold
x,contains: X,similar: y,tone,0.5,first,Say ,money,\"p,q\\,r\",true,0.9
\"y, z\",,,,,,,,,,
";
    let suite = read_with("tests: file://d.csv", &[("evals/d.csv", table)]);
    let [first, second] = suite.cases.as_slice() else { panic!() };
    assert_eq!(vars(&suite), [json!({ "a": "x" }), json!({ "a": "y, z" })]);
    assert_eq!(assertions(first), [("contains".to_owned(), json!("X")), ("similar".to_owned(), json!("y"))]);
    let AssertionNode::One(similar) = &first.rules.assertions[1] else { panic!() };
    assert_eq!((similar.threshold, similar.metric.as_deref()), (Some(0.9), Some("tone")));
    assert_eq!(
        (first.rules.threshold, first.description.as_deref(), first.around()),
        (Some(0.5), Some("first"), ("Say ", ""))
    );
    assert_eq!(
        Value::Object((*first.rules.metadata).clone()),
        json!({ "kind": "money", "tags": ["p", "q,r"], "must_pass": true })
    );
    assert!(first.rules.must_pass && !second.rules.must_pass && second.rules.assertions.is_empty());
}

#[test]
fn prompts_stand_in_files_of_every_kind() {
    let files = [
        ("evals/p/a.txt", "first {{a}}\n---\nsecond\n"),
        ("evals/p/b.json", r#"[{"role": "user", "content": "{{a}}"}]"#),
        ("evals/p/c.yaml", "- { role: user, content: '{{a}}' }\n"),
        ("evals/p/d.csv", "prompt,label\n\"one, two\",D1\nthree,\n"),
        ("evals/p/e.md", "# {{a}}\n"),
        ("evals/p/f.jsonl", "[1]\n[2]\n"),
        (FILE, "prompts: [file://p/*, 'text and/or p/a.txt']\nproviders: echo\n"),
    ];
    let suite = read(&files);
    let shown: Vec<(String, String)> = suite
        .prompts
        .iter()
        .map(|prompt| match prompt {
            Prompt::Inline { label, template } => (label.clone(), template.clone()),
            Prompt::Project(name) => (name.to_string(), String::new()),
        })
        .collect();
    let expected = [
        ("evals/p/a.txt #1", "first {{a}}"),
        ("evals/p/a.txt #2", "second"),
        ("evals/p/b.json", r#"[{"role":"user","content":"{{a}}"}]"#),
        ("evals/p/c.yaml", r#"[{"role":"user","content":"{{a}}"}]"#),
        ("D1", "one, two"),
        ("evals/p/d.csv #2", "three"),
        ("evals/p/e.md", "# {{a}}\n"),
        ("evals/p/f.jsonl #1", "[1]"),
        ("evals/p/f.jsonl #2", "[2]"),
        ("text and/or p/a.txt", "text and/or p/a.txt"),
    ];
    let expected = expected.map(|(label, template)| (label.to_owned(), template.to_owned()));
    assert_eq!(shown, expected);
}

#[test]
fn what_is_wrong_is_told_with_its_place() {
    let files = [
        (
            FILE,
            "\
promts: []
prompts: [prompt:no good, 'langfuse://x', '{{ env.KEY }}', file://gone.txt, file://make.py, { label: l }]
providers:
  - file://custom.py
  - https://example.com
  - { id: openai:gpt-5, config: { apiKey: sk-123, tools: file://../../out.json }, prompts: [nobody], lable: x }
extensions: [file://hooks.js:run]
env: { A: b }
outputPath: out.csv
defaultTest: { assert: [{ type: javascript, value: 'true' }], options: { transform: output, prefx: a } }
tests:
  - { vars: { a: 1 }, asert: [] }
  - assert:
      - { type: contians, value: x }
      - { type: not-g-eval, value: x }
      - { type: contains, value: [x] }
      - { type: cost }
      - { type: equals, value: x, thresold: 1, transform: output }
      - { $ref: '#/assertionTemplates/none' }
      - { type: contains, value: '{% if %}' }
      - { type: assert-set, assert: [] }
      - { type: similar, value: x, weight: -1, threshold: high }
  - file://d.jsonl
  - huggingface://datasets/x
  - { vars: { a: file://v.py } }
evaluateOptions: { maxConcurrency: 0, filterRange: '0:1' }
bowline: { pass_rate: 90, on_inconclusive: fail }
",
        ),
        (
            "evals/d.jsonl",
            "{\"vars\": {}}\n{\"vars\": {\"a\": 1}, \"assert\": [{\"type\": \"python\", \"value\": \"x\"}]}\nnot json\n{\"vars\": {\"a\": 1, \"a\": 2}}\n",
        ),
    ];
    let found = Suite::read(&source(&files), FILE).unwrap_err().into_sorted();
    insta::assert_snapshot!(told(&found).join("\n"));
    let text = files[0].1;
    let shown = found.iter().filter(|finding| {
        ["unknown-assertion", "user-code", "unknown-field", "address", "secret"].contains(&finding.code)
            && finding.file == FILE
    });
    let shown: Vec<String> = shown.map(|finding| bowline_prompt::render_diagnostic(finding, Some(text))).collect();
    insta::assert_snapshot!("rendered", shown.join("\n"));
}

#[test]
fn rows_that_are_all_wrong_are_told_up_to_a_bound() {
    let rows = "{\"vars\": 1}\n".repeat(1000);
    let files = [(FILE, "prompts: [a]\nproviders: [echo]\ntests: d.jsonl\n"), ("evals/d.jsonl", rows.as_str())];
    let found = Suite::read(&source(&files), FILE).unwrap_err();
    assert_eq!(found.as_slice().len(), 51);
    assert_eq!(found.as_slice().last().unwrap().message, "50 errors are shown, and there are more");
}

/// Checks what is told about a suite that has one inline prompt, one model and `rest`.
#[track_caller]
fn check_told(rest: &str, files: &[(&str, &str)], expected: &[&str]) {
    let text = format!("prompts: ['{{{{a}}}}']\nproviders: [openai:gpt-5]\n{rest}");
    let all: Vec<(&str, &str)> = files.iter().copied().chain([(FILE, text.as_str())]).collect();
    let found = match Suite::read(&source(&all), FILE) {
        Ok(suite) => suite.warnings,
        Err(found) => found,
    };
    assert_eq!(told(&found.into_sorted()), expected, "{rest}");
}

#[test]
fn a_suite_that_would_check_nothing_is_told() {
    let nothing = "no case asserts anything, so that every one passes";
    check_told("tests: [{ vars: { a: 1 } }]", &[], &[&format!("evals/s.yaml:3:8 {nothing}")]);
    check_told("tests: d.csv", &[("evals/d.csv", "a\n")], &["evals/s.yaml:3:8 the suite has no case"]);
    let inside = "`assert` stands inside `vars`, where it checks nothing";
    let rest = "tests: [{ vars: { a: 1, assert: [{ type: contains, value: x }] } }]";
    check_told(rest, &[], &[&format!("evals/s.yaml:3:9 {inside}")]);
}

#[test]
fn references_that_go_in_circles_end() {
    let rest =
        "assertionTemplates: { a: { $ref: '#/assertionTemplates/b' }, b: { x: { $ref: '#/assertionTemplates/a' } } }";
    check_told(rest, &[], &["evals/s.yaml:3:26 references nest more than 64 levels deep"]);
    let many: String = (1..30)
        .map(|n| format!("  t{n}: {{ a: {{ $ref: '#/x-t/t{0}' }}, b: {{ $ref: '#/x-t/t{0}' }} }}\n", n - 1))
        .collect();
    let rest = format!("x-t:\n  t0: 1\n{many}");
    let text = format!("prompts: [a]\nproviders: [echo]\n{rest}");
    let found = Suite::read(&source(&[(FILE, &text)]), FILE).unwrap_err();
    assert_eq!(found.as_slice()[0].message, "more than 400000 values, references worked in");
}

#[test]
fn lists_that_explode_are_refused() {
    let list = format!("[{}]", vec!["x"; 200].join(", "));
    let text = format!("prompts: [a]\nproviders: [echo]\ntests: [{{ vars: {{ a: {list}, b: {list}, c: {list} }} }}]\n");
    let found = Suite::read(&source(&[(FILE, &text)]), FILE).unwrap_err();
    assert_eq!(told(found.as_slice()), ["evals/s.yaml:3:9 the lists of variables give more than 1000000 cases"]);
}

#[test]
fn the_digest_is_of_everything_that_is_read() {
    let base = [
        (FILE, "prompts: [file://p.txt]\nproviders: [echo]\ntests: d.jsonl\n"),
        ("evals/p.txt", "p"),
        ("evals/d.jsonl", "{\"vars\": {\"a\": 1}}\n"),
        ("evals/other.txt", "o"),
    ];
    let digest = |change: Option<(usize, &'static str)>| {
        let mut files = base;
        if let Some((file, text)) = change {
            files[file].1 = text;
        }
        read(&files).digest
    };
    assert_eq!(digest(None), digest(Some((3, "changed"))));
    let mut all = vec![digest(None)];
    all.push(digest(Some((0, "prompts: [file://p.txt]\nproviders: [echo]\ntests: d.jsonl\n# comment\n"))));
    all.push(digest(Some((1, "q"))));
    all.push(digest(Some((2, "{\"vars\": {\"a\": 2}}\n"))));
    all.sort();
    all.dedup();
    assert_eq!(all.len(), 4);
}

fn case_text(description: Option<&str>, vars: &str) -> String {
    let description = description.map_or_else(String::new, |text| format!("description: {text}, "));
    format!("{{ {description}vars: {vars} }}")
}

fn ids(tests: &[String]) -> Vec<String> {
    let suite = read_with(&format!("tests: [{}]", tests.join(", ")), &[]);
    suite.cases.into_iter().map(|case| case.id.to_string()).collect()
}

#[test]
fn ids_are_what_they_were() {
    // Results of earlier runs are found by them: these never change.
    let tests = [
        case_text(None, "{ a: 1, b: x }"),
        case_text(None, "{ b: x, a: 1.0 }"),
        case_text(Some("d"), "{ a: 1, b: x }"),
    ];
    insta::assert_snapshot!(ids(&tests).join("\n"));
}

proptest! {
    #[test]
    fn ids_stay_under_reordering(order in Just((0_usize..12).collect::<Vec<_>>()).prop_shuffle()) {
        // Every vars stands twice.
        let text = |n: usize| case_text((n % 4 == 1).then_some("d"), &format!("{{ a: {}, b: t }}", n % 6));
        let straight: Vec<String> = (0..12).map(text).collect();
        let shuffled: Vec<String> = order.iter().map(|n| text(*n)).collect();
        let (mut before, mut after) = (ids(&straight), ids(&shuffled));
        prop_assert_eq!(before.len(), 12);
        before.sort();
        after.sort();
        prop_assert_eq!(&before, &after);
        before.dedup();
        prop_assert_eq!(before.len(), 12);
    }

    #[test]
    fn lists_multiply(sizes in proptest::collection::vec(1_usize..4, 1..4)) {
        let vars: Vec<String> = sizes.iter().enumerate()
            .map(|(at, size)| format!("v{at}: [{}]", (0..*size).map(|n| format!("t{n}")).collect::<Vec<_>>().join(", ")))
            .collect();
        let suite = read_with(&format!("tests: [{{ vars: {{ {} }} }}]", vars.join(", ")), &[]);
        prop_assert_eq!(suite.cases.len(), sizes.iter().product::<usize>());
        let mut all: Vec<String> = suite.cases.iter().map(|case| case.vars.as_json().to_owned()).collect();
        all.sort();
        all.dedup();
        prop_assert_eq!(all.len(), suite.cases.len());
    }
}

fn document() -> String {
    std::fs::read_to_string(bowline_testkit::workspace_root().join("docs/suites.md")).unwrap()
}

#[test]
fn the_document_lists_every_assertion() {
    let text = document();
    let table = text.split("## Assertions").nth(1).unwrap().split("An `assert-set`").next().unwrap();
    let rows = table.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`'));
    let listed: Vec<&str> = rows.map(|(name, _)| name).collect();
    let kinds: Vec<&str> = Kind::ALL.iter().map(|kind| kind.as_str()).collect();
    assert_eq!(listed, kinds);
}

#[test]
fn suites_of_the_document_are_read() {
    let text = document();
    let blocks: Vec<&str> =
        text.split("```yaml suite\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    assert_eq!(blocks.len(), 1);
    for block in blocks {
        let suite = read(&[(FILE, block), ("evals/tickets.csv", "ticket,__expected\nIt is broken,contains: bug\n")]);
        assert_eq!(suite.cases.len(), 4, "{block}");
        assert!(suite.cases[0].rules.must_pass && suite.thresholds.pass_rate == Some(0.95));
    }
}
