use bowline_chat::openai_chat::{self, Envelope, StreamEncoder};
use bowline_chat::{Dialect, EncodeError, Request, Response, StreamEvent, UpstreamError};
use http::HeaderMap;

use crate::retry::retry_after;
use crate::spec::{
    AuthScheme, Capabilities, ClientSide, Documentation, EncodeEvents, ProviderSpec, ServerSide, WireRequest,
};

/// OpenAI, and servers that speak its chat format. The format is a client dialect too, so it lives in `bowline-chat`.
pub(crate) const SPEC: ProviderSpec = ProviderSpec {
    kind: "openai",
    dialect: Dialect::OpenAiChat,
    base_url: "https://api.openai.com/v1",
    auth: AuthScheme::Bearer,
    headers: &[],
    capabilities: Capabilities {
        seed: true,
        choices: true,
        json_object: true,
        penalties: true,
        top_k: false,
        single_tool_call: true,
        temperature_max: 2.0,
    },
    documentation: Documentation { url: "https://platform.openai.com/docs/api-reference/chat", read: "2026-08-20" },
    otel_name: "openai",
    client: ClientSide {
        encode_request,
        decode_response: openai_chat::decode_response,
        stream_decoder: openai_chat::stream_decoder,
        decode_error,
    },
    server: ServerSide {
        decode_request: |body, _path| openai_chat::decode_request(body),
        encode_response,
        stream_encoder: |envelope, include_usage| Box::new(StreamEncoder::new(envelope, include_usage)),
        encode_error,
    },
};

/// The path of chat calls, below the base URL.
pub const CHAT_PATH: &str = "/chat/completions";

fn encode_request(request: &Request, model: &str) -> Result<WireRequest, EncodeError> {
    let mut notes = Vec::new();
    let body = openai_chat::encode_request(request, model, &mut notes)?;
    Ok(WireRequest { path: CHAT_PATH.to_owned(), body: body.to_string().into_bytes(), notes })
}

fn decode_error(status: u16, headers: &HeaderMap, body: &[u8]) -> UpstreamError {
    openai_chat::decode_error(status, body, retry_after(status, headers))
}

fn encode_response(response: &Response, envelope: &Envelope) -> Result<Vec<u8>, EncodeError> {
    openai_chat::encode_response(response, envelope).map(|body| body.to_string().into_bytes())
}

fn encode_error(error: &UpstreamError) -> Vec<u8> {
    openai_chat::encode_error(error.kind, &error.message, None, error.code.as_deref())
}

impl EncodeEvents for StreamEncoder {
    fn encode(&mut self, event: &StreamEvent, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        Self::encode(self, event, out)
    }
}
