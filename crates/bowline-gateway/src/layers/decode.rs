//! What the client means: its dialect, read into the neutral form. Unknown fields are kept, a repeated key is refused.

use bowline_chat::openai_chat::{ClientRequest, decode_client_request};

use crate::layers::accept::Accepted;
use crate::refusal::Refusal;

/// Reads a chat call.
///
/// # Errors
/// Names the field that cannot be read.
pub(crate) fn decode(accepted: &Accepted) -> Result<ClientRequest, Refusal> {
    Ok(decode_client_request(&accepted.body)?)
}
