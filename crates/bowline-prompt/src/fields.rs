//! Our fields of a prompt: `bowline.owners`, `bowline.suite`, `bowline.success`, `bowline.rollout`.

use bowline_canary::Plan;
use bowline_types::{Check, SuccessContract, closest};

use crate::diagnostic::{Diagnostic, Diagnostics, Span};
use crate::project::{check_plan, quoted};
use crate::prompt::{Extension, ParsedPrompt, Spanned};
use crate::yaml::{self, Node, Value};

/// What a prompt says about itself in the `bowline.` namespace; no part of its version.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PromptFields {
    /// Who is asked about it: people or teams, as the project writes them.
    pub owners: Vec<String>,
    /// The path of its suite from the root of the project, such as `evals/support.yaml`.
    pub suite: Option<Spanned<String>>,
    /// What an inference must do to count as a success.
    pub success: SuccessContract,
    /// The plan of its rollouts, where an environment guards them; goes before the environment's own.
    pub rollout: Option<Plan>,
}

/// Checks the syntax of a CEL expression; the error says what is wrong with it.
pub type CelCheck<'a> = dyn Fn(&str) -> Result<(), String> + 'a;

const NAMESPACE: &str = "bowline";
const FIELDS: [&str; 5] = ["owners", "suite", "success", "guard", "rollout"];
const CHECKS: [&str; 5] = ["schema", "complete", "not_refusal", "feedback", "cel"];
const CHECKS_LATER: [&str; 4] = ["tools", "grounded", "latency", "judge"];

// === impl PromptFields ===

impl PromptFields {
    /// Reads our fields of `prompt`, and returns everything that is wrong with them beside those that are not.
    #[must_use]
    pub fn read(prompt: &ParsedPrompt, cel: &CelCheck<'_>) -> (Self, Diagnostics) {
        let mut reader = Reader { prompt, cel, diagnostics: Diagnostics::new() };
        let fields = reader.fields();
        (fields, reader.diagnostics)
    }
}

struct Reader<'a> {
    prompt: &'a ParsedPrompt,
    cel: &'a CelCheck<'a>,
    diagnostics: Diagnostics,
}

// === impl Reader ===

