//! The present snapshot as gateways get it: digested and compressed once, however many of them ask.

use std::io::Write as _;
use std::sync::Arc;

use bowline_registry::Snapshot;
use bowline_types::Digest;
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use tokio::sync::{Mutex, OnceCell};

use crate::error::{Error, Result};

/// A snapshot with what was computed of it.
pub(super) struct Publication {
    pub(super) snapshot: Arc<Snapshot>,
    pub(super) digest: Digest,
    gzip: OnceCell<Bytes>,
}

/// Remembers the publication of the present snapshot.
#[derive(Default)]
pub(super) struct Publications {
    /// Held while one is made, so that gateways that ask at once wait for the same.
    last: Mutex<Option<Arc<Publication>>>,
}

// === impl Publications ===

impl Publications {
    /// Returns the publication of a snapshot.
    pub(super) async fn of(&self, snapshot: Arc<Snapshot>) -> Result<Arc<Publication>> {
        let mut last = self.last.lock().await;
        if let Some(known) = last.as_ref().filter(|last| Arc::ptr_eq(&last.snapshot, &snapshot)) {
            return Ok(Arc::clone(known));
        }
        // Of a large snapshot this is work for a thread that serves nobody.
        let digested = tokio::task::spawn_blocking(move || (snapshot.digest(), snapshot)).await;
        let (digest, snapshot) = digested.map_err(Error::Publication)?;
        let digest = digest.map_err(|source| Error::Document { field: "snapshot", source })?;
        let publication = Arc::new(Publication { snapshot, digest, gzip: OnceCell::new() });
        *last = Some(Arc::clone(&publication));
        Ok(publication)
    }
}

// === impl Publication ===

impl Publication {
    /// Returns the snapshot as JSON, in gzip.
    pub(super) async fn gzip(&self) -> Result<Bytes> {
        let compressed = self.gzip.get_or_try_init(|| async {
            let snapshot = Arc::clone(&self.snapshot);
            let compressed = tokio::task::spawn_blocking(move || compress(&snapshot)).await;
            compressed.map_err(Error::Publication)?.map_err(|source| Error::Document { field: "snapshot", source })
        });
        compressed.await.cloned()
    }
}

fn compress(snapshot: &Snapshot) -> serde_json::Result<Bytes> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    serde_json::to_writer(&mut encoder, snapshot)?;
    encoder.flush().and_then(|()| encoder.finish()).map(Bytes::from).map_err(serde_json::Error::io)
}
