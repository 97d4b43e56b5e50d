use std::fmt::Debug;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use bowline_server::Client as Control;
use bowline_types::{Clock, ProjectName, Timestamp};
use kube::api::Api;
use kube::core::NamespaceResourceScope;
use kube::{Client, Resource};
use serde::de::DeserializeOwned;

use crate::backend::{self, BackendOptions};
use crate::bundle::Memory;
use crate::event::Events;
use crate::metrics::Metrics;
use crate::project::{Namespaces, Projects};
use crate::projection::Projections;

/// How many objects one page of a list has: what is in memory at once beside what is kept.
pub(crate) const PAGE_OBJECTS_MAX: u32 = 250;

/// How an operator works.
#[derive(Clone, Debug)]
pub struct Options {
    /// The namespaces in which it works.
    pub namespaces: Namespaces,
    /// The namespace of its own: of the lease, of the Secrets between Bowline's processes, of gateways.
    pub system_namespace: String,
    /// Its name among the replicas, such as that of its pod.
    pub identity: String,
    /// What Secrets of keys have as `OPENAI_BASE_URL`.
    pub gateway_url: String,
    /// How it treats ModelBackends.
    pub backends: BackendOptions,
}

/// Returns a client of the control role for a project; `None` while there is no token or no authority to trust yet.
pub type ControlSource = Arc<dyn Fn(&ProjectName) -> Option<Control> + Send + Sync>;

/// What everything in the operator is handed.
pub(crate) struct Context {
    /// The API server.
    pub(crate) client: Client,
    /// How it works.
    pub(crate) options: Options,
    /// The time.
    pub(crate) clock: Arc<dyn Clock>,
    /// What is counted.
    pub(crate) metrics: Arc<Metrics>,
    /// Where events go.
    pub(crate) events: Events,
    /// The projects of namespaces.
    pub(crate) projects: Projects,
    /// What is remembered of bundles between two looks at them.
    pub(crate) bundles: Memory,
    /// What is remembered of ModelBackends.
    pub(crate) backends: backend::Memory,
    /// What is known of projections, and who writes them.
    pub(crate) projections: Projections,
    /// Whether what Bowline's processes trust each other by is there.
    pub(crate) secrets_there: AtomicBool,
    control: ControlSource,
}

/// Where something is watched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    /// In every namespace.
    Cluster,
    /// In one.
    Namespace(String),
}

// === impl Context ===

impl Context {
    pub(crate) fn new(
        client: Client,
        options: Options,
        control: ControlSource,
        clock: Arc<dyn Clock>,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self {
            events: Events::new(client.clone(), options.identity.clone()),
            projects: Projects::new(options.namespaces.clone()),
            bundles: Memory::default(),
            backends: backend::Memory::default(),
            projections: Projections::default(),
            client,
            options,
            clock,
            metrics,
            secrets_there: AtomicBool::new(false),
            control,
        }
    }

    /// Returns the present.
    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Returns a client of the control role for a project; `None` while there is no token for it yet.
    pub(crate) fn control(&self, project: &ProjectName) -> Option<Control> {
        (self.control)(project)
    }

    /// Returns the objects of a kind in a namespace.
    pub(crate) fn api<K>(&self, namespace: &str) -> Api<K>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + DeserializeOwned,
    {
        Api::namespaced(self.client.clone(), namespace)
    }

    /// Returns where kinds are watched: once, or once per namespace of a namespaced install.
    pub(crate) fn scopes(&self) -> Vec<Scope> {
        match &self.options.namespaces {
            Namespaces::All => vec![Scope::Cluster],
            Namespaces::Named(projects) => projects.keys().cloned().map(Scope::Namespace).collect(),
        }
    }
}

// === impl Scope ===

impl Scope {
    /// Returns the objects of a kind there.
    pub(crate) fn api<K>(&self, client: &Client) -> Api<K>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + DeserializeOwned,
    {
        match self {
            Self::Cluster => Api::all(client.clone()),
            Self::Namespace(namespace) => Api::namespaced(client.clone(), namespace),
        }
    }
}
