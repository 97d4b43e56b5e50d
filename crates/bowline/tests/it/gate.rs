//! `bowline test`: suites against simulated providers, and the gate before a release.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use bowline_sim::{Scenario, Simulator, SimulatorHandle, SimulatorOptions};
use serde_json::Value;
use tokio::runtime::Runtime;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::project::{Project, Ran};

/// How long anything may take that happens at once.
const PATIENCE: Duration = Duration::from_secs(30);
const EXAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/support-desk");
const CLASSIFY: &str = "prompts/support/classify.prompt";

/// A simulated provider; ends with the test.
struct Provider {
    handle: SimulatorHandle,
    address: String,
    _runtime: Runtime,
}

/// A provider that reads every word right, so that a change of a prompt is the only thing that changes an answer.
const EXACT: &str = "noise: 0\n";

// === impl Provider ===

impl Provider {
    fn start(scenario: &str) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let listen = "127.0.0.1:0".parse().unwrap();
        let scenario = Scenario::parse(scenario).unwrap();
        let simulator = runtime.block_on(Simulator::bind(SimulatorOptions { listen, scenario })).unwrap();
        let (handle, address) = (simulator.handle(), simulator.address().to_string());
        drop(runtime.spawn(simulator.run(CancellationToken::new())));
        Self { handle, address, _runtime: runtime }
    }

    /// Returns how many calls came since `before`.
    fn calls_since(&self, before: u64) -> u64 {
        self.handle.calls() - before
    }
}

/// Returns the example with its provider at an address, and the first version of its prompt live in `prod`.
fn example(address: &str) -> Project {
    let project = Project::new();
    for path in [CLASSIFY, "prompts/_tone.prompt", "evals/support.yaml", "evals/tickets.csv"] {
        project.write(path, fs::read(Path::new(EXAMPLE).join(path)).unwrap());
    }
    project.write(
        "bowline.yaml",
        format!(
            "project: desk\nproviders:\n  openai: {{ kind: openai, base_url: \"http://{address}/v1\", identity: openai }}\n\
             models:\n  fast: {{ provider: openai, model: gpt-5-mini }}\nenvironments:\n  dev: {{}}\n  prod: {{}}\n"
        ),
    );
    project.commit("the example");
    project
}

fn released(address: &str) -> Project {
    let project = example(address);
    let ran = project.bowline(&["release", "--env", "prod"]);
    assert_eq!(ran.code, 0, "{}", ran.seen());
    project
}

fn patch(project: &Project, name: &str) {
    let patch = fs::File::open(Path::new(EXAMPLE).join("changes").join(name)).unwrap();
    let mut command = Command::new("git");
    let status = command.current_dir(project.path()).args(["apply", "-"]).stdin(patch).status().unwrap();
    assert!(status.success());
}

/// Writes a suite of so many cases in place of that of the example.
fn many(project: &Project, cases: usize) {
    let lines = fs::read_to_string(Path::new(EXAMPLE).join("data/tickets.jsonl")).unwrap();
    let tickets: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let row = |(number, ticket): (usize, &Value)| {
        format!(
            "\"{number}: {}\",{}\n",
            ticket["text"].as_str().unwrap().replace('"', "'"),
            ticket["category"].as_str().unwrap()
        )
    };
    let rows: String = tickets.iter().cycle().take(cases).enumerate().map(row).collect();
    project.write("evals/tickets.csv", format!("ticket,category\n{rows}"));
    let suite = "prompts: [prompt:support/classify]\ndefaultTest:\n  assert: [{ type: contains, value: '\"category\":\"{{category}}\"' }]\n\
                 tests: file://tickets.csv\n";
    project.write("evals/support.yaml", suite);
}

fn check(project: &Project, arguments: &[&str], code: i32, says: &[&str]) -> Ran {
    let ran = project.bowline(arguments);
    let seen = ran.seen();
    assert_eq!(ran.code, code, "{arguments:?}\n{seen}");
    for text in says {
        assert!(seen.contains(text), "{arguments:?} does not say {text:?}\n{seen}");
    }
    ran
}

