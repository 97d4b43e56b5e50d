//! What the gateways have under way, as each of them tells it on its admin listener.

use std::sync::Arc;
use std::time::Duration;

use bowline_types::{ProjectName, ProviderLoads, ProviderName};
use bytes::Bytes;
use futures_util::StreamExt as _;
use http::{Request, StatusCode};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, ListParams};
use serde_json::json;
use tracing::debug;

use super::scale::Look;
use crate::apply::merge;
use crate::context::Context;
use crate::error::{Error, Result};

/// The pods of gateways, in the system namespace.
const SELECTOR: &str = "app.kubernetes.io/name=bowline,app.kubernetes.io/component=gateway";
/// How long a gateway may take to answer.
const TIMEOUT: Duration = Duration::from_secs(1);
/// The longest answer that is read, in bytes.
const ANSWER_BYTES_MAX: usize = 1024 * 1024;
/// How many are asked at once.
const ASKED_MAX: usize = 16;
/// The annotation of pods by which kubelet looks at their volumes at once rather than within a minute or two.
const CREDENTIALS_ANNOTATION: &str = "bowline.dev/credentials";

/// The way to gateways.
pub(crate) struct Gateways(Client<HttpConnector, Empty<Bytes>>);

/// What each gateway answered; `None` of one that did not.
pub(super) struct Answers(Vec<Option<ProviderLoads>>);

// === impl Gateways ===

impl Default for Gateways {
    fn default() -> Self {
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(TIMEOUT));
        // A gateway that goes away is not to be taken for one that is silent: no connection is kept.
        Self(Client::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build(connector))
    }
}

impl Gateways {
    /// Asks every gateway that runs.
    ///
    /// # Errors
    /// The API server does not say which there are.
    pub(super) async fn ask(&self, context: &Context) -> Result<Answers> {
        let pods = pods(context).await?;
        let port = context.options.backends.gateway_admin_port;
        let running = pods.into_iter().filter_map(|pod| {
            let status = pod.status?;
            // One that has ended has nothing under way; one that ends may.
            (status.phase.as_deref() == Some("Running")).then_some(status.pod_ip)
        });
        let asked = futures_util::stream::iter(running).map(|address| async move {
            let address = address?;
            let address = if address.contains(':') { format!("[{address}]") } else { address };
            self.loads(&format!("http://{address}:{port}/backends")).await
        });
        Ok(Answers(asked.buffer_unordered(ASKED_MAX).collect().await))
    }

    async fn loads(&self, url: &str) -> Option<ProviderLoads> {
        let asked = async {
            let request = Request::get(url).body(Empty::new()).ok()?;
            let response = self.0.request(request).await.ok()?;
            let (status, body) = (response.status(), response.into_body());
            let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await.ok()?.to_bytes();
            serde_json::from_slice(&body).ok().filter(|_| status == StatusCode::OK)
        };
        let loads = tokio::time::timeout(TIMEOUT, asked).await.ok().flatten();
        if loads.is_none() {
            debug!(url, "a gateway does not tell what it has under way");
        }
        loads
    }
}

/// Has kubelet look at the volumes of every gateway, as what is in a Secret is another by now. One that misses it is a minute late.
pub(super) async fn nudge(context: &Context, version: &str) -> Result<()> {
    let api: Api<Pod> = context.api(&context.options.system_namespace);
    for pod in pods(context).await? {
        let Some(name) = pod.metadata.name else { continue };
        let change = json!({ "metadata": { "annotations": { (CREDENTIALS_ANNOTATION): version } } });
        match merge(&api, &name, &change).await {
            Err(error) if !error.is_gone() => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

async fn pods(context: &Context) -> Result<Vec<Pod>> {
    let api: Api<Pod> = context.api(&context.options.system_namespace);
    let listed = api.list(&ListParams::default().labels(SELECTOR)).await;
    Ok(listed.map_err(Error::kubernetes("list the pods of gateways"))?.items)
}

// === impl Answers ===

impl Answers {
    /// Returns what all have under way at one provider.
    pub(super) fn of(&self, project: &ProjectName, provider: &ProviderName) -> Look {
        let load = |loads: &ProviderLoads| {
            loads.get(project).and_then(|providers| providers.get(provider)).copied().unwrap_or_default()
        };
        let loads: Vec<_> = self.0.iter().flatten().map(load).collect();
        Look { silent: self.0.len() - loads.len(), loads }
    }
}

/// What the leader of the operator asks.
pub(super) async fn ask(context: &Arc<Context>) -> Result<Answers> {
    context.backends.gateways.ask(context).await
}
