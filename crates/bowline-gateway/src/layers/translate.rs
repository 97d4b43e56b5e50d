//! The neutral form into the provider's own. Where both sides speak the same dialect and nothing has to change, the client's bytes
//! pass through with the model and the usage option spliced in place.

use bowline_chat::{Dialect, Request, splice};
use bowline_providers::{CHAT_PATH, WireRequest};
use bytes::Bytes;

use crate::live::Route;
use crate::refusal::Refusal;

/// What goes upstream, before a route is chosen.
pub(crate) struct Rendered {
    /// The call in the neutral form.
    pub(crate) request: Request,
    /// The client's body, where it may pass through.
    pub(crate) body: Option<Bytes>,
    /// What was changed on the way, to be reported with the answer.
    pub(crate) notes: Vec<String>,
}

/// Writes a call for a route.
///
/// # Errors
/// Names what the provider cannot honour; nothing is dropped silently.
pub(crate) fn translate(rendered: &Rendered, route: &Route) -> Result<WireRequest, Refusal> {
    let request = &rendered.request;
    if let Some(body) = rendered.body.as_ref().filter(|_| route.spec.dialect == Dialect::OpenAiChat) {
        let edits = splice::Edits { model: &route.model, include_usage: request.stream };
        let body = splice::request(body, edits)?;
        return Ok(WireRequest { path: CHAT_PATH.to_owned(), body, notes: Vec::new() });
    }
    // A provider that counts tokens of streams only when asked is always asked; the client sees them only if it asked itself.
    let upstream = Request { include_usage: request.stream, ..request.clone() };
    Ok(route.spec.encode_request(&upstream, &route.model)?)
}
