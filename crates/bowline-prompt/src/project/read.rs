//! Reads a project file entry by entry, so that one run tells all that is wrong.

use std::collections::BTreeMap;
use std::str::FromStr;

use bowline_canary::{Plan, PlanError};
use bowline_types::{NameError, ProviderName, SecretRef, closest};

use super::{
    DEV, EndpointOverride, Environment, EnvironmentSource, Model, Project, Provider, RolloutPolicy, Target, Telemetry,
    identities,
};
use crate::diagnostic::{Diagnostic, Diagnostics, Span};
use crate::version::ModelIdentity;
use crate::yaml::{self, Key, Node, Value};

/// What could be read of a project file.
#[derive(Debug)]
pub(crate) struct Reading {
    /// The project without the entries that are wrong; `None` where its name or the whole file cannot be read.
    pub(crate) project: Option<Project>,
    /// Every alias that is declared, with its identities where they could be read; `None` where the file could not be.
    pub(crate) models: Option<BTreeMap<String, Option<Vec<ModelIdentity>>>>,
    /// What is wrong.
    pub(crate) diagnostics: Diagnostics,
}

struct Reader<'a> {
    file: &'a str,
    diagnostics: Diagnostics,
}

const SECTIONS: [&str; 5] = ["project", "providers", "models", "environments", "telemetry"];

// === impl Reading ===

impl Reading {
    /// Reads the text of the project file `file`.
    pub(crate) fn of(file: &str, text: &str) -> Self {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let mut reader = Reader { file, diagnostics: Diagnostics::new() };
        let (project, models) = match yaml::parse(file, text, 0) {
            Ok(root) => reader.root(&root),
            Err(error) => {
                reader.diagnostics.push(error);
                (None, None)
            }
        };
        let diagnostics = reader.diagnostics.into_iter().map(|diagnostic| hide_secret(diagnostic, text)).collect();
        Self { project, models, diagnostics }
    }
}

/// Keeps a line with what may be a raw secret out of the output, whatever is wrong with it.
fn hide_secret(diagnostic: Diagnostic, text: &str) -> Diagnostic {
    let number = diagnostic.span.map_or(0, |span| span.start.line);
    let line = text.lines().nth(number.saturating_sub(1)).unwrap_or_default().to_ascii_lowercase();
    let raw = ["key", "token", "secret", "password"].iter().any(|word| {
        line.split(word).skip(1).any(|rest| {
            let value = rest.trim_start_matches(['"', '\'']).trim_start().strip_prefix(':').map(str::trim_start);
            let value = value.unwrap_or_default().trim_start_matches(['"', '\'']);
            !value.is_empty() && !value.starts_with("env:") && !value.starts_with("file:")
        })
    });
    if raw { diagnostic.hide_line() } else { diagnostic }
}

// === impl Reader ===

type Models = BTreeMap<String, Option<Vec<ModelIdentity>>>;

