//! Grading: one answer against the assertions of its case, as promptfoo 0.121 grades it.
//!
//! Source: <https://www.promptfoo.dev/docs/configuration/expected-outputs> and the pages below it, read 2026-11-25, and what the
//! program answers (`fixtures/promptfoo`). Where it differs on purpose, a comment and `docs/gate.md` say so.
//!
//! A value is [prepared](Prepared) once: patterns and schemas are compiled and what is wrong with them is found, for values
//! without a template while the suite is read ([`check`]). Answers and judges are not trusted: what is read of them is bounded, and
//! an assertion that cannot be held against an answer is errored, never passed or failed.

use serde_json::{Map, Value};

use crate::assertion::{Assertion, Kind};
use crate::subject::{Answer, Ask, Grade, Subject};
use json::{ContainsJson, IsJson};
use judge::Judged;
use measure::Measure;
use overlap::{Bleu, RougeN};
use similar::Similar;
use sql::Sql;
use text::{Contains, Equals, FinishReason, Levenshtein, Matches, StartsWith, WordCount};
use xml::Xml;

mod case;
mod javascript;
mod json;
mod judge;
mod measure;
mod overlap;
mod pattern;
mod refusal;
mod schema;
mod similar;
mod sql;
mod text;
mod tools;
mod treebank;
mod xml;

pub use case::{assertions, grade_case};

/// Renders a template over variables, or says why it cannot.
pub type Render<'a> = &'a (dyn Fn(&str, &Map<String, Value>) -> Result<String, String> + Sync);

/// What grading knows of a case beside its answer.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    /// The variables of the case.
    pub vars: &'a Map<String, Value>,
    /// The `options` of the case.
    pub options: &'a Map<String, Value>,
    /// The prompt as it was sent, as text; a judge of facts sees it as the question.
    pub prompt: &'a str,
    /// The tools that were offered, in the form of OpenAI's `tools`.
    pub tools: &'a [Value],
    /// Renders names of metrics and prompts of judges.
    pub render: Render<'a>,
}

/// An assertion with its value, checked and compiled.
pub struct Prepared(Inner);

enum Inner {
    Equals(Equals),
    Contains(Contains),
    StartsWith(StartsWith),
    Matches(Matches),
    IsJson(IsJson),
    ContainsJson(ContainsJson),
    Xml(Xml),
    Sql(Sql),
    Levenshtein(Levenshtein),
    RougeN(RougeN),
    Bleu(Bleu),
    Measure(Measure),
    IsRefusal,
    ToolsCall,
    FinishReason(FinishReason),
    WordCount(WordCount),
    Cel(Box<bowline_telemetry::cel::Expression>),
    Judged(Judged),
    Similar(Similar),
}

/// Checks an assertion while its suite is read, as far as its value has no template.
///
/// # Errors
/// Says what is wrong with it: a value of the wrong kind, an expression or a schema that does not compile, a threshold that is
/// missing.
pub fn check(assertion: &Assertion) -> Result<(), String> {
    if has_template(&assertion.value) { Ok(()) } else { Prepared::new(assertion, &assertion.value).map(|_| ()) }
}

