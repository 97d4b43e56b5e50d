//! The operator: the kinds on Kubernetes on one side, the control API on the other.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use anyhow::Context;
use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use bowline_gateway::Secrets as _;
use bowline_operator::{ControlSource, Handle, Metrics, Namespaces, Operator, Options};
use bowline_server::{Client, ClientOptions, TlsError};
use bowline_telemetry::METRICS_CONTENT_TYPE;
use bowline_types::{ProjectName, SecretRef};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::debug;

use super::{AddressBook, bind, gateway, renew, tls, tokens};
use crate::cli::{Global, Role, Serve};
use crate::failure::{Failure, Result};
use crate::settings::{self, ProcessSecrets};
use crate::up::signals;

/// Where a pod finds the name of its namespace
/// (<https://kubernetes.io/docs/tasks/run-application/access-api-from-pod/>, read 2026-11-25).
const NAMESPACE_FILE: &str = "/var/run/secrets/kubernetes.io/serviceaccount/namespace";
/// The namespace of an install that says nothing else.
const SYSTEM_NAMESPACE: &str = "bowline-system";

/// Serves an operator until a signal ends it.
pub(super) async fn run(global: &Global, serve: &Serve) -> Result<()> {
    if serve.roles.iter().any(|role| *role != Role::Operator) {
        let hint = "hint: an operator restarts whenever it likes, and what serves must not";
        return Err(Failure::user(format!("an operator is a process of its own\n{hint}")));
    }
    let options = Options {
        namespaces: namespaces(&serve.namespaces)?,
        system_namespace: system_namespace(serve),
        identity: identity(),
        gateway_url: serve.gateway_url.clone(),
    };
    let way = Arc::new(Way::new(global, serve)?);
    let reached = Arc::clone(&way);
    let control: ControlSource = Arc::new(move |project| reached.client(project));
    let address = serve.admin_listen.as_deref().unwrap_or(gateway::ADMIN_LISTEN);
    let listener = bind(address, "--admin-listen").await?;
    let book = AddressBook { admin: Some(listener.local_addr()?), ..AddressBook::default() };
    let client = bowline_operator::connect().await.map_err(anyhow::Error::from)?;
    let shutdown = signals()?;
    let operator = Operator::new(client, options, control, settings::clock()?, Arc::new(Metrics::new()));
    let (watching, watching_stop) = (TaskTracker::new(), CancellationToken::new());
    watching.spawn(gateway::serve_admin(listener, router(operator.handle()), watching_stop.clone()));
    watching.spawn(renew::renew("certificates", move || way.reload(), watching_stop.clone()));
    book.print();
    operator.run(shutdown).await;
    watching_stop.cancel();
    watching.close();
    watching.wait().await;
    Ok(())
}

