use std::cell::OnceCell;
use std::collections::BTreeMap;

use bowline_types::{Check, CheckResult, ErrorKind, SuccessContract};
use jsonschema::PatternOptions;
use jsonschema::error::ValidationErrorKind;
use serde_json::{Map, Value};

use crate::cel::{Expression, Inputs};

mod refusal;

/// The most checks of one contract.
const CHECKS_MAX: usize = 32;

/// How often a `pattern` of a schema may backtrack on one text before the check is unknown.
const BACKTRACKS_MAX: usize = 100_000;

/// A success contract, compiled once per version and environment.
#[derive(Debug)]
pub struct Contract {
    /// By name, without repeats.
    checks: BTreeMap<String, Compiled>,
}

/// What a call left to judge.
#[derive(Clone, Copy, Debug)]
pub struct Evidence<'a> {
    /// The text of the answer; empty where it has none.
    pub text: &'a str,
    /// Why the model stopped, in the neutral words (`stop`, `length`, `tool_calls`, `content_filter`, `refusal`, …).
    pub finish: Option<&'a str>,
    /// What went wrong, a break in mid-stream included.
    pub error: Option<ErrorKind>,
    /// Whether the provider says that the model refused.
    pub refusal: bool,
    /// The variables of the prompt; empty where there is none.
    pub variables: &'a Map<String, Value>,
}

/// Why a check could not be said to pass or fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum UnknownReason {
    /// Feedback has not come yet.
    NoOutcome,
    /// There is no answer to judge: the text is empty, or the turn is only a tool call.
    NoAnswer,
    /// The provider did not say why the model stopped, or in words we do not know.
    NoFinish,
    /// The answer or the variables are too large for an expression.
    InputTooLarge,
    /// The expression could take too long on this answer.
    TooCostly,
    /// The expression failed, such as on a field that is not there.
    EvaluationFailed,
    /// The value of the expression is neither true nor false.
    NotBoolean,
    /// A pattern of the schema backtracked too often.
    PatternTooCostly,
}

/// Why a contract cannot be compiled.
#[derive(Debug, thiserror::Error)]
pub enum ContractError {
    /// The contract names `schema`, but the version has no output schema.
    #[error("the success contract names `schema`, but the prompt has no output schema")]
    SchemaMissing,
    /// The output schema is not a schema that can be checked.
    #[error("the output schema cannot be compiled")]
    Schema {
        /// The cause.
        #[source]
        source: Box<jsonschema::ValidationError<'static>>,
    },
    /// A CEL expression is refused.
    #[error("the expression `{expression}` of the success contract is refused: {reason}")]
    Expression {
        /// The expression.
        expression: String,
        /// Why.
        reason: String,
    },
    /// There are too many checks.
    #[error("the success contract has {found} checks, the most is {CHECKS_MAX}")]
    TooManyChecks {
        /// How many there are.
        found: usize,
    },
}

#[derive(Debug)]
enum Compiled {
    Schema(Box<jsonschema::Validator>),
    Complete,
    NotRefusal,
    Feedback,
    Expression(Box<Expression>),
}

/// What a check found, or why it found nothing.
type Found = Result<bool, UnknownReason>;

// === impl Contract ===

impl Contract {
    /// Compiles a contract. An empty one means `complete` and, with an output schema, `schema`.
    ///
    /// # Errors
    /// Fails where a check cannot be evaluated as written.
    pub fn compile(contract: &SuccessContract, output_schema: Option<&Value>) -> Result<Self, ContractError> {
        let implied = [Check::Complete, Check::Schema];
        let declared = match (contract.0.as_slice(), output_schema) {
            ([], Some(_)) => &implied[..],
            ([], None) => &implied[..1],
            (checks, _) => checks,
        };
        if declared.len() > CHECKS_MAX {
            return Err(ContractError::TooManyChecks { found: declared.len() });
        }
        let compiled = declared.iter().map(|check| Ok((check.name(), Compiled::new(check, output_schema)?)));
        Ok(Self { checks: compiled.collect::<Result<_, _>>()? })
    }

    /// Evaluates every check, by the names of [`Check::name`].
    ///
    /// A call that ended in an error fails whatever judges its answer: otherwise a version whose calls all break would look
    /// like one of which nothing is known.
    #[must_use]
    pub fn evaluate(&self, evidence: &Evidence<'_>) -> BTreeMap<String, CheckResult> {
        self.evaluate_with(evidence, &mut |_| {})
    }

    /// Evaluates every check, and tells `unknown` why each unknown one is so, for [`crate::Metrics::check_unknown`].
    #[must_use]
    pub fn evaluate_with(
        &self,
        evidence: &Evidence<'_>,
        unknown: &mut dyn FnMut(UnknownReason),
    ) -> BTreeMap<String, CheckResult> {
        let answer = Answer { evidence, json: OnceCell::new() };
        let results = self.checks.iter().map(|(name, check)| {
            let result = check.evaluate(&answer).map_or_else(
                |reason| {
                    unknown(reason);
                    CheckResult::Unknown
                },
                CheckResult::from,
            );
            (name.clone(), result)
        });
        results.collect()
    }
}

