use bowline_chat::{Dialect, Fields};

mod error;
mod request;
mod response;
mod stream;

use crate::spec::{AuthScheme, Capabilities, ClientSide, Documentation, ProviderSpec, ServerSide};

/// Gemini `generateContent` and `streamGenerateContent`.
pub(crate) const SPEC: ProviderSpec = ProviderSpec {
    kind: KIND,
    dialect: DIALECT,
    base_url: "https://generativelanguage.googleapis.com",
    auth: AuthScheme::Header("x-goog-api-key"),
    headers: &[],
    capabilities: Capabilities {
        seed: true,
        choices: true,
        json_object: true,
        penalties: true,
        top_k: true,
        single_tool_call: false,
        temperature_max: 2.0,
    },
    documentation: Documentation { url: "https://ai.google.dev/api/generate-content", read: "2026-08-20" },
    otel_name: "gcp.gemini",
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

const KIND: &str = "gemini";
const DIALECT: Dialect = Dialect::Gemini;

/// Renames the keys of an object from `snake_case`, which the API takes as well, to `camelCase`, which it writes.
fn camel_case(mut fields: Fields) -> Fields {
    fields.rename(|key| {
        let mut words = key.split('_');
        let mut renamed = words.next().filter(|first| first.len() < key.len())?.to_owned();
        for word in words {
            let mut letters = word.chars();
            renamed.extend(letters.next().map(|first| first.to_ascii_uppercase()));
            renamed.push_str(letters.as_str());
        }
        Some(renamed)
    });
    fields
}
