//! From the models that a suite names to ways through the gateway: an alias of the project, or `KIND:MODEL` in promptfoo's words at the
//! provider that the project declares for that kind.

use std::collections::BTreeMap;

use bowline_prompt::{Model, Project, ProviderKind, Target, Version};
use bowline_types::{EnvironmentName, ModelAlias, ProviderName, closest};

use super::caller::{Endpoint, Way};
use crate::failure::{Failure, Result};
use crate::wording::quoted;

/// The models of a run: those of the project, and those that suites name by kind.
pub(super) struct Models<'a> {
    environment: &'a EnvironmentName,
    /// The project with an alias for each model that a suite names by kind.
    pub(super) project: Project,
    named: BTreeMap<String, ModelAlias>,
}

/// A model that can be called.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Routed {
    /// What a call names.
    pub(super) alias: ModelAlias,
    /// Where it goes.
    pub(super) way: Way,
    /// The kind of the provider and its own name of the model, which have a price or none.
    pub(super) priced_as: (String, String),
}

/// How long a call may take to a model that a suite names by kind, as for an alias.
const TIMEOUT: std::time::Duration = std::time::Duration::from_secs(60);

// === impl Models ===

impl<'a> Models<'a> {
    /// Returns the models of a project, as `environment` reaches them.
    pub(super) fn new(project: &Project, environment: &'a EnvironmentName) -> Self {
        Self { environment, project: project.clone(), named: BTreeMap::new() }
    }

    /// Returns the model that a suite calls `id`.
    ///
    /// # Errors
    /// No alias and no provider of the project fits.
    pub(super) fn find(&mut self, id: &str) -> Result<Routed> {
        if let Some(alias) = ModelAlias::new(id).ok().filter(|alias| self.project.models.contains_key(alias)) {
            return self.routed(alias);
        }
        if let Some(alias) = self.named.get(id).cloned() {
            return self.routed(alias);
        }
        let (kind, model) = self.parse(id)?;
        let provider = self.provider(id, kind)?;
        let target = Target { provider, model: model.to_owned(), timeout: TIMEOUT };
        let alias = self.free_alias()?;
        self.project.models.insert(alias.clone(), Model { targets: vec![target] });
        self.named.insert(id.to_owned(), alias.clone());
        self.routed(alias)
    }

    /// Returns the way of calls to a version.
    ///
    /// # Errors
    /// No provider serves its model in this environment.
    pub(super) fn of_version(&self, version: &Version) -> Result<(Way, (String, String))> {
        let identities = &version.model.identities;
        let first = identities.first();
        let of_alias = self.project.models.get(&version.model.alias);
        let mut targets = of_alias.into_iter().chain(self.project.models.values()).flat_map(|model| &model.targets);
        let found = first.and_then(|identity| {
            targets
                .find(|target| self.project.identity(target).is_some_and(|served| served.provider == identity.provider))
        });
        let (Some(identity), Some(target)) = (first, found) else {
            let wanted = first.map_or_else(|| version.model.alias.to_string(), ToString::to_string);
            let hint = "hint: `models` of bowline.yaml must name a provider of it";
            return Err(Failure::user(format!("no provider of the project serves {wanted}\n{hint}")));
        };
        let way = self.way(&target.provider, &identity.to_string());
        Ok((way, (identity.provider.clone(), identity.model.clone())))
    }

    fn routed(&self, alias: ModelAlias) -> Result<Routed> {
        let target = self.project.models.get(&alias).and_then(|model| model.targets.first());
        let identity = target.and_then(|target| self.project.identity(target));
        let (Some(target), Some(identity)) = (target, identity) else {
            return Err(Failure::user(format!("model `{alias}` has no provider\nhint: see `models` in bowline.yaml")));
        };
        let way = self.way(&target.provider, &identity.to_string());
        Ok(Routed { alias, way, priced_as: (identity.provider, identity.model) })
    }

    fn way(&self, provider: &ProviderName, identity: &str) -> Way {
        let found = self.project.provider_in(self.environment, provider);
        let address =
            found.and_then(|provider| provider.base_url).map_or_else(String::new, |url| url.as_str().to_owned());
        Way {
            provider: provider.clone(),
            identity: format!("{identity} {address}"),
            endpoint: Endpoint::Chat,
            fresh: false,
        }
    }

