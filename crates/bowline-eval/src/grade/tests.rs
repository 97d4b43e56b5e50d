use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::json;

use super::*;
use crate::assertion::{AssertionNode, AssertionSet};

/// What promptfoo says; see `fixtures/promptfoo/SOURCE.md`.
const GOLDEN: &str = include_str!("../../fixtures/promptfoo/golden.json");

/// Where we differ on purpose, or cannot agree: the word, a text of the value, the answer, and why.
const DIFFERENT: &[(&str, &str, &str, &str)] = &[
    ("is-xml", "5", "<a/>", "a value that is none is an error, where promptfoo ignores it"),
    ("is-sql", "Sqlite", "SELECT [a] FROM t", "SQLite takes names in brackets, promptfoo's parser does not"),
];

fn assertion(entry: &Value) -> Assertion {
    let word = entry["type"].as_str().unwrap();
    let (negated, word) = word.strip_prefix("not-").map_or((false, word), |word| (true, word));
    let kind = *Kind::ALL.iter().find(|kind| kind.as_str() == word).unwrap();
    Assertion {
        kind,
        negated,
        value: entry.get("value").cloned().unwrap_or(Value::Null),
        threshold: entry.get("threshold").and_then(Value::as_f64),
        weight: entry.get("weight").and_then(Value::as_f64).unwrap_or(1.0),
        metric: entry.get("metric").and_then(Value::as_str).map(Into::into),
        provider: None,
        rubric_prompt: entry.get("rubricPrompt").cloned().map(Into::into),
        config: Map::new().into(),
        file: "evals/x.yaml".into(),
        span: None,
    }
}

fn node(entry: &Value) -> AssertionNode {
    if entry["type"] != "assert-set" {
        return AssertionNode::One(Arc::new(assertion(entry)));
    }
    AssertionNode::Set(Arc::new(AssertionSet {
        members: entry["assert"].as_array().unwrap().iter().map(assertion).map(Arc::new).collect(),
        threshold: entry.get("threshold").and_then(Value::as_f64),
        weight: entry.get("weight").and_then(Value::as_f64).unwrap_or(1.0),
        metric: entry.get("metric").and_then(Value::as_str).map(Into::into),
    }))
}

fn text(output: &str) -> Subject {
    Subject { text: output.to_owned(), ..Subject::default() }
}

/// Fills `{{name}}`.
fn render(template: &str, vars: &Map<String, Value>) -> Result<String, String> {
    let filled = vars.iter().fold(template.to_owned(), |text, (name, value)| {
        text.replace(&format!("{{{{{name}}}}}"), value.as_str().unwrap_or_default())
    });
    if filled.contains("{{") { Err("a variable is missing".to_owned()) } else { Ok(filled) }
}

