use super::*;
use crate::source::MemorySource;

const PROJECT: &str = "\
project: support-desk
providers: { openai: { kind: openai } }
models: { fast: { provider: openai, model: gpt-5-mini } }
";

const ANSWER: &str = "\
---
model: fast
config: { temperature: 0.2 }
input: { schema: { ticket: string } }
bowline.suite: evals/support.yaml
---
{{> tone}}
Ticket: {{ticket}}
";

fn good() -> MemorySource {
    MemorySource::from_iter([
        ("bowline.yaml", PROJECT),
        ("prompts/support/answer.prompt", ANSWER),
        ("prompts/support/answer.short.prompt", "---\nmodel: fast\n---\nBe short.\n"),
        ("prompts/_tone.prompt", "Be brief. {{> closing}}\n"),
        ("prompts/_closing.prompt", "Say goodbye.\n"),
        ("evals/support.yaml", "tests: []\n"),
    ])
}

fn run(source: &MemorySource) -> CheckReport {
    check(source, &|expression| if expression == "bad(" { Err("a `)` is missing".to_owned()) } else { Ok(()) })
}

/// Returns the findings as `file:line:column message`.
fn told(diagnostics: &[Diagnostic]) -> Vec<String> {
    let place = |diagnostic: &Diagnostic| match diagnostic.span {
        Some(span) => format!("{}:{}:{}", diagnostic.file, span.start.line, span.start.column),
        None => diagnostic.file.clone(),
    };
    diagnostics.iter().map(|diagnostic| format!("{} {}", place(diagnostic), diagnostic.message)).collect()
}

fn name(name: &str) -> PromptName {
    name.parse().unwrap()
}

#[test]
fn a_good_project_has_versions() {
    let report = run(&good());
    assert_eq!(told(&report.diagnostics), Vec::<String>::new());
    assert!(report.project.is_some());
    let names: Vec<_> = report.prompts.iter().map(|prompt| prompt.name.as_str()).collect();
    assert_eq!(names, ["support/answer", "support/answer.short"]);
    let answer = report.prompt(&name("support/answer")).unwrap();
    assert_eq!(answer.files, ["prompts/support/answer.prompt", "prompts/_closing.prompt", "prompts/_tone.prompt"]);
    assert_eq!(answer.version.partials.keys().collect::<Vec<_>>(), ["closing", "tone"]);
    assert_eq!(answer.version.model.identities[0].to_string(), "openai/gpt-5-mini");
    assert_eq!(answer.version.config.temperature, Some(0.2));
    assert_eq!(answer.digest, answer.version.digest());
}

