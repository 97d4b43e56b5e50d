//! Keys, and what was recorded of the calls they made.

use bowline_store::{InferenceFilter, InferenceRecord, KeyRecord, Write};
use bowline_types::{ApiKey, InferenceId, KeyId, ProjectName};

use super::Control;
use crate::error::{Error, Result};
use crate::wire::{InferenceView, KeyRequest, KeyResponse};

impl Control {
    /// Makes a virtual key. The answer is the only place where it is ever shown.
    ///
    /// # Errors
    /// Says that an environment does not exist.
    pub async fn key_create(&self, project: &ProjectName, request: KeyRequest) -> Result<KeyResponse> {
        // So that no environment is removed between the look and the key.
        let mut turn = self.shared.turn.lock().await;
        let running = self.running(project).await?;
        for environment in request.environments.iter().chain([&request.environment]) {
            running.environment(environment)?;
        }
        let key = ApiKey::generate().map_err(|error| Error::Randomness(Box::new(error)))?;
        let now = self.now();
        let record = KeyRecord {
            id: KeyId::generate(now),
            hash: key.hash(),
            name: request.name,
            project: project.clone(),
            environment: request.environment,
            environments: request.environments,
            versions: request.versions,
            created_at: now,
            revoked_at: None,
        };
        self.commit(&mut turn, vec![Write::KeyPut(record.clone())]).await?;
        Ok(KeyResponse { key: key.expose().to_owned(), record })
    }

    /// Lists the keys of a project, revoked ones included.
    ///
    /// # Errors
    /// Fails where the store does.
    pub async fn key_list(&self, project: &ProjectName) -> Result<Vec<KeyRecord>> {
        Ok(self.shared.store.key_list(project.clone()).await?)
    }

    /// Revokes a key.
    ///
    /// # Errors
    /// Says that the project has no such key.
    pub async fn key_revoke(&self, project: &ProjectName, id: KeyId) -> Result<()> {
        if !self.key_list(project).await?.iter().any(|key| key.id == id) {
            return Err(Error::NotFound { noun: "key", name: id.to_string(), hint: "`bowline key list` shows them" });
        }
        let mut turn = self.shared.turn.lock().await;
        self.commit(&mut turn, vec![Write::KeyRevoke { id, at: self.now() }]).await?;
        self.shared.changes.tell([project.clone()]);
        Ok(())
    }

    /// Lists inferences.
    ///
    /// # Errors
    /// Fails where the store does.
    pub async fn inference_list(&self, project: &ProjectName, filter: InferenceFilter) -> Result<Vec<InferenceRecord>> {
        Ok(self.shared.store.inference_list(InferenceFilter { project: Some(project.clone()), ..filter }).await?)
    }

    /// Fetches an inference with its outcomes.
    ///
    /// # Errors
    /// Says that the project has no such inference.
    pub async fn inference_view(&self, project: &ProjectName, id: InferenceId) -> Result<InferenceView> {
        let inference = self.shared.store.inference_fetch(id).await?.filter(|record| record.project == *project);
        let inference = inference.ok_or_else(|| Error::NotFound {
            noun: "inference",
            name: id.to_string(),
            hint: "`bowline inference list` shows the newest",
        })?;
        let outcomes = self.shared.store.outcome_list(id).await?;
        Ok(InferenceView { inference, outcomes })
    }
}
