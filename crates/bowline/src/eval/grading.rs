//! From an answer to its grade: assertions are prepared, judges are asked through the same gateway, the grades are put together.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use bowline_eval::{
    Answer, Ask, Assertion, Case, Context, Grade, Kind, Prepared, assertions, grade_case, has_template, template,
};
use bowline_types::{PromptName, Usd};
use serde_json::{Map, Value};

use super::answer::Called;
use super::caller::{Caller, Endpoint, Halt, Way};
use super::plan::{Target, TargetSubject};
use super::request;

/// Where the reader of suites puts the parameters of a judge that an assertion names.
const JUDGE_CONFIG: &str = "providerConfig";
/// Assertions that stay prepared; a suite has a few that all its cases share. Beyond it they are prepared for each answer.
const PREPARED_MAX: usize = 4_096;

/// Grades the answers of a run.
pub(crate) struct Grader {
    /// The models that can be asked.
    judges: BTreeMap<JudgeName, Judge>,
    /// The prompts of the project that judge, on the version of the working tree.
    prompts: BTreeMap<PromptName, Judge>,
    /// Those without a template, by where they are: they live as long as the suites, which the plan holds.
    prepared: Mutex<HashMap<usize, Arc<Prepared>>>,
}

/// A judge as suites name it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct JudgeName {
    /// An alias of the project, or an id in promptfoo's words.
    pub(crate) id: String,
    /// Parameters of its calls, as JSON; empty where there are none.
    config: String,
    /// What it is asked for.
    pub(crate) endpoint: Endpoint,
}

/// Somebody who can be asked.
#[derive(Clone, Debug)]
pub(crate) struct Judge {
    /// What is called.
    pub(crate) subject: TargetSubject,
    /// Where calls go.
    pub(crate) way: Way,
    /// The kind of the provider and its name of the model, which have a price or none.
    pub(crate) priced_as: (String, String),
}

/// What judges took.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Judged {
    /// Whether a simulator judged.
    pub(super) simulated: bool,
    /// What it cost, without answers from the cache.
    pub(super) cost_usd: Usd,
}

/// What is graded: an answer to a case on a target.
pub(super) struct Question<'a> {
    /// What was called.
    pub(super) target: &'a Target,
    /// The case.
    pub(super) case: &'a Case,
    /// Its variables.
    pub(super) vars: Map<String, Value>,
    /// The prompt as text, where the suite has it.
    pub(super) prompt: Option<String>,
    /// What was answered.
    pub(super) called: &'a Called,
    /// Which of the equal calls it is.
    pub(super) repeat: u32,
}

// === impl Grader ===

impl Grader {
    /// Returns a grader that can ask these judges.
    pub(crate) fn new(judges: BTreeMap<JudgeName, Judge>, prompts: BTreeMap<PromptName, Judge>) -> Self {
        Self { judges, prompts, prepared: Mutex::new(HashMap::new()) }
    }

    /// Grades an answer; returns the grade, and what judges took.
    ///
    /// # Errors
    /// A judge cannot be asked, and nobody should be asked anything further.
    pub(super) async fn grade(&self, caller: &Caller, question: Question<'_>) -> Result<(Grade, Judged), Halt> {
        let Question { target, case, vars, prompt, called, repeat } = question;
        let render = |text: &str, vars: &Map<String, Value>| {
            template::render(text, vars).map_err(|error| bowline_types::chain(&error))
        };
        let prompt = prompt.unwrap_or_default();
        let context = Context {
            vars: &vars,
            options: &case.rules.options,
            prompt: &prompt,
            tools: &target.tools,
            render: &render,
        };
        let subject = &called.subject;
        let (mut grades, mut judged) = (Vec::new(), Judged::default());
        let asserted = case.assertions();
        let shared = assertions(&case.rules.assertions).count();
        for (number, assertion) in assertions(&asserted).enumerate() {
            // What a case has alone is made anew each time, and known by no address.
            let prepared = match self.prepared(assertion, &vars, number < shared) {
                Ok(prepared) => prepared,
                Err(reason) => {
                    grades.push(Grade::failed_to(reason));
                    continue;
                }
            };
            let answer = match prepared.ask(assertion, subject, &context) {
                Ok(None) => None,
                Ok(Some(ask)) => {
                    let (answer, took) = self.ask(caller, ask, (assertion, case), repeat).await?;
                    judged.simulated |= took.simulated;
                    judged.cost_usd += took.cost_usd;
                    Some(answer)
                }
                Err(reason) => Some(Answer::Failed(reason)),
            };
            grades.push(prepared.grade(assertion, subject, answer.as_ref(), &context));
        }
        // Where no assertion counts, none says that there was no answer.
        if assertions(&asserted).all(|assertion| assertion.weight == 0.0)
            && let Some(error) = &subject.error
        {
            return Ok((Grade::failed_to(format!("the call failed: {error}")), judged));
        }
        Ok((grade_case(&asserted, grades, case.rules.threshold, &context), judged))
    }

