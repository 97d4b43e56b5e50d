//! A simulator on a free port, and the plainest client.

use std::net::{Ipv4Addr, SocketAddr};

use bowline_chat::{Finish, StreamEvent};
use bowline_providers::ProviderSpec;
use bowline_sim::{Scenario, Simulator, SimulatorOptions};
use bowline_types::TokenUsage;
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Request};
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

/// A simulator that runs until this is dropped.
pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    _stop: DropGuard,
}

/// What came back; the body as far as it came.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    /// Whether the body ended as it should.
    pub(crate) whole: bool,
}

/// One call of each provider.
pub(crate) struct Call {
    pub(crate) spec: &'static ProviderSpec,
    pub(crate) path: &'static str,
    pub(crate) body: Value,
}

/// What a client reads from a stream.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Streamed {
    pub(crate) text: String,
    pub(crate) deltas: usize,
    pub(crate) finish: Option<Finish>,
    pub(crate) usage: TokenUsage,
    pub(crate) error: Option<bowline_chat::UpstreamError>,
    pub(crate) ended: bool,
}

pub(crate) const SYSTEM: &str = "Sort the message.\n\n- billing: charges, refunds, invoices\n- access: login, password";
pub(crate) const USER: &str = "You charged me twice, I want a refund";

pub(crate) async fn start(scenario: &str) -> Running {
    let scenario = Scenario::parse(scenario).unwrap();
    let listen = (Ipv4Addr::LOCALHOST, 0).into();
    let simulator = Simulator::bind(SimulatorOptions { listen, scenario }).await.unwrap();
    let address = simulator.address();
    let stop = CancellationToken::new();
    TaskTracker::new().spawn(simulator.run(stop.clone()));
    Running { address, _stop: stop.drop_guard() }
}

/// The same call in the three formats.
pub(crate) fn calls(stream: bool) -> [Call; 3] {
    let spec = |kind| ProviderSpec::find(kind).unwrap();
    [
        Call {
            spec: spec("openai"),
            path: "/v1/chat/completions",
            body: json!({
                "model": "gpt-5-mini", "stream": stream, "stream_options": {"include_usage": true},
                "messages": [{"role": "system", "content": SYSTEM}, {"role": "user", "content": USER}],
            }),
        },
        Call {
            spec: spec("anthropic"),
            path: "/v1/messages",
            body: json!({
                "model": "claude-haiku-4-5", "stream": stream, "max_tokens": 100, "system": SYSTEM,
                "messages": [{"role": "user", "content": USER}],
            }),
        },
        Call {
            spec: spec("gemini"),
            path: if stream {
                "/v1beta/models/gemini-3-flash:streamGenerateContent?alt=sse"
            } else {
                "/v1beta/models/gemini-3-flash:generateContent"
            },
            body: json!({
                "systemInstruction": {"parts": [{"text": SYSTEM}]},
                "contents": [{"role": "user", "parts": [{"text": USER}]}],
            }),
        },
    ]
}

impl Running {
    pub(crate) async fn call(&self, call: &Call) -> Answer {
        self.send("POST", call.path, call.body.to_string()).await
    }

    pub(crate) async fn send(&self, method: &str, path: &str, body: String) -> Answer {
        let stream = TcpStream::connect(self.address).await.unwrap();
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
        TaskTracker::new().spawn(connection);
        let request = Request::builder().method(method).uri(path).header("host", "simulator");
        let response = sender.send_request(request.body(Full::new(Bytes::from(body))).unwrap()).await.unwrap();
        let (head, mut incoming) = response.into_parts();
        let mut body = BytesMut::new();
        let mut whole = true;
        while let Some(frame) = incoming.frame().await {
            match frame {
                Ok(frame) => body.extend_from_slice(&frame.into_data().unwrap()),
                Err(_) => whole = false,
            }
        }
        Answer { status: head.status.as_u16(), headers: head.headers, body: body.freeze(), whole }
    }
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    pub(crate) fn streamed(&self, spec: &ProviderSpec) -> Streamed {
        let mut decoder = spec.stream_decoder();
        let mut streamed = Streamed::default();
        for event in decoder.push(&self.body).into_iter().chain(decoder.finish()) {
            match event {
                StreamEvent::TextDelta { text, .. } => {
                    streamed.text.push_str(&text);
                    streamed.deltas += 1;
                }
                StreamEvent::Finish { finish, .. } => streamed.finish = Some(finish),
                StreamEvent::Usage(usage) => streamed.usage = usage,
                StreamEvent::Error(error) => streamed.error = Some(error),
                StreamEvent::End => streamed.ended = true,
                _ => {}
            }
        }
        streamed
    }
}
