mod cases;
mod context;
mod dataset;
mod draft;
mod entries;
mod expand;
pub(crate) mod files;
mod json;
mod models;
mod pool;
mod prompts;
mod read;
pub(crate) mod refuse;
mod resolve;
mod rows;
mod table;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use bowline_prompt::Diagnostics;
use bowline_types::{Digest, PromptName};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

pub(crate) use context::{Context, check_template};
pub(crate) use models::judge;

use crate::assertion::{AssertionNode, Kind, unpack};
use crate::case_id::CaseId;
use crate::vars::Vars;

/// How often one case may be called.
const REPEAT_MAX: u32 = 1000;

/// A suite, read and checked: `evals/NAME.yaml`, in promptfoo's format.
///
/// Source: <https://www.promptfoo.dev/docs/configuration/reference>.
#[derive(Clone, Debug, PartialEq)]
pub struct Suite {
    /// The project-relative path of its file.
    pub file: String,
    /// What it says of itself.
    pub description: Option<String>,
    /// What is tested. At least one.
    pub prompts: Vec<Prompt>,
    /// The models that inline prompts are tested on; a prompt of the project brings its own. May be empty then.
    pub models: Vec<Model>,
    /// The cases, each once, in the order of the file, with `defaultTest`, lists of variables and scenarios worked in.
    pub cases: Vec<Case>,
    /// What the whole suite must reach.
    pub thresholds: Thresholds,
    /// How it asks to be run; the command line goes before.
    pub run: RunOptions,
    /// Free labels of the suite.
    pub tags: BTreeMap<String, String>,
    /// Of the file and of everything it refers to, in their raw bytes.
    pub digest: Digest,
    /// The files of cases and variables it refers to, by path.
    pub datasets: Vec<Dataset>,
    /// What is odd in it and no error, such as a key that is not used.
    pub warnings: Diagnostics,
}

/// How a suite asks to be run: `evaluateOptions`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RunOptions {
    /// The most calls at once. Default: the runner's own.
    pub concurrency_max: Option<u32>,
    /// The pause between two calls, in milliseconds. 0 is none.
    pub delay_ms: u64,
    /// How long one call may take, in milliseconds. Default: the gateway's own.
    pub timeout_ms: Option<u64>,
    /// How long the whole run may take, in milliseconds. Default: no bound.
    pub time_ms_max: Option<u64>,
    /// Whether earlier answers may be taken from the cache. Default: as the command line says.
    pub cache: Option<bool>,
}

/// A file that a suite refers to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dataset {
    /// The project-relative path.
    pub path: String,
    /// Of its bytes.
    pub digest: Digest,
}

/// What a suite tests.
#[derive(Clone, Debug, PartialEq)]
pub enum Prompt {
    /// A prompt of the project, `prompt:NAME`.
    Project(PromptName),
    /// A template that stands in the suite or in a file beside it, in promptfoo's form: text, or a JSON list of messages.
    Inline {
        /// What reports call it.
        label: String,
        /// The template (a subset of Nunjucks).
        template: String,
    },
}

/// A model of a suite: `KIND:MODEL` in promptfoo's words, or an alias of the project.
#[derive(Clone, Debug, PartialEq)]
pub struct Model {
    /// The id as it is written, such as `openai:chat:gpt-5-mini`.
    pub id: String,
    /// What reports call it; the id where nothing is said.
    pub label: String,
    /// Parameters of the call, such as `temperature`.
    pub config: Map<String, Value>,
    /// Which prompts of the suite are tested on it, by their place in the list; `None` is all.
    pub prompts: Option<Vec<usize>>,
    /// The pause after each call, in milliseconds. 0 is none.
    pub delay_ms: u64,
}

/// One case: variables, and what the answer to them must be.
///
/// A suite may have 100,000 of them: what cases have in common they share.
#[derive(Clone, Debug)]
pub struct Case {
    /// What results are matched by across runs and versions.
    pub id: CaseId,
    /// What reports call it.
    pub description: Option<Arc<str>>,
    /// The variables; those that refer to others have them worked in.
    pub vars: Vars,
    /// What must hold, and how it is called.
    pub rules: Arc<Rules>,
    /// How long the text of its own assertions is, which stands behind the variables.
    own_bytes: u32,
}

/// What must hold of a case, and how it is called; cases with the same share it.
#[derive(Clone, Debug, PartialEq)]
pub struct Rules {
    /// What must hold, without what a case [has alone](Case::own_assertions).
    pub assertions: Arc<[AssertionNode]>,
    /// The least weighted mean of scores with which the case passes; `None` where every assertion must pass.
    pub threshold: Option<f64>,
    /// Whether the gate fails when this case does (`metadata.must_pass: true`).
    pub must_pass: bool,
    /// Free labels, which `--filter` sees.
    pub metadata: Arc<Map<String, Value>>,
    /// How often it is called; 1 or more. Repeats are one cluster to the statistics.
    pub repeat: u32,
    /// Text before and after the rendered prompt, and other `options` of the case.
    pub options: Arc<Map<String, Value>>,
    /// What it is called with, where that is not every prompt and model of the suite.
    pub only: Option<Arc<Only>>,
    /// The file of the assertions that its cases have alone; `None` where they have none.
    pub own_file: Option<Arc<str>>,
}

