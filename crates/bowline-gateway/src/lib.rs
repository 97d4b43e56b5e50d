//! The gateway: the request path from an application to a provider and back.
//!
//! It serves from its last [`bowline_registry::Snapshot`] and asks nobody on the way: no store, no control role, no exporter; but a
//! [`TokenReviewer`], where callers have tokens of somebody else's in place of keys. Records
//! leave through a bounded queue ([`RecorderOptions`]); what overflows is counted per arm and told to those who judge by it. Where they
//! go to a [`Journal`], as the [`Spool`] is one, an answer ends after its record is in it.
//!
//! The path is a list of layers, one file each, in [`layers`]; everything else here is what they stand on: the snapshot compiled for
//! serving, the one upstream transport, the recorder.

mod endpoints;
mod exchange;
mod facts;
mod gateway;
mod layers;
mod live;
mod options;
mod recorder;
mod refusal;
mod review;
mod spool;
mod transcript;
mod transport;

pub use facts::Facts;
pub use gateway::{Gateway, Handle, Parts, Renewal};
pub use live::{Secrets, SnapshotAge};
pub use options::{GatewayOptions, RecorderOptions};
pub use recorder::{Batch, Journal, RecorderStatus, Sink, SinkError, SinkFuture};
pub use review::{Review, ReviewError, ReviewFuture, ReviewOptions, TokenReviewer};
pub use spool::{Spool, SpoolError, SpoolOptions, SpoolStatus};
