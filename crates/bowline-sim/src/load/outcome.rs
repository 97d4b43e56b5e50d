use bowline_chat::openai_chat::{decode_error, decode_response, stream_decoder};
use bowline_chat::{DecodeError, StreamEvent, UpstreamError};
use http::{HeaderMap, StatusCode, header};
use serde::de::IgnoredAny;

/// The answer has something that cannot be read.
const INVALID: &str = "invalid";
/// The answer ends too early.
pub(super) const CUT_OFF: &str = "cut_off";

/// Returns the text of a whole answer, or the code of its failure. Where the text is not wanted, it is not read.
pub(super) fn read(status: StatusCode, headers: &HeaderMap, body: &[u8], wants_text: bool) -> Result<String, String> {
    if status != StatusCode::OK {
        let error = decode_error(status.as_u16(), body, None);
        return Err(error.code.unwrap_or_else(|| format!("http_{}", status.as_u16())));
    }
    let streamed =
        headers.get(header::CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream"));
    match (streamed, wants_text) {
        (true, false) if body.ends_with(b"data: [DONE]\n\n") => Ok(String::new()),
        (true, _) => stream(body),
        (false, false) => match serde_json::from_slice::<IgnoredAny>(body) {
            Ok(_) => Ok(String::new()),
            Err(_) => Err(INVALID.to_owned()),
        },
        (false, true) => decode_response(body).map(|answer| answer.text()).map_err(|error| match error {
            DecodeError::Upstream(error) => code(error),
            _ => INVALID.to_owned(),
        }),
    }
}

fn stream(body: &[u8]) -> Result<String, String> {
    let mut decoder = stream_decoder();
    let mut text = String::new();
    for event in decoder.push(body).into_iter().chain(decoder.finish()) {
        match event {
            StreamEvent::TextDelta { choice: 0, text: more } => text.push_str(&more),
            StreamEvent::Error(error) => return Err(code(error)),
            StreamEvent::End => return Ok(text),
            _ => {}
        }
    }
    Err(CUT_OFF.to_owned())
}

fn code(error: UpstreamError) -> String {
    error.code.unwrap_or_else(|| error.kind.spec().code.to_owned())
}
