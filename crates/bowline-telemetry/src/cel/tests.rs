use std::fmt::Write as _;
use std::time::Duration;

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::*;
use crate::UnknownReason::{EvaluationFailed, InputTooLarge, NotBoolean, TooCostly};

fn evaluate(source: &str, text: &str, variables: &Map<String, Value>) -> Result<bool, UnknownReason> {
    let output = serde_json::from_str(text).ok();
    let inputs = Inputs { text, output: output.as_ref(), variables, finish: "stop" };
    Expression::compile(source).unwrap_or_else(|error| panic!("{source}: {error}")).evaluate(&inputs)
}

#[test]
fn expressions_see_the_call() {
    let Value::Object(variables) = json!({"limit": 3, "tags": ["a", "b"], "when": "2026-01-01"}) else { panic!() };
    let text = r#"{"category": "billing", "score": 0.75, "count": 3, "items": [{"n": 1}, {"n": 2}], "none": null}"#;
    for (source, expected) in [
        ("output.category == 'billing'", Ok(true)),
        ("output.category in ['shipping', 'returns']", Ok(false)),
        ("output.count == 3 && output.count <= variables.limit", Ok(true)),
        ("output.score > 0.5", Ok(true)),
        ("output.count + 1 == 4", Ok(true)),
        ("output.none == null", Ok(true)),
        ("size(output.items) == 2 && output.items[1].n == 2", Ok(true)),
        ("output.items.all(item, item.n > 0)", Ok(true)),
        ("output.items.exists_one(item, item.n == 2)", Ok(true)),
        ("output.items.map(item, item.n * 2) == [2, 4]", Ok(true)),
        ("output.items.filter(item, item.n > 1).size() == 1", Ok(true)),
        ("variables.tags.all(tag, output.items.exists(item, item.n > 0))", Ok(true)),
        ("size(text) < 500 && text.contains('billing') && finish == 'stop'", Ok(true)),
        ("has(output.category) && !has(output.other)", Ok(true)),
        ("text.matches('\"score\": [0-9.]+')", Ok(true)),
        ("matches(variables.when, '^[0-9]{4}-[0-9]{2}-[0-9]{2}$')", Ok(true)),
        ("text.matches('(?i)REFUND')", Ok(false)),
        ("type(output.count) == int", Ok(true)),
        ("output.other == 1", Err(EvaluationFailed)),
        ("output.category + 1 == 2", Err(EvaluationFailed)),
        ("output.category", Err(NotBoolean)),
        ("1 / 0 == 1", Err(EvaluationFailed)),
    ] {
        assert_eq!(evaluate(source, text, &variables), expected, "{source}");
    }
    assert_eq!(evaluate("output == 'plain words'", "plain words", &variables), Ok(true));
}

#[test]
fn what_cannot_be_bounded_is_refused() {
    let nested = |depth: usize| format!("{}1{} == 1", "(".repeat(depth), ")".repeat(depth));
    for (source, part) in [
        ("".to_owned(), "column"),
        ("output ==".to_owned(), "column"),
        ("ouput == 1".to_owned(), "did you mean `output`?"),
        ("secret == 1".to_owned(), "known: finish, output, text, variables"),
        ("text.startWith('a')".to_owned(), "did you mean `startsWith`?"),
        ("fetch(text)".to_owned(), "not available"),
        ("output.?a == 1".to_owned(), "column"),
        ("optional.of(1).hasValue()".to_owned(), "not available"),
        ("Message{a: 1} == 1".to_owned(), "messages"),
        ("text.matches(output.pattern)".to_owned(), "must be a literal"),
        (r"text.matches('\\bword\\b')".to_owned(), r"(?-u:\b)"),
        ("text.matches('(a{900}){900}')".to_owned(), "refused"),
        (r"text.matches('[01]*1[01]{25}')".to_owned(), "refused"),
        ("text.matches('(')".to_owned(), "refused"),
        (format!("{}true", "text.matches('a') && ".repeat(9)), "patterns"),
        ("[1].all(a, [1].all(b, [1].all(c, c == 1)))".to_owned(), "nested deeper"),
        (nested(2_000), "longer"),
        (nested(10), ""),
        (nested(11), ""),
        (nested(500), "column"),
        (format!("{}1 == 1", "true ? 1 == 1 : ".repeat(100)), "column"),
        (format!("{}true", "!".repeat(1_000)), ""),
        (format!("{}1 == 1", "-".repeat(1_000)), ""),
        (format!("text{}", ".a".repeat(900)), "nested deeper"),
        (format!("{}1 == 1", "true ? ".repeat(200)), ""),
        (format!("[{}1] == 1", "1,".repeat(900)), "operations"),
        (format!("{}0 == 1", "1+".repeat(900)), ""),
    ] {
        match check(&source) {
            Ok(()) => assert!(part.is_empty(), "accepted: {source}"),
            Err(error) => assert!(error.contains(part), "{source}: {error}"),
        }
    }
}

