use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpSocket};

/// An upstream that answers from a script: each call takes the next reply, and the last one stays.
pub(crate) struct Upstream {
    /// `http://127.0.0.1:PORT`.
    pub(crate) url: String,
    script: Arc<Mutex<VecDeque<Reply>>>,
    seen: Arc<Mutex<Vec<Seen>>>,
}

/// One answer.
#[derive(Clone)]
pub(crate) struct Reply {
    status: u16,
    headers: Vec<(&'static str, String)>,
    pieces: Vec<Bytes>,
    wait: Duration,
    broken: bool,
    endless: bool,
}

/// A request as it came.
#[derive(Clone)]
pub(crate) struct Seen {
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Seen {
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

impl Reply {
    /// A whole answer.
    pub(crate) fn json(value: &serde_json::Value) -> Self {
        Self::new(200, "application/json", vec![Bytes::from(value.to_string())])
    }

    /// A streamed answer, piece by piece.
    pub(crate) fn stream(pieces: impl IntoIterator<Item = impl Into<Bytes>>) -> Self {
        Self::new(200, "text/event-stream", pieces.into_iter().map(Into::into).collect())
    }

    /// An error.
    pub(crate) fn error(status: u16, value: &serde_json::Value) -> Self {
        Self { status, ..Self::json(value) }
    }

    fn new(status: u16, kind: &str, pieces: Vec<Bytes>) -> Self {
        let headers = vec![("content-type", kind.to_owned())];
        Self { status, headers, pieces, wait: Duration::ZERO, broken: false, endless: false }
    }

    /// With a header.
    pub(crate) fn header(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }

    /// Answers only after a wait.
    pub(crate) fn after(self, wait: Duration) -> Self {
        Self { wait, ..self }
    }

    /// Breaks the connection off after the last piece.
    pub(crate) fn broken(self) -> Self {
        Self { broken: true, ..self }
    }

    /// Says nothing after the last piece, and does not end.
    pub(crate) fn endless(self) -> Self {
        Self { endless: true, ..self }
    }

    fn response(self) -> Response<impl hyper::body::Body<Data = Bytes, Error = std::io::Error>> {
        let pieces = self.pieces.into_iter().map(|piece| Ok(Frame::data(piece)));
        let (broken, endless) = (self.broken, self.endless);
        let stream = futures_util::stream::iter(pieces).then(|piece| async move {
            // Each piece leaves in a write of its own.
            tokio::time::sleep(Duration::from_millis(1)).await;
            piece
        });
        let end = futures_util::stream::once(async move {
            if endless {
                std::future::pending::<()>().await;
            }
            if !broken {
                return None;
            }
            // What was written must arrive before the break does.
            tokio::time::sleep(Duration::from_millis(50)).await;
            Some(Err(std::io::Error::other("broken off")))
        });
        let stream = stream.chain(end.filter_map(|end| async { end }));
        let mut builder = Response::builder().status(self.status);
        for (name, value) in self.headers {
            builder = builder.header(name, value);
        }
        builder.body(StreamBody::new(stream)).unwrap()
    }
}

/// An address at which nobody answers yet.
pub(crate) struct Absent {
    /// `http://127.0.0.1:PORT`.
    pub(crate) url: String,
    socket: TcpSocket,
}

impl Absent {
    pub(crate) fn new() -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        Self { url: format!("http://{}", socket.local_addr().unwrap()), socket }
    }

    /// Serves a script there.
    pub(crate) fn start(self, script: impl IntoIterator<Item = Reply>) -> Upstream {
        Upstream::serve(self.socket.listen(64).unwrap(), script)
    }
}

impl Upstream {
    /// Serves a script on loopback.
    pub(crate) async fn start(script: impl IntoIterator<Item = Reply>) -> Self {
        Self::serve(TcpListener::bind("127.0.0.1:0").await.unwrap(), script)
    }

    fn serve(listener: TcpListener, script: impl IntoIterator<Item = Reply>) -> Self {
        let url = format!("http://{}", listener.local_addr().unwrap());
        let script = Arc::new(Mutex::new(script.into_iter().collect::<VecDeque<_>>()));
        let seen = Arc::new(Mutex::new(Vec::new()));
        let upstream = Self { url, script: Arc::clone(&script), seen: Arc::clone(&seen) };
        tokio::task::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                stream.set_nodelay(true).unwrap();
                let (script, seen) = (Arc::clone(&script), Arc::clone(&seen));
                let service = service_fn(move |request| answer(request, Arc::clone(&script), Arc::clone(&seen)));
                let connection =
                    hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
                tokio::task::spawn(async move { drop(connection.await) });
            }
        });
        upstream
    }

    /// Replaces the rest of the script.
    pub(crate) fn script(&self, script: impl IntoIterator<Item = Reply>) {
        *self.script.lock().unwrap() = script.into_iter().collect();
    }

    /// Returns the requests so far.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }
}

async fn answer(
    request: Request<Incoming>,
    script: Arc<Mutex<VecDeque<Reply>>>,
    seen: Arc<Mutex<Vec<Seen>>>,
) -> Result<Response<impl hyper::body::Body<Data = Bytes, Error = std::io::Error>>, Infallible> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    seen.lock().unwrap().push(Seen { path: head.uri.to_string(), headers: head.headers, body });
    let reply = {
        let mut script = script.lock().unwrap();
        if script.len() > 1 { script.pop_front() } else { script.front().cloned() }.unwrap()
    };
    tokio::time::sleep(reply.wait).await;
    Ok(reply.response())
}

/// Returns server-sent events in the form of OpenAI: `data: …` each.
pub(crate) fn sse(events: &[serde_json::Value]) -> Vec<String> {
    let mut pieces: Vec<String> = events.iter().map(|event| format!("data: {event}\n\n")).collect();
    pieces.push("data: [DONE]\n\n".to_owned());
    pieces
}
