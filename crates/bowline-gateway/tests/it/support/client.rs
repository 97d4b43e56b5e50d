use bytes::Bytes;
use http::{HeaderMap, Method, Request};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;

use super::Server;

/// What the gateway answered.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.body.to_vec()).unwrap()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The `data:` payloads of a stream, `[DONE]` included.
    pub(crate) fn events(&self) -> Vec<String> {
        let text = self.text();
        text.lines().filter_map(|line| line.strip_prefix("data: ")).map(str::to_owned).collect()
    }

    /// The text of the first choice of a stream.
    pub(crate) fn streamed_text(&self) -> String {
        let events = self.events().into_iter().filter(|event| event != "[DONE]");
        let values = events.map(|event| serde_json::from_str::<Value>(&event).unwrap());
        values.filter_map(|value| Some(value.pointer("/choices/0/delta/content")?.as_str()?.to_owned())).collect()
    }
}

impl Server {
    /// Sends a chat call and reads the whole answer.
    pub(crate) async fn chat(&self, body: Value) -> Answer {
        self.send(Method::POST, "/v1/chat/completions", body.to_string(), &[]).await
    }

    /// Sends a chat call of a unit.
    pub(crate) async fn chat_as(&self, unit: &str, body: Value) -> Answer {
        self.send(Method::POST, "/v1/chat/completions", body.to_string(), &[("x-bowline-unit", unit)]).await
    }

    /// Sends anything, with the key of the server unless a header says otherwise.
    pub(crate) async fn send(
        &self,
        method: Method,
        path: &str,
        body: impl Into<Bytes>,
        headers: &[(&str, &str)],
    ) -> Answer {
        let response = self.open(method, path, body.into(), headers).await;
        let (head, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        Answer { status: head.status.as_u16(), headers: head.headers, body }
    }

    /// Sends anything and returns as soon as the head is there.
    pub(crate) async fn open(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
        headers: &[(&str, &str)],
    ) -> http::Response<Incoming> {
        let mut request = Request::builder().method(method).uri(format!("http://{}{path}", self.address));
        if !headers.iter().any(|(name, _)| *name == "authorization") {
            request = request.header("authorization", format!("Bearer {}", self.key));
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let client = Client::builder(TokioExecutor::new()).build_http();
        client.request(request.body(Full::new(body)).unwrap()).await.unwrap()
    }
}
