use bowline_canary::Plan;
use bowline_prompt::{Environment, EnvironmentSource, Project, RolloutPolicy};
use bowline_registry::{Policy, Source, overlay};
use bowline_store::EnvironmentRecord;
use bowline_types::{EnvironmentName, ProjectName, closest};
use serde_json::Value;

use crate::error::{Error, Result};

/// The running configuration of a project, as the control role reads it.
pub(crate) struct Running(Project);

/// What an environment declares.
pub(crate) struct Declared<'a> {
    pub(crate) source: Source,
    pub(crate) protected: bool,
    environment: &'a Environment,
}

// === impl Running ===

impl Running {
    /// Reads a stored or received configuration.
    pub(crate) fn decode(config: Value) -> Result<Self> {
        serde_json::from_value(config).map(Self).map_err(|source| Error::Document { field: "config", source })
    }

    /// Adds the environments that are there for a time only.
    pub(crate) fn with(mut self, records: &[EnvironmentRecord]) -> Self {
        overlay(&mut self.0, records);
        self
    }

    /// Returns the project, with all environments.
    pub(crate) const fn project(&self) -> &Project {
        &self.0
    }

    /// Refuses the configuration of another project.
    pub(crate) fn refuse_other(&self, project: &ProjectName) -> Result<()> {
        if self.0.name == *project {
            return Ok(());
        }
        Err(Error::Invalid(format!("the configuration is of project `{}`, not of `{project}`", self.0.name)))
    }

    /// Lists the environments.
    pub(crate) fn environments(&self) -> Vec<EnvironmentName> {
        self.0.environments.keys().cloned().collect()
    }

    /// Returns what an environment declares.
    pub(crate) fn environment(&self, name: &EnvironmentName) -> Result<Declared<'_>> {
        let unknown = || {
            let declared = self.environments();
            let near = closest(name.as_str(), declared.iter().map(EnvironmentName::as_str));
            let near = near.map_or_else(String::new, |near| format!("; did you mean `{near}`?"));
            let declared = declared.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ") + &near;
            bowline_registry::Error::EnvironmentUnknown { environment: name.clone(), declared }
        };
        let environment = self.0.environments.get(name).ok_or_else(unknown)?;
        let source = match self.0.source(name) {
            Some(EnvironmentSource::Worktree) => Source::Worktree,
            Some(EnvironmentSource::Bundle) => Source::Bundle,
            Some(EnvironmentSource::Cli) | None => Source::Cli,
        };
        Ok(Declared { source, protected: environment.protected, environment })
    }
}

// === impl Declared ===

impl Declared<'_> {
    /// Returns how a pointer moves, with the plan of the prompt's own front matter before that of the environment.
    pub(crate) fn policy(&self, of_prompt: Option<&Plan>) -> Policy {
        self.environment.plan(of_prompt).map_or(Policy::Direct, |plan| Policy::Guarded(Box::new(plan)))
    }

    /// Returns `direct` or `guarded`.
    pub(crate) fn policy_word(&self) -> &'static str {
        match self.environment.rollout {
            RolloutPolicy::Direct => "direct",
            RolloutPolicy::Guarded(_) => "guarded",
        }
    }
}
