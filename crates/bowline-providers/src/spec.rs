use std::fmt;

use bowline_chat::openai_chat::Envelope;
use bowline_chat::{
    DecodeError, Dialect, EncodeError, Note, Request, Response, StreamDecoder, StreamEvent, UpstreamError,
};
use http::HeaderMap;

/// What Bowline knows about one kind of provider: facts, and pure functions between the neutral and its wire form.
///
/// Adding a provider is one such constant, one file, one folder of fixtures and one line in [`PROVIDERS`].
#[derive(Debug)]
pub struct ProviderSpec {
    /// The name used in `bowline.yaml` and in records.
    pub kind: &'static str,
    /// The wire format.
    pub dialect: Dialect,
    /// Where the provider is, without a final slash, unless configuration says otherwise.
    pub base_url: &'static str,
    /// How requests are authenticated.
    pub auth: AuthScheme,
    /// Headers that every request carries beside authentication and `content-type`.
    pub headers: &'static [(&'static str, &'static str)],
    /// What it can do.
    pub capabilities: Capabilities,
    /// Where its wire format is described.
    pub documentation: Documentation,
    /// Its `gen_ai.provider.name` in OpenTelemetry.
    pub otel_name: &'static str,
    /// What the gateway calls.
    pub client: ClientSide,
    /// The other side of the wire, for simulation and tests.
    pub server: ServerSide,
}

/// How requests to a provider are authenticated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuthScheme {
    /// `authorization: Bearer KEY`.
    Bearer,
    /// The key alone in a header of this name.
    Header(&'static str),
}

/// What a provider can do, as far as routing and checks ask. What a single model can do, its own API says.
///
/// Encoders refuse what is `false` here.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Capabilities {
    /// Sampling with a seed.
    pub seed: bool,
    /// Several answers to one request.
    pub choices: bool,
    /// Answers that are any JSON object.
    pub json_object: bool,
    /// Presence and frequency penalties.
    pub penalties: bool,
    /// Sampling among the `k` most likely tokens.
    pub top_k: bool,
    /// Forbidding several tool calls in one answer.
    pub single_tool_call: bool,
    /// The highest temperature.
    pub temperature_max: f64,
}

/// Where a wire format is described.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Documentation {
    /// The page.
    pub url: &'static str,
    /// When it was read, `YYYY-MM-DD`.
    pub read: &'static str,
}

/// The functions that the gateway calls, through the methods of [`ProviderSpec`].
#[derive(Clone, Copy)]
pub struct ClientSide {
    /// See [`ProviderSpec::encode_request`].
    pub encode_request: fn(&Request, &str) -> Result<WireRequest, EncodeError>,
    /// See [`ProviderSpec::decode_response`].
    pub decode_response: fn(&[u8]) -> Result<Response, DecodeError>,
    /// See [`ProviderSpec::stream_decoder`].
    pub stream_decoder: fn() -> StreamDecoder,
    /// See [`ProviderSpec::decode_error`].
    pub decode_error: fn(u16, &HeaderMap, &[u8]) -> UpstreamError,
}

/// The functions of a server that speaks the provider's format.
#[derive(Clone, Copy)]
pub struct ServerSide {
    /// Reads a request; the path says the model and whether to stream where the body does not.
    pub decode_request: fn(&[u8], &str) -> Result<Request, DecodeError>,
    /// Writes a whole answer.
    pub encode_response: fn(&Response, &Envelope) -> Result<Vec<u8>, EncodeError>,
    /// Returns an encoder for one streamed answer; `true` includes usage where the format makes that optional.
    pub stream_encoder: fn(Envelope, bool) -> Box<dyn EncodeEvents>,
    /// Writes the body of a failed call.
    pub encode_error: fn(&UpstreamError) -> Vec<u8>,
}

/// Writes a streamed answer, event by event.
pub trait EncodeEvents: Send {
    /// Writes one event.
    ///
    /// # Errors
    /// The event holds an opaque piece of another dialect.
    fn encode(&mut self, event: &StreamEvent, out: &mut Vec<u8>) -> Result<(), EncodeError>;
}

/// A request as it goes to a provider; the transport adds the base URL and the credentials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WireRequest {
    /// What follows the base URL: a path, and a query where the provider needs one.
    pub path: String,
    /// The body, JSON.
    pub body: Vec<u8>,
    /// What was changed to fit the provider, to be reported with the answer.
    pub notes: Vec<Note>,
}

/// Every provider, in the order in which people see them.
pub static PROVIDERS: &[ProviderSpec] = &[crate::openai::SPEC, crate::anthropic::SPEC, crate::gemini::SPEC];

// === impl ProviderSpec ===

impl ProviderSpec {
    /// Returns the provider of a kind.
    #[must_use]
    pub fn find(kind: &str) -> Option<&'static Self> {
        PROVIDERS.iter().find(|spec| spec.kind == kind)
    }

    /// Writes a request for `upstream_model` in the provider's form.
    ///
    /// # Errors
    /// Names the first thing that the provider cannot honour; nothing is dropped silently.
    pub fn encode_request(&self, request: &Request, upstream_model: &str) -> Result<WireRequest, EncodeError> {
        self.capabilities.check(request, self.kind)?;
        (self.client.encode_request)(request, upstream_model)
    }

    /// Reads a whole answer of status 200.
    ///
    /// # Errors
    /// Names the first field that is not what the provider describes; [`DecodeError::Upstream`] where it reports a failure.
    pub fn decode_response(&self, body: &[u8]) -> Result<Response, DecodeError> {
        (self.client.decode_response)(body)
    }

    /// Returns a decoder for one streamed answer of status 200.
    #[must_use]
    pub fn stream_decoder(&self) -> StreamDecoder {
        (self.client.stream_decoder)()
    }

    /// Reads an answer of any other status. Never fails: what is no JSON becomes the message.
    #[must_use]
    pub fn decode_error(&self, status: u16, headers: &HeaderMap, body: &[u8]) -> UpstreamError {
        (self.client.decode_error)(status, headers, body)
    }
}

// === impl Capabilities ===

impl Capabilities {
    /// Refuses the parameters that the provider cannot honour. Values that ask for nothing pass.
    fn check(&self, request: &Request, provider: &'static str) -> Result<(), EncodeError> {
        let parameters = &request.parameters;
        let penalty = |value: Option<f64>| value.is_some_and(|value| value != 0.0);
        let asked = [
            ("seed", parameters.seed.is_some() && !self.seed),
            ("n", parameters.choices.is_some_and(|choices| choices != 1) && !self.choices),
            ("top_k", parameters.top_k.is_some() && !self.top_k),
            ("presence_penalty", penalty(parameters.presence_penalty) && !self.penalties),
            ("frequency_penalty", penalty(parameters.frequency_penalty) && !self.penalties),
            ("temperature", parameters.temperature.is_some_and(|value| value > self.temperature_max)),
            ("parallel_tool_calls", request.parallel_tool_calls == Some(false) && !self.single_tool_call),
            (
                "response_format",
                request.response_format == Some(bowline_chat::ResponseFormat::JsonObject) && !self.json_object,
            ),
        ];
        match asked.into_iter().find(|(_, refused)| *refused) {
            Some((parameter, _)) => Err(EncodeError::Unsupported { parameter: parameter.to_owned(), provider }),
            None => Ok(()),
        }
    }
}

// === impl ClientSide ===

impl fmt::Debug for ClientSide {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientSide")
    }
}

// === impl ServerSide ===

impl fmt::Debug for ServerSide {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ServerSide")
    }
}
