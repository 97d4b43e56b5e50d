//! Which project a namespace has: the one of its label, else the one of its name. One to one.

use std::collections::BTreeMap;
use std::sync::RwLock;

use bowline_crd::PROJECT_LABEL;
use bowline_types::{ProjectName, chain};
use futures_util::StreamExt as _;
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{Api, PartialObjectMeta};
use kube::runtime::watcher::{self, Event, watcher};
use kube::runtime::{WatchStreamExt as _, utils::StreamBackoff};
use kube::{Client, ResourceExt as _};
use tokio_util::sync::CancellationToken;
use tracing::debug;

use crate::condition::Why;
use crate::context::{Context, PAGE_OBJECTS_MAX};
use crate::error::{Error, Result};

/// The namespaces in which the operator works, and their projects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Namespaces {
    /// Every one; the project is that of the label `bowline.dev/project`, else that of the namespace's name.
    All,
    /// These only, with their projects: namespaces themselves are then not looked at.
    Named(BTreeMap<String, ProjectName>),
}

/// What the operator knows of namespaces.
pub(crate) struct Projects {
    namespaces: Namespaces,
    known: RwLock<BTreeMap<String, Facts>>,
}

/// What counts of a namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Facts {
    label: Option<String>,
    /// When it was made: the oldest one that says it has a project has it.
    created: i64,
    terminating: bool,
}

/// What a namespace has to say about its project.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// It has this one.
    Project(ProjectName),
    /// It is not there, or will not be there for long.
    Gone,
    /// Somebody must do something.
    Refused(Why),
}

// === impl Projects ===

impl Projects {
    pub(crate) fn new(namespaces: Namespaces) -> Self {
        Self { namespaces, known: RwLock::default() }
    }

    /// Returns the project of a namespace.
    ///
    /// # Errors
    /// The API server cannot be reached.
    pub(crate) async fn of(&self, client: &Client, namespace: &str) -> Result<Answer> {
        if let Namespaces::Named(projects) = &self.namespaces {
            return Ok(projects.get(namespace).map_or(Answer::Gone, |project| Answer::Project(project.clone())));
        }
        let is_known = self.known.read().is_ok_and(|known| known.contains_key(namespace));
        if !is_known {
            // Objects may be told of before their namespace.
            let api: Api<PartialObjectMeta<Namespace>> = Api::all(client.clone());
            let found = api.get_opt(namespace).await;
            match found.map_err(Error::kubernetes(format!("read namespace `{namespace}`")))? {
                Some(found) => self.put(&found),
                None => return Ok(Answer::Gone),
            }
        }
        Ok(self.known.read().map_or(Answer::Gone, |known| answer(namespace, &known)))
    }

    fn put(&self, namespace: &PartialObjectMeta<Namespace>) {
        if let Ok(mut known) = self.known.write() {
            known.insert(namespace.name_any(), Facts::of(namespace));
        }
    }

    fn take(&self, event: Event<PartialObjectMeta<Namespace>>, seen: &mut BTreeMap<String, Facts>) {
        match event {
            Event::Apply(namespace) => self.put(&namespace),
            Event::Delete(namespace) => {
                if let Ok(mut known) = self.known.write() {
                    known.remove(&namespace.name_any());
                }
            }
            Event::Init => seen.clear(),
            Event::InitApply(namespace) => {
                seen.insert(namespace.name_any(), Facts::of(&namespace));
            }
            Event::InitDone => {
                if let Ok(mut known) = self.known.write() {
                    *known = std::mem::take(seen);
                }
            }
        }
    }
}

// === impl Facts ===

impl Facts {
    fn of(namespace: &PartialObjectMeta<Namespace>) -> Self {
        let created = namespace.metadata.creation_timestamp.as_ref().map_or(0, |at| at.0.as_second());
        Self {
            label: namespace.labels().get(PROJECT_LABEL).cloned(),
            created,
            terminating: namespace.metadata.deletion_timestamp.is_some(),
        }
    }

    fn claims<'a>(&'a self, name: &'a str) -> &'a str {
        self.label.as_deref().unwrap_or(name)
    }
}