    /// Returns an assertion with its value rendered and compiled.
    fn prepared(
        &self,
        assertion: &Assertion,
        vars: &Map<String, Value>,
        is_shared: bool,
    ) -> Result<Arc<Prepared>, String> {
        if has_template(&assertion.value) {
            let value = template::render_value(&assertion.value, vars).map_err(|error| bowline_types::chain(&error))?;
            return Prepared::new(assertion, &value).map(Arc::new);
        }
        if !is_shared {
            return Prepared::new(assertion, &assertion.value).map(Arc::new);
        }
        let place = std::ptr::from_ref(assertion).addr();
        if let Some(known) = self.prepared.lock().unwrap_or_else(PoisonError::into_inner).get(&place) {
            return Ok(Arc::clone(known));
        }
        let made = Arc::new(Prepared::new(assertion, &assertion.value)?);
        let mut prepared = self.prepared.lock().unwrap_or_else(PoisonError::into_inner);
        if prepared.len() < PREPARED_MAX {
            prepared.insert(place, Arc::clone(&made));
        }
        Ok(made)
    }

    /// Asks a judge; returns what it said, and what it took.
    async fn ask(
        &self,
        caller: &Caller,
        ask: Ask,
        (assertion, case): (&Assertion, &Case),
        repeat: u32,
    ) -> Result<(Answer, Judged), Halt> {
        let failed = |reason: String| Ok((Answer::Failed(reason), Judged::default()));
        let (judge, body) = match ask {
            Ask::Judge { messages, .. } => {
                let Some(judge) = self.judges.get(&JudgeName::of(assertion, case)) else {
                    return failed("nobody is named to judge".to_owned());
                };
                (judge, request::of_judge(&judge.subject, &messages))
            }
            Ask::Prompt { name, variables } => {
                let Some(judge) = self.prompts.get(&name) else {
                    return failed(format!("there is no prompt `{name}`"));
                };
                (judge, request::of_case(&judge.subject, case, &variables).map(|(body, _)| body))
            }
            Ask::Embeddings { texts, .. } => {
                let Some(judge) = self.judges.get(&JudgeName::of(assertion, case)) else {
                    return failed("nobody is named to embed".to_owned());
                };
                (judge, request::of_embeddings(&judge.subject, &texts))
            }
        };
        let body = match body {
            Ok(body) => body,
            Err(reason) => return failed(reason),
        };
        let called = caller.call(&judge.way, body, repeat).await?;
        let cost = called.subject.cost_usd.as_deref().filter(|_| !called.cached).and_then(|cost| cost.parse().ok());
        let took = Judged { simulated: called.simulated, cost_usd: cost.unwrap_or_default() };
        let answer = match called.subject.error {
            Some(error) => Answer::Failed(error),
            None if judge.way.endpoint == Endpoint::Embeddings => serde_json::from_str(&called.subject.text)
                .map_or_else(|error| Answer::Failed(error.to_string()), Answer::Embeddings),
            None => Answer::Judge(called.subject.text),
        };
        Ok((answer, took))
    }
}

// === impl JudgeName ===

impl JudgeName {
    /// Returns who judges an assertion: whom it names itself, else whom its case names, else the default.
    fn of(assertion: &Assertion, case: &Case) -> Self {
        let own = assertion.provider.as_deref().map(|id| (id, assertion.config.get(JUDGE_CONFIG)));
        let named = own.or_else(|| {
            let (id, config) = case.judge(assertion.kind)?;
            Some((
                id,
                config.and_then(|_| case.rules.options.get("provider").and_then(|provider| provider.get("config"))),
            ))
        });
        let endpoint = if assertion.kind == Kind::Similar { Endpoint::Embeddings } else { Endpoint::Chat };
        let default = match endpoint {
            Endpoint::Chat => Self::DEFAULT,
            Endpoint::Embeddings => Self::DEFAULT_EMBEDDINGS,
        };
        let (id, config) = named.unwrap_or((default, None));
        Self { id: id.to_owned(), config: config.map(Value::to_string).unwrap_or_default(), endpoint }
    }

    /// The alias that judges where nobody is named.
    const DEFAULT: &str = "judge";
    /// The alias that embeds where nobody is named.
    const DEFAULT_EMBEDDINGS: &str = "embedding";

    /// Returns the parameters of its calls.
    pub(crate) fn parameters(&self) -> Map<String, Value> {
        serde_json::from_str(&self.config).unwrap_or_default()
    }
}

const fn is_judged(assertion: &Assertion) -> bool {
    matches!(assertion.kind, Kind::LlmRubric | Kind::Factuality | Kind::Similar)
}

/// Returns who must be asked for the assertions of cases: models, and prompts of the project.
pub(crate) fn asked<'a>(cases: impl IntoIterator<Item = &'a Case>) -> (BTreeSet<JudgeName>, BTreeSet<PromptName>) {
    let (mut models, mut prompts) = (BTreeSet::new(), BTreeSet::new());
    let mut seen = HashSet::new();
    for case in cases {
        // Cases share what they have in common.
        let shared: &[_] = if seen.insert(Arc::as_ptr(&case.rules).addr()) { &case.rules.assertions } else { &[] };
        let own = case.own_assertions();
        for assertion in assertions(shared).chain(assertions(&own)).filter(|assertion| is_judged(assertion)) {
            let prompt = assertion.rubric_prompt.as_deref().or_else(|| case.rules.options.get("rubricPrompt"));
            let prompt = prompt.and_then(Value::as_str).and_then(|prompt| prompt.strip_prefix("prompt:"));
            match prompt.and_then(|name| name.parse().ok()) {
                Some(name) => drop(prompts.insert(name)),
                None => drop(models.insert(JudgeName::of(assertion, case))),
            }
        }
    }
    (models, prompts)
}