impl Reader<'_> {
    fn fields(&mut self) -> PromptFields {
        let mut fields = PromptFields::default();
        let prompt = self.prompt;
        for extension in &prompt.extensions {
            if extension.namespace != NAMESPACE {
                if extension.namespace.starts_with("bowline.") {
                    self.unknown(extension);
                }
                continue;
            }
            let value = &extension.value;
            match extension.field.as_str() {
                "owners" => fields.owners = self.owners(value),
                "suite" => fields.suite = self.suite(value),
                "success" => fields.success = self.success(value),
                "rollout" => fields.rollout = self.rollout(value),
                "guard" => {
                    let error = self.error("unsupported", extension.key.span, "`bowline.guard` is not supported yet");
                    self.diagnostics.push(error.hint("leave it out until guards are there"));
                }
                _ => self.unknown(extension),
            }
        }
        fields
    }

    fn unknown(&mut self, extension: &Extension) {
        let key = &extension.key;
        let name = key.text.strip_prefix("bowline.").unwrap_or(&key.text);
        let error =
            self.error("unknown-field", key.span, format!("unknown key `{}`", key.text)).label("not known here");
        let near = closest(name, FIELDS).map_or_else(String::new, |near| format!("did you mean `bowline.{near}`? "));
        let known = FIELDS.map(|field| format!("bowline.{field}"));
        let known: Vec<&str> = known.iter().map(String::as_str).collect();
        self.diagnostics.push(error.hint(format!("{near}known here: {}", quoted(&known))));
    }

    fn owners(&mut self, node: &Node) -> Vec<String> {
        let owners: Option<Vec<String>> = self.diagnostics.take(yaml::decode(&self.prompt.file, node));
        for item in node.items().iter().filter(|item| item.as_str().is_some_and(|owner| owner.trim().is_empty())) {
            self.push("owners", item.span, "an owner is not empty");
        }
        owners.unwrap_or_default()
    }

    fn suite(&mut self, node: &Node) -> Option<Spanned<String>> {
        let path: String = self.diagnostics.take(yaml::decode(&self.prompt.file, node))?;
        let inside = path.split('/').all(|part| !matches!(part, "" | "." | ".."));
        if !inside || path.contains(|c: char| c.is_whitespace() || c == '\\') {
            let error = self.error("suite", node.span, "a suite is a path inside the project, without white space");
            self.diagnostics.push(error.hint("for example `evals/support.yaml`"));
            return None;
        }
        Some(Spanned { value: path, span: node.span })
    }

    fn rollout(&mut self, node: &Node) -> Option<Plan> {
        let plan: Plan = self.diagnostics.take(yaml::decode(&self.prompt.file, node))?;
        let wrong = check_plan(&self.prompt.file, &plan, node);
        let valid = wrong.is_none();
        self.diagnostics.extend(wrong);
        valid.then_some(plan)
    }

    fn success(&mut self, node: &Node) -> SuccessContract {
        let Value::Sequence(items) = &node.value else {
            let error =
                self.error("type", node.span, format!("`bowline.success` is a list of checks, not {}", node.kind()));
            self.diagnostics
                .push(error.hint(format!("for example `[schema, not_refusal]`; checks are {}", quoted(&CHECKS))));
            return SuccessContract::default();
        };
        let mut checks: Vec<Check> = Vec::new();
        for item in items {
            let Some(check) = self.check(item) else { continue };
            if checks.contains(&check) {
                self.push("success", item.span, "this check stands twice");
            }
            checks.push(check);
        }
        SuccessContract(checks)
    }

    fn check(&mut self, item: &Node) -> Option<Check> {
        let named = item.as_str().map(|name| (name, item.span));
        let (name, span) = named.or_else(|| item.entries().first().map(|(key, _)| (key.text.as_str(), key.span)))?;
        if CHECKS_LATER.contains(&name) {
            let error = self.error("unsupported", span, format!("the check `{name}` is not supported yet"));
            self.diagnostics.push(error.hint(format!("checks are {}", quoted(&CHECKS))));
            return None;
        }
        let check: Check = self.diagnostics.take(yaml::decode(&self.prompt.file, item))?;
        let inner = item.get(name).map_or(item.span, |node| node.span);
        match &check {
            Check::Schema if self.prompt.output.schema.is_none() => {
                let error = self.error("success", span, "the prompt has no output schema to check answers against");
                self.diagnostics.push(error.hint("add `output.schema`, or leave `schema` out"));
            }
            Check::Feedback(name) if name.is_empty() || name.contains(char::is_whitespace) => {
                self.push("success", inner, "the name of a feedback is not empty and has no white space");
            }
            Check::Cel(expression) => {
                if let Err(message) = (self.cel)(expression) {
                    let error = self.error("cel", inner, format!("not a CEL expression: {message}"));
                    self.diagnostics.push(error.hint("it sees `output`, `text`, `variables` and `finish`"));
                }
            }
            Check::Schema | Check::Complete | Check::NotRefusal | Check::Feedback(_) => {}
        }
        Some(check)
    }

    fn push(&mut self, code: &'static str, span: Span, message: impl Into<String>) {
        let error = self.error(code, span, message);
        self.diagnostics.push(error);
    }

    fn error(&self, code: &'static str, span: Span, message: impl Into<String>) -> Diagnostic {
        Diagnostic::error(code, self.prompt.file.as_str(), message).at(span)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> (PromptFields, Diagnostics) {
        let cel =
            |expression: &str| if expression.contains("((") { Err("a `)` is missing".to_owned()) } else { Ok(()) };
        PromptFields::read(&ParsedPrompt::parse("prompts/a.prompt", text).unwrap(), &cel)
    }

    #[test]
    fn good_fields_are_read() {
        let (fields, found) = read(
            "---\noutput: {schema: {a: string}}\nbowline.owners: [support, ada@example.com]\nbowline.suite: evals/a.yaml\n\
             bowline.success:\n  - schema\n  - not_refusal\n  - feedback: helpful\n  - cel: size(text) < 500\n\
             bowline.rollout: {margin: 0.03}\nother.tool: [kept]\n---\n",
        );
        assert!(found.is_empty(), "{found:?}");
        assert_eq!(fields.owners, ["support", "ada@example.com"]);
        assert_eq!(fields.suite.unwrap().value, "evals/a.yaml");
        let names: Vec<String> = fields.success.0.iter().map(Check::name).collect();
        assert_eq!(names, ["schema", "not_refusal", "feedback:helpful", "cel:size(text) < 500"]);
        assert_eq!(fields.rollout.unwrap().margin, 0.03);
        assert_eq!(read("---\nmodel: a\n---\n"), (PromptFields::default(), Diagnostics::new()));
    }

    #[test]
    fn every_error_is_told_at_its_place() {
        let text = "\
---
bowline.owner: [a]
bowline.owners: a
bowline.suite: ../evals/a.yaml
bowline.guard: strict
bowline.rollout: { stages: ['10%'], margin: 0.9 }
bowline.success.x: 1
bowline.success:
  - schema
  - judge: quality
  - tools
  - finished
  - complete
  - complete
  - cel: size((text
  - feedback: ''
---
";
        let found = read(text).1.into_sorted().into_iter().map(|diagnostic| {
            let start = diagnostic.span.unwrap().start;
            format!("{}:{} {}", start.line, start.column, diagnostic.message)
        });
        assert_eq!(
            found.collect::<Vec<_>>(),
            [
                "2:1 unknown key `bowline.owner`",
                "3:17 expected a sequence, found string \"a\"",
                "4:16 a suite is a path inside the project, without white space",
                "5:1 `bowline.guard` is not supported yet",
                "6:45 `margin` is 0.9, which is not within above 0, at most 0.5",
                "7:1 unknown key `bowline.success.x`",
                "9:5 the prompt has no output schema to check answers against",
                "10:5 the check `judge` is not supported yet",
                "11:5 the check `tools` is not supported yet",
                "12:5 unknown value `finished`",
                "14:5 this check stands twice",
                "15:10 not a CEL expression: a `)` is missing",
                "16:15 the name of a feedback is not empty and has no white space",
            ]
        );
        assert_eq!(
            read("---\nbowline.success: schema\n---\n").1.as_slice()[0].message,
            "`bowline.success` is a list of checks, not text"
        );
    }
}
