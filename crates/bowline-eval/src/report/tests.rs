use std::collections::BTreeMap;

use serde_json::json;

use super::*;
use crate::gate::{OnInconclusive, Policy, Tally, gate};
use crate::subject::{Part, ToolCall};
use crate::suite::{Dataset, Thresholds};

/// A text that would break every form if it were not escaped.
const HOSTILE: &str = "```\n</details></pre><script>alert(1)</script> @octocat #1 | x | [a](javascript:1) & \u{1b}[31m \u{202e}]]>\n````\n<img src=x onerror=alert(1)>";

fn side(answer: &str, pass: bool) -> Side {
    let part = Part {
        assertion: "contains".to_owned(),
        metric: None,
        weight: 1.0,
        grade: Grade::new(pass, format!("expected the answer to contain \"refund\", and it is {answer:?}")),
    };
    let subject = Subject {
        text: answer.to_owned(),
        cost_usd: Some("0.0004".to_owned()),
        latency_ms: 120.0,
        finish: Some("stop".to_owned()),
        ..Subject::default()
    };
    let reason = part.grade.reason.clone();
    Side { subject, grade: Grade { parts: vec![part], ..Grade::new(pass, reason) }, cached: false }
}

fn case(id: &str, candidate: Side, stable: Option<Side>) -> CaseResult {
    CaseResult {
        suite: "evals/support.yaml".to_owned(),
        prompt: "support/answer".to_owned(),
        model: "fast".to_owned(),
        case: id.to_owned(),
        description: Some(format!("asks about {id}")),
        must_pass: id.starts_with("must"),
        repeat: 0,
        vars: json!({"question": "Where is my refund?"}).as_object().cloned().unwrap(),
        candidate,
        stable,
    }
}

/// A run in which one case flips to fail, one to pass, one is errored, and the rest passes.
fn run(hostile: bool) -> (Report, Vec<CaseResult>) {
    let bad = if hostile { HOSTILE } else { "I cannot say." };
    let mut cases: Vec<CaseResult> = (0..6)
        .map(|index| {
            let answer = format!("Your refund number {index} is on its way.");
            case(&format!("case-{index}"), side(&answer, true), Some(side(&answer, true)))
        })
        .collect();
    cases.push(case("flip", side(bad, false), Some(side("Your refund is on its way.", true))));
    cases.push(case("fixed", side("Your refund is here.", true), Some(side("I do not know.", false))));
    let mut broken = case("broken", side("", false), Some(side("Your refund is here.", true)));
    broken.candidate.grade = Grade::failed_to("llm-rubric: the judge answered without a JSON object");
    broken.candidate.subject.tool_calls =
        vec![ToolCall { name: "lookup".to_owned(), arguments: "{\"id\": 7}".to_owned() }];
    cases.push(broken);
    if hostile {
        cases.iter_mut().for_each(|case| case.description = Some(HOSTILE.to_owned()));
    }
    let report = report(&cases);
    (report, cases)
}

fn report(cases: &[CaseResult]) -> Report {
    let (mut candidate, mut stable) = (Tally::new(), Tally::new());
    for case in cases {
        candidate.push(case.case.clone(), case.must_pass, &case.candidate.subject, &case.candidate.grade);
        if let Some(side) = &case.stable {
            stable.push(case.case.clone(), case.must_pass, &side.subject, &side.grade);
        }
    }
    let thresholds = Thresholds { pass_rate: Some(0.9), cost_usd_mean_max: Some(0.01), ..Thresholds::default() };
    let gate = gate(candidate, Some(stable), &thresholds, &BTreeMap::new(), &Policy::default()).unwrap();
    Report {
        schema_version: Report::SCHEMA_VERSION,
        bowline: "0.1.0".to_owned(),
        project: "support-desk".to_owned(),
        environment: Some("prod".parse().unwrap()),
        gate: true,
        commit: Some("4f2c9e1".to_owned()),
        dirty: false,
        started_at: Timestamp::from_micros(1_795_590_000_000_000),
        finished_at: Timestamp::from_micros(1_795_590_002_500_000),
        versions: vec![VersionEntry {
            prompt: "support/answer".parse().unwrap(),
            candidate: Digest::of(b"candidate"),
            stable: Some(Digest::of(b"stable")),
        }],
        models: vec![
            ModelEntry { name: "fast".to_owned(), identity: "openai/gpt-5-mini".to_owned(), judge: false },
            ModelEntry { name: "judge".to_owned(), identity: "openai/gpt-5".to_owned(), judge: true },
        ],
        simulated: true,
        partial: false,
        totals: Totals { calls: 18, cached: 3, input_tokens: 1_200, output_tokens: 340, ..Totals::default() },
        suites: vec![SuiteReport {
            name: "evals/support.yaml".to_owned(),
            description: Some("what customers ask".to_owned()),
            prompt: "support/answer".to_owned(),
            model: "fast".to_owned(),
            digest: Digest::of(b"suite"),
            datasets: vec![Dataset { path: "evals/questions.csv".to_owned(), digest: Digest::of(b"data") }],
            gate,
        }],
    }
}