/// Follows the namespaces until told to stop. A restart of the API server is nothing to tell: the watch begins anew.
pub(crate) async fn follow(context: std::sync::Arc<Context>, stop: CancellationToken) {
    if context.options.namespaces != Namespaces::All {
        stop.cancelled().await;
        return;
    }
    let api: Api<PartialObjectMeta<Namespace>> = Api::all(context.client.clone());
    let config = watcher::Config::default().page_size(PAGE_OBJECTS_MAX);
    let watch: StreamBackoff<_, _> = watcher(api, config).default_backoff();
    let mut watch = std::pin::pin!(watch.take_until(stop.cancelled_owned()));
    let mut seen = BTreeMap::new();
    while let Some(event) = watch.next().await {
        match event {
            Ok(event) => context.projects.take(event, &mut seen),
            Err(error) => debug!(error = chain(&error), "namespaces cannot be watched now"),
        }
    }
}

fn answer(namespace: &str, known: &BTreeMap<String, Facts>) -> Answer {
    let Some(own) = known.get(namespace).filter(|own| !own.terminating) else { return Answer::Gone };
    let claimed = own.claims(namespace);
    let project = match ProjectName::new(claimed) {
        Ok(project) => project,
        Err(error) => {
            let message = format!(
                "namespace `{namespace}` has no project, as `{claimed}` is no name of one: {}; label it with {PROJECT_LABEL}=NAME",
                chain(&error)
            );
            return Answer::Refused(Why::new("ProjectMissing", message));
        }
    };
    // A label is a decision, a name is not: who has a project by label has it before whoever only has its name, and among labels the older one.
    let others = known.iter().filter(|(name, other)| {
        name.as_str() != namespace && !other.terminating && other.label.is_some() && other.claims(name) == claimed
    });
    let older =
        others.filter(|(name, other)| own.label.is_none() || (other.created, name.as_str()) < (own.created, namespace));
    if let Some((holder, _)) = older.min_by_key(|(name, other)| (other.created, name.as_str())) {
        let message = format!(
            "project `{claimed}` is that of namespace `{holder}`, which had it before; label this namespace with {PROJECT_LABEL}=NAME and another name"
        );
        return Answer::Refused(Why::new("ProjectTaken", message));
    }
    Answer::Project(project)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn namespaces(rows: &[(&str, Option<&str>, i64)]) -> BTreeMap<String, Facts> {
        let facts =
            |label: &Option<&str>, created| Facts { label: label.map(str::to_owned), created, terminating: false };
        rows.iter().map(|(name, label, created)| ((*name).to_owned(), facts(label, *created))).collect()
    }

    fn check(rows: &[(&str, Option<&str>, i64)], namespace: &str, expected: Result<&str, &str>) {
        let found = match answer(namespace, &namespaces(rows)) {
            Answer::Project(project) => Ok(project.to_string()),
            Answer::Refused(why) => Err(why.reason.to_owned()),
            Answer::Gone => Err("Gone".to_owned()),
        };
        assert_eq!(found.as_deref().map_err(String::as_str), expected, "{namespace} of {rows:?}");
    }

    #[test]
    fn a_namespace_has_one_project_and_a_project_one_namespace() {
        check(&[("desk", None, 1)], "desk", Ok("desk"));
        check(&[("desk", Some("support-desk"), 1)], "desk", Ok("support-desk"));
        check(&[("desk", None, 1)], "other", Err("Gone"));
        let two = [("a", Some("desk"), 2), ("b", Some("desk"), 1)];
        check(&two, "b", Ok("desk"));
        check(&two, "a", Err("ProjectTaken"));
        let same_second = [("a", Some("desk"), 1), ("b", Some("desk"), 1)];
        check(&same_second, "a", Ok("desk"));
        check(&same_second, "b", Err("ProjectTaken"));
        check(&[("desk", None, 1), ("team", Some("desk"), 2)], "desk", Err("ProjectTaken"));
        check(&[("desk", None, 1), ("team", Some("desk"), 2)], "team", Ok("desk"));
        check(&[("desk", Some("Not A Name"), 1)], "desk", Err("ProjectMissing"));
    }

    #[test]
    fn one_that_goes_has_none() {
        let mut known = namespaces(&[("desk", None, 1), ("other", Some("desk"), 2)]);
        known.get_mut("desk").unwrap().terminating = true;
        assert_eq!(answer("desk", &known), Answer::Gone);
        assert_eq!(answer("other", &known), Answer::Project(ProjectName::new("desk").unwrap()));
    }
}