/// The tickets of the suite are the first ones of those that the load generator uses.
#[test]
fn the_dataset_of_the_example_is_that_of_its_traffic() {
    let lines = fs::read_to_string(Path::new(EXAMPLE).join("data/tickets.jsonl")).unwrap();
    let row = |line: &str| {
        let ticket: Value = serde_json::from_str(line).unwrap();
        let text = ticket["text"].as_str().unwrap();
        let quoted =
            if text.contains([',', '"']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text.to_owned() };
        format!("{quoted},{}\n", ticket["category"].as_str().unwrap())
    };
    let expected: String = lines.lines().take(50).map(row).collect();
    let dataset = fs::read_to_string(Path::new(EXAMPLE).join("evals/tickets.csv")).unwrap();
    assert_eq!(dataset, format!("ticket,category\n{expected}"));
}

#[test]
fn a_worse_prompt_is_refused_and_an_equal_and_a_better_one_pass() {
    let provider = Provider::start(EXACT);
    let project = released(&provider.address);
    // Nothing changed, so there is nothing to compare with.
    check(
        &project,
        &["test", "--gate", "--env", "prod"],
        0,
        &["compared with nothing: this version is live in `prod`"],
    );

    patch(&project, "v2.patch");
    check(&project, &["test", "--gate", "--env", "prod"], 100, &["flip", "A threat of legal action reaches billing"]);

    project.write(CLASSIFY, fs::read(Path::new(EXAMPLE).join(CLASSIFY)).unwrap());
    project.edit(CLASSIFY, "Answer with a JSON object", "Answer with one JSON object");
    check(&project, &["test", "--gate", "--env", "prod"], 0, &[]);

    project.write(CLASSIFY, fs::read(Path::new(EXAMPLE).join(CLASSIFY)).unwrap());
    patch(&project, "v3.patch");
    check(&project, &["test", "--gate", "--env", "prod"], 0, &[]);
}

/// A suite that is too small for statistics still decides by its flips, and only says how many cases a verdict would need.
#[test]
fn thirty_cases_decide() {
    let provider = Provider::start(EXACT);
    let project = released(&provider.address);
    many(&project, 30);
    project.edit(CLASSIFY, "Answer with a JSON object", "Answer with one JSON object");
    check(&project, &["test", "--gate", "--env", "prod"], 0, &["cases"]);
    check(&project, &["test", "--gate", "--env", "prod", "--on-inconclusive", "fail"], 101, &["cases"]);
    project.edit("bowline.yaml", "prod: {}", "prod: { gate: { on_inconclusive: fail } }");
    check(&project, &["test", "--gate", "--env", "prod"], 101, &[]);
    check(&project, &["test", "--gate", "--env", "prod", "--on-inconclusive", "warn"], 0, &[]);
    project.write(CLASSIFY, fs::read(Path::new(EXAMPLE).join(CLASSIFY)).unwrap());
    patch(&project, "v2.patch");
    check(&project, &["test", "--gate", "--env", "prod"], 100, &["flip"]);
}

#[test]
fn without_the_gate_a_failing_case_is_told_by_the_exit_code() {
    let provider = Provider::start(EXACT);
    let project = example(&provider.address);
    check(&project, &["check"], 0, &["1 prompt and 1 suite, nothing wrong"]);
    check(&project, &["test"], 100, &["some cases failed; `bowline test --gate` decides"]);
    check(&project, &["test", "--filter", "threat of LEGAL"], 0, &[]);
    check(&project, &["test", "--filter", "nowhere"], 1, &["no case has the text `nowhere`"]);
}

#[test]
fn answers_are_asked_for_once() {
    let provider = Provider::start(EXACT);
    let project = example(&provider.address);
    check(&project, &["test"], 100, &[]);
    let first = provider.handle.calls();
    assert_eq!(first, 51);
    check(&project, &["test"], 100, &["51 answers from the cache"]);
    assert_eq!(provider.calls_since(first), 0, "an answer that is there is not asked for");
    check(&project, &["test", "--repeat", "2"], 100, &[]);
    assert_eq!(provider.calls_since(first), 51, "a repeat is another call");
    check(&project, &["test", "--no-cache"], 100, &[]);
    assert_eq!(provider.calls_since(first), 102);
    project.edit("prompts/_tone.prompt", "", "Be quick. ");
    check(&project, &["test"], 100, &[]);
    assert_eq!(provider.calls_since(first), 153, "another version is another question");
}

