//! The operator as it runs: one replica leads and works, the others wait.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bowline_crd::{Prompt, PromptRollout, PromptVersion};
use bowline_types::Clock;
use k8s_openapi::api::coordination::v1::Lease as LeaseObject;
use kube::Client;
use kube::api::Api;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::context::{Context, ControlSource, Options};
use crate::lease::Lease;
use crate::metrics::Metrics;
use crate::{backend, bundle, project, projection, tokens};

/// The lease of the replica that works.
const LEASE: &str = "bowline-operator";

/// Returns a client of the API server: that of the pod's service account, else that of `KUBECONFIG`.
///
/// # Errors
/// There is neither, or it cannot be read.
pub async fn connect() -> Result<Client, ConnectError> {
    Client::try_default().await.map_err(|error| ConnectError(Box::new(error)))
}

/// There is no way to an API server.
#[derive(Debug, thiserror::Error)]
#[error("there is no way to a Kubernetes API server\nhint: run it in a pod with a service account, or set KUBECONFIG")]
pub struct ConnectError(#[source] Box<kube::Error>);

/// Something that a leader runs until it is told to stop.
type Work = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The operator.
pub struct Operator {
    context: Arc<Context>,
}

/// What others ask about an operator. Cheap to clone.
#[derive(Clone)]
pub struct Handle {
    context: Arc<Context>,
}

// === impl Handle ===

impl Handle {
    /// Returns why this replica could not work if it led; `None` where it could.
    #[must_use]
    pub fn unready(&self) -> Option<&'static str> {
        let there = self.context.secrets_there.load(Ordering::Relaxed);
        (!there)
            .then_some("the API server has not let this replica look at the Secrets between Bowline's processes yet")
    }

    /// Returns the metrics in the OpenMetrics text format.
    #[must_use]
    pub fn metrics(&self) -> String {
        self.context.metrics.encode()
    }
}

// === impl Operator ===

impl Operator {
    /// Returns an operator; nothing is asked or written yet.
    #[must_use]
    pub fn new(
        client: Client,
        options: Options,
        control: ControlSource,
        clock: Arc<dyn Clock>,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self { context: Arc::new(Context::new(client, options, control, clock, metrics)) }
    }

    /// Returns what others ask about it.
    #[must_use]
    pub fn handle(&self) -> Handle {
        Handle { context: Arc::clone(&self.context) }
    }

    /// Works while this replica leads, and waits otherwise, until told to stop. What Bowline's processes trust each other by is made by
    /// whoever is first, as no replica can lead before.
    pub async fn run(self, shutdown: CancellationToken) {
        let context = self.context;
        let lease = Lease {
            api: Api::<LeaseObject>::namespaced(context.client.clone(), &context.options.system_namespace),
            name: LEASE,
            identity: &context.options.identity,
            clock: context.clock.as_ref(),
        };
        let keeping = tokens::keep(&context, &shutdown);
        let leading = lease.run(&shutdown, |stop| lead(Arc::clone(&context), stop));
        tokio::join!(keeping, leading);
    }
}

/// Shows that this replica leads; ends with the work, also where that is cut off.
struct Leading(Arc<Context>);

// === impl Leading ===

impl Leading {
    fn begin(context: &Arc<Context>) -> Self {
        context.metrics.leader.set(1);
        Self(Arc::clone(context))
    }
}

impl Drop for Leading {
    fn drop(&mut self) {
        self.0.metrics.leader.set(0);
    }
}

/// What the leader does.
async fn lead(context: Arc<Context>, stop: CancellationToken) {
    let leading = Leading::begin(&context);
    let mut tasks = JoinSet::new();
    for work in works(&context, &stop) {
        tasks.spawn(work);
    }
    stop.cancelled().await;
    // Each one ends by itself now; who leads no longer is cut off by whoever holds the lease.
    while tasks.join_next().await.is_some() {}
    drop(leading);
}

/// Returns everything that a leader runs.
fn works(context: &Arc<Context>, stop: &CancellationToken) -> Vec<Work> {
    let own = || (Arc::clone(context), stop.clone());
    let mut works: Vec<Work> = Vec::new();
    let (context_own, stop_own) = own();
    works.push(Box::pin(project::follow(context_own, stop_own)));
    let (context_own, stop_own) = own();
    works.push(Box::pin(projection::run(context_own, stop_own)));
    let (context_own, stop_own) = own();
    works.push(Box::pin(backend::sweep(context_own, stop_own)));
    for scope in context.scopes() {
        works.push(Box::pin(backend::run(Arc::clone(context), scope.clone(), stop.clone())));
        works.push(Box::pin(projection::follow::<Prompt>(Arc::clone(context), scope.clone(), stop.clone())));
        works.push(Box::pin(projection::follow::<PromptVersion>(Arc::clone(context), scope.clone(), stop.clone())));
        works.push(Box::pin(projection::follow::<PromptRollout>(Arc::clone(context), scope.clone(), stop.clone())));
        works.push(Box::pin(bundle::run(Arc::clone(context), scope, stop.clone())));
    }
    works
}
