//! Environments that are there for a time only.

use bowline_registry::{EnvironmentState, NewEnvironment, create, next_expiry, remove};
use bowline_store::{EnvironmentRecord, Write};
use bowline_types::{EnvironmentName, ProjectName, Scope, Timestamp};
use tracing::info;

use super::{Control, Turn};
use crate::error::{Error, Result};
use crate::wire::{ActionRequest, EnvironmentRequest};

/// Who removes what has had its time.
const BOWLINE: &str = "bowline";

impl Control {
    /// Makes an environment that is there for a time only, with the versions that are live in another one.
    ///
    /// # Errors
    /// Refuses a name that is taken, an origin that does not exist, and a life that is too short or too long.
    pub async fn environment_create(
        &self,
        project: &ProjectName,
        request: EnvironmentRequest,
    ) -> Result<EnvironmentRecord> {
        let EnvironmentRequest { name, from, ttl, actor } = request;
        let from = self.scope(project, &from).await?;
        let mut turn = self.shared.turn.lock().await;
        let running = self.running(project).await?;
        let records = self.shared.store.environment_list(project.clone()).await?;
        let state = EnvironmentState::load(self.shared.store.as_ref(), from).await?;
        let request = NewEnvironment { name: name.clone(), ttl, actor };
        let writes = create(&state, &request, running.project(), &records, self.now())?;
        self.commit(&mut turn, writes).await?;
        let scope = Scope { project: project.clone(), environment: name };
        let made = self.shared.store.environment_fetch(scope.clone()).await?;
        made.ok_or_else(|| Error::NotFound {
            noun: "environment",
            name: scope.environment.to_string(),
            hint: "it was removed at the same moment",
        })
    }

    /// Removes an environment that is there for a time only, and revokes the keys whose own environment it is.
    ///
    /// # Errors
    /// Refuses one that the project file declares, or that does not exist.
    pub async fn environment_remove(
        &self,
        project: &ProjectName,
        environment: &EnvironmentName,
        request: ActionRequest,
    ) -> Result<()> {
        let scope = self.scope(project, environment).await?;
        let mut turn = self.shared.turn.lock().await;
        self.removed(&mut turn, scope, &request.actor, &request.why).await
    }

    /// Removes the environments whose time is over.
    pub(super) async fn expire(&self, turn: &mut Turn) -> Result<()> {
        for project in self.shared.store.project_list().await? {
            for record in self.shared.store.environment_list(project.project).await? {
                let over = record.temporary.is_some_and(|temporary| temporary.expires_at <= self.now());
                if over {
                    info!(environment = %record.scope.environment, "a temporary environment has had its time");
                    self.removed(turn, record.scope, BOWLINE, "its time is over").await?;
                }
            }
        }
        Ok(())
    }

    /// Returns when the first temporary environment is to be removed.
    pub(super) async fn expiry(&self) -> Result<Option<Timestamp>> {
        let mut first = None;
        for project in self.shared.store.project_list().await? {
            let next = next_expiry(&self.shared.store.environment_list(project.project).await?);
            first = [first, next].into_iter().flatten().min();
        }
        Ok(first)
    }

    async fn removed(&self, turn: &mut Turn, scope: Scope, actor: &str, why: &str) -> Result<()> {
        let state = EnvironmentState::load(self.shared.store.as_ref(), scope.clone()).await?;
        let at = self.now();
        let mut writes = remove(&state, actor, why, at)?;
        // The next environment of that name is another one, and not for those who had keys to this one.
        let keys = self.shared.store.key_list(scope.project.clone()).await?.into_iter();
        let keys = keys.filter(|key| key.environment == scope.environment && key.revoked_at.is_none());
        writes.extend(keys.map(|key| Write::KeyRevoke { id: key.id, at }));
        self.commit(turn, writes).await
    }
}