/// What is signed must not come out of the checkout: whoever brings that brings its cache.
#[test]
fn what_is_attested_is_asked_for_now() {
    let provider = Provider::start(EXACT);
    let project = example(&provider.address);
    check(&project, &["test"], 100, &[]);
    let first = provider.handle.calls();
    check(&project, &["test", "--report", "attestation=r.att"], 100, &[]);
    assert_eq!(provider.calls_since(first), 51);
    check(&project, &["test", "--resume", "--report", "attestation=r.att"], 1, &["is not attested", "hint: leave out"]);
}

#[test]
fn a_link_does_not_lead_out_of_the_project() {
    let provider = Provider::start(EXACT);
    let project = example(&provider.address);
    let secret = tempfile::NamedTempFile::new().unwrap();
    fs::write(secret.path(), "the content of a secret").unwrap();
    std::os::unix::fs::symlink(secret.path(), project.path().join("evals/secret.txt")).unwrap();
    std::os::unix::fs::symlink("support.yaml", project.path().join("evals/inside.txt")).unwrap();
    let suite = |file: &str| {
        format!("prompts: [prompt:support/classify]\ntests: [{{ vars: {{ ticket: 'file://{file}' }} }}]\n")
    };
    project.write("evals/support.yaml", suite("secret.txt"));
    let refused = check(&project, &["test"], 1, &["it is a link that leads out of the project"]);
    assert!(!refused.seen().contains("content of a secret"), "{}", refused.seen());
    project.write("evals/support.yaml", suite("inside.txt"));
    check(&project, &["test"], 0, &[]);
}

#[test]
fn a_call_that_failed_does_not_pass_where_no_assertion_counts() {
    let provider = Provider::start(EXACT);
    let project = example(&provider.address);
    let suite = "prompts: [prompt:support/classify]\ntests: [{ vars: { other: a }, assert: [{ type: contains, value: x, weight: 0 }] }]\n";
    project.write("evals/support.yaml", suite);
    check(&project, &["test"], 100, &["the call failed"]);
}

/// Counts the whole results on disk.
fn results(project: &Project) -> usize {
    let journal = fs::read(project.path().join(".bowline/eval/journal.jsonl")).unwrap_or_default();
    journal.iter().filter(|byte| **byte == b'\n').count().saturating_sub(1)
}

#[test]
fn a_killed_run_goes_on() {
    let provider = Provider::start("noise: 0\nlatency: { first_byte: { constant: 20ms } }\n");
    let project = example(&provider.address);
    many(&project, 200);
    check(&project, &["test", "--resume"], 1, &["there is no run that could be resumed"]);
    let mut command = project.command(&["test", "--no-cache", "--max-concurrency", "4"]);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let deadline = Instant::now() + PATIENCE;
    while results(&project) < 20 {
        assert!(Instant::now() < deadline, "no results come");
        std::thread::sleep(Duration::from_millis(2));
    }
    // SIGKILL: it can do nothing about it.
    child.kill().unwrap();
    child.wait().unwrap();
    let (done, called) = (results(&project), provider.handle.calls());
    assert!((20..200).contains(&done), "{done}");
    let resumed = check(&project, &["test", "--no-cache", "--resume", "--max-concurrency", "4"], 100, &[]);
    assert_eq!(results(&project), 200);
    assert_eq!(provider.calls_since(called), u64::try_from(200 - done).unwrap(), "what was done is not done again");
    let whole = check(&project, &["test", "--no-cache"], 100, &[]);
    let figures = |ran: &Ran| ran.stdout.lines().find(|line| line.contains("passed")).map(str::to_owned);
    assert_eq!(figures(&resumed), figures(&whole));
    project.edit("prompts/_tone.prompt", "", "Be quick. ");
    check(&project, &["test", "--resume"], 1, &["the last run cannot be resumed", "changed since"]);
}