/// Returns whether something in the value is a template.
#[must_use]
pub fn has_template(value: &Value) -> bool {
    match value {
        Value::String(text) => ["{{", "{%", "{#"].iter().any(|opening| text.contains(opening)),
        Value::Array(items) => items.iter().any(has_template),
        Value::Object(members) => members.values().any(has_template),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

// === impl Prepared ===

impl Prepared {
    /// Checks and compiles an assertion whose value is rendered. It may be kept and used for every answer where the value has no
    /// template.
    ///
    /// # Errors
    /// Says what is wrong with the value.
    pub fn new(assertion: &Assertion, value: &Value) -> Result<Self, String> {
        let kind = assertion.kind;
        let inner = match kind {
            Kind::Equals => Inner::Equals(Equals::new(value)?),
            Kind::Contains | Kind::IContains => Inner::Contains(Contains::one(value, kind)?),
            Kind::ContainsAll | Kind::IContainsAll | Kind::ContainsAny | Kind::IContainsAny => {
                Inner::Contains(Contains::several(value, kind)?)
            }
            Kind::StartsWith => Inner::StartsWith(StartsWith::new(value)?),
            Kind::Regex => Inner::Matches(Matches::new(value)?),
            Kind::IsJson => Inner::IsJson(IsJson::new(value)?),
            Kind::ContainsJson => Inner::ContainsJson(ContainsJson::new(value)?),
            Kind::IsXml | Kind::ContainsXml => Inner::Xml(Xml::new(value, kind)?),
            Kind::IsSql | Kind::ContainsSql => Inner::Sql(Sql::new(value, kind)?),
            Kind::Levenshtein => Inner::Levenshtein(Levenshtein::new(value, assertion.threshold)?),
            Kind::RougeN => Inner::RougeN(RougeN::new(value, assertion.threshold)?),
            Kind::Bleu => Inner::Bleu(Bleu::new(value, assertion.threshold)?),
            Kind::Cost | Kind::Latency | Kind::Perplexity | Kind::PerplexityScore => {
                Inner::Measure(Measure::new(kind, assertion.threshold)?)
            }
            Kind::IsRefusal => Inner::IsRefusal,
            Kind::IsValidOpenAiToolsCall => Inner::ToolsCall,
            Kind::FinishReason => Inner::FinishReason(FinishReason::new(value)?),
            Kind::WordCount => Inner::WordCount(WordCount::new(value)?),
            Kind::Cel => Inner::Cel(Box::new(expression(value)?)),
            Kind::LlmRubric | Kind::Factuality => Inner::Judged(Judged::new(assertion, value)?),
            Kind::Similar => Inner::Similar(Similar::new(value, assertion.threshold)?),
        };
        Ok(Self(inner))
    }

    /// Returns what must be asked before the assertion can grade; `None` where nothing must.
    ///
    /// # Errors
    /// Says why the question cannot be put, such as a template of the judge that does not render.
    pub fn ask(&self, assertion: &Assertion, subject: &Subject, context: &Context<'_>) -> Result<Option<Ask>, String> {
        if subject.error.is_some() {
            return Ok(None);
        }
        match &self.0 {
            Inner::Judged(judged) => judged.ask(assertion, subject, context).map(Some),
            Inner::Similar(similar) => Ok(Some(similar.ask(assertion, subject))),
            _ => Ok(None),
        }
    }

    /// Grades an answer; `answer` is what came back for [`ask`](Self::ask).
    #[must_use]
    pub fn grade(
        &self,
        assertion: &Assertion,
        subject: &Subject,
        answer: Option<&Answer>,
        context: &Context<'_>,
    ) -> Grade {
        if let Some(error) = &subject.error {
            return Grade::failed_to(format!("the call failed: {error}"));
        }
        let negated = assertion.negated;
        let found = match &self.0 {
            Inner::Equals(equals) => Ok(equals.grade(subject, negated)),
            Inner::Contains(contains) => Ok(contains.grade(subject, negated)),
            Inner::StartsWith(starts) => Ok(starts.grade(subject, negated)),
            Inner::Matches(matches) => matches.grade(subject, negated),
            Inner::IsJson(json) => json.grade(subject, negated),
            Inner::ContainsJson(json) => json.grade(subject, negated),
            Inner::Xml(xml) => xml.grade(subject, negated),
            Inner::Sql(sql) => sql.grade(subject, negated),
            Inner::Levenshtein(distance) => distance.grade(subject, negated),
            Inner::RougeN(rouge) => rouge.grade(subject, negated),
            Inner::Bleu(bleu) => Ok(bleu.grade(subject, negated)),
            Inner::Measure(measure) => measure.grade(subject, negated),
            Inner::IsRefusal => Ok(refusal::grade(subject, negated)),
            Inner::ToolsCall => tools::grade(subject, context.tools, negated),
            Inner::FinishReason(finish) => Ok(finish.grade(subject, negated)),
            Inner::WordCount(count) => Ok(count.grade(subject, negated)),
            Inner::Cel(expression) => holds(expression, subject, context, negated),
            Inner::Judged(judged) => judged.grade(assertion, answer, context),
            Inner::Similar(similar) => similar.grade(answer, negated),
        };
        found.unwrap_or_else(Grade::failed_to)
    }
}

/// Returns a grade of 1 or 0: whether what is asserted holds, turned around for `not-`.
fn verdict(holds: bool, negated: bool, why: impl FnOnce() -> String) -> Grade {
    let pass = holds != negated;
    Grade::new(pass, if pass { String::new() } else { why() })
}

/// Returns `not ` for a turned-around assertion, to stand before a verb.
const fn not(negated: bool) -> &'static str {
    if negated { "not " } else { "" }
}

fn expression(value: &Value) -> Result<bowline_telemetry::cel::Expression, String> {
    let Value::String(source) = value else { return Err("`cel` needs an expression as its value".to_owned()) };
    bowline_telemetry::cel::Expression::compile(source)
        .map_err(|reason| format!("the expression `{source}` is refused: {reason}"))
}

fn holds(
    expression: &bowline_telemetry::cel::Expression,
    subject: &Subject,
    context: &Context<'_>,
    negated: bool,
) -> Result<Grade, String> {
    let output = serde_json::from_str(&subject.text).ok();
    let inputs = bowline_telemetry::cel::Inputs {
        text: &subject.text,
        output: output.as_ref(),
        variables: context.vars,
        finish: subject.finish.as_deref().unwrap_or_default(),
    };
    let holds = expression.evaluate(&inputs).map_err(|reason| {
        format!("the expression is neither true nor false on this answer: {}", reason.as_str().replace('_', " "))
    })?;
    Ok(verdict(holds, negated, || format!("the expression is {holds}")))
}

#[cfg(test)]
mod tests;
