//! From entries to cases: defaults, lists of variables, ids.

use std::collections::HashMap;
use std::sync::Arc;

use bowline_prompt::{Diagnostic, Position, Span, canonical_json};
use bowline_types::Digest;
use serde_json::{Map, Value};

use super::context::Context;
use super::draft::{Draft, Shared, joined};
use super::expand::{VarFiles, expand};
use super::files::At;
use super::models::indices;
use super::pool::Pools;
use super::prompts::Named;
use super::{Case, Model, Only, Rules};
use crate::case_id::CaseId;
use crate::template;
use crate::vars::Packer;

/// How many cases a suite may have.
const CASES_MAX: usize = 1_000_000;
/// How many bytes the variables of cases are gathered to before they get an allocation together.
const VARS_BYTES: usize = 1 << 16;
/// What an id is a digest of.
const ID_DOMAIN: &str = "bowline.case.v1\n";

/// The cases of a suite, as far as they are read.
pub(super) struct Cases<'a> {
    prompts: &'a [Named],
    models: &'a [Model],
    repeat: u32,
    default: Draft,
    default_options: Arc<Map<String, Value>>,
    default_metadata: Arc<Map<String, Value>>,
    pools: Pools,
    files: VarFiles,
    /// How often each digest was seen, by its first 8 bytes.
    seen: HashMap<[u8; 8], u32>,
    cases: Vec<Case>,
    packer: Packer,
    /// How many cases have variables that are sealed.
    sealed: usize,
}

// === impl Cases ===

impl<'a> Cases<'a> {
    /// Returns no cases yet; `default` is worked into each that comes.
    pub(super) fn new(prompts: &'a [Named], models: &'a [Model], repeat: u32, default: Draft) -> Self {
        Self {
            prompts,
            models,
            repeat,
            default_options: Arc::new(default.options.clone()),
            default_metadata: Arc::new(default.metadata.clone()),
            default,
            pools: Pools::default(),
            files: VarFiles::default(),
            seen: HashMap::new(),
            cases: Vec::new(),
            packer: Packer::new(),
            sealed: 0,
        }
    }

    /// Returns what the rows of a dataset share.
    pub(super) const fn shared(&mut self) -> Shared<'_> {
        Shared { pools: &mut self.pools, default: &self.default }
    }

    /// Makes room for so many more cases.
    pub(super) fn reserve(&mut self, cases: usize) {
        let cases = cases.min(CASES_MAX);
        self.cases.reserve_exact(cases);
        self.seen.reserve(cases);
    }

    /// Adds the cases that an entry of `file` stands for.
    pub(super) fn add(&mut self, context: &mut Context<'_>, file: &str, draft: Draft) {
        let start = Position::new(1, 1);
        let at = At { file, span: draft.span.unwrap_or(Span::new(start, start)) };
        let added = self.try_add(context, at, draft);
        context.take(added);
    }

    fn try_add(&mut self, context: &mut Context<'_>, at: At<'_>, draft: Draft) -> Result<(), Diagnostic> {
        if draft.vars.get("assert").and_then(|list| list.get(0)).is_some_and(|first| first.get("type").is_some()) {
            let error = at.error("value", "`assert` stands inside `vars`, where it checks nothing");
            return Err(error.hint("put it beside `vars`"));
        }
        let only = self.only(context, at, &draft);
        let assertions = if draft.is_complete || !draft.wants_defaults() || self.default.assertions.is_empty() {
            draft.assertions
        } else if draft.assertions.is_empty() {
            Arc::clone(&self.default.assertions)
        } else {
            joined(&self.default.assertions, &draft.assertions)
        };
        let options = self.pools.merged(&self.default_options, draft.options);
        let metadata = self.pools.merged(&self.default_metadata, draft.metadata);
        let vars = if self.default.vars.is_empty() {
            draft.vars
        } else {
            let mut vars = self.default.vars.clone();
            vars.extend(draft.vars);
            vars
        };
        let own_repeat = options.get("repeat").and_then(Value::as_u64).and_then(|repeat| u32::try_from(repeat).ok());
        let lists = options.get("disableVarExpansion") != Some(&Value::Bool(true));
        let left = CASES_MAX - self.cases.len();
        if left == 0 {
            return Err(at.error("cases", format!("a suite has at most {CASES_MAX} cases")));
        }
        let rules = self.pools.rules(Rules {
            assertions,
            threshold: draft.threshold.or(self.default.threshold),
            must_pass: metadata.get("must_pass") == Some(&Value::Bool(true)),
            metadata,
            repeat: own_repeat.unwrap_or(self.repeat),
            options,
            only,
            own_file: draft.own.is_some().then(|| context.name(at.file)),
        });
        let own = draft.own.as_deref().unwrap_or_default();
        let description: Option<Arc<str>> = draft.description.map(Arc::from);
        for vars in expand(context, &mut self.files, at, vars, lists, left)? {
            let (id, vars) = self.id(description.as_deref(), vars);
            let (vars, own_bytes) = self.packer.add(&vars, own);
            let (description, rules) = (description.clone(), Arc::clone(&rules));
            self.cases.push(Case { id, description, vars, own_bytes, rules });
            if self.packer.len() >= VARS_BYTES {
                self.seal();
            }
        }
        Ok(())
    }

    /// Returns what the entry, else the default, restricts its cases to.
    fn only(&self, context: &mut Context<'_>, at: At<'_>, draft: &Draft) -> Option<Arc<Only>> {
        let prompts = draft.prompts.as_ref().or(self.default.prompts.as_ref());
        let models = draft.providers.as_ref().or(self.default.providers.as_ref());
        if prompts.is_none() && models.is_none() {
            return None;
        }
        let prompts = prompts.map(|wanted| {
            let meant =
                |index: usize, name: &str| self.prompts.get(index).is_some_and(|prompt| prompt.is_meant_by(name));
            indices(context, at, wanted, "prompt", self.prompts.len(), meant)
        });
        let models = models.map(|wanted| {
            let meant = |index: usize, name: &str| self.models.get(index).is_some_and(|model| model.is_meant_by(name));
            indices(context, at, wanted, "model", self.models.len(), meant)
        });
        Some(Arc::new(Only { prompts, models }))
    }

    /// Returns the id of a case: 64 bits of a digest, which two of a million cases share with a chance of 1 in 30 million.
    fn id(&mut self, description: Option<&str>, vars: Map<String, Value>) -> (CaseId, Map<String, Value>) {
        let vars = Value::Object(vars);
        let description = description.map_or(Value::Null, Value::from);
        let text = format!("{ID_DOMAIN}{}\n{}", canonical_json(&description), canonical_json(&vars));
        let digest = Digest::of(text.as_bytes());
        let [first, second, third, fourth, fifth, sixth, seventh, eighth, ..] = *digest.as_bytes();
        let beginning = [first, second, third, fourth, fifth, sixth, seventh, eighth];
        let seen = self.seen.entry(beginning).or_default();
        *seen += 1;
        let id = CaseId::new(beginning, *seen);
        let vars = if let Value::Object(vars) = vars { vars } else { Map::new() };
        (id, template::resolve(vars))
    }

    fn seal(&mut self) {
        self.packer.seal(self.cases.iter_mut().skip(self.sealed).map(|case| &mut case.vars));
        self.sealed = self.cases.len();
    }

    /// Returns the cases.
    pub(super) fn into_cases(mut self) -> Vec<Case> {
        self.seal();
        self.cases.shrink_to_fit();
        self.cases
    }

    /// Returns how many cases there are.
    pub(super) const fn len(&self) -> usize {
        self.cases.len()
    }
}