#[test]
fn a_budget_ends_a_run() {
    let provider = Provider::start(EXACT);
    let project = example(&provider.address);
    let ran =
        check(&project, &["test", "--budget", "0.001"], 1, &["the budget of $0.001 is used up", "hint: `--resume`"]);
    let calls = provider.handle.calls();
    assert!((5..20).contains(&calls), "{calls} calls of about $0.00007\n{}", ran.seen());
    // What it cost before the interruption counts: there is room for no call that would not have fitted before.
    check(&project, &["test", "--resume", "--budget", "0.001"], 1, &["the budget of $0.001 is used up"]);
    let more = provider.handle.calls() - calls;
    assert!(more <= 1, "{more} more calls");
    check(&project, &["test", "--resume", "--budget", "1"], 100, &[]);
    assert_eq!(provider.handle.calls(), 51);
    project.edit("bowline.yaml", "identity: openai", "identity: test/llm");
    check(
        &project,
        &["test", "--budget", "1"],
        1,
        &["a budget cannot be held, as test/llm/gpt-5-mini has no known price"],
    );
}

#[test]
fn a_provider_that_asks_for_patience_gets_it() {
    let provider = Provider::start("noise: 0\nfaults: [{ kind: rate_limited, rate: 0.3, wait: 20ms }]\n");
    let project = example(&provider.address);
    check(&project, &["test"], 100, &["asked to be called later"]);
    assert!(provider.handle.calls() > 51);
    assert_eq!(results(&project), 51);
    let journal = fs::read_to_string(project.path().join(".bowline/eval/journal.jsonl")).unwrap();
    assert!(!journal.contains("\"errored\":true"), "{journal}");
}

#[test]
fn a_provider_that_is_down_ends_a_run() {
    let project = example("127.0.0.1:9");
    check(&project, &["test"], 1, &["provider `openai` cannot be used: could not connect to the provider", "hint:"]);
    let project = example("127.0.0.1:9");
    project.edit("bowline.yaml", "identity: openai", "identity: openai, api_key: env:NOT_THERE");
    let missing = "provider `openai` cannot be used: there is no key at env:NOT_THERE";
    check(&project, &["test"], 1, &[missing, "hint: `export NOT_THERE=…`"]);
}

/// The environment of a pull request stands in no file: what is live there comes from control, providers from the one that it was made from.
#[test]
fn the_gate_of_a_temporary_environment() {
    let provider = Provider::start(EXACT);
    let project = released(&provider.address);
    let at_staging = format!(
        "staging: {{ providers: {{ openai: {{ base_url: 'http://{}/v1' }} }} }}\n  prod: {{}}",
        provider.address
    );
    project.edit("bowline.yaml", "prod: {}", &at_staging);
    project.edit(
        "bowline.yaml",
        &format!("base_url: \"http://{}/v1\"", provider.address),
        "base_url: \"http://127.0.0.1:9/v1\"",
    );
    check(&project, &["release", "--env", "staging"], 0, &[]);
    check(&project, &["test", "--gate", "--env", "pr-1"], 1, &["environment `pr-1` is not in bowline.yaml"]);
    check(&project, &["env", "create", "pr-1", "--from", "staging", "--ttl", "3d"], 0, &[]);
    patch(&project, "v2.patch");
    check(&project, &["test", "--gate", "--env", "pr-1", "--report", "json=r.json"], 100, &["1 case that must pass"]);
    let report: Value = serde_json::from_str(&fs::read_to_string(project.path().join("r.json")).unwrap()).unwrap();
    assert_eq!((&report["environment"], &report["gate"]), (&Value::from("pr-1"), &Value::Bool(true)));
    assert!(report["versions"][0]["stable"].is_string(), "{}", report["versions"]);
    check(&project, &["test", "--gate", "--env", "pr-2"], 1, &["environment `pr-2` is not in", "did you mean `pr-1`?"]);
}

#[test]
fn a_dataset_is_no_suite() {
    let project = example("127.0.0.1:9");
    project.write("evals/cases.csv", "ticket,__expected\na,b\n");
    let hint = "hint: a suite is a YAML file; one with `tests: file://cases.csv` has the cases of this file";
    check(&project, &["test", "--suite", "evals/cases.csv"], 1, &["evals/cases.csv is no suite", hint]);
}