// === impl Compiled ===

impl Compiled {
    fn new(check: &Check, output_schema: Option<&Value>) -> Result<Self, ContractError> {
        match check {
            Check::Schema => {
                let schema = output_schema.ok_or(ContractError::SchemaMissing)?;
                let options = jsonschema::options()
                    .with_pattern_options(PatternOptions::fancy_regex().backtrack_limit(BACKTRACKS_MAX));
                let validator = options.build(schema);
                validator
                    .map(Box::new)
                    .map(Self::Schema)
                    .map_err(|error| ContractError::Schema { source: Box::new(error) })
            }
            Check::Complete => Ok(Self::Complete),
            Check::NotRefusal => Ok(Self::NotRefusal),
            Check::Feedback(_) => Ok(Self::Feedback),
            Check::Cel(expression) => match Expression::compile(expression) {
                Ok(compiled) => Ok(Self::Expression(Box::new(compiled))),
                Err(reason) => Err(ContractError::Expression { expression: expression.clone(), reason }),
            },
        }
    }

    fn evaluate(&self, answer: &Answer<'_>) -> Found {
        let evidence = answer.evidence;
        if matches!(self, Self::Feedback) {
            return Err(UnknownReason::NoOutcome);
        }
        if evidence.error.is_some() {
            return Ok(false);
        }
        match self {
            Self::Schema(validator) => schema(validator, answer),
            Self::Complete => complete(evidence),
            Self::NotRefusal => not_refusal(evidence),
            Self::Feedback => Err(UnknownReason::NoOutcome),
            Self::Expression(expression) => expression.evaluate(&Inputs {
                text: evidence.text,
                output: answer.json(),
                variables: evidence.variables,
                finish: evidence.finish.unwrap_or_default(),
            }),
        }
    }
}

/// The evidence, with the answer parsed at most once.
struct Answer<'a> {
    evidence: &'a Evidence<'a>,
    json: OnceCell<Option<Value>>,
}

// === impl Answer ===

impl Answer<'_> {
    /// Returns the answer as JSON. Strictly: no code fence around it, nothing before or after it but white space, since the
    /// application that reads the answer has to parse the same text.
    fn json(&self) -> Option<&Value> {
        self.json.get_or_init(|| serde_json::from_str(self.evidence.text).ok()).as_ref()
    }

    /// Returns whether the turn is a tool call without words: the answer is still to come.
    fn is_tool_call(&self) -> bool {
        self.evidence.finish == Some("tool_calls") && self.evidence.text.trim().is_empty()
    }
}

fn schema(validator: &jsonschema::Validator, answer: &Answer<'_>) -> Found {
    if answer.is_tool_call() {
        return Err(UnknownReason::NoAnswer);
    }
    let Some(json) = answer.json() else { return Ok(false) };
    match validator.validate(json) {
        Ok(()) => Ok(true),
        Err(error) => match error.kind() {
            ValidationErrorKind::BacktrackLimitExceeded { .. } | ValidationErrorKind::RegexEngineFailure { .. } => {
                Err(UnknownReason::PatternTooCostly)
            }
            _ => Ok(false),
        },
    }
}

/// Not cut off, not filtered, not refused, and there is something: words, or the tool call that `tool_calls` announces.
fn complete(evidence: &Evidence<'_>) -> Found {
    match evidence.finish {
        Some("stop") => Ok(!evidence.text.trim().is_empty()),
        Some("tool_calls") => Ok(true),
        Some("length" | "content_filter" | "refusal") => Ok(false),
        Some(_) | None => Err(UnknownReason::NoFinish),
    }
}

fn not_refusal(evidence: &Evidence<'_>) -> Found {
    if evidence.refusal || evidence.finish == Some("refusal") || refusal::is_refusal(evidence.text) {
        return Ok(false);
    }
    let silent = evidence.text.trim().is_empty() && evidence.finish != Some("tool_calls");
    if silent { Err(UnknownReason::NoAnswer) } else { Ok(true) }
}

// === impl UnknownReason ===

impl UnknownReason {
    /// Returns the word used in metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NoOutcome => "no_outcome",
            Self::NoAnswer => "no_answer",
            Self::NoFinish => "no_finish",
            Self::InputTooLarge => "input_too_large",
            Self::TooCostly => "too_costly",
            Self::EvaluationFailed => "evaluation_failed",
            Self::NotBoolean => "not_boolean",
            Self::PatternTooCostly => "pattern_too_costly",
        }
    }
}

#[cfg(test)]
mod tests;