fn router(handle: Handle) -> Router {
    let metrics = |State(handle): State<Handle>| async move {
        ([(header::CONTENT_TYPE, METRICS_CONTENT_TYPE)], handle.metrics())
    };
    let ready = |State(handle): State<Handle>| async move {
        match handle.unready() {
            Some(reason) => (StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n")).into_response(),
            None => "ready\n".into_response(),
        }
    };
    Router::new()
        .route("/metrics", get(metrics))
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .with_state(handle)
}

/// The way to the control role. The authority that it is trusted by may come after the operator, which makes it: it is then read once it is there,
/// and read again when it changes.
struct Way {
    serve: Serve,
    address: String,
    token: SecretRef,
    client: OnceLock<Client>,
}

// === impl Way ===

impl Way {
    fn new(global: &Global, serve: &Serve) -> Result<Self> {
        let address = global.control.clone().or_else(|| settings::variable("BOWLINE_CONTROL")).ok_or_else(|| {
            let hint = "hint: `--control https://HOST:7084`; that is its `--api-listen`";
            Failure::user(format!("an operator needs a control role\n{hint}"))
        })?;
        gateway::refuse_plain_way(&address, serve)?;
        let token = serve.admin_token.as_deref().ok_or_else(|| {
            let hint = "hint: `--admin-token file:PATH` with its `admin.token`";
            Failure::user(format!("an operator must prove itself to the control role\n{hint}"))
        })?;
        let token = tokens::parse(token, "--admin-token")?;
        let way = Self { serve: serve.clone(), address, token, client: OnceLock::new() };
        if serve.tls_ca.is_none() {
            // Nothing is read that could come later, so what is wrong is told now.
            way.make()?;
        }
        Ok(way)
    }

    /// Returns a client of a project; `None` while there is no authority to trust yet. Blocks at most on small files.
    fn client(&self, project: &ProjectName) -> Option<Client> {
        if self.client.get().is_none()
            && let Err(failure) = self.make()
        {
            debug!(error = failure.message(), "there is no way to the control role yet");
        }
        self.client.get().map(|client| client.of(project.clone()))
    }

    fn make(&self) -> Result<()> {
        let token = self.token.clone();
        let token = Arc::new(move || ProcessSecrets.resolve(&token));
        let options = ClientOptions { address: self.address.clone(), token, tls: tls::client(&self.serve)? };
        // The project is that of each call.
        let client = Client::remote(options, ProjectName::new("bowline").map_err(anyhow::Error::from)?);
        let client = client.map_err(anyhow::Error::from)?;
        drop(self.client.set(client));
        Ok(())
    }

    fn reload(&self) -> std::result::Result<bool, TlsError> {
        self.client.get().map_or(Ok(false), Client::reload)
    }
}

/// Reads `a,b=project`.
fn namespaces(given: &[String]) -> Result<Namespaces> {
    if given.is_empty() {
        return Ok(Namespaces::All);
    }
    let one = |text: &String| -> Result<(String, ProjectName)> {
        let (namespace, project) = text.split_once('=').unwrap_or((text, text));
        let project = ProjectName::new(project).with_context(|| format!("`--namespaces {text}`"))?;
        Ok((namespace.to_owned(), project))
    };
    let named: BTreeMap<String, ProjectName> = given.iter().map(one).collect::<Result<_>>()?;
    let mut projects: Vec<_> = named.values().collect();
    projects.sort_unstable();
    match projects.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(Failure::user(format!(
            "two of `--namespaces` have project `{}`\nhint: a project has one namespace",
            pair[0]
        ))),
        None => Ok(Namespaces::Named(named)),
    }
}

fn system_namespace(serve: &Serve) -> String {
    let given = serve.system_namespace.clone().or_else(|| settings::variable("POD_NAMESPACE"));
    let mounted = || std::fs::read_to_string(NAMESPACE_FILE).ok().map(|text| text.trim().to_owned());
    given.or_else(mounted).filter(|name| !name.is_empty()).unwrap_or_else(|| SYSTEM_NAMESPACE.to_owned())
}

/// The name among the replicas: that of the pod, which is its host name, and the process where several run on one machine.
fn identity() -> String {
    let pod = settings::variable("POD_NAME").or_else(|| settings::variable("HOSTNAME"));
    format!("{}_{}", pod.unwrap_or_else(|| "bowline-operator".to_owned()), std::process::id())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn namespaces_have_a_project_each() {
        let read = |text: &str| namespaces(&text.split(',').map(str::to_owned).collect::<Vec<_>>());
        let Namespaces::Named(named) = read("desk,shop=web").unwrap() else { panic!("they are named") };
        let named: Vec<_> = named.iter().map(|(namespace, project)| (namespace.as_str(), project.as_str())).collect();
        assert_eq!(named, [("desk", "desk"), ("shop", "web")]);
        assert_eq!(namespaces(&[]).unwrap(), Namespaces::All);
        assert!(read("a=web,b=web").is_err());
        assert!(read("Desk").is_err());
    }
}
