//! A proxy before a registry that does what networks and registries do on bad days.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::{Method, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use futures_util::StreamExt as _;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

/// What goes wrong.
#[derive(Clone, Debug)]
pub(crate) enum Fault {
    /// The first calls are answered with this status.
    Status { status: u16, calls: u32 },
    /// Blobs never begin to come.
    Slow,
    /// Blobs and their uploads are cut in the middle, so many times.
    Cut { calls: u32 },
    /// A byte of every blob is another one.
    Tampered,
    /// Every manifest is this one.
    Swapped(Bytes),
}

#[derive(Clone)]
struct Proxy {
    upstream: String,
    fault: Fault,
    /// The calls that had the fault.
    hits: Arc<AtomicU32>,
    client: Client<HttpConnector, Body>,
}

/// Returns the routes of a proxy before `upstream` and the number of calls that had the fault.
pub(crate) fn before(upstream: &str, fault: Fault) -> (Arc<AtomicU32>, Router) {
    let hits = Arc::new(AtomicU32::new(0));
    let client = Client::builder(TokioExecutor::new()).build_http();
    let proxy = Proxy { upstream: upstream.to_owned(), fault, hits: Arc::clone(&hits), client };
    (hits, Router::new().fallback(pass).with_state(proxy))
}

async fn pass(State(proxy): State<Proxy>, request: Request) -> Response {
    let is_blob = request.uri().path().contains("/blobs/");
    let is_transfer = is_blob && matches!(*request.method(), Method::GET | Method::PUT);
    let is_manifest = request.method() == Method::GET && request.uri().path().contains("/manifests/");
    let hit = |calls: u32| proxy.hits.fetch_add(1, Ordering::SeqCst) < calls;
    match &proxy.fault {
        Fault::Status { status, calls } if hit(*calls) => {
            (StatusCode::from_u16(*status).unwrap(), [(header::RETRY_AFTER, "0")]).into_response()
        }
        Fault::Slow if is_transfer && request.method() == Method::GET => std::future::pending().await,
        Fault::Cut { calls } if is_transfer && hit(*calls) => proxy.cut(request).await,
        Fault::Tampered if is_transfer && request.method() == Method::GET => {
            let answer = proxy.forward(request).await;
            let mut bytes = to_bytes(answer.into_body(), usize::MAX).await.unwrap().to_vec();
            *bytes.last_mut().unwrap() ^= 1;
            bytes.into_response()
        }
        Fault::Swapped(manifest) if is_manifest => {
            ([(header::CONTENT_TYPE, "application/vnd.oci.image.manifest.v1+json")], manifest.clone()).into_response()
        }
        _ => proxy.forward(request).await,
    }
}

// === impl Proxy ===

impl Proxy {
    async fn forward(&self, request: Request) -> Response {
        let (mut head, body) = request.into_parts();
        let path = head.uri.path_and_query().unwrap().clone();
        head.uri = format!("http://{}{path}", self.upstream).parse().unwrap();
        // `Host` stays, so that the registry sends the client back here.
        let answer = self.client.request(Request::from_parts(head, body)).await.unwrap();
        answer.map(Body::new)
    }

    /// Lets half of the bytes through, then breaks the connection.
    async fn cut(&self, request: Request) -> Response {
        if request.method() == Method::PUT {
            // The answer ends while the client still sends.
            let mut body = request.into_body().into_data_stream();
            drop(body.next().await);
            return broken(Bytes::from_static(b"{"));
        }
        let answer = self.forward(request).await;
        let bytes = to_bytes(answer.into_body(), usize::MAX).await.unwrap();
        broken(bytes.slice(..bytes.len() / 2))
    }
}

/// Returns an answer whose body breaks off after these bytes.
fn broken(bytes: Bytes) -> Response {
    let first = futures_util::stream::iter([Ok(bytes)]);
    let then = futures_util::stream::once(async {
        // The bytes before it leave first.
        tokio::time::sleep(Duration::from_millis(5)).await;
        Err(std::io::Error::other("cut"))
    });
    Body::from_stream(first.chain(then)).into_response()
}
