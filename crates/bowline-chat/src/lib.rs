//! The neutral form of a chat call, and the dialects that clients speak.
//!
//! [`Request`], [`Response`] and [`StreamEvent`] are what the gateway works on between a client's dialect and a provider's
//! wire format. What they do not model is kept as [`Opaque`]: it returns to its own dialect unchanged, and writing it into
//! another one is a typed error. Everything here is pure: bytes and values in, bytes and values out.

mod decoder;
mod error;
mod fields;
mod json_frames;
mod model_ref;
mod note;
mod object;
mod opaque;
pub mod openai_chat;
mod request;
mod response;
pub mod splice;
mod sse;
mod stream;

pub use decoder::{DecodeEvents, Events, StreamDecoder};
pub use error::{DecodeError, EncodeError, UpstreamError, kind_of_status, shortened};
pub use fields::Fields;
pub use model_ref::{ModelRef, ModelRefError, Selector};
pub use note::Note;
pub use object::Object;
pub use opaque::{Dialect, Opaque};
pub use request::{
    ImageSource, Message, Parameters, Part, Reasoning, ReasoningForm, Request, ResponseFormat, Role, Signature, Tool,
    ToolCall, ToolChoice, ToolResult,
};
pub use response::{Choice, Finish, Response};
pub use sse::{SSE_EVENT_BYTES_MAX, Sse, SseEvent};
pub use stream::StreamEvent;
