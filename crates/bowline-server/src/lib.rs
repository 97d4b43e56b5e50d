//! The control role: releases, rollouts, keys and snapshots over one store, its HTTP API, and the console.
//!
//! [`Control`] is the role itself and the only writer of the store. [`router`] puts the API and the console around it, [`Client`]
//! speaks that API, over the network or in-process, so that the command line does the same with and without a running server.

mod api;
mod auth;
mod backup;
mod client;
mod config;
mod console;
mod control;
mod driver;
mod error;
mod internal;
mod link;
mod pool;
mod tls;
pub mod wire;

pub use api::{ServerOptions, api_router, probe_router, router};
pub use auth::{AdminToken, AdminTokens, GatewayTokens, HostRule, NoTokenError};
pub use backup::{Backup, BackupError};
pub use client::{Client, ClientError, ClientOptions};
pub use control::{Control, ControlOptions};
pub use error::{Error, Result};
pub use internal::{GatewayAuth, InternalOptions, internal_router};
pub use link::{Link, LinkError, LinkOptions, TokenSource};
pub use tls::{ClientTls, ServerTls, TlsError, TlsFiles, TlsListener};