fn with_context<T>(vars: &Value, tools: &[Value], run: impl FnOnce(&Context<'_>) -> T) -> T {
    let (vars, options) = (vars.as_object().cloned().unwrap_or_default(), Map::new());
    run(&Context { vars: &vars, options: &options, prompt: "the question", tools, render: &render })
}

fn graded(assertion: &Assertion, subject: &Subject, answer: Option<&Answer>) -> Grade {
    with_context(&Value::Null, &[], |context| match Prepared::new(assertion, &assertion.value) {
        Ok(prepared) => prepared.grade(assertion, subject, answer, context),
        Err(reason) => Grade::failed_to(reason),
    })
}

#[test]
fn verdicts_are_those_of_promptfoo() {
    let golden: Value = serde_json::from_str(GOLDEN).unwrap();
    let (mut differences, mut used) = (Vec::new(), vec![0; DIFFERENT.len()]);
    for entry in golden["single"].as_array().unwrap() {
        let response = &entry["response"];
        let output = response["output"].as_str().unwrap();
        let subject = Subject {
            finish: response["finishReason"].as_str().map(str::to_owned),
            cost_usd: response["cost"].as_f64().map(|cost| format!("{cost}")),
            latency_ms: entry["latencyMs"].as_f64().unwrap_or_default(),
            logprobs: serde_json::from_value(response["logProbs"].clone()).unwrap_or_default(),
            ..text(output)
        };
        let found = graded(&assertion(entry), &subject, None);
        let expected = entry.get("pass").map(|pass| (pass.as_bool().unwrap(), entry["score"].as_f64().unwrap()));
        let agrees = match expected {
            Some((pass, score)) => !found.errored && found.pass == pass && (found.score - score).abs() < 1e-9,
            None => found.errored,
        };
        let word = entry["type"].as_str().unwrap().trim_start_matches("not-");
        let value = entry.get("value").map(Value::to_string).unwrap_or_default();
        let known = DIFFERENT
            .iter()
            .position(|(kind, part, answer, _)| *kind == word && value.contains(part) && *answer == output);
        match known {
            Some(index) => used[index] += usize::from(!agrees),
            None if !agrees => differences.push(format!("{entry}\n    {found:?}")),
            None => {}
        }
    }
    assert!(differences.is_empty(), "{} differ:\n{}", differences.len(), differences.join("\n"));
    for (row, used) in DIFFERENT.iter().zip(used) {
        assert!(used > 0, "this no longer differs: {row:?}");
    }
}

#[test]
fn cases_are_those_of_promptfoo() {
    let golden: Value = serde_json::from_str(GOLDEN).unwrap();
    for entry in golden["whole"].as_array().unwrap() {
        let nodes: Vec<AssertionNode> = entry["assert"].as_array().unwrap().iter().map(node).collect();
        let subject = text(entry["output"].as_str().unwrap());
        let grades: Vec<Grade> = assertions(&nodes).map(|assertion| graded(assertion, &subject, None)).collect();
        let threshold = entry.get("threshold").and_then(Value::as_f64);
        let found = with_context(&entry["vars"], &[], |context| grade_case(&nodes, grades, threshold, context));
        assert_eq!(Some(found.pass), entry["pass"].as_bool(), "{entry} {found:?}");
        assert!((found.score - entry["score"].as_f64().unwrap()).abs() < 1e-9, "{entry} {found:?}");
        let metrics: BTreeMap<String, (f64, f64)> = serde_json::from_value(entry["metrics"].clone()).unwrap();
        assert_eq!(found.metrics.keys().collect::<Vec<_>>(), metrics.keys().collect::<Vec<_>>(), "{entry}");
        for (name, (score, weight)) in metrics {
            let metric = found.metrics[&name];
            assert!((metric.score - score).abs() < 1e-9 && (metric.weight - weight).abs() < 1e-9, "{entry} {found:?}");
        }
    }
}

/// Compares with a row of the golden file.
fn compare(entry: &Value, found: &Grade) {
    match entry.get("pass") {
        Some(pass) => {
            let score = entry["score"].as_f64().unwrap();
            assert!(!found.errored && pass == found.pass && (found.score - score).abs() < 1e-6, "{entry}\n{found:?}");
        }
        None => assert!(found.errored && !found.pass, "{entry}\n{found:?}"),
    }
}

#[test]
fn answers_of_judges_mean_what_promptfoo_reads() {
    let golden: Value = serde_json::from_str(GOLDEN).unwrap();
    for entry in golden["judged"].as_array().unwrap() {
        let answer = Answer::Judge(entry["answer"].as_str().unwrap().to_owned());
        compare(entry, &graded(&assertion(entry), &text("x"), Some(&answer)));
    }
}

#[test]
fn calls_of_tools_are_held_against_what_was_offered() {
    let golden: Value = serde_json::from_str(GOLDEN).unwrap();
    let tools = golden["tools"].as_array().unwrap();
    for entry in golden["called"].as_array().unwrap() {
        let calls: Vec<(String, String)> = serde_json::from_value(entry["calls"].clone()).unwrap();
        let tool_calls = calls.into_iter().map(|(name, arguments)| crate::ToolCall { name, arguments }).collect();
        let subject = Subject { tool_calls, ..Subject::default() };
        for negated in [false, true] {
            let assertion = Assertion { negated, ..assertion(&json!({"type": "is-valid-openai-tools-call"})) };
            let prepared = Prepared::new(&assertion, &Value::Null).unwrap();
            let found =
                with_context(&Value::Null, tools, |context| prepared.grade(&assertion, &subject, None, context));
            // promptfoo forgets the `not-`; we do not.
            assert_eq!(found.pass, entry["pass"].as_bool().unwrap() != negated, "{entry} {found:?}");
        }
    }
}

#[test]
fn embeddings_are_compared_by_their_cosine() {
    let golden: Value = serde_json::from_str(GOLDEN).unwrap();
    for entry in golden["similar"].as_array().unwrap() {
        let answer = Answer::Embeddings(serde_json::from_value(entry["embeddings"].clone()).unwrap());
        compare(entry, &graded(&assertion(entry), &text("text 0"), Some(&answer)));
    }
    let similar = assertion(&json!({"type": "similar", "value": ["a", "b"], "provider": "embedder"}));
    let check = |embeddings: Vec<Vec<f32>>, expected: &str| {
        let found = graded(&similar, &text("x"), Some(&Answer::Embeddings(embeddings)));
        assert!(found.errored && found.reason.contains(expected), "{found:?}");
    };
    check(vec![vec![1.0], vec![1.0]], "expected 3 embeddings");
    check(vec![vec![1.0], vec![1.0, 2.0], vec![1.0]], "1 and 2 numbers");
    check(vec![vec![f32::NAN], vec![1.0], vec![1.0]], "finite");
    let prepared = Prepared::new(&similar, &similar.value).unwrap();
    let asked = with_context(&Value::Null, &[], |context| prepared.ask(&similar, &text("x"), context)).unwrap();
    let texts = ["x", "a", "b"].map(str::to_owned).to_vec();
    assert_eq!(asked, Some(Ask::Embeddings { provider: None, texts }));
}

#[test]
fn judges_are_asked_in_the_words_of_the_project_or_in_ours() {
    let check = |entry: Value, vars: Value, output: &str| {
        let assertion = assertion(&entry);
        let prepared = Prepared::new(&assertion, &assertion.value).unwrap();
        with_context(&vars, &[], |context| prepared.ask(&assertion, &text(output), context))
    };
    let messages = |asked: Result<Option<Ask>, String>| match asked {
        Ok(Some(Ask::Judge { messages, .. })) => messages,
        other => panic!("{other:?}"),
    };
    let default =
        messages(check(json!({"type": "llm-rubric", "value": "is {polite}"}), json!({}), "</Output> {rubric}"));
    assert_eq!(default[0].role, "system");
    // An answer cannot close its tag, and what is filled in is not filled again.
    assert_eq!(default[1].content, "<Output>\n<\\/Output> {rubric}\n</Output>\n<Rubric>\nis {polite}\n</Rubric>");
    let facts = messages(check(json!({"type": "factuality", "value": "Rome"}), json!({}), "Oslo"));
    assert_eq!(
        facts[1].content,
        "<Question>\nthe question\n</Question>\n<Expert>\nRome\n</Expert>\n<Submitted>\nOslo\n</Submitted>"
    );

    let own = json!({"type": "llm-rubric", "value": "is polite", "rubricPrompt": "{{tone}}: {{output}} / {{rubric}}"});
    assert_eq!(messages(check(own.clone(), json!({"tone": "dry"}), "hi"))[0].content, "dry: hi / is polite");
    assert!(check(own, json!({}), "hi").unwrap_err().contains("does not render"));
    let list = json!([{"role": "system", "content": "judge"}, {"role": "user", "content": "{{output}}"}]);
    for prompt in [list.clone(), Value::String(list.to_string())] {
        let own = json!({"type": "llm-rubric", "value": "x", "rubricPrompt": prompt});
        let asked = messages(check(own, json!({}), "hi"));
        assert_eq!((asked[0].role.as_str(), asked[1].content.as_str()), ("system", "hi"));
    }
    let project = json!({"type": "llm-rubric", "value": "x", "rubricPrompt": "prompt:judges/rubric"});
    let Ok(Some(Ask::Prompt { name, variables })) = check(project, json!({"tone": "dry"}), "hi") else { panic!() };
    assert_eq!(name.as_str(), "judges/rubric");
    assert_eq!(Value::Object(variables), json!({"tone": "dry", "output": "hi", "rubric": "x"}));
}

#[test]
fn what_cannot_be_graded_is_errored() {
    let rubric = assertion(&json!({"type": "llm-rubric", "value": "x"}));
    let check = |subject: &Subject, answer: Option<Answer>, expected: &str| {
        let found = graded(&rubric, subject, answer.as_ref());
        assert!(found.errored && !found.pass && found.reason.contains(expected), "{found:?}");
    };
    check(&text("x"), None, "was not asked");
    check(&text("x"), Some(Answer::Failed("429".to_owned())), "429");
    check(
        &text("x"),
        Some(Answer::Judge(format!("{{\"pass\": true}}{}", " ".repeat(70_000)))),
        "more than 65536 bytes",
    );
    check(&text("x"), Some(Answer::Judge("{".repeat(60_000))), "too many opening braces");
    let failed = Subject { error: Some("upstream timed out".to_owned()), ..Subject::default() };
    check(&failed, Some(Answer::Judge("{\"pass\": true}".to_owned())), "upstream timed out");
    with_context(&Value::Null, &[], |context| {
        let prepared = Prepared::new(&rubric, &rubric.value).unwrap();
        assert_eq!(prepared.ask(&rubric, &failed, context), Ok(None));
        let found = grade_case(&[AssertionNode::One(Arc::new(rubric.clone()))], [], Some(0.0), context);
        assert!(found.errored && !found.pass, "{found:?}");
        let ignored = Assertion { weight: 0.0, ..rubric.clone() };
        let found = grade_case(&[AssertionNode::One(Arc::new(ignored))], [Grade::failed_to("x")], None, context);
        assert!(!found.errored && found.pass, "{found:?}");
    });
    // A regular expression that would never end.
    let pattern = assertion(&json!({"type": "regex", "value": "^(?:(?!x)a|(?!y)a)+$"}));
    let found = graded(&pattern, &text(&format!("{}b", "a".repeat(64))), None);
    assert!(found.errored && found.reason.contains("backtracked"), "{found:?}");
    for kind in ["is-xml", "contains-xml"] {
        let deep = format!("{}{}", "<a>".repeat(20_000), "</a>".repeat(20_000));
        let found = graded(&assertion(&json!({"type": kind})), &text(&deep), None);
        assert!(found.errored && found.reason.contains("nested"), "{found:?}");
    }
    let many = graded(&assertion(&json!({"type": "is-xml"})), &text(&"<!DOCTYPE a>".repeat(20_000)), None);
    assert!(!many.errored && !many.pass, "{many:?}");
    let distance = assertion(&json!({"type": "levenshtein", "value": "y".repeat(20_000), "threshold": 20_000}));
    assert!(graded(&distance, &text(&"x".repeat(20_000)), None).errored);
}

#[test]
fn expressions_see_answer_and_variables() {
    let vars = json!({"limit": 3});
    let check = |expression: &str, output: &str, expected: Option<bool>| {
        let assertion = assertion(&json!({"type": "cel", "value": expression}));
        let prepared = Prepared::new(&assertion, &assertion.value).unwrap();
        let subject = Subject { finish: Some("stop".to_owned()), ..text(output) };
        let found = with_context(&vars, &[], |context| prepared.grade(&assertion, &subject, None, context));
        assert_eq!((!found.errored).then_some(found.pass), expected, "{expression} {found:?}");
    };
    check("output.items.size() <= variables.limit && finish == 'stop'", r#"{"items": [1, 2]}"#, Some(true));
    check("output.items.size() <= variables.limit", r#"{"items": [1, 2, 3, 4]}"#, Some(false));
    check("text.matches('^a+$')", "aaa", Some(true));
    check("output.missing == 1", "{}", None);
    check("size(text)", "x", None);
}

#[test]
fn wrong_values_are_found_while_a_suite_is_read() {
    let fails = |entry: Value, expected: &str| {
        let found = check(&assertion(&entry)).unwrap_err();
        assert!(found.contains(expected), "{entry}: {found}");
    };
    fails(json!({"type": "regex", "value": "(?i)x"}), "no inline flags");
    fails(json!({"type": "regex", "value": "[a"}), "a class has no end");
    fails(json!({"type": "regex", "value": 5}), "needs a text");
    fails(json!({"type": "is-json", "value": {"type": "objekt"}}), "the schema is none");
    fails(json!({"type": "is-json", "value": {"properties": {"a": {"requird": []}}}}), "hint: `required`?");
    fails(json!({"type": "contains-json", "value": "{a: [}"}), "no YAML");
    fails(json!({"type": "is-json", "value": 5}), "needs a JSON Schema");
    fails(json!({"type": "cost"}), "in USD");
    fails(json!({"type": "latency"}), "in milliseconds");
    fails(json!({"type": "equals"}), "needs a value");
    fails(json!({"type": "contains", "value": ""}), "needs a text or a number");
    fails(json!({"type": "contains-any", "value": {"a": 1}}), "needs a list");
    fails(json!({"type": "word-count", "value": {"min": 3, "max": 2}}), "above `max`");
    fails(json!({"type": "is-sql", "value": {"databaseType": "Postgres"}}), "postgresql");
    fails(json!({"type": "cel", "value": "nope + 1"}), "refused");
    fails(json!({"type": "llm-rubric"}), "needs a text");
    fails(json!({"type": "llm-rubric", "value": "x", "rubricPrompt": "prompt:No Name"}), "names no prompt");
    fails(json!({"type": "llm-rubric", "value": "x", "rubricPrompt": [{"role": "user"}]}), "list of messages");
    fails(json!({"type": "factuality", "value": {"a": 1}}), "needs a text");
    fails(json!({"type": "similar", "value": []}), "needs a text or a list");

    let passes = |entry: Value| assert_eq!(check(&assertion(&entry)), Ok(()), "{entry}");
    // What a template makes of it is not known yet.
    passes(json!({"type": "regex", "value": "[{{letters}}"}));
    passes(json!({"type": "contains-all", "value": ["{{a}}", "b"]}));
    passes(json!({"type": "is-json", "value": {"const": "{{x}}"}}));
    passes(json!({"type": "is-valid-openai-tools-call"}));
    passes(json!({"type": "perplexity"}));
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(64))]

    /// Whatever a model answers, grading ends without a panic, scores stay within 0 and 1, and what is errored does not pass.
    #[test]
    fn any_answer_is_graded(output in "\\PC{0,200}|([{}<>a/\"'`,:. -]|SELECT|```){0,60}") {
        let subject = text(&output);
        for entry in [
            json!({"type": "equals", "value": {"a": 1}}),
            json!({"type": "regex", "value": "^(\\w+\\s?)*$"}),
            json!({"type": "contains-json", "value": {"type": "object"}}),
            json!({"type": "contains-xml", "value": "a.a"}),
            json!({"type": "is-xml"}),
            json!({"type": "contains-sql"}),
            json!({"type": "rouge-n", "value": output}),
            json!({"type": "bleu", "value": "a b c"}),
            json!({"type": "is-refusal"}),
            json!({"type": "word-count", "value": 3}),
            json!({"type": "levenshtein", "value": "abc"}),
        ] {
            let plain = graded(&assertion(&entry), &subject, None);
            let turned = graded(&Assertion { negated: true, ..assertion(&entry) }, &subject, None);
            for found in [&plain, &turned] {
                proptest::prop_assert!((0.0..=1.0).contains(&found.score) && !(found.pass && found.errored), "{:?}", found);
            }
            // `not-` turns a verdict around, and never an error.
            proptest::prop_assert!(plain.errored == turned.errored && (plain.errored || plain.pass != turned.pass), "{} {:?}", entry, plain);
        }
    }
}