#[test]
fn suites_are_checked() {
    let provider = Provider::start(EXACT);
    let project = example(&provider.address);
    check(&project, &["check"], 0, &[]);
    project.edit("evals/support.yaml", "prompt:support/classify", "prompt:support/clasify");
    check(
        &project,
        &["check"],
        1,
        &["the suite tests the prompt `support/clasify`", "did you mean `prompt:support/classify`?"],
    );
    check(&project, &["test"], 1, &["the suite tests the prompt `support/clasify`"]);
    project.edit("evals/support.yaml", "prompt:support/clasify", "prompt:support/classify");
    project.edit("evals/support.yaml", "type: contains", "type: javascript");
    check(&project, &["check"], 1, &["evals/support.yaml:", "javascript"]);
    assert_eq!(provider.handle.calls(), 0);
}

const RUBRIC: &str = "\
---
model: fast
input:
  schema:
    output: string
    rubric: string
output:
  format: json
  schema:
    pass: boolean
    score: number
    reason: string
---
Does this answer satisfy the rubric? {{rubric}}
{{output}}
";

#[test]
fn judges_and_embeddings_are_asked_through_the_same_gateway() {
    let provider = Provider::start(EXACT);
    let project = example(&provider.address);
    project.edit(
        "bowline.yaml",
        "models:\n",
        "models:\n  embedding: { provider: openai, model: text-embedding-3-small }\n",
    );
    project.write("prompts/judges/rubric.prompt", RUBRIC);
    project.write(
        "evals/support.yaml",
        "prompts: ['Answer politely: {{text}}']\nproviders: [openai:chat:gpt-5-mini]\ntests:\n  - vars: { text: The invoice is wrong }\n    \
         assert:\n      - { type: similar, value: anything, threshold: -1 }\n      \
         - { type: llm-rubric, value: is polite, rubricPrompt: 'prompt:judges/rubric' }\n",
    );
    let ran = project.bowline(&["test"]);
    assert!(matches!(ran.code, 0 | 100), "{}", ran.seen());
    assert_eq!(provider.handle.calls(), 3, "an answer, an embedding of both texts, and a judgement\n{}", ran.seen());
    let journal = fs::read_to_string(project.path().join(".bowline/eval/journal.jsonl")).unwrap();
    assert!(!journal.contains("\"errored\":true"), "{journal}");
    assert!(journal.contains("\"judge_simulated\":true"), "{journal}");
    check(&project, &["test"], ran.code, &["3 answers from the cache"]);
    assert_eq!(provider.handle.calls(), 3);
    project.edit("evals/support.yaml", ", rubricPrompt: 'prompt:judges/rubric'", "");
    check(&project, &["test"], 1, &["nobody can judge: there is no model `judge`", "hint: name who judges"]);
}

#[test]
fn reports_are_written() {
    let provider = Provider::start(EXACT);
    let project = released(&provider.address);
    patch(&project, "v2.patch");
    let reports = ["json=r.json", "junit=r.xml", "markdown=r.md", "html=r.html", "attestation=r.att"];
    let options = reports.iter().flat_map(|report| ["--report", report]);
    let arguments: Vec<&str> = ["test", "--gate"].into_iter().chain(options).collect();
    check(&project, &arguments, 100, &["evals/support.yaml"]);
    let read = |name: &str| fs::read_to_string(project.path().join(name)).unwrap();
    let report: Value = serde_json::from_str(&read("r.json")).unwrap();
    assert_eq!(report["cases"].as_array().unwrap().len(), 51);
    assert_eq!((&report["simulated"], &report["environment"]), (&Value::Bool(true), &Value::from("prod")));
    assert_eq!(report["suites"][0]["gate"]["verdict"]["verdict"], "failed");
    let versions = &report["versions"][0];
    assert_ne!(versions["candidate"], versions["stable"]);
    for (name, text) in [
        ("r.xml", "<testsuites"),
        ("r.md", "A threat of legal action"),
        ("r.html", "<!DOCTYPE html>"),
        ("r.att", "\"verdict\": \"failed\""),
    ] {
        assert!(read(name).contains(text), "{name}\n{}", read(name));
    }
    let printed = project.json(&["test", "--gate"]);
    assert_eq!(printed["suites"], report["suites"], "the same run, from the cache");
    check(&project, &["test", "--report", "html=nowhere/r.html"], 1, &["could not write the report nowhere/r.html"]);
}

