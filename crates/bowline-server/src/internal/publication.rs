//! The present snapshot as gateways get it: digested and compressed once, however many of them ask.

use std::io::Write as _;
use std::sync::{Arc, Mutex, PoisonError};

use bowline_registry::Snapshot;
use bowline_types::Digest;
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use tokio::sync::OnceCell;

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
    last: Mutex<Option<Arc<Publication>>>,
}

// === impl Publications ===

impl Publications {
    /// Returns the publication of a snapshot.
    pub(super) async fn of(&self, snapshot: Arc<Snapshot>) -> Result<Arc<Publication>> {
        if let Some(known) = self.known(&snapshot) {
            return Ok(known);
        }
        // Of a large snapshot this is work for a thread that serves nobody.
        let digested = tokio::task::spawn_blocking(move || (snapshot.digest(), snapshot)).await;
        let (digest, snapshot) = digested.map_err(Error::Publication)?;
        let digest = digest.map_err(|source| Error::Document { field: "snapshot", source })?;
        let publication = Arc::new(Publication { snapshot, digest, gzip: OnceCell::new() });
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&publication));
        Ok(publication)
    }

    fn known(&self, snapshot: &Arc<Snapshot>) -> Option<Arc<Publication>> {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.as_ref().filter(|last| Arc::ptr_eq(&last.snapshot, snapshot)).map(Arc::clone)
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
