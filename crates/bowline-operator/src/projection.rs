//! Projections: what the control role knows, as objects for `kubectl`, RBAC and whoever watches. Nobody else writes them, and nothing
//! is decided by them.

mod known;
mod lever;
mod project;
mod prompt;
mod prune;
mod rollout;
mod version;
pub(crate) mod view;
mod watch;
mod write;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bowline_types::{ProjectName, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use tokio::sync::Notify;

use crate::event::Reason;
use known::{Known, Projected};
use view::View;

pub(crate) use project::run;
pub(crate) use watch::follow;

/// How long projections wait at most until everything that is there was listed, before they are written for the first time.
const LISTED_WAIT: Duration = Duration::from_secs(10);

/// What is known of projections, by namespace.
#[derive(Default)]
pub(crate) struct Projections {
    spaces: Mutex<BTreeMap<String, Arc<Space>>>,
    /// Lists of kinds that are complete.
    listed: AtomicUsize,
    listed_more: Notify,
    /// That there is another namespace to project to.
    more: Notify,
}

/// The projections of one namespace.
#[derive(Default)]
pub(crate) struct Space {
    known: Mutex<Known>,
    view: Mutex<Option<Arc<View>>>,
    /// The project, once a PromptBundle of the namespace asks for projections.
    project: Mutex<Option<ProjectName>>,
    nudge: Notify,
}

/// What projections are computed from.
struct Setting<'a> {
    project: &'a ProjectName,
    namespace: &'a str,
    view: &'a View,
    now: Timestamp,
}

/// A projection as it should be.
struct Desired<K: Projected> {
    name: String,
    owners: Vec<OwnerReference>,
    /// To make it; `None` where too little is known of it to make one that is not there.
    object: Option<K>,
    status: K::Status,
    /// What is told about it.
    news: Vec<(Reason, String)>,
}

// === impl Projections ===

impl Projections {
    /// Returns the projections of a namespace.
    pub(crate) fn space(&self, namespace: &str) -> Arc<Space> {
        Arc::clone(locked(&self.spaces).entry(namespace.to_owned()).or_default())
    }

    /// Has the projections of a namespace written from now on.
    pub(crate) fn want(&self, namespace: &str, project: &ProjectName) {
        let space = self.space(namespace);
        let before = locked(&space.project).replace(project.clone());
        if before.as_ref() == Some(project) {
            return;
        }
        space.nudge.notify_one();
        self.more.notify_one();
    }

    /// Has them no longer written.
    pub(crate) fn leave(&self, namespace: &str) {
        let space = self.space(namespace);
        locked(&space.project).take();
        locked(&space.view).take();
        space.nudge.notify_one();
    }

    /// Has the projections of a namespace looked at now.
    pub(crate) fn nudge(&self, namespace: &str) {
        self.space(namespace).nudge.notify_one();
    }

    /// Keeps what the control role said to somebody else.
    pub(crate) fn saw(&self, namespace: &str, view: &Arc<View>) {
        let space = self.space(namespace);
        *locked(&space.view) = Some(Arc::clone(view));
    }

    /// Returns what the control role last said of the project of a namespace.
    pub(crate) fn view(&self, namespace: &str) -> Option<Arc<View>> {
        locked(&self.space(namespace).view).clone()
    }

    /// Returns the namespaces whose projections are wanted.
    fn wanted(&self) -> Vec<(String, ProjectName)> {
        let spaces = locked(&self.spaces);
        let wanted =
            spaces.iter().filter_map(|(namespace, space)| Some((namespace.clone(), locked(&space.project).clone()?)));
        wanted.collect()
    }

    fn list_done(&self) {
        self.listed.fetch_add(1, Ordering::Relaxed);
        self.listed_more.notify_waiters();
    }

    /// Waits until so many lists are complete, and no longer than [`LISTED_WAIT`]: a kind that is missing may come later.
    async fn listed(&self, lists: usize) {
        let complete = async {
            loop {
                let more = self.listed_more.notified();
                if self.listed.load(Ordering::Relaxed) >= lists {
                    return;
                }
                more.await;
            }
        };
        let _ = tokio::time::timeout(LISTED_WAIT, complete).await;
    }
}

// === impl Space ===

impl Space {
    fn known(&self) -> MutexGuard<'_, Known> {
        locked(&self.known)
    }

    fn project(&self) -> Option<ProjectName> {
        locked(&self.project).clone()
    }
}

/// A panic elsewhere leaves these maps whole: each change of them is one assignment.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
