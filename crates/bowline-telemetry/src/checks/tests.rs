use bowline_types::CheckResult::{Fail, Pass, Unknown};
use serde_json::json;

use super::*;

fn evidence<'a>(text: &'a str, finish: Option<&'a str>, variables: &'a Map<String, Value>) -> Evidence<'a> {
    Evidence { text, finish, error: None, refusal: false, variables }
}

fn contract(checks: &[Check], schema: Option<&Value>) -> Contract {
    Contract::compile(&SuccessContract(checks.to_vec()), schema).unwrap()
}

#[test]
fn contracts_are_shared_between_threads() {
    fn shared<T: Send + Sync>() {}
    shared::<Contract>();
}

#[test]
fn an_empty_contract_means_complete_and_schema() {
    let schema = json!({"type": "object"});
    let names = |contract: Contract| contract.checks.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(contract(&[], None)), ["complete"]);
    assert_eq!(names(contract(&[], Some(&schema))), ["complete", "schema"]);
    assert_eq!(names(contract(&[Check::NotRefusal], Some(&schema))), ["not_refusal"]);
}

#[test]
fn each_check_judges_its_part() {
    let schema = json!({
        "type": "object",
        "properties": {"category": {"enum": ["billing", "shipping"]}, "id": {"type": "string", "pattern": "^[0-9]+$"}},
        "required": ["category"],
    });
    let none = Map::new();
    let check = |check: Check, text: &str, finish: Option<&str>, expected: CheckResult| {
        let found = contract(std::slice::from_ref(&check), Some(&schema)).evaluate(&evidence(text, finish, &none));
        assert_eq!(found, BTreeMap::from([(check.name(), expected)]), "{check:?} on {text:?} {finish:?}");
    };
    for (text, finish, expected) in [
        (r#"{"category": "billing"}"#, Some("stop"), Pass),
        ("\n {\"category\": \"shipping\", \"id\": \"12\"} \n", Some("stop"), Pass),
        (r#"{"category": "other"}"#, Some("stop"), Fail),
        (r#"{"category": "billing", "id": "x"}"#, Some("stop"), Fail),
        ("{}", Some("stop"), Fail),
        ("```json\n{\"category\": \"billing\"}\n```", Some("stop"), Fail),
        ("billing", Some("stop"), Fail),
        (r#"{"category": "bil"#, Some("length"), Fail),
        ("", Some("stop"), Fail),
        ("", Some("tool_calls"), Unknown),
    ] {
        check(Check::Schema, text, finish, expected);
    }
    for (text, finish, expected) in [
        ("yes", Some("stop"), Pass),
        (" ", Some("stop"), Fail),
        ("", Some("tool_calls"), Pass),
        ("yes", Some("length"), Fail),
        ("yes", Some("content_filter"), Fail),
        ("", Some("refusal"), Fail),
        ("yes", Some("pause_turn"), Unknown),
        ("yes", None, Unknown),
    ] {
        check(Check::Complete, text, finish, expected);
    }
    for (text, finish, expected) in [
        ("It is on its way.", Some("stop"), Pass),
        ("I'm sorry, but I can't help with that.", Some("stop"), Fail),
        ("", Some("refusal"), Fail),
        ("", Some("stop"), Unknown),
        ("", Some("tool_calls"), Pass),
    ] {
        check(Check::NotRefusal, text, finish, expected);
    }
    check(Check::Feedback("correct".to_owned()), "yes", Some("stop"), Unknown);
    check(Check::Cel("size(text) < 5".to_owned()), "yes", Some("stop"), Pass);
    check(Check::Cel("output.category == 'billing'".to_owned()), "{\"category\":\"shipping\"}", Some("stop"), Fail);
    check(Check::Cel("output.missing".to_owned()), "{}", Some("stop"), Unknown);
}

#[test]
fn an_explicit_refusal_fails_whatever_the_text() {
    let none = Map::new();
    let evidence = Evidence { refusal: true, ..evidence("Let us talk of something else.", Some("stop"), &none) };
    assert_eq!(contract(&[Check::NotRefusal], None).evaluate(&evidence)["not_refusal"], Fail);
}

#[test]
fn an_error_fails_all_but_feedback() {
    let none = Map::new();
    let checks = [
        Check::Complete,
        Check::NotRefusal,
        Check::Cel("true".to_owned()),
        Check::Feedback("ok".to_owned()),
        Check::Schema,
    ];
    let evidence = Evidence { error: Some(ErrorKind::UpstreamTimeout), ..evidence("{}", Some("stop"), &none) };
    let found = contract(&checks, Some(&json!({}))).evaluate(&evidence);
    let expected =
        [("cel:true", Fail), ("complete", Fail), ("feedback:ok", Unknown), ("not_refusal", Fail), ("schema", Fail)];
    assert_eq!(found, expected.map(|(name, result)| (name.to_owned(), result)).into());
}

#[test]
fn unknown_checks_say_why() {
    let none = Map::new();
    let checks = [
        Check::Complete,
        Check::Cel("output.a == 1".to_owned()),
        Check::Cel("size(text)".to_owned()),
        Check::Feedback("ok".to_owned()),
        Check::NotRefusal,
    ];
    let mut reasons = Vec::new();
    let found =
        contract(&checks, None).evaluate_with(&evidence("", None, &none), &mut |reason| reasons.push(reason.as_str()));
    assert!(found.values().all(|result| *result == Unknown));
    reasons.sort_unstable();
    assert_eq!(reasons, ["evaluation_failed", "no_answer", "no_finish", "no_outcome", "not_boolean"]);
}

#[test]
fn patterns_that_backtrack_are_unknown() {
    let schema = json!({"type": "string", "pattern": r"^(([a-z])+.)+\2[A-Z]$"});
    let text = serde_json::to_string(&"a".repeat(60)).unwrap();
    let none = Map::new();
    let mut reasons = Vec::new();
    let contract = contract(&[Check::Schema], Some(&schema));
    let found = contract.evaluate_with(&evidence(&text, Some("stop"), &none), &mut |reason| reasons.push(reason));
    assert_eq!((found["schema"], reasons), (Unknown, vec![UnknownReason::PatternTooCostly]));
}

#[test]
fn contracts_that_cannot_hold_are_refused() {
    let refuse = |checks: Vec<Check>, schema: Option<&Value>| {
        bowline_types::chain(&Contract::compile(&SuccessContract(checks), schema).unwrap_err())
    };
    assert!(refuse(vec![Check::Schema], None).contains("no output schema"));
    assert!(refuse(vec![Check::Schema], Some(&json!({"type": "strng"}))).contains("cannot be compiled"));
    assert!(
        refuse(vec![Check::Schema], Some(&json!({"$ref": "https://example.com/s.json"})))
            .contains("cannot be compiled")
    );
    assert!(refuse(vec![Check::Cel("size(".to_owned())], None).contains("`size(`"));
    assert!(refuse(vec![Check::Complete; 40], None).contains("40 checks"));
}
