//! What Bowline knows about providers: their wire forms, and their prices.
//!
//! One [`ProviderSpec`] per kind of provider, in [`PROVIDERS`]: facts, and pure functions between the neutral form of
//! `bowline-chat` and the provider's own. No HTTP, credentials, retries or timing: those exist once, in the gateway.

mod anthropic;
pub mod conformance;
mod gemini;
mod openai;
pub mod price;
mod retry;
mod spec;

pub use anthropic::ANTHROPIC_MAX_TOKENS_DEFAULT;
pub use openai::CHAT_PATH;
pub use spec::{
    AuthScheme, Capabilities, ClientSide, Documentation, EncodeEvents, PROVIDERS, ProviderSpec, ServerSide, WireRequest,
};
