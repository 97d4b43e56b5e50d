use bowline_chat::Dialect;

mod error;
mod request;
mod response;
mod stream;

use crate::spec::{AuthScheme, Capabilities, ClientSide, Documentation, ProviderSpec, ServerSide};

/// Anthropic Messages.
pub(crate) const SPEC: ProviderSpec = ProviderSpec {
    kind: KIND,
    dialect: DIALECT,
    base_url: "https://api.anthropic.com",
    auth: AuthScheme::Header("x-api-key"),
    headers: &[("anthropic-version", "2023-06-01")],
    capabilities: Capabilities {
        seed: false,
        choices: false,
        json_object: false,
        penalties: false,
        top_k: true,
        single_tool_call: true,
        temperature_max: 1.0,
    },
    documentation: Documentation { url: "https://docs.claude.com/en/api/messages", read: "2026-08-20" },
    otel_name: "anthropic",
    client: ClientSide {
        encode_request: request::encode_request,
        decode_response: response::decode_response,
        stream_decoder: stream::stream_decoder,
        decode_error: error::decode_error,
    },
    server: ServerSide {
        decode_request: request::decode_request,
        encode_response: response::encode_response,
        stream_encoder: stream::stream_encoder,
        encode_error: error::encode_error,
    },
};

const KIND: &str = "anthropic";
const DIALECT: Dialect = Dialect::AnthropicMessages;

/// The `max_tokens` that is sent when a request has none, since the format demands one. The answer reports it.
pub const ANTHROPIC_MAX_TOKENS_DEFAULT: u64 = 4096;