/// The bound of ten milliseconds is for release builds; unoptimised ones get twenty times that.
const SLACK: u32 = if cfg!(debug_assertions) { 20 } else { 2 };

#[expect(clippy::disallowed_methods, reason = "the time of the processor is what is tested")]
fn timed(source: &str, text: &str, variables: &Map<String, Value>) -> Result<bool, UnknownReason> {
    let output = serde_json::from_str(text).ok();
    let inputs = Inputs { text, output: output.as_ref(), variables, finish: "stop" };
    let expression = Expression::compile(source).unwrap_or_else(|error| panic!("{source}: {error}"));
    let start = std::time::Instant::now();
    let result = expression.evaluate(&inputs);
    let spent = start.elapsed();
    println!("{spent:?} {result:?} {} bytes: {source}", text.len());
    assert!(spent < Duration::from_millis(10) * SLACK, "{spent:?}: {source}");
    result
}

#[test]
fn no_expression_takes_long() {
    let numbers = |count: usize| serde_json::to_string(&(0..count).collect::<Vec<_>>()).unwrap();
    let words = |count: usize| serde_json::to_string(&vec!["some words"; count]).unwrap();
    let mut variables = Map::new();
    variables.insert("long".to_owned(), json!("ab".repeat(100_000)));
    let quadratic = "output.all(a, output.all(b, a == b || a != b))";
    let doubled = format!("size({}) > 0", vec!["text"; 30].join("+"));
    for (source, text, expected) in [
        (quadratic, numbers(10), Ok(true)),
        (quadratic, numbers(60), Ok(true)),
        (quadratic, numbers(100), Err(TooCostly)),
        (quadratic, numbers(2_000), Err(TooCostly)),
        ("output.all(a, a >= 0)", numbers(5_000), Ok(true)),
        ("output.all(a, a >= 0)", numbers(9_000), Err(TooCostly)),
        ("output.all(a, a >= 0)", numbers(20_000), Err(InputTooLarge)),
        ("size(text) > 0", "x".repeat(1 << 20), Err(InputTooLarge)),
        ("size(text) > 0", "ä".repeat(200_000), Ok(true)),
        ("text.contains('aaaaaaaaaaaaaaaaaaaaaaaab')", "a".repeat(500_000), Ok(false)),
        ("text.contains(variables.long)", "ab".repeat(150_000), Ok(true)),
        ("text.matches('(a|aa)*b$')", "a".repeat(500_000), Ok(false)),
        ("text.matches('^(a+)+$')", format!("{}b", "a".repeat(500_000)), Ok(false)),
        ("output.map(a, output.map(b, a + b)).size() > 0", words(50), Ok(true)),
        ("output.map(a, text).size() > 0", words(1_000), Err(TooCostly)),
        ("output.all(a, a in output)", words(300), Ok(true)),
        ("output.filter(a, a.contains('x')).map(a, a + a).all(a, a != '')", words(500), Ok(true)),
        ("output == output && output != [1]", words(5_000), Ok(true)),
        (doubled.as_str(), "x".repeat(100), Ok(true)),
        (doubled.as_str(), "x".repeat(100_000), Err(TooCostly)),
        ("output.all(a, a)", words(2_000), Err(EvaluationFailed)),
    ] {
        let result = timed(source, &text, &variables);
        assert_eq!(result, expected, "{source} on {} bytes", text.len());
    }
    let mut wide = String::from("{");
    for index in 0..2_000 {
        write!(wide, "\"key{index}\": {index},").unwrap();
    }
    wide.push_str("\"last\": {\"a\": [[[[1]]]]}}");
    assert_eq!(timed("output.all(key, output[key] != null)", &wide, &variables), Err(TooCostly));
    assert_eq!(timed("output.last.a[0][0][0][0] == 1", &wide, &variables), Ok(true));
}

proptest! {
    #[test]
    fn any_text_is_compiled_or_refused(source in r"[a-z0-9 .,?:(){}\[\]!'<>=&|+*%_-]{0,60}") {
        // Neither a panic nor an overflow of the stack.
        drop(check(&source));
    }

    #[test]
    fn any_small_expression_is_evaluated_in_time(
        parts in prop::collection::vec(prop::sample::select(vec![
            "output", "text", "variables", "finish", "1", "'a'", "[1, 2]", "{'a': 1}", "==", "+", "in", "&&", "?", ":", "!", "(", ")",
            ".a", "[0]", ".all(x, x == 1)", ".map(x, x + x)", ".exists(y, true)", "size(", ".contains(", ",", "< 2", "* 3", "- 1",
        ]), 1..14),
    ) {
        let source = parts.join(" ");
        if let Ok(expression) = Expression::compile(&source) {
            let variables = Map::new();
            let output = json!([1, "a", {"a": [1]}, null]);
            let _result = expression.evaluate(&Inputs { text: "a", output: Some(&output), variables: &variables, finish: "stop" });
        }
    }
}
