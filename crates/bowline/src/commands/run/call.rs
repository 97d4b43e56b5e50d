use std::time::Duration;

use anyhow::Context;
use bowline_chat::openai_chat::{decode_error, stream_decoder};
use bowline_chat::{StreamEvent, UpstreamError};
use bowline_types::TokenUsage;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;
use tokio::time::Instant;

use crate::failure::{Failure, Result};
use crate::output::{line, piece};

/// How long a gateway may take to learn of a new key.
const KEY_KNOWN_MAX: Duration = Duration::from_secs(2);
/// How often is asked meanwhile.
const KEY_PAUSE: Duration = Duration::from_millis(20);

/// Where a call goes, and as whom.
pub(super) struct Call<'a> {
    pub(super) gateway: &'a str,
    pub(super) key: &'a str,
    pub(super) unit: Option<&'a str>,
}

/// What is known of a call that was answered.
#[derive(Debug, Default)]
pub(super) struct Answered {
    pub(super) inference: Option<String>,
    pub(super) version: Option<String>,
    pub(super) arm: Option<String>,
    pub(super) simulated: bool,
    pub(super) usage: Option<TokenUsage>,
    /// The whole answer, where it was not streamed.
    pub(super) answer: Option<Value>,
}

// === impl Call ===

impl Call<'_> {
    /// Sends the call. A streamed answer is printed as it comes.
    ///
    /// # Errors
    /// The gateway cannot be reached or refuses, or the provider failed.
    pub(super) async fn send(&self, body: &Value) -> Result<Answered> {
        let response = self.respond(body).await?;
        let mut answered = Answered::of(response.headers());
        if response.status() != StatusCode::OK {
            let status = response.status();
            let bytes = response.into_body().collect().await.context("the answer broke off")?.to_bytes();
            return Err(refused(status, &decode_error(status.as_u16(), &bytes, None)));
        }
        let is_stream = body.get("stream") == Some(&Value::Bool(true));
        if is_stream {
            answered.usage = print(response.into_body()).await?;
        } else {
            let bytes = response.into_body().collect().await.context("the answer broke off")?.to_bytes();
            answered.answer = Some(serde_json::from_slice(&bytes).context("the answer is no JSON")?);
        }
        Ok(answered)
    }

    /// Sends the call until the gateway knows the key, which was made just now.
    async fn respond(&self, body: &Value) -> Result<Response<Incoming>> {
        let client = Client::builder(TokioExecutor::new()).build_http::<Full<Bytes>>();
        let deadline = Instant::now() + KEY_KNOWN_MAX;
        loop {
            let request = self.request(body).context("the call cannot be written as HTTP")?;
            let response = client.request(request).await.map_err(|error| {
                let hint = "hint: `bowline up` serves one; `--gateway ADDR` names another address";
                let error = anyhow::Error::new(error);
                Failure::user(format!("could not reach the gateway at {}: {error:#}\n{hint}", self.gateway))
            })?;
            if response.status() != StatusCode::UNAUTHORIZED || Instant::now() > deadline {
                return Ok(response);
            }
            tokio::time::sleep(KEY_PAUSE).await;
        }
    }

    fn request(&self, body: &Value) -> http::Result<Request<Full<Bytes>>> {
        let request = Request::post(format!("http://{}/v1/chat/completions", self.gateway))
            .header(AUTHORIZATION, format!("Bearer {}", self.key))
            .header(CONTENT_TYPE, "application/json");
        let request = match self.unit {
            Some(unit) => request.header("x-bowline-unit", unit),
            None => request,
        };
        request.body(Full::from(body.to_string()))
    }
}

// === impl Answered ===

impl Answered {
    fn of(headers: &HeaderMap) -> Self {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        Self {
            inference: text("x-bowline-inference"),
            version: text("x-bowline-version"),
            arm: text("x-bowline-arm"),
            simulated: headers.contains_key("x-bowline-simulated"),
            ..Self::default()
        }
    }
}

/// Prints a streamed answer and returns what it took.
async fn print(mut body: Incoming) -> Result<Option<TokenUsage>> {
    let mut decoder = stream_decoder();
    let mut usage = None;
    let mut whole = false;
    while let Some(frame) = body.frame().await {
        let frame = frame.context("the answer broke off")?;
        let Some(bytes) = frame.data_ref() else { continue };
        for event in decoder.push(bytes) {
            show(event, &mut usage, &mut whole)?;
        }
    }
    for event in decoder.finish() {
        show(event, &mut usage, &mut whole)?;
    }
    line("");
    if whole { Ok(usage) } else { Err(Failure::user("the answer was cut off")) }
}

fn show(event: StreamEvent, usage: &mut Option<TokenUsage>, whole: &mut bool) -> Result<()> {
    match event {
        StreamEvent::TextDelta { text, .. } | StreamEvent::RefusalDelta { text, .. } => piece(&text),
        StreamEvent::ToolCallDelta { name, arguments, .. } => {
            let name = name.map_or_else(String::new, |name| format!("\n{name} "));
            piece(&format!("{name}{arguments}"));
        }
        StreamEvent::Usage(found) => *usage = Some(found),
        StreamEvent::End => *whole = true,
        StreamEvent::Error(error) => {
            line("");
            return Err(Failure::user(error.message));
        }
        StreamEvent::Start { .. }
        | StreamEvent::ReasoningDelta { .. }
        | StreamEvent::Signature { .. }
        | StreamEvent::Finish { .. }
        | StreamEvent::Opaque { .. }
        | StreamEvent::Metadata(_) => {}
    }
    Ok(())
}

fn refused(status: StatusCode, error: &UpstreamError) -> Failure {
    if status == StatusCode::INTERNAL_SERVER_ERROR {
        return Failure::internal(anyhow::Error::msg(error.message.clone()));
    }
    Failure::user(error.message.clone())
}
