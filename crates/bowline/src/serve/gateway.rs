//! A gateway that stands alone: its snapshot comes from a control role elsewhere, and its records go there through a spool.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use bowline_gateway::{Gateway, GatewayOptions, Parts, RecorderOptions, Secrets as _, Spool, SpoolOptions};
use bowline_registry::Snapshot;
use bowline_server::{Link, LinkOptions, TokenSource};
use bowline_telemetry::Metrics;
use bowline_types::{Clock, InstanceId};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

use super::clock::ControlClock;
use super::delivery::Delivery;
use super::follow::{Follower, Stored};
use super::renew::renew;
use super::{AddressBook, admin, bind, review, tls, tokens};
use crate::cli::{Global, Serve};
use crate::connect;
use crate::failure::{Failure, Result};
use crate::host;
use crate::settings::{self, ProcessSecrets};
use crate::up::signals;
use crate::workspace::Workspace;

/// Where a gateway that stands alone is watched, unless told otherwise.
pub(super) const ADMIN_LISTEN: &str = "127.0.0.1:7083";
/// How long shutdown waits for those who read metrics.
const DRAIN: Duration = Duration::from_secs(2);

/// Serves a gateway until a signal ends it.
pub(super) async fn run(global: &Global, serve: &Serve, workspace: &Workspace) -> Result<()> {
    let link = link(global, serve)?;
    let reviewer = review::reviewer(serve).await?;
    let listener = bind(&serve.listen, "--listen").await?;
    let admin_listener = bind(serve.admin_listen.as_deref().unwrap_or(ADMIN_LISTEN), "--admin-listen").await?;
    let book = AddressBook {
        gateway: Some(listener.local_addr()?),
        admin: Some(admin_listener.local_addr()?),
        ..AddressBook::default()
    };
    let shutdown = signals()?;
    // What serves ends first, then what carries its last records away.
    let background_stop = CancellationToken::new();
    let (background, serving) = (TaskTracker::new(), TaskTracker::new());
    let clock = Arc::new(ControlClock::new(settings::clock()?));
    let metrics = Arc::new(Metrics::new(Arc::clone(&clock) as _));

    let options = SpoolOptions { bytes_max: serve.spool_bytes_max, ..SpoolOptions::default() };
    let spool = Spool::open(&workspace.spool(), options, Arc::clone(&clock) as _, Arc::clone(&metrics));
    let spool = spool.map_err(anyhow::Error::from)?;
    let stored = Stored::read(workspace);
    let known = stored.as_ref().map(|stored| stored.digest);
    let first = stored.map_or_else(|| Snapshot::empty(clock.now()), |stored| stored.snapshot);
    let (sender, snapshots) = watch::channel(Arc::new(first));
    let otlp = match &serve.otlp {
        None => None,
        Some(endpoint) => {
            let instance = InstanceId::generate(clock.now());
            let (handle, service) = host::exporter(endpoint, instance, Arc::clone(&clock) as _, &metrics)?;
            background.spawn(service.run(background_stop.clone()));
            Some(handle)
        }
    };
    let gateway = Gateway::new(Parts {
        options: gateway_options(serve),
        snapshots,
        sink: Arc::new(spool.clone()),
        secrets: Arc::new(ProcessSecrets),
        // Without a stored one there is no stored snapshot either: nobody is handed an id before the control role has told its own.
        token_secret: workspace.token_secret()?,
        clock: Arc::clone(&clock) as _,
        metrics: Arc::clone(&metrics),
        otlp,
        reviewer,
    });
    let handle = gateway.handle();
    background.spawn(serve_admin(admin_listener, admin::router(handle.clone(), metrics), background_stop.clone()));
    let (certificates, renewing) = (link.clone(), background_stop.clone());
    background.spawn(renew("certificates", move || certificates.reload(), renewing));
    background.spawn(spool.run(Arc::new(Delivery(link.clone())), background_stop.clone()));
    let follower =
        Follower { link, handle, clock, snapshots: sender, workspace: workspace.clone(), known, kept: known };
    serving.spawn(follower.run(shutdown.clone()));
    serving.spawn(gateway.run(listener, shutdown.clone()));
    book.tell(workspace)?;

    shutdown.cancelled().await;
    info!("draining");
    serving.close();
    serving.wait().await;
    background_stop.cancel();
    background.close();
    background.wait().await;
    Ok(())
}

fn gateway_options(serve: &Serve) -> GatewayOptions {
    GatewayOptions {
        snapshot_age_max: serve.snapshot_staleness_max,
        hold_max: serve.hold_max,
        hold_time_max: serve.hold_time_max,
        // The spool takes records one by one as well as many at once, and what waits in memory is what a crash loses.
        recorder: RecorderOptions { batch_wait: Duration::ZERO, ..RecorderOptions::default() },
        ..GatewayOptions::default()
    }
}

/// Returns the way to the control role.
fn link(global: &Global, serve: &Serve) -> Result<Link> {
    let address = global.control.clone().or_else(|| settings::variable("BOWLINE_CONTROL")).ok_or_else(|| {
        let hint = "hint: `--control http://HOST:7082`, or https; that is its `--internal-listen`";
        Failure::user(format!("a gateway needs a control role\n{hint}"))
    })?;
    refuse_plain_way(&address, serve)?;
    let token = serve.token.as_deref().map(token_source).transpose()?;
    if token.is_none() && serve.tls_cert.is_none() {
        let hint = "hint: `--token file:PATH` with its `gateway.token`, or `--tls-cert FILE --tls-key FILE`";
        return Err(Failure::user(format!("a gateway must prove itself to the control role\n{hint}")));
    }
    let link = Link::new(LinkOptions { address, token, tls: tls::client(serve)? });
    Ok(link.context("the control role cannot be reached like that")?)
}

/// Refuses to send a token where others could read it.
pub(super) fn refuse_plain_way(address: &str, serve: &Serve) -> Result<()> {
    if !serve.plain_http && connect::is_open_way(address) {
        let hint = "hint: `https://`; or `--plain-http`, where something else encrypts";
        return Err(Failure::user(format!("`--control {address}` would speak plain HTTP beyond this machine\n{hint}")));
    }
    Ok(())
}

fn token_source(text: &str) -> Result<TokenSource> {
    let reference = tokens::parse(text, "--token")?;
    Ok(Arc::new(move || ProcessSecrets.resolve(&reference)))
}

pub(super) async fn serve_admin(listener: TcpListener, router: axum::Router, stop: CancellationToken) {
    let stopping = stop.clone().cancelled_owned();
    let serving = axum::serve(listener, router).with_graceful_shutdown(stopping);
    let patience = async {
        stop.cancelled().await;
        tokio::time::sleep(DRAIN).await;
    };
    tokio::select! {
        ended = async { serving.await } => if let Err(error) = ended {
            warn!(%error, "the listener of metrics ended with an error");
        },
        () = patience => {}
    }
}
