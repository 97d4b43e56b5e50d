//! As much of an OCI registry as a bundle needs, on a port of loopback.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use bowline_delivery::{Signing, attach, write};
use bowline_oci::{Descriptor, Layout, digest_of, index};
use bowline_prompt::{MemorySource, check};
use bowline_registry::bundle::Bundle;
use bowline_types::Digest;
use serde_json::json;
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};

/// The registry.
#[derive(Clone)]
pub(crate) struct Registry {
    shelf: Arc<Shelf>,
    address: SocketAddr,
    _stop: Arc<DropGuard>,
}

struct Shelf {
    layout: Layout,
    tags: Mutex<BTreeMap<String, Descriptor>>,
    down: Mutex<bool>,
    fetched: Mutex<usize>,
    _folder: tempfile::TempDir,
}

impl Registry {
    pub(crate) async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let layout = Layout::create(folder.path()).unwrap();
        let shelf = Arc::new(Shelf {
            layout,
            tags: Mutex::default(),
            down: Mutex::new(false),
            fetched: Mutex::new(0),
            _folder: folder,
        });
        let router = Router::new()
            .route("/v2/desk/prompts/manifests/{name}", get(manifest))
            .route("/v2/desk/prompts/blobs/{digest}", get(blob))
            .route("/v2/desk/prompts/referrers/{digest}", get(referrers))
            .with_state(Arc::clone(&shelf));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let serving = axum::serve(listener, router).with_graceful_shutdown(stop.clone().cancelled_owned());
        tokio_util::task::TaskTracker::new().spawn(async move { serving.await.unwrap() });
        Self { shelf, address, _stop: Arc::new(stop.drop_guard()) }
    }

    pub(crate) fn repository(&self) -> String {
        format!("{}/desk/prompts", self.address)
    }

    /// Pushes a bundle whose prompts say `text`, signed by a key.
    pub(crate) fn push(&self, tag: &str, text: &str, signing: Option<&Signing>) -> Digest {
        self.push_of("desk", tag, text, signing)
    }

    pub(crate) fn push_of(&self, project: &str, tag: &str, text: &str, signing: Option<&Signing>) -> Digest {
        let bundle = bundle(project, text);
        let stored = write(&bundle, &self.shelf.layout).unwrap();
        self.shelf.tags.lock().unwrap().insert(tag.to_owned(), stored.bundle.clone());
        if let Some(signing) = signing {
            attach(&self.shelf.layout, &stored.bundle, &bundle, Some(signing)).unwrap();
        }
        digest_of(&stored.bundle).unwrap()
    }

    /// Signs what is under a tag, as a later step of a pipeline does.
    pub(crate) fn sign(&self, tag: &str, text: &str, signing: &Signing) {
        let descriptor = self.shelf.tags.lock().unwrap()[tag].clone();
        attach(&self.shelf.layout, &descriptor, &bundle("desk", text), Some(signing)).unwrap();
    }

    pub(crate) fn down(&self, down: bool) {
        *self.shelf.down.lock().unwrap() = down;
    }

    /// How many blobs were fetched.
    pub(crate) fn fetched(&self) -> usize {
        *self.shelf.fetched.lock().unwrap()
    }
}

fn bundle(project: &str, text: &str) -> Bundle {
    let file = format!(
        "project: {project}
providers:
  openai: {{ kind: openai, api_key: env:OPENAI_API_KEY }}
models:
  fast: {{ provider: openai, model: gpt-5-mini }}
environments:
  staging: {{ source: bundle }}
  prod: {{ source: bundle, rollout: {{}} }}
"
    );
    let answer = format!("---\nmodel: fast\n---\n{text}\n");
    let source: MemorySource = [
        ("bowline.yaml", file.as_str()),
        ("prompts/support/answer.prompt", answer.as_str()),
        ("prompts/brief.prompt", "---\nmodel: fast\n---\nBe brief.\n"),
    ]
    .into_iter()
    .collect();
    let provenance = json!({
        "commit": "0123456789abcdef0123456789abcdef01234567", "author": "Ada <ada@example.com>", "dirty": false,
    });
    Bundle::build(&check(&source, &|_| Ok(())), &source, serde_json::from_value(provenance).unwrap(), None).unwrap()
}

async fn manifest(State(shelf): State<Arc<Shelf>>, Path(name): Path<String>) -> Response {
    if *shelf.down.lock().unwrap() {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    let tagged = shelf.tags.lock().unwrap().get(&name).cloned();
    let bytes = match (&tagged, name.parse::<Digest>()) {
        (Some(tagged), _) => shelf.layout.read(tagged).ok(),
        (None, Ok(digest)) => raw(&shelf, digest),
        (None, Err(_)) => None,
    };
    match bytes {
        Some(bytes) => ([(header::CONTENT_TYPE, "application/vnd.oci.image.manifest.v1+json")], bytes).into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

async fn blob(State(shelf): State<Arc<Shelf>>, Path(digest): Path<String>) -> Response {
    if *shelf.down.lock().unwrap() {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    *shelf.fetched.lock().unwrap() += 1;
    match digest.parse().ok().and_then(|digest| raw(&shelf, digest)) {
        Some(bytes) => bytes.into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

async fn referrers(State(shelf): State<Arc<Shelf>>, Path(digest): Path<String>) -> Response {
    let found = shelf.layout.referrers(digest.parse().unwrap()).unwrap();
    let body = serde_json::to_vec(&index(found)).unwrap();
    ([(header::CONTENT_TYPE, "application/vnd.oci.image.index.v1+json")], body).into_response()
}

fn raw(shelf: &Shelf, digest: Digest) -> Option<Vec<u8>> {
    std::fs::read(shelf.layout.root().join("blobs/sha256").join(digest.hex())).ok()
}
