//! Projects and their environments: what is live, and what a person moves back or freezes.

use bowline_registry::{EnvironmentState, FreezeRequest, Rollback, freeze, rollback, unfreeze};
use bowline_store::{LIST_ROWS_MAX, LogFilter, LogRow, ProjectRecord, SummaryFilter, SummaryRow, Write};
use bowline_types::{EnvironmentName, ProjectName, PromptName, Scope};

use super::Control;
use crate::config::Running;
use crate::error::Result;
use crate::wire::{ActionRequest, EnvironmentView, RollbackRequest, RollbackResponse};

impl Control {
    /// Lists the projects.
    ///
    /// # Errors
    /// Fails where the store does.
    pub async fn project_list(&self) -> Result<Vec<ProjectName>> {
        Ok(self.shared.store.project_list().await?.into_iter().map(|record| record.project).collect())
    }

    /// Sets the running configuration of a project, without moving anything.
    ///
    /// # Errors
    /// Refuses a configuration that cannot be read.
    pub async fn project_put(&self, project: &ProjectName, config: serde_json::Value) -> Result<()> {
        Running::decode(config.clone())?.refuse_other(project)?;
        let mut turn = self.shared.turn.lock().await;
        let record = ProjectRecord { project: project.clone(), config, updated_at: self.now() };
        self.commit(&mut turn, vec![Write::ProjectPut(record)]).await
    }

    /// Lists the environments of a project with what is live in them.
    ///
    /// # Errors
    /// Says that the project does not exist.
    pub async fn environment_list(&self, project: &ProjectName) -> Result<Vec<EnvironmentView>> {
        let running = self.running(project).await?;
        let mut views = Vec::new();
        for environment in running.environments() {
            views.push(self.environment_view(&running, project, environment).await?);
        }
        Ok(views)
    }

    async fn environment_view(
        &self,
        running: &Running,
        project: &ProjectName,
        environment: EnvironmentName,
    ) -> Result<EnvironmentView> {
        let scope = Scope { project: project.clone(), environment: environment.clone() };
        let declared = running.environment(&environment)?;
        let state = EnvironmentState::load(self.shared.store.as_ref(), scope.clone()).await?;
        Ok(EnvironmentView {
            source: declared.source,
            protected: declared.protected,
            policy: declared.policy_word().to_owned(),
            state: self.shared.store.environment_fetch(scope).await?,
            pointers: state.pointers.into_values().collect(),
            rollouts: state.rollouts.into_values().collect(),
            quarantine: state.quarantine,
            environment,
        })
    }

    /// Lists the pointer log of an environment, newest first.
    ///
    /// The log of an environment that was removed is still there.
    ///
    /// # Errors
    /// Says that the environment never existed.
    pub async fn log_list(
        &self,
        project: &ProjectName,
        environment: &EnvironmentName,
        prompt: Option<PromptName>,
        before: Option<u64>,
        limit: u32,
    ) -> Result<Vec<LogRow>> {
        let scope = match self.scope(project, environment).await {
            Ok(scope) => scope,
            Err(error) => {
                let scope = Scope { project: project.clone(), environment: environment.clone() };
                let known = self.shared.store.environment_fetch(scope.clone()).await?;
                known.ok_or(error).map(|_| scope)?
            }
        };
        Ok(self.shared.store.log_list(LogFilter { scope, prompt, before, limit }).await?)
    }

    /// Summarises the inferences of an environment.
    ///
    /// # Errors
    /// Says that the environment does not exist.
    pub async fn summary_list(&self, project: &ProjectName, environment: &EnvironmentName) -> Result<Vec<SummaryRow>> {
        let scope = self.scope(project, environment).await?;
        let filter = SummaryFilter { scope, prompt: None, rollout: None, since: None };
        Ok(self.shared.store.summary_list(filter).await?)
    }

    /// Moves a pointer back at once.
    ///
    /// # Errors
    /// Says that the prompt or the version has never been here.
    pub async fn rollback(
        &self,
        project: &ProjectName,
        environment: &EnvironmentName,
        request: RollbackRequest,
    ) -> Result<RollbackResponse> {
        let scope = self.scope(project, environment).await?;
        let mut turn = self.shared.turn.lock().await;
        let state = EnvironmentState::load(self.shared.store.as_ref(), scope.clone()).await?;
        let filter = LogFilter { scope, prompt: Some(request.prompt.clone()), before: None, limit: LIST_ROWS_MAX };
        let history = self.shared.store.log_list(filter).await?;
        let RollbackRequest { prompt, to, actor, why } = request;
        let (writes, version) = rollback(&state, &Rollback { prompt, to, actor, why }, &history, self.now())?;
        self.commit(&mut turn, writes).await?;
        Ok(RollbackResponse { version })
    }

    /// Freezes an environment, or lifts a freeze.
    ///
    /// # Errors
    /// Says that the environment does not exist.
    pub async fn freeze(
        &self,
        project: &ProjectName,
        environment: &EnvironmentName,
        request: ActionRequest,
    ) -> Result<()> {
        let scope = self.scope(project, environment).await?;
        let ActionRequest { actor, why, off } = request;
        let request = FreezeRequest { actor, why };
        let mut turn = self.shared.turn.lock().await;
        let now = self.now();
        let state = EnvironmentState::load(self.shared.store.as_ref(), scope).await?;
        let writes = if off { unfreeze(&state, &request, now) } else { freeze(&state, request, now) };
        self.commit(&mut turn, writes).await
    }
}