/// Which prompts and models of the suite a case is for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Only {
    /// Prompts by their place in the suite; `None` is all.
    pub prompts: Option<Vec<usize>>,
    /// Models by their place in the suite; `None` is all.
    pub models: Option<Vec<usize>>,
}

/// What a suite as a whole must reach, under `bowline:` of its file.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Thresholds {
    /// The least share of cases that pass, 0 to 1.
    pub pass_rate: Option<f64>,
    /// The least mean score by metric, 0 to 1.
    pub metrics: BTreeMap<String, f64>,
    /// The most that one case may cost on average, in USD.
    pub cost_usd_mean_max: Option<f64>,
    /// The highest 95th percentile of latency, in milliseconds.
    pub latency_ms_p95_max: Option<f64>,
}

// === impl Case ===

impl Case {
    /// Returns a case all of whose assertions are those of its rules.
    #[must_use]
    pub const fn new(id: CaseId, description: Option<Arc<str>>, vars: Vars, rules: Arc<Rules>) -> Self {
        Self { id, description, vars, rules, own_bytes: 0 }
    }

    /// Returns everything that must hold, in the order of the file: that of its rules, then what it has alone.
    #[must_use]
    pub fn assertions(&self) -> Cow<'_, [AssertionNode]> {
        let own = self.own_assertions();
        if own.is_empty() {
            return Cow::Borrowed(&self.rules.assertions);
        }
        Cow::Owned(self.rules.assertions.iter().cloned().chain(own).collect())
    }

    /// Returns the assertions that it has alone: they are kept as text, and made anew each time. Those of its rules are not among them.
    #[must_use]
    pub fn own_assertions(&self) -> Vec<AssertionNode> {
        let Some(file) = self.rules.own_file.as_ref().filter(|_| self.own_bytes > 0) else { return Vec::new() };
        // The text was unpacked once when it was made, or it would not be there.
        unpack(self.own(), file).unwrap_or_default()
    }

    fn own(&self) -> &str {
        self.vars.behind(self.own_bytes)
    }

    /// Returns whether nothing is asserted.
    pub(crate) fn asserts_nothing(&self) -> bool {
        self.rules.assertions.is_empty() && self.own_bytes == 0
    }

    /// Returns whether it is called with the prompt at place `prompt` of the suite on the model at place `model`.
    ///
    /// A prompt of the project brings its own model: `model` is `None` then.
    #[must_use]
    pub fn takes(&self, prompt: usize, model: Option<usize>) -> bool {
        self.rules.only.as_ref().is_none_or(|only| {
            let prompts = only.prompts.as_ref().is_none_or(|prompts| prompts.contains(&prompt));
            let models = only.models.as_ref();
            prompts && model.is_none_or(|model| models.is_none_or(|models| models.contains(&model)))
        })
    }

    /// Returns the text before and after the rendered prompt; empty where there is none.
    #[must_use]
    pub fn around(&self) -> (&str, &str) {
        let text = |key| self.rules.options.get(key).and_then(Value::as_str).unwrap_or_default();
        (text("prefix"), text("suffix"))
    }

    /// Returns who judges assertions of `kind` that name nobody themselves, and the parameters of those calls.
    ///
    /// That is `options.provider` of the case: one for all, or one for `text` and one for `embedding`.
    #[must_use]
    pub fn judge(&self, kind: Kind) -> Option<(&str, Option<&Value>)> {
        let provider = self.rules.options.get("provider")?;
        let judge = if provider.get("id").is_some() {
            provider
        } else {
            provider.get(if kind == Kind::Similar { "embedding" } else { "text" })?
        };
        let id = judge.get("id").and_then(Value::as_str)?;
        let is_filled = |config: &&Value| config.as_object().is_some_and(|config| !config.is_empty());
        Some((id, judge.get("config").filter(is_filled)))
    }

    /// Returns the options that are none of the suite's own, but parameters of the call.
    pub fn parameters(&self) -> impl Iterator<Item = (&str, &Value)> {
        let own = |name: &str| draft::OPTIONS.contains(&name);
        self.rules.options.iter().map(|(name, value)| (name.as_str(), value)).filter(move |(name, _)| !own(name))
    }
}

impl PartialEq for Case {
    fn eq(&self, other: &Self) -> bool {
        let same = self.id == other.id && self.description == other.description && self.vars == other.vars;
        same && self.rules == other.rules && self.own() == other.own()
    }
}
