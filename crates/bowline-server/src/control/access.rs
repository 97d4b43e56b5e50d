//! Keys, and what was recorded of the calls they made.

use bowline_store::{InferenceFilter, InferenceRecord, KeyRecord, Write};
use bowline_types::{ApiKey, ApiKeyHash, InferenceId, KeyId, ProjectName, Subject};

use super::Control;
use crate::error::{Error, Result};
use crate::wire::{InferenceView, KeyRequest, KeyResponse};

impl Control {
    /// Makes a virtual key. The answer is the only place where it is ever shown.
    ///
    /// # Errors
    /// Says that an environment does not exist, or that the key is to replace another one.
    pub async fn key_create(&self, project: &ProjectName, request: KeyRequest) -> Result<KeyResponse> {
        if request.replaces.is_some() {
            let message = "`replaces` is for the key of a subject\nhint: make the new key, hand it out, and revoke the other one then";
            return Err(Error::Invalid(message.to_owned()));
        }
        let key = ApiKey::generate().map_err(|error| Error::Randomness(Box::new(error)))?;
        let record = self.key_put(project, KeyRequest { subject: None, ..request }, |_| key.hash()).await?;
        Ok(KeyResponse { key: key.expose().to_owned(), record })
    }

    /// Makes a key of a subject: whoever proves to a gateway to be it has this key, and there is no secret.
    ///
    /// # Errors
    /// Says that an environment does not exist, or that the subject has a key that works, in this project or in another one, and is not the one
    /// that this one replaces.
    pub async fn subject_create(
        &self,
        project: &ProjectName,
        request: KeyRequest,
        subject: &Subject,
    ) -> Result<KeyRecord> {
        let request = KeyRequest { subject: Some(subject.clone()), ..request };
        self.key_put(project, request, |id| ApiKeyHash::of_subject(id, subject)).await
    }

    async fn key_put(
        &self,
        project: &ProjectName,
        request: KeyRequest,
        hash: impl FnOnce(KeyId) -> ApiKeyHash,
    ) -> Result<KeyRecord> {
        // So that no environment is removed between the look and the key, and no subject gets two.
        let mut turn = self.shared.turn.lock().await;
        let running = self.running(project).await?;
        for environment in request.environments.iter().chain([&request.environment]) {
            running.environment(environment)?;
        }
        let replaced = match &request.subject {
            Some(subject) => self.replaced(project, subject, request.replaces).await?,
            None => None,
        };
        let now = self.now();
        let id = KeyId::generate(now);
        let record = KeyRecord {
            id,
            hash: hash(id),
            subject: request.subject,
            name: request.name,
            project: project.clone(),
            environment: request.environment,
            environments: request.environments,
            versions: request.versions,
            created_at: now,
            revoked_at: None,
        };
        let revoke = replaced.map(|id| Write::KeyRevoke { id, at: now });
        self.commit(&mut turn, revoke.into_iter().chain([Write::KeyPut(record.clone())]).collect()).await?;
        Ok(record)
    }

    /// Returns the key that goes when this subject gets another. A caller must be of one project only, so any other key is in the way.
    async fn replaced(&self, own: &ProjectName, subject: &Subject, replaces: Option<KeyId>) -> Result<Option<KeyId>> {
        let mut replaced = None;
        for project in self.project_list().await? {
            let keys = self.key_list(&project).await?.into_iter();
            for key in keys.filter(|key| key.revoked_at.is_none() && key.subject.as_ref() == Some(subject)) {
                if project != *own || Some(key.id) != replaces {
                    return Err(Error::SubjectTaken { subject: subject.clone(), key: key.id, project });
                }
                replaced = Some(key.id);
            }
        }
        Ok(replaced)
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