fn write(format: Format, report: &Report, cases: Vec<CaseResult>) -> String {
    let mut out = Vec::new();
    format.write(report, cases, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn people_read_what_changed_first() {
    let (report, cases) = run(false);
    insta::assert_snapshot!("terminal", report.terminal(cases.clone()));
    insta::assert_snapshot!("markdown", write(Format::Markdown, &report, cases.clone()));
    insta::assert_snapshot!("junit", write(Format::Junit, &report, cases));
}

#[test]
fn json_has_everything_and_reads_back() {
    let (report, cases) = run(true);
    let json: Value = serde_json::from_str(&write(Format::Json, &report, cases.clone())).unwrap();
    assert_eq!(json["verdict"], "failed");
    assert_eq!(json["schema_version"], 2);
    assert_eq!(json["finished_at"], "2026-11-25T07:00:02.500Z");
    assert_eq!(json["suites"][0]["gate"]["verdict"]["reasons"][1]["kind"], "threshold");
    let read: Vec<CaseResult> = serde_json::from_value(json["cases"].clone()).unwrap();
    assert_eq!(read, cases);
    let none: Value = serde_json::from_str(&write(Format::Json, &report, Vec::new())).unwrap();
    assert_eq!(none["cases"], json!([]));
}

#[test]
fn the_predicate_has_no_answers() {
    let (report, _) = run(true);
    let predicate = report.predicate(&Digest::of(b"json"));
    insta::assert_json_snapshot!("predicate", predicate);
    assert!(!predicate.to_string().contains("refund"));

    // A suite on two models stands once, and passes where it does on both.
    let mut twice = report.clone();
    twice.suites.push(SuiteReport { model: "other".to_owned(), ..report.suites[0].clone() });
    twice.suites[1].gate.verdict = Verdict::Pass;
    let predicate = twice.predicate(&Digest::of(b"json"));
    assert_eq!(predicate["suites"].as_array().unwrap().len(), 1);
    assert_eq!((&predicate["suites"][0]["verdict"], &predicate["suites"][0]["cases"]), (&json!("failed"), &json!(18)));
}

/// What `release` reads is what the exit code said, and a part of the cases proves nothing.
#[test]
fn attestations_say_what_the_exit_code_said() {
    let (mut report, cases) = run(false);
    let mut check = |verdict: Verdict, on_inconclusive, partial, expected: &str| {
        report.partial = partial;
        report.suites[0].gate.verdict = verdict.clone();
        report.suites[0].gate.policy.on_inconclusive = on_inconclusive;
        let predicate = report.predicate(&Digest::of(b""));
        assert_eq!((&predicate["verdict"], &predicate["suites"][0]["verdict"]), (&json!(expected), &json!(expected)));
        assert_eq!(predicate["suites"][0]["decided"], json!(!matches!(verdict, Verdict::Inconclusive { .. })));
    };
    let open = || Verdict::Inconclusive { cases_needed: Some(84) };
    check(Verdict::Pass, OnInconclusive::Fail, false, "pass");
    check(open(), OnInconclusive::Warn, false, "pass");
    check(open(), OnInconclusive::Fail, false, "inconclusive");
    check(Verdict::Failed { reasons: Vec::new() }, OnInconclusive::Warn, false, "failed");
    check(Verdict::Failed { reasons: Vec::new() }, OnInconclusive::Warn, true, "failed");
    check(Verdict::Pass, OnInconclusive::Warn, true, "inconclusive");

    let written: Value = serde_json::from_str(&write(Format::Attestation, &report, cases.clone())).unwrap();
    let json = write(Format::Json, &report, cases.clone());
    assert_eq!(written["report"], json!(Digest::of(json.as_bytes())));
    for format in [Format::Markdown, Format::Html] {
        assert!(write(format, &report, cases.clone()).contains("no evidence for a release"));
    }
}

#[test]
fn a_run_without_suites_has_failed() {
    let (mut report, _) = run(false);
    report.suites.clear();
    assert_eq!(report.verdict().as_str(), "failed");
    assert_eq!(report.predicate(&Digest::of(b""))["verdict"], "failed");
}

/// What stands in Markdown outside of code.
fn prose(markdown: &str) -> String {
    let (mut out, mut fence) = (String::new(), String::new());
    for line in markdown.lines() {
        let ticks: String = line.chars().take_while(|character| *character == '`').collect();
        if fence.is_empty() && ticks.len() >= 3 {
            fence = ticks;
        } else if !fence.is_empty() {
            if ticks.len() >= fence.len() && line.len() == ticks.len() {
                fence.clear();
            }
        } else {
            out.push_str(&without_spans(line));
            out.push('\n');
        }
    }
    assert!(fence.is_empty(), "a fence is open at the end");
    out
}

/// By the rule of CommonMark: a run of backquotes is closed by the next run of the same length.
fn without_spans(line: &str) -> String {
    let mut runs: Vec<String> = Vec::new();
    for character in line.chars() {
        match runs.last_mut() {
            Some(run) if run.starts_with('`') == (character == '`') => run.push(character),
            _ => runs.push(character.to_string()),
        }
    }
    let (mut out, mut runs) = (String::new(), runs.as_slice());
    while let [run, rest @ ..] = runs {
        runs = rest;
        if run.starts_with('`') {
            let end = rest.iter().position(|other| other == run);
            let end = end.unwrap_or_else(|| panic!("a span is open at the end: {line}"));
            runs = rest.split_at(end + 1).1;
        } else {
            out.push_str(run);
        }
    }
    out
}

#[test]
fn answers_cannot_leave_their_quotes() {
    let (report, cases) = run(true);
    let markdown = write(Format::Markdown, &report, cases.clone());
    let outside = prose(&markdown);
    for bad in ["@octocat", "<script", "<img", "javascript:", "#1 "] {
        assert!(!outside.contains(bad), "{bad}: {outside}");
    }
    assert!(!markdown.contains('\u{1b}') && !markdown.contains('\u{202e}'));

    let html = write(Format::Html, &report, cases.clone());
    assert_eq!(html.matches("<script").count(), 1);
    assert!(!html.contains("<img") && !html.contains('\u{1b}') && !html.contains('\u{202e}'));
    let junit = write(Format::Junit, &report, cases.clone());
    let document = roxmltree::Document::parse(&junit).unwrap();
    assert_eq!(document.descendants().filter(|node| node.has_tag_name("testcase")).count(), 10);
    assert!(!report.terminal(cases).contains('\u{1b}'));
}

#[test]
fn junit_counts_what_it_lists() {
    let (report, cases) = run(false);
    let text = write(Format::Junit, &report, cases);
    let document = roxmltree::Document::parse(&text).unwrap();
    let count = |name: &str| document.descendants().filter(|node| node.has_tag_name(name)).count().to_string();
    let root = document.root_element();
    assert_eq!(root.attribute("tests"), Some(count("testcase").as_str()));
    assert_eq!(root.attribute("failures"), Some(count("failure").as_str()));
    assert_eq!(root.attribute("errors"), Some(count("error").as_str()));
}

#[test]
fn the_page_needs_nothing_else() {
    let (report, cases) = run(false);
    let html = write(Format::Html, &report, cases);
    assert!(html.contains("default-src 'none'; style-src 'sha256-") && html.contains("; script-src 'sha256-"));
    for outside in ["http://", "https://", "src=", "@import", "url("] {
        assert!(!html.contains(outside), "{outside}");
    }
    for expected in ["<del>", "<ins>", "flipped to fail (1)", "data-state=\"fixed\"", "Simulated", "sha256:"] {
        assert!(html.contains(expected), "{expected}");
    }
}

#[test]
fn many_cases_and_long_answers_stay_within_bounds() {
    let long = "ünfug ".repeat(20_000);
    let cases: Vec<CaseResult> = (0..2_000)
        .map(|index| {
            case(&format!("case-{index}"), side(if index % 3 == 0 { &long } else { "no" }, index % 10 == 9), None)
        })
        .collect();
    let report = report(&cases);
    let markdown = write(Format::Markdown, &report, cases.clone());
    let chars = markdown.chars().count();
    assert!(chars <= Format::MARKDOWN_CHARS_MAX && chars > 20_000, "{chars}");
    assert!(!prose(&markdown).is_empty());
    assert!(markdown.contains("more that failed or changed"), "{markdown}");
    let html = write(Format::Html, &report, cases.clone());
    assert!(html.len() < 12_000_000 && html.contains("Shown are 500 of 2000 results"), "{}", html.len());
    assert!(report.terminal(cases).contains("1780 results more"));
}

/// However late they come, what is urgent takes the place of what is not.
/// A row of a dataset has no description; its id alone would say nothing to whoever reads.
#[test]
fn a_case_without_a_description_is_known_by_its_variables() {
    let (report, mut cases) = run(false);
    cases.iter_mut().filter(|case| case.case == "flip").for_each(|case| case.description = None);
    let expected = "flip · question: Where is my refund?";
    assert!(report.terminal(cases.clone()).contains(&format!("flipped to fail: {expected}\n")));
    for format in [Format::Markdown, Format::Html] {
        let written = write(format, &report, cases.clone());
        assert!(written.replace("&#58;", ":").replace("&#63;", "?").contains(expected), "{written}");
    }
}

#[test]
fn what_flipped_is_shown_wherever_it_stands() {
    let pass = || case("many", side("refund", true), Some(side("refund", true)));
    let mut cases: Vec<CaseResult> = (0..3_000).map(|_| pass()).collect();
    cases.push(case("flip", side("no", false), Some(side("refund", true))));
    let report = report(&cases);
    let html = write(Format::Html, &report, cases.clone());
    assert_eq!(html.matches("<details class=\"case\"").count(), 500);
    assert_eq!(html.matches("data-state=\"flip\" open").count(), 1, "{}", html.len());
    assert!(write(Format::Markdown, &report, cases).contains("asks about flip"));
}

#[test]
fn formats_are_named() {
    assert_eq!("markdown".parse(), Ok(Format::Markdown));
    assert_eq!(
        "md".parse::<Format>().unwrap_err().to_string(),
        "there is no report format `md`; hint: json, junit, markdown, html or attestation"
    );
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(64))]

    /// Whatever a model answers stays inside of its quotes.
    #[test]
    fn any_answer_is_quoted(answer in "(\\PC|[`\n<>&|@#~\"'\\\\\r\t\u{0}\u{1b}]){0,80}") {
        let cases = vec![case("flip", side(&answer, false), Some(side("refund", true)))];
        let mut report = report(&cases);
        report.suites[0].description = Some(answer.clone());
        let markdown = write(Format::Markdown, &report, cases.clone());
        let outside = prose(&markdown);
        let tags = outside.matches('<').count();
        proptest::prop_assert_eq!(tags, prose(&write(Format::Markdown, &report, vec![case("flip", side("x", false), Some(side("refund", true)))])).matches('<').count());
        let junit = write(Format::Junit, &report, cases.clone());
        proptest::prop_assert!(roxmltree::Document::parse(&junit).is_ok(), "{}", junit);
        let html = write(Format::Html, &report, cases);
        proptest::prop_assert_eq!(html.matches("<script").count(), 1);
    }
}