/// Without the gate it is only told: whoever tries a prompt may do so on a simulator.
#[test]
fn simulated_answers_pass_no_gate_of_an_environment_with_real_providers() {
    let provider = Provider::start(EXACT);
    let project = released(&provider.address);
    let also = "identity: openai }\n  anthropic: { kind: anthropic, api_key: env:ANTHROPIC_API_KEY }";
    project.edit("bowline.yaml", "identity: openai }", also);
    let refused = "failed: answers come from a simulator, and the environment serves real providers";
    check(&project, &["test", "--gate", "--env", "prod"], 100, &[refused]);
    let tried = check(&project, &["test", "--env", "prod", "--filter", "legal"], 0, &["Simulated"]);
    assert!(!tried.seen().contains(refused));
}

/// What `bowline test` writes is what `bowline bundle push --attest` signs and what a policy reads.
#[test]
fn the_report_of_a_run_is_held_against_a_policy() {
    let provider = Provider::start(EXACT);
    let project = example(&provider.address);
    let policy = "{ source: bundle, policy: { signers: ['file:ci.pub'], suites: [support] }";
    let real = "providers: { openai: { base_url: 'https://llm.example/v1' } }";
    project.edit("bowline.yaml", "prod: {}", &format!("staging: {policy} }}\n  prod: {policy}, {real} }}"));
    project.write(".gitignore", ".bowline/\n");
    check(&project, &["bundle", "key", "generate", "--no-password", "--to", "ci"], 0, &[]);
    project.commit("policy");
    let attested = |options: &[&str], code| {
        let run = ["test", "--env", "staging", "--report", "attestation=.bowline/report.json"];
        check(&project, &[run.as_slice(), options].concat(), code, &[]);
        check(&project, &["bundle", "build"], 0, &[]);
        // A push signs in the layout before it sends anything; this registry is not there.
        let push = ["bundle", "push", "127.0.0.1:9/desk/prompts:v1", "--plain-http", "--key", "ci.key"];
        let attest = ["--attest", ".bowline/report.json"];
        check(&project, &[push.as_slice(), &attest].concat(), 1, &["no connection"]);
    };
    let release = |environment| ["release", "--env", environment, "--bundle", "oci:.bowline/bundles:latest"];

    attested(&[], 100);
    let no_gate = "failed suite support ran at the gate of staging: it ran without `--gate`, which proves no gate";
    check(&project, &release("staging"), 1, &[no_gate, "hint: run `bowline test --gate --env staging --report"]);
    attested(&["--gate", "--filter", "legal"], 0);
    check(&project, &release("staging"), 1, &["failed suite support passed: it could not decide"]);
    attested(&["--gate"], 0);
    let elsewhere = "failed suite support ran at the gate of prod: it ran at the gate of staging";
    check(&project, &release("prod"), 1, &["held suite support passed", "came from the simulator", elsewhere]);
    project.edit(
        "bowline.yaml",
        &format!("prod: {policy}"),
        &format!("prod: {}", policy.replace("suites", "report_env: staging, suites")),
    );
    let staging = "held suite support ran at the gate of prod or staging: at that of staging";
    check(&project, &release("prod"), 1, &[staging, "its answers came from the simulator"]);
    let first =
        "held suite support ran at the gate of staging: at that of staging, where none of its prompts had another";
    check(&project, &release("staging"), 0, &["held suite support passed", first, "live in staging"]);

    patch(&project, "v2.patch");
    project.commit("worse");
    attested(&["--gate"], 100);
    let compared = "held suite support ran at the gate of staging: at that of staging, compared with support/classify ";
    check(&project, &release("staging"), 1, &["failed suite support passed: it failed", compared]);
}