    /// Reads an id in promptfoo's words.
    fn parse<'i>(&self, id: &'i str) -> Result<(ProviderKind, &'i str)> {
        let mut parts = id.splitn(3, ':');
        let (kind, rest) = (parts.next().unwrap_or_default(), (parts.next(), parts.next()));
        let known = |kind, forms: &[&str]| match rest {
            (Some(form), Some(model)) if forms.contains(&form) => Some((kind, model)),
            (Some(model), None) if !forms.contains(&model) => Some((kind, model)),
            _ => None,
        };
        let found = match kind {
            "openai" => known(ProviderKind::OpenAi, &["chat", "embedding"]),
            "anthropic" => known(ProviderKind::Anthropic, &["messages"]),
            "google" | "gemini" => known(ProviderKind::Gemini, &[]),
            _ => None,
        };
        if let Some((kind, model)) = found.filter(|(_, model)| !model.is_empty()) {
            return Ok((kind, model));
        }
        let aliases = self.project.models.keys().map(ModelAlias::as_str);
        let near = closest(id, aliases.clone()).map_or_else(String::new, |near| format!("; did you mean `{near}`?"));
        let declared = quoted(aliases);
        let declared = if declared.is_empty() { "no models".to_owned() } else { declared };
        let hint = format!("hint: bowline.yaml declares {declared}{near}");
        let forms = "hint: other models are named `openai:chat:MODEL`, `anthropic:messages:MODEL` or `google:MODEL`";
        Err(Failure::user(format!("there is no model `{id}`\n{hint}\n{forms}")))
    }

    /// Returns the provider of a kind: the only one, else the one that is the provider's own.
    fn provider(&self, id: &str, kind: ProviderKind) -> Result<ProviderName> {
        let of_kind: Vec<_> = self.project.providers.iter().filter(|(_, provider)| provider.kind == kind).collect();
        let own: Vec<_> = of_kind.iter().filter(|(_, provider)| provider.identity() == kind.as_str()).collect();
        match (of_kind.as_slice(), own.as_slice()) {
            ([(name, _)], _) | (_, [(name, _)]) => Ok((*name).clone()),
            ([], _) => {
                let hint = format!(
                    "hint: declare one under `providers` of bowline.yaml, such as `{kind}: {{ kind: {kind} }}`"
                );
                Err(Failure::user(format!(
                    "the project has no provider of the kind `{kind}` for the model `{id}`\n{hint}"
                )))
            }
            (several, _) => {
                let names = quoted(several.iter().map(|(name, _)| name.as_str()));
                let hint = "hint: declare an alias under `models` of bowline.yaml, and name that in the suite";
                Err(Failure::user(format!("the model `{id}` could be asked of {names}\n{hint}")))
            }
        }
    }

    fn free_alias(&self) -> Result<ModelAlias> {
        let mut names = (0..).map(|number| format!("bowline-test/{number}"));
        let free = names.find(|name| !self.project.models.contains_key(name.as_str()));
        Ok(ModelAlias::new(free.unwrap_or_default()).map_err(anyhow::Error::from)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROJECT: &str = "
project: desk
providers:
  openai: { kind: openai }
  own: { kind: openai, base_url: http://127.0.0.1:1/v1, identity: test/llm }
  a: { kind: anthropic, base_url: http://127.0.0.1:1, identity: x }
  b: { kind: anthropic, base_url: http://127.0.0.1:2, identity: y }
models: { fast: { provider: own, model: tiny } }
environments: { dev: { providers: { openai: { base_url: http://127.0.0.1:9/v1 } } } }
";

    fn check(id: &str, expected: std::result::Result<(&str, &str), &str>) {
        let project = Project::parse("bowline.yaml", PROJECT).unwrap();
        let dev = "dev".parse().unwrap();
        let found = Models::new(&project, &dev).find(id);
        match (found, expected) {
            (Ok(routed), Ok((provider, identity))) => {
                assert_eq!((routed.way.provider.as_str(), routed.way.identity.as_str()), (provider, identity), "{id}");
            }
            (Err(failure), Err(message)) => assert!(failure.message().starts_with(message), "{}", failure.message()),
            (found, expected) => assert!(found.is_ok() == expected.is_ok(), "{id}: {found:?}"),
        }
    }

    #[test]
    fn models_are_found_at_providers_of_the_project() {
        check("fast", Ok(("own", "test/llm/tiny http://127.0.0.1:1/v1")));
        check("openai:gpt-5-mini", Ok(("openai", "openai/gpt-5-mini http://127.0.0.1:9/v1")));
        check("openai:chat:gpt-5-mini", Ok(("openai", "openai/gpt-5-mini http://127.0.0.1:9/v1")));
        check("openai:responses:gpt-5", Err("there is no model `openai:responses:gpt-5`"));
        check("openai:chat", Err("there is no model `openai:chat`"));
        check("google:gemini-2.5-flash", Err("the project has no provider of the kind `gemini`"));
        check("anthropic:messages:claude", Err("the model `anthropic:messages:claude` could be asked of `a` and `b`"));
        check("fasst", Err("there is no model `fasst`\nhint: bowline.yaml declares `fast`; did you mean `fast`?"));
    }
}
