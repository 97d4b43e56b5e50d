//! How many tickets of the example the simulated model sorts right, with the prompt and with the two changes of the story.

use std::fs;
use std::path::PathBuf;

use bowline_chat::{Message, Request, ResponseFormat, Role};
use bowline_sim::{Case, FaultKind, Scenario, answer};
use serde_json::{Value, json};

/// The noise and the seeds: enough of them that no figure below hangs on one draw.
const NOISE: f64 = 0.3;
const SEEDS: std::ops::Range<u64> = 1..7;

fn example() -> PathBuf {
    bowline_testkit::workspace_root().join("examples/support-desk")
}

fn cases() -> Vec<Case> {
    Case::read_all(&fs::read_to_string(example().join("data/tickets.jsonl")).unwrap()).unwrap()
}

/// The prompt's system message, with its partial; the ticket is the user's message.
fn system(prompt: &str) -> String {
    let tone = fs::read_to_string(example().join("prompts/_tone.prompt")).unwrap();
    let (_, body) = prompt.split_once("{{role \"system\"}}\n").unwrap();
    let (system, user) = body.split_once("{{role \"user\"}}\n").unwrap();
    assert_eq!(user, "{{ticket}}\n");
    let system = system.replace("{{>tone}}\n", &tone);
    assert!(!system.contains("{{"), "{system}");
    system
}

fn prompt() -> String {
    fs::read_to_string(example().join("prompts/support/classify.prompt")).unwrap()
}

/// The prompt after a change: applies a unified diff of one file.
fn changed(patch: &str) -> String {
    let patch = fs::read_to_string(example().join("changes").join(patch)).unwrap();
    let hunks = patch.split("\n@@ ").skip(1).map(|hunk| hunk.split_once('\n').unwrap().1);
    hunks.fold(prompt(), |text, hunk| {
        let side = |dropped: char| {
            let lines = hunk.lines().filter(|line| !line.starts_with(dropped));
            lines.map(|line| format!("{}\n", line.get(1..).unwrap())).collect::<String>()
        };
        let before = side('+');
        assert_eq!(text.matches(&before).count(), 1, "{before}");
        text.replace(&before, &side('-'))
    })
}

fn schema() -> Value {
    json!({"type": "object", "properties": {
        "category": {"type": "string", "enum": ["billing", "access", "delivery", "bug", "cancellation", "how_to"]},
        "urgency": {"type": "string", "enum": ["low", "normal", "high"]},
    }})
}

/// The shares of tickets with the right category, and of those with the right urgency.
fn accuracy(cases: &[Case], prompt: &str) -> (f64, f64) {
    let format = ResponseFormat::JsonSchema { name: None, schema: schema(), strict: None };
    let system = system(prompt);
    let (mut category, mut urgency, mut total) = (0, 0, 0);
    for case in cases {
        let messages = vec![Message::text(Role::System, &system), Message::text(Role::User, &case.text)];
        let request = Request { messages, response_format: Some(format.clone()), ..Request::default() };
        for answer in SEEDS.map(|seed| answer(&request, NOISE, seed)) {
            category += i32::from(case.is_right("category", &answer.text));
            urgency += i32::from(case.is_right("urgency", &answer.text));
            total += 1;
        }
    }
    (f64::from(category) / f64::from(total), f64::from(urgency) / f64::from(total))
}

#[test]
fn the_tickets_are_a_fair_set() {
    let cases = cases();
    assert!(cases.len() >= 240, "{}", cases.len());
    let mut texts: Vec<&str> = cases.iter().map(|case| case.text.as_str()).collect();
    texts.sort_unstable();
    texts.dedup();
    assert_eq!(texts.len(), cases.len(), "a ticket stands there twice");
    for (field, share_min) in [("category", 0.12), ("urgency", 0.08)] {
        for label in schema()["properties"][field]["enum"].as_array().unwrap() {
            let count = cases.iter().filter(|case| Some(case.labels[field].as_str()) == label.as_str()).count();
            assert!(count as f64 >= share_min * cases.len() as f64, "{label}: {count}");
        }
    }
}

#[test]
fn accuracy_follows_the_text_of_the_prompt() {
    let cases = cases();
    let check = |name: &str, prompt: &str, expected: std::ops::RangeInclusive<f64>| {
        let (category, urgency) = accuracy(&cases, prompt);
        println!("{name}: {:.1} % of categories, {:.1} % of urgencies", 100.0 * category, 100.0 * urgency);
        assert!(expected.contains(&category), "{name}: {category}, not within {expected:?}");
    };
    check("v1", &prompt(), 0.88..=0.92);
    check("v2", &changed("v2.patch"), 0.68..=0.76);
    check("v3", &changed("v3.patch"), 0.95..=0.98);
    let without: String =
        prompt().lines().filter(|line| !line.starts_with("- ")).map(|line| format!("{line}\n")).collect();
    check("no definitions", &without, 0.5..=0.67);
}

#[test]
fn the_scenarios_of_the_examples_are_read() {
    let root = bowline_testkit::workspace_root().join("examples");
    for (file, faults) in [("support-desk/sim.yaml", 0), ("scenarios/faults.yaml", FaultKind::ALL.len())] {
        let scenario = Scenario::parse(&fs::read_to_string(root.join(file)).unwrap()).unwrap();
        assert_eq!((scenario.faults.len(), scenario.noise), (faults, NOISE), "{file}");
    }
}

#[test]
fn answers_repeat() {
    let cases = cases();
    assert_eq!(accuracy(&cases[..40], &prompt()), accuracy(&cases[..40], &prompt()));
}