impl Reader<'_> {
    fn root(&mut self, root: &Node) -> (Option<Project>, Option<Models>) {
        if !root.is_mapping() {
            let error = self.error("type", root.span, format!("a project file is a mapping, not {}", root.kind()));
            self.diagnostics.push(error.hint("start it with `project: NAME`"));
            return (None, None);
        }
        self.unknown_keys(root, &SECTIONS);
        let name = match root.get("project") {
            Some(node) => self.diagnostics.take(yaml::decode(self.file, node)),
            None => {
                let error = Diagnostic::error("missing-field", self.file, "the key `project` is missing");
                self.diagnostics.push(error.hint("add `project: NAME`; keys and environments belong to it"));
                None
            }
        };
        let providers = self.section(root, "providers", Self::provider);
        let names: Vec<&str> = entries(root, "providers").iter().map(|(key, _)| key.text.as_str()).collect();
        let models = self.section(root, "models", |reader, _, node| {
            let known = reader.known_providers(node, &names);
            reader.model(node).filter(|_| known)
        });
        let mut environments = self.section(root, "environments", |reader, key, node| {
            reader.overridden_providers(node, &names);
            reader.environment(key, node)
        });
        if root.at(&["environments", DEV]).is_none()
            && let Ok(dev) = DEV.parse()
        {
            environments.insert(dev, Environment::default());
        }
        let telemetry = root.get("telemetry").filter(|node| !node.is_null());
        let telemetry = telemetry.and_then(|node| self.diagnostics.take(yaml::decode::<Telemetry>(self.file, node)));
        let telemetry = telemetry.unwrap_or_default();
        let behind = |alias: &str| models.get(alias).and_then(|model| identities(&providers, model));
        let aliases = entries(root, "models").iter().map(|(key, _)| (key.text.clone(), behind(&key.text))).collect();
        let project = name.map(|name| Project { name, providers, models, environments, telemetry });
        (project, Some(aliases))
    }

    /// Reads each entry of a section; entries that are wrong are told and left out.
    fn section<K: FromStr<Err = NameError> + Ord, V>(
        &mut self,
        root: &Node,
        section: &str,
        mut read: impl FnMut(&mut Self, &Key, &Node) -> Option<V>,
    ) -> BTreeMap<K, V> {
        if let Some(node) = root.get(section)
            && !node.is_mapping()
            && !node.is_null()
        {
            self.push("type", node.span, format!("`{section}` is a mapping of names, not {}", node.kind()));
        }
        let mut found = BTreeMap::new();
        for (key, node) in entries(root, section) {
            let name = key.text.parse::<K>().map_err(|error| self.push("name", key.span, error.to_string()));
            let value = read(self, key, node);
            if let (Ok(name), Some(value)) = (name, value) {
                found.insert(name, value);
            }
        }
        found
    }

    fn provider(&mut self, _: &Key, node: &Node) -> Option<Provider> {
        if !self.is_mapping(node, "a provider") {
            return None;
        }
        let node = self.without_raw_secret(node);
        let provider: Provider = self.diagnostics.take(yaml::decode(self.file, &node))?;
        let elsewhere = provider.base_url.as_ref().filter(|url| !url.is_below(provider.kind.own_host()));
        let place = |key: &str| node.get(key).map_or(node.span, |node| node.span);
        match (&provider.identity, elsewhere) {
            (None, Some(_)) => {
                let message = "an upstream that is not the provider's own must say whose models it serves";
                let error = self.error("missing-identity", place("base_url"), message).label("another address");
                let own = format!("or `identity: {}` if it only passes calls on", provider.kind);
                self.diagnostics.push(error.hint(format!("add `identity`, such as `identity: vllm/llama-3`, {own}")));
            }
            (Some(identity), _)
                if identity.is_empty() || identity.len() > 128 || identity.contains(char::is_whitespace) =>
            {
                self.push("identity", place("identity"), "an identity has 1 to 128 bytes and no white space");
            }
            (Some(identity), None) if identity != provider.kind.as_str() => {
                let message = format!("the provider's own address serves `{}`, nothing else", provider.kind);
                let error = self.error("identity", place("identity"), message);
                self.diagnostics.push(error.hint("leave `identity` out"));
            }
            (None | Some(_), _) => return Some(provider),
        }
        None
    }

    /// Tells a raw secret without repeating it, and returns the entry without it.
    fn without_raw_secret(&mut self, node: &Node) -> Node {
        let raw = |key: &Key, value: &Node| {
            let reference = value.as_str().is_some_and(|text| text.parse::<SecretRef>().is_ok());
            key.text == "api_key" && !reference && !value.is_null()
        };
        let mut kept = Vec::new();
        for (key, value) in node.entries() {
            if raw(key, value) {
                let message = "a secret must be a reference, never the secret itself";
                let error = self.error("raw-secret", value.span, message).hide_line();
                let error = error.hint("keep it outside and refer to it: `env:NAME` or `file:PATH`");
                self.diagnostics.push(error.hint("a secret that was committed must be replaced"));
            } else {
                kept.push((key.clone(), value.clone()));
            }
        }
        Node { value: Value::Mapping(kept), span: node.span }
    }

    fn model(&mut self, node: &Node) -> Option<Model> {
        if !self.is_mapping(node, "a model") {
            return None;
        }
        let Some(targets) = node.get("targets") else {
            let target = self.target(node)?;
            return Some(Model { targets: vec![target] });
        };
        self.unknown_keys(node, &["targets"]);
        if targets.items().is_empty() {
            let error = self.error("no-targets", targets.span, "a model needs at least one target");
            self.diagnostics.push(error.hint("write `targets: [{provider: NAME, model: MODEL}]`"));
            return None;
        }
        let read: Vec<Option<Target>> = targets.items().iter().map(|node| self.target(node)).collect();
        for (index, (target, node)) in read.iter().zip(targets.items()).enumerate() {
            let same = |other: &Option<Target>| match (other, target) {
                (Some(other), Some(target)) => other.provider == target.provider && other.model == target.model,
                _ => false,
            };
            if read.iter().take(index).any(same) {
                self.push("duplicate-target", node.span, "this target stands twice in one model");
            }
        }
        read.into_iter().collect::<Option<Vec<_>>>().map(|targets| Model { targets })
    }

    fn target(&mut self, node: &Node) -> Option<Target> {
        if !self.is_mapping(node, "a target") {
            return None;
        }
        let target: Target = self.diagnostics.take(yaml::decode(self.file, node))?;
        let place = |key: &str| node.get(key).map_or(node.span, |node| node.span);
        if target.model.trim().is_empty() {
            self.push("model", place("model"), "the upstream's name of a model is not empty");
            return None;
        }
        if target.timeout.is_zero() {
            self.push("timeout", place("timeout"), "a timeout is longer than nothing");
            return None;
        }
        Some(target)
    }

    fn known_providers(&mut self, model: &Node, providers: &[&str]) -> bool {
        let targets = model.get("targets").map_or(std::slice::from_ref(model), Node::items);
        let mut known = true;
        for node in targets.iter().filter_map(|target| target.get("provider")) {
            let Some(name) = node.as_str() else { continue };
            if !providers.contains(&name) {
                self.unknown_provider(node.span, name, providers);
                known = false;
            }
        }
        known
    }

    fn overridden_providers(&mut self, environment: &Node, providers: &[&str]) {
        for (key, node) in entries(environment, "providers") {
            if !providers.contains(&key.text.as_str()) {
                self.unknown_provider(key.span, &key.text, providers);
            }
            for (key, _) in
                node.entries().iter().filter(|(key, _)| matches!(key.text.as_str(), "kind" | "identity" | "model"))
            {
                let message = format!("an environment cannot change `{}` of a provider", key.text);
                let error = self.error("unknown-field", key.span, message);
                self.diagnostics.push(
                    error.hint(
                        "it may change `base_url`, `api_key` and `starts` only, so that what was tested is what is released",
                    ),
                );
            }
        }
    }

    fn unknown_provider(&mut self, span: Span, name: &str, providers: &[&str]) {
        let error = self.error("unknown-provider", span, format!("provider `{name}` is not declared"));
        let hint = match closest(name, providers.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None if providers.is_empty() => "declare it under `providers`".to_owned(),
            None => format!("declared are {}", quoted(providers)),
        };
        self.diagnostics.push(error.hint(hint));
    }

    fn environment(&mut self, key: &Key, node: &Node) -> Option<Environment> {
        if node.is_null() {
            return Some(Environment::default());
        }
        if !self.is_mapping(node, "an environment") {
            return None;
        }
        // The overrides are read one by one, so that each tells what is wrong with it.
        let providers: BTreeMap<ProviderName, EndpointOverride> = self.section(node, "providers", |reader, _, node| {
            if !reader.is_mapping(node, "an override of a provider") {
                return None;
            }
            let mut node = reader.without_raw_secret(node);
            if let Value::Mapping(entries) = &mut node.value {
                entries.retain(|(key, _)| !matches!(key.text.as_str(), "kind" | "identity" | "model"));
            }
            reader.diagnostics.take(yaml::decode(reader.file, &node))
        });
        let rest = node.entries().iter().filter(|(key, _)| key.text != "providers").cloned().collect();
        let rest = Node { value: Value::Mapping(rest), span: node.span };
        let environment: Environment = self.diagnostics.take(yaml::decode(self.file, &rest))?;
        if environment.policy.lacks_signers() {
            let span = node.at(&["policy", "suites"]).map_or(node.span, |node| node.span);
            let error = self.error("policy", span, "a policy that asks for suites names no signers");
            self.diagnostics.push(error.hint("a report counts where a key under `signers` signed it"));
        }
        if environment.source == Some(EnvironmentSource::Worktree) && key.text != DEV {
            let span = node.get("source").map_or(node.span, |node| node.span);
            let error = self.error("worktree", span, format!("only `{DEV}` is served from the working tree"));
            self.diagnostics.push(error.hint("use `cli` or `bundle`, so that every change is released"));
        }
        if let (RolloutPolicy::Guarded(plan), Some(node)) = (&environment.rollout, node.get("rollout")) {
            self.diagnostics.extend(check_plan(self.file, plan, node));
        }
        if let (Some((field, range)), Some(gate)) = (environment.gate.wrong(), node.get("gate")) {
            let span = gate.get(field).map_or(gate.span, |node| node.span);
            self.push("gate-policy", span, format!("`{field}` of a gate is {range}"));
        }
        Some(Environment { providers, ..environment })
    }

    fn unknown_keys(&mut self, node: &Node, known: &[&str]) {
        for (key, _) in node.entries().iter().filter(|(key, _)| !known.contains(&key.text.as_str())) {
            let error = self.error("unknown-field", key.span, format!("unknown key `{}`", key.text));
            let near = closest(&key.text, known.iter().copied());
            let near = near.map_or_else(String::new, |near| format!("did you mean `{near}`? "));
            self.diagnostics.push(error.label("not known here").hint(format!("{near}known here: {}", quoted(known))));
        }
    }

    fn is_mapping(&mut self, node: &Node, what: &str) -> bool {
        if !node.is_mapping() {
            // The value is not repeated: it may be a secret that was put one level too high.
            let error = self.error("type", node.span, format!("{what} is a mapping, not {}", node.kind()));
            self.diagnostics.push(error.hide_line());
        }
        node.is_mapping()
    }

    fn push(&mut self, code: &'static str, span: Span, message: impl Into<String>) {
        let error = self.error(code, span, message);
        self.diagnostics.push(error);
    }

    fn error(&self, code: &'static str, span: Span, message: impl Into<String>) -> Diagnostic {
        Diagnostic::error(code, self.file, message).at(span)
    }
}

/// Checks a rollout plan that stands at `node`; the place is that of the field that is wrong.
pub(crate) fn check_plan(file: &str, plan: &Plan, node: &Node) -> Option<Diagnostic> {
    let error = plan.validate().err()?;
    let field = match &error {
        PlanError::StageCount(_) | PlanError::StageShare(_) | PlanError::StageOrder { .. } => "stages",
        PlanError::Range { field, .. } | PlanError::Duration { field, .. } => field,
    };
    let path: Vec<&str> = field.split('.').collect();
    let span = node.at(&path).map_or(node.span, |node| node.span);
    Some(Diagnostic::error("rollout-plan", file, error.to_string()).at(span))
}

/// Returns names for a message: `a`, `b`.
pub(crate) fn quoted(names: &[&str]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

fn entries<'a>(node: &'a Node, section: &str) -> &'a [(Key, Node)] {
    node.get(section).map_or(&[], Node::entries)
}