#[test]
fn every_error_of_a_project_is_told_in_one_run() {
    let mut source = good();
    source.insert("bowline.yaml", format!("{PROJECT}telemtry: {{}}\n"));
    source.insert(
        "prompts/a.prompt",
        "\
---
model: fats
config: { temprature: 1 }
output: { format: yaml }
tools: [lookup]
toolDefs: [{ name: look up }, { name: lookups }, { name: lookups }]
bowline.suite: evals/none.yaml
bowline.success: [{ cel: bad( }]
---
{{nobody}} {{> nothing}}
",
    );
    source.insert(
        "prompts/b.prompt",
        "---\nconfig: { temperature: 3, seed: 1, topK: 0 }\ninput: { default: { n: 9007199254740993 } }\n---\nx",
    );
    source.insert("prompts/c.prompt", *b"---\nmodel: fast\n---\nGr\xfc\xdfe\n");
    source.insert("prompts/d e.prompt", "---\nmodel: fast\n---\nx");
    source.insert(
        "prompts/e.prompt",
        "---\nmodel: fast\ninput: { schema: { type: object, properties: { a: { type: strin } } } }\n---\nx",
    );
    source.insert("prompts/E.prompt", "---\nmodel: [\n---\nx");
    source.insert("prompts/_tone.prompt", "{{#if}}\n");
    source.insert("prompts/_tone.long.prompt", "x");
    let report = run(&source);
    assert_eq!(
        told(&report.diagnostics),
        [
            "bowline.yaml:4:1 unknown key `telemtry`",
            "prompts/E.prompt:3:1 not valid YAML: while parsing a node, did not find expected node content",
            "prompts/_tone.long.prompt a partial has no variants, and this is one: `long`",
            "prompts/_tone.prompt:1:1 the block `if` is not closed",
            "prompts/a.prompt:2:8 model `fats` is not in bowline.yaml",
            "prompts/a.prompt:3:11 unknown key `temprature`",
            "prompts/a.prompt:4:19 unknown format `yaml`",
            "prompts/a.prompt:5:9 tool `lookup` is not defined",
            "prompts/a.prompt:6:20 `look up` is not a name of a tool: use letters, digits, `_` and `-`, at most 64",
            "prompts/a.prompt:6:58 tool `lookups` is defined twice",
            "prompts/a.prompt:7:16 suite `evals/none.yaml` does not exist",
            "prompts/a.prompt:8:26 not a CEL expression: a `)` is missing",
            "prompts/a.prompt:10:3 variable `nobody` is not declared: the prompt has no input schema",
            "prompts/a.prompt:10:16 the partial `nothing` does not exist",
            "prompts/b.prompt:2:1 the prompt names no model",
            "prompts/b.prompt:2:24 `temperature` is 3, which is not 0 to 2",
            "prompts/b.prompt:2:42 `topK` is 0, which is not 1 or more",
            "prompts/b.prompt:3:19 the integer 9007199254740993 is beyond ±(2^53 - 1)",
            "prompts/c.prompt:4:3 not UTF-8: the byte 0xfc at offset 22",
            "prompts/d e.prompt `d e` is not a name of a prompt: use segments of letters, digits, `-`, `_` and `.`, joined by \
             `/`, at most 200 bytes",
            "prompts/e.prompt differs from `prompts/E.prompt` in upper and lower case only",
            "prompts/e.prompt:3:59 this is not JSON Schema: \"strin\" is not valid under any of the schemas listed in the \
             'anyOf' keyword",
        ]
    );
    assert_eq!(report.prompt_count, 8);
    assert_eq!(report.project, None);
    assert_eq!(report.prompts.iter().map(|prompt| prompt.name.as_str()).collect::<Vec<_>>(), ["support/answer.short"]);
    assert_eq!(report.lock(), None);
}

#[test]
fn a_project_needs_a_project_file() {
    let report = run(&MemorySource::new());
    assert_eq!(told(&report.diagnostics), ["bowline.yaml there is no project file"]);
    let report = run(&MemorySource::from_iter([("bowline.yaml", "project: a")]));
    assert_eq!(told(&report.diagnostics), ["bowline.yaml the project has no prompts"]);
    let mut source = good();
    source.insert("bowline.yaml", "project: [");
    let report = run(&source);
    // Nothing is said about models that nobody could read.
    assert_eq!(report.diagnostics.len(), 1, "{:?}", told(&report.diagnostics));
    assert!(report.prompts.is_empty());
}

#[test]
fn a_model_that_is_wrong_is_told_once() {
    let mut source = good();
    source.insert("bowline.yaml", PROJECT.replace("provider: openai", "provider: opnai"));
    let report = run(&source);
    assert_eq!(told(&report.diagnostics), ["bowline.yaml:3:29 provider `opnai` is not declared"]);
    assert!(report.prompts.is_empty());
}

#[test]
fn unused_partials_are_warned_about() {
    let mut source = good();
    source.insert("prompts/_unused.prompt", "x");
    let report = run(&source);
    assert_eq!(told(&report.diagnostics), ["prompts/_unused.prompt no prompt includes this partial"]);
    assert!(!report.has_errors());
    assert_eq!(report.prompts.len(), 2);
}

#[test]
fn locks_are_checked_against_the_project() {
    let mut source = good();
    let report = run(&source);
    assert_eq!(told(&report.check_lock(&source)), ["bowline.lock there is no lock"]);
    let lock = report.lock().unwrap().to_string();
    assert_eq!(lock.lines().count(), 5);
    source.insert("bowline.lock", lock);
    assert_eq!(report.check_lock(&source), []);

    source.insert("prompts/_closing.prompt", "Say nothing.\n");
    source.insert("evals/support.yaml", "tests: [{}]\n");
    let stale = told(&run(&source).check_lock(&source));
    assert_eq!(stale.len(), 2);
    assert!(stale[0].starts_with("bowline.lock:3:1 prompt `support/answer` is sha256:"), "{stale:?}");
    assert!(stale[1].starts_with("bowline.lock:5:1 suite `evals/support.yaml` is sha256:"), "{stale:?}");
}

#[test]
fn contracts_are_checked_against_what_is_live() {
    let (live, mut source) = (run(&good()), good());
    let environment = "prod".parse().unwrap();
    let against = |report: &CheckReport| {
        report.check_against(&environment, |name| live.prompt(name).map(|prompt| prompt.version.clone()))
    };
    assert_eq!(against(&live), []);
    let candidate = ANSWER.replace("ticket: string", "ticket: string, locale: string").replace("Ticket:", "{{locale}}");
    source.insert("prompts/support/answer.prompt", candidate);
    let found = against(&run(&source));
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].code, found[0].span), ("contract", Some(Span::on_line(4, 36, 6))));
}
