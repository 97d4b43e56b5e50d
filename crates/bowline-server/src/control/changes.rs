//! That something of a project has changed, for those who wait for it. What has changed they read where it is.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bowline_store::Write;
use bowline_types::{ProjectName, Timestamp};
use tokio::sync::{Semaphore, watch};

use super::Control;
use crate::error::{Error, Result};

/// Callers that wait at the same time, over all projects; one more is refused.
const WAITERS_MAX: usize = 256;
/// The longest wait of one call; a longer one is cut to this.
const WAIT_MAX: Duration = Duration::from_secs(30);

/// A number for each project, another one after each change.
///
/// It lives in memory: numbers begin at the time of the start, so that one of an earlier process is not the present one. Only changes take
/// the lock, never records of calls.
pub(crate) struct Changes {
    first: u64,
    projects: Mutex<BTreeMap<ProjectName, watch::Sender<u64>>>,
    waiters: Semaphore,
}

// === impl Changes ===

impl Changes {
    /// Begins to count, at the time of the start.
    pub(crate) fn new(started_at: Timestamp) -> Self {
        let first = u64::try_from(started_at.as_micros()).unwrap_or_default();
        Self { first, projects: Mutex::default(), waiters: Semaphore::new(WAITERS_MAX) }
    }

    /// Wakes those who wait for the projects of some writes.
    pub(crate) fn tell(&self, projects: impl IntoIterator<Item = ProjectName>) {
        let known = self.projects.lock().unwrap_or_else(PoisonError::into_inner);
        for project in projects {
            // Where nobody has asked yet, nobody knows a number that would have to be another one now.
            if let Some(number) = known.get(&project) {
                number.send_modify(|number| *number += 1);
            }
        }
    }

    fn subscribe(&self, project: &ProjectName) -> watch::Receiver<u64> {
        let mut known = self.projects.lock().unwrap_or_else(PoisonError::into_inner);
        known.entry(project.clone()).or_insert_with(|| watch::Sender::new(self.first)).subscribe()
    }
}

/// Returns the projects that writes change something of: a configuration, an environment, a pointer, a rollout or a key. Observations come with
/// their rollout; records of calls are no change.
pub(super) fn projects(writes: &[Write]) -> Vec<ProjectName> {
    let mut found: Vec<ProjectName> = writes.iter().filter_map(project).cloned().collect();
    found.sort_unstable();
    found.dedup();
    found
}

fn project(write: &Write) -> Option<&ProjectName> {
    match write {
        Write::ProjectPut(record) => Some(&record.project),
        Write::EnvironmentPut(record) => Some(&record.scope.project),
        Write::PointerPut { pointer, .. } => Some(&pointer.scope.project),
        Write::PointerRemove { scope, .. } | Write::QuarantineRemove { scope, .. } => Some(&scope.project),
        Write::LogAppend(row) => Some(&row.scope.project),
        Write::RolloutPut { rollout, .. } => Some(&rollout.scope.project),
        Write::QuarantinePut(record) => Some(&record.scope.project),
        Write::KeyPut(key) => Some(&key.project),
        // Who revokes a key knows its project, and tells it.
        Write::KeyRevoke { .. }
        | Write::VersionPut(_)
        | Write::RegistrationPut(_)
        | Write::ObservationAppend(_)
        | Write::InferencePut(_)
        | Write::OutcomePut(_)
        | Write::LossPut(_) => None,
    }
}

impl Control {
    /// Returns the number of a project: at once where it is another than `after`, else once it has changed, at the latest after `wait`, of
    /// which [`WAIT_MAX`] is the most. Numbers are compared for being equal and for nothing else.
    ///
    /// # Errors
    /// Says that the project does not exist, or that too many wait.
    pub async fn changes(&self, project: &ProjectName, after: Option<u64>, wait: Duration) -> Result<u64> {
        let changes = &self.shared.changes;
        if self.shared.store.project_fetch(project.clone()).await?.is_none() {
            return Err(Error::project_unknown(project));
        }
        let mut number = changes.subscribe(project);
        let present = *number.borrow();
        if after != Some(present) || wait.is_zero() {
            return Ok(present);
        }
        let Ok(_permit) = changes.waiters.try_acquire() else { return Err(Error::TooManyWait(WAITERS_MAX)) };
        let changed = tokio::time::timeout(wait.min(WAIT_MAX), number.wait_for(|number| *number != present)).await;
        // Nothing came, or there is nobody left who could tell.
        Ok(changed.ok().and_then(|found| found.ok().map(|number| *number)).unwrap_or(present))
    }
}
