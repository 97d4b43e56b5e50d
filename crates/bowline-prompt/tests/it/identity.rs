//! A change of meaning changes the digest of a prompt; a change of looks does not.

use bowline_prompt::{CheckReport, MemorySource, check, render_diagnostic};
use bowline_types::Digest;
use proptest::prelude::*;

/// A project in which every part of a version is there, as text with marks where looks may differ.
#[derive(Clone, Debug)]
struct Project {
    yaml: String,
    answer: String,
    tone: String,
    closing: String,
}

const YAML: &str = "\
project: support-desk
providers:
  openai: { kind: openai, api_key: env:KEY }
  claude: { kind: anthropic }
models:
  smart:
    targets:
      - { provider: openai, model: gpt-5 }
      - { provider: claude, model: claude-sonnet-4-5 }
environments:
  prod: { protected: true, rollout: { stages: ['10%'] } }
";

const ANSWER: &str = "\
---
model: smart
config:
  temperature: 0.2
  maxOutputTokens: 256
input:
  schema:
    ticket: string, what the customer wrote
    plan?: string
  default:
    plan: free
output:
  format: json
  schema:
    answer: string
    sure: boolean
toolDefs:
  - name: lookup
    description: find an order
    inputSchema:
      order: integer
  - name: close
bowline.owners: [support]
bowline.success: [schema]
bowline.rollout: { margin: 0.05 }
---
{{> tone}}
Ticket: {{ticket}} ({{plan}})
";

// === impl Project ===

impl Project {
    fn new() -> Self {
        Self {
            yaml: YAML.to_owned(),
            answer: ANSWER.to_owned(),
            tone: "Be brief.\n{{> closing}}\n".to_owned(),
            closing: "Say goodbye.\n".to_owned(),
        }
    }

    /// Replaces a text that must be there.
    fn with(mut self, file: impl Fn(&mut Self) -> &mut String, from: &str, to: &str) -> Self {
        let text = file(&mut self);
        assert!(text.contains(from), "{from} is not in {text}");
        *text = text.replace(from, to);
        self
    }

    fn source(&self, other: &[(&str, &str)]) -> MemorySource {
        let mut source = MemorySource::from_iter(other.iter().copied());
        source.insert("bowline.yaml", self.yaml.clone());
        source.insert("prompts/answer.prompt", self.answer.clone());
        source.insert("prompts/_tone.prompt", self.tone.clone());
        source.insert("prompts/_closing.prompt", self.closing.clone());
        source
    }

    fn digest(&self) -> Digest {
        self.digest_beside(&[])
    }

    /// The digest of the prompt where other files are there too.
    fn digest_beside(&self, other: &[(&str, &str)]) -> Digest {
        let report = check(&self.source(other), &|_| Ok(()));
        let digest = report.prompt(&"answer".parse().unwrap()).map(|prompt| prompt.digest);
        assert!(digest.is_some(), "{}", rendered(&report));
        digest.unwrap()
    }
}

fn rendered(report: &CheckReport) -> String {
    report.diagnostics.iter().map(|diagnostic| render_diagnostic(diagnostic, None)).collect()
}

fn yaml(project: &mut Project) -> &mut String {
    &mut project.yaml
}

fn answer(project: &mut Project) -> &mut String {
    &mut project.answer
}

fn tone(project: &mut Project) -> &mut String {
    &mut project.tone
}

fn closing(project: &mut Project) -> &mut String {
    &mut project.closing
}

type File = fn(&mut Project) -> &mut String;

#[test]
fn a_change_of_meaning_changes_the_digest() {
    let changes: [(&str, File, &str, &str); 28] = [
        ("the body", answer, "Ticket:", "Ticket"),
        ("white space of the body", answer, "{{> tone}}\n", "{{> tone}}\n\n"),
        ("a partial", tone, "brief", "kind"),
        ("a partial of a partial", closing, "goodbye", "nothing"),
        ("the last line end of a partial", closing, "goodbye.\n", "goodbye."),
        ("a variable", answer, "plan", "tier"),
        ("a type", answer, "ticket: string", "ticket: any"),
        ("a description", answer, "what the customer wrote", "what they wrote"),
        ("whether a variable is optional", answer, "plan?", "plan"),
        (
            "the order of variables",
            answer,
            "    ticket: string, what the customer wrote\n    plan?: string\n",
            "    plan?: string\n    ticket: string, what the customer wrote\n",
        ),
        ("a default", answer, "plan: free", "plan: team"),
        ("no default", answer, "  default:\n    plan: free\n", ""),
        (
            "the order of output fields",
            answer,
            "    answer: string\n    sure: boolean\n",
            "    sure: boolean\n    answer: string\n",
        ),
        ("an output field", answer, "    sure: boolean\n", ""),
        ("the output format", answer, "  format: json\n", ""),
        ("a parameter", answer, "0.2", "0.3"),
        ("no parameter", answer, "  temperature: 0.2\n", ""),
        ("another parameter", answer, "  maxOutputTokens: 256\n", "  maxOutputTokens: 256\n  seed: 1\n"),
        ("the description of a tool", answer, "find an order", "find orders"),
        ("the name of a tool", answer, "name: lookup", "name: look_up"),
        ("the schema of a tool", answer, "order: integer", "order: string"),
        ("another tool", answer, "  - name: close\n", ""),
        ("the model", yaml, "gpt-5", "gpt-5.1"),
        ("a fallback", yaml, "claude-sonnet-4-5", "claude-opus-4-1"),
        ("no fallback", yaml, "      - { provider: claude, model: claude-sonnet-4-5 }\n", ""),
        ("the provider", yaml, "openai, model: gpt-5", "claude, model: gpt-5"),
        (
            "the identity of an upstream",
            yaml,
            "kind: openai,",
            "kind: openai, base_url: 'https://llm.example.com', identity: vllm/gpt-oss,",
        ),
        (
            "the order of targets",
            yaml,
            "      - { provider: openai, model: gpt-5 }\n      - { provider: claude, model: claude-sonnet-4-5 }\n",
            "      - { provider: claude, model: claude-sonnet-4-5 }\n      - { provider: openai, model: gpt-5 }\n",
        ),
    ];
    let mut digests = vec![("nothing", Project::new().digest())];
    for (what, file, from, to) in changes {
        let digest = Project::new().with(file, from, to).digest();
        // Every change has a digest of its own.
        let same: Vec<_> = digests.iter().filter(|(_, other)| *other == digest).map(|(other, _)| *other).collect();
        assert_eq!(same, Vec::<&str>::new(), "{what}");
        digests.push((what, digest));
    }
}

