//! OpenAI Chat Completions, as clients and providers speak it.
//!
//! Source: <https://platform.openai.com/docs/api-reference/chat>, read 2026-08-20. Both directions live here, since the same
//! wire form is a client dialect and the format of many providers. Fields that other vendors added are read where they have
//! one meaning everywhere (`reasoning_content`, `reasoning`, `top_k`), and are opaque otherwise.
//!
//! What other providers have and this dialect lacks goes where their own compatible endpoints put it: signatures of reasoning
//! under `extra_content.google` and `extra_content.anthropic`; metadata that is not modelled under `provider_fields`.

mod error;
mod message;
mod request;
mod response;
mod stream;
#[cfg(test)]
mod tests;
mod usage;

pub use error::{decode_error, encode_error, error_body};
pub use message::encode_messages;
pub use request::{ClientRequest, decode_client_request, decode_request, encode_request};
pub use response::{Envelope, decode_response, encode_response};
pub use stream::{StreamEncoder, stream_decoder};

use crate::Dialect;

/// The dialect of this module.
const DIALECT: Dialect = Dialect::OpenAiChat;
