use std::collections::BTreeMap;

use bowline_types::{Digest, PromptName};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::assertion::AssertionNode;

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
    /// Of the file and of everything it refers to, in their raw bytes.
    pub digest: Digest,
    /// The files of cases and variables it refers to, by path.
    pub datasets: Vec<Dataset>,
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
}

/// One case: variables, and what the answer to them must be.
#[derive(Clone, Debug, PartialEq)]
pub struct Case {
    /// Stable while description, variables and position among equals stay: what results are matched by across runs and versions.
    pub id: String,
    /// What reports call it.
    pub description: Option<String>,
    /// The variables.
    pub vars: Map<String, Value>,
    /// What must hold.
    pub assertions: Vec<AssertionNode>,
    /// The least weighted mean of scores with which the case passes; `None` where every assertion must pass.
    pub threshold: Option<f64>,
    /// Whether the gate fails when this case does (`metadata.must_pass: true`).
    pub must_pass: bool,
    /// Free labels, which `--filter` sees.
    pub metadata: Map<String, Value>,
    /// How often it is called; 1 or more. Repeats are one cluster to the statistics.
    pub repeat: u32,
    /// Text before and after the rendered prompt, and other `options` of the case.
    pub options: Map<String, Value>,
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