/// Changes that mean nothing to a version, each of which leaves the others possible.
const LOOKS: [(&str, File, &str, &str); 19] = [
    ("owners", answer, "[support]", "[ada, grace]"),
    ("success", answer, "[schema]", "[schema, not_refusal, { cel: 'true' }]"),
    ("rollout", answer, "margin: 0.05", "margin: 0.01"),
    ("description", answer, "model: smart", "description: answers tickets\nmodel: smart"),
    ("comments", answer, "config:\n", "# cold\nconfig: # very\n"),
    ("flow style", answer, "  default:\n    plan: free\n", "  default: { plan: \"free\" }\n"),
    ("numbers", answer, "256", "0x100"),
    ("quotes", answer, "description: find an order", "description: 'find an order'"),
    (
        "order of keys",
        answer,
        "output:\n  format: json\n  schema:\n    answer: string\n    sure: boolean\n",
        "output:\n  schema:\n    answer: string\n    sure: boolean\n  format: json\n",
    ),
    ("white space of the front matter", answer, "toolDefs:\n", "\ntoolDefs:\n\n"),
    ("white space around the body", answer, "---\n{{> tone}}", "---\n\n{{> tone}}"),
    ("keys", yaml, "env:KEY", "file:/run/secrets/key"),
    ("URLs", yaml, "kind: openai,", "kind: openai, base_url: 'https://eu.api.openai.com/v1',"),
    ("timeouts", yaml, "model: gpt-5 }", "model: gpt-5, timeout: 5s }"),
    ("environments", yaml, "prod: { protected: true", "staging: { source: bundle }\n  prod: { protected: false"),
    ("telemetry", yaml, "project: support-desk", "telemetry: { content: all }\nproject: support-desk"),
    ("the project", yaml, "support-desk", "help-desk"),
    ("other models", yaml, "models:\n", "models:\n  other: { provider: claude, model: x }\n"),
    ("a declared identity that is the provider's own", yaml, "kind: anthropic", "kind: anthropic, identity: anthropic"),
];

/// Other files that mean nothing to this prompt.
const OTHERS: [(&str, &str); 4] = [
    ("prompts/answer.short.prompt", "---\nmodel: smart\n---\nshort"),
    ("prompts/a.prompt", "---\nmodel: smart\n---\n{{> a/tone}}"),
    ("prompts/a/_tone.prompt", "x"),
    ("README.md", "x"),
];

#[test]
fn each_change_of_looks_leaves_the_digest() {
    let digest = Project::new().digest();
    for (what, file, from, to) in LOOKS {
        assert_eq!(Project::new().with(file, from, to).digest(), digest, "{what}");
    }
    assert_eq!(Project::new().digest_beside(&OTHERS), digest);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    /// Any set of changes of looks, CRLF and byte order marks, in any order of files, leaves the digest, also after a change
    /// of meaning.
    #[test]
    fn any_change_of_looks_leaves_the_digest(
        looks in proptest::sample::subsequence(LOOKS.to_vec(), 0..=LOOKS.len()),
        others in proptest::sample::subsequence(OTHERS.to_vec(), 0..=1),
        crlf in any::<[bool; 4]>(),
        mark in any::<bool>(),
        closing_text in "[a-z ]{0,12}(\n[a-z]{1,3}){0,2}",
        temperature in 0_u32..=200,
    ) {
        let meaning = Project::new()
            .with(closing, "Say goodbye.\n", &closing_text)
            .with(answer, "0.2", &format!("{}.{:02}", temperature / 100, temperature % 100));
        let mut changed = looks.into_iter().fold(meaning.clone(), |project, (_, file, from, to)| project.with(file, from, to));
        for (file, crlf) in [yaml as File, answer, tone, closing].into_iter().zip(crlf) {
            let text = file(&mut changed);
            if crlf {
                *text = text.replace('\n', "\r\n");
            }
            if mark {
                text.insert(0, '\u{feff}');
            }
        }
        prop_assert_eq!(changed.digest_beside(&others), meaning.digest());
    }

    /// Different texts of the body and of a partial of a partial have different digests.
    #[test]
    fn different_texts_have_different_digests(left in "[a-zé \n]{1,16}", right in "[a-zé \n]{1,16}") {
        prop_assume!(left != right);
        let partial = |text: &str| Project::new().with(closing, "Say goodbye.\n", text).digest();
        prop_assert_ne!(partial(&left), partial(&right));
        let body = |text: &str| Project::new().with(answer, "Ticket:", &format!("<{text}>")).digest();
        prop_assert_ne!(body(&left), body(&right));
    }
}
