//! Edits of a body in place, for the case that client and provider speak the same dialect: all other bytes stay as they are.

use std::ops::Range;

use bytes::Bytes;
use serde_json::value::RawValue;

use crate::DecodeError;
use crate::fields::Members;
use crate::sse::{Frames, SseEvent};

/// What to change in the body of a request.
#[derive(Clone, Copy, Debug)]
pub struct Edits<'a> {
    /// The value of `model`.
    pub model: &'a str,
    /// Whether to ask for usage at the end of a stream.
    pub include_usage: bool,
}

/// Takes the usage chunk out of a stream whose client did not ask for one; all other bytes stay as they are.
///
/// The chunk is the one with an empty `choices` and a `usage`. Usage on a chunk with content, as some servers send it unasked,
/// stays.
#[derive(Debug, Default)]
pub struct UsageFilter {
    frames: Frames,
    /// Whether the last frame ended in CR, so that an LF that opens the next one belongs to it.
    after_cr: bool,
    /// Whether the last frame was taken out.
    dropped: bool,
}

/// An object of the body: where its values are.
struct Object<'a> {
    text: &'a str,
    members: Vec<(String, Range<usize>)>,
}

/// A change of a range of the body.
struct Change {
    range: Range<usize>,
    with: String,
}

/// Edits the body of an OpenAI chat request: sets `model`, takes `variables` out, and asks for usage where told to.
///
/// # Errors
/// The body is no JSON object, a key repeats, or `model` is missing.
pub fn request(body: &[u8], edits: Edits<'_>) -> Result<Vec<u8>, DecodeError> {
    let root = Object::parse(body)?;
    let model = root.value("model").ok_or_else(|| DecodeError::Missing { path: "model".to_owned() })?;
    let mut changes = vec![Change { range: model, with: quoted(edits.model) }];
    if edits.include_usage {
        changes.push(root.include_usage()?);
    }
    if let Some(range) = root.member("variables") {
        // An inserted member stands before the closing brace, so it cannot lie within a removed one.
        changes.push(Change { range, with: String::new() });
    }
    changes.sort_by_key(|change| change.range.start);
    let mut out = Vec::with_capacity(body.len() + 64);
    let mut copied = 0;
    for change in changes {
        out.extend_from_slice(body.get(copied..change.range.start).unwrap_or_default());
        out.extend_from_slice(change.with.as_bytes());
        copied = change.range.end;
    }
    out.extend_from_slice(body.get(copied..).unwrap_or_default());
    Ok(out)
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

// === impl Object ===

impl<'a> Object<'a> {
    fn parse(body: &'a [u8]) -> Result<Self, DecodeError> {
        let text = std::str::from_utf8(body).map_err(|error| DecodeError::Json(serde::de::Error::custom(error)))?;
        let members: Members<&'a RawValue> = serde_json::from_str(text).map_err(DecodeError::Json)?;
        let range = |raw: &RawValue| {
            // A borrowed raw value is a part of `text`, so the difference of the addresses is its offset.
            let start = raw.get().as_ptr().addr() - text.as_ptr().addr();
            start..start + raw.get().len()
        };
        let members = members.unique()?.into_iter().map(|(key, raw)| (key, range(raw))).collect();
        Ok(Self { text, members })
    }

    fn value(&self, key: &str) -> Option<Range<usize>> {
        self.members.iter().find(|(name, _)| name == key).map(|(_, range)| range.clone())
    }

    /// Returns the range of a member with its key and one comma.
    fn member(&self, key: &str) -> Option<Range<usize>> {
        let index = self.members.iter().position(|(name, _)| name == key)?;
        let (_, value) = self.members.get(index)?;
        if let Some((_, before)) = index.checked_sub(1).and_then(|before| self.members.get(before)) {
            return Some(before.end..value.end);
        }
        let open = self.text.find('{')? + 1;
        let comma = comma(self.text.get(value.end..)?).unwrap_or(0);
        Some(open..value.end + comma)
    }

    fn include_usage(&self) -> Result<Change, DecodeError> {
        const OPTION: &str = "\"include_usage\":true";
        let Some(options) = self.value("stream_options") else {
            // `model` is there, so there is a last member to follow.
            let end = self.members.last().map_or(0, |(_, range)| range.end);
            return Ok(Change { range: end..end, with: format!(",\"stream_options\":{{{OPTION}}}") });
        };
        let text = self.text.get(options.clone()).unwrap_or_default();
        if !text.starts_with('{') {
            return Ok(Change { range: options, with: format!("{{{OPTION}}}") });
        }
        let inner = Object::parse(text.as_bytes())?;
        if let Some(value) = inner.value("include_usage") {
            let range = options.start + value.start..options.start + value.end;
            return Ok(Change { range, with: "true".to_owned() });
        }
        let comma = if inner.members.is_empty() { "" } else { "," };
        let at = options.start + 1;
        Ok(Change { range: at..at, with: format!("{OPTION}{comma}") })
    }
}

/// Returns the length of the white space and the comma that `text` begins with.
fn comma(text: &str) -> Option<usize> {
    let rest = text.trim_start();
    rest.starts_with(',').then(|| text.len() - rest.len() + 1)
}

// === impl UsageFilter ===

impl UsageFilter {
    /// Takes the next bytes and returns what goes on to the client.
    ///
    /// # Errors
    /// An event exceeds its bound; the stream cannot be read any further.
    pub fn push(&mut self, bytes: &[u8]) -> Result<Bytes, DecodeError> {
        let mut out = Vec::with_capacity(bytes.len());
        for frame in self.frames.push(bytes)? {
            self.frame(&frame, &mut out);
        }
        Ok(out.into())
    }

    /// Ends the stream and returns what is left for the client.
    #[must_use]
    pub fn finish(&mut self) -> Bytes {
        let mut out = Vec::new();
        let rest = self.frames.finish();
        self.frame(&rest, &mut out);
        out.into()
    }

    fn frame(&mut self, frame: &[u8], out: &mut Vec<u8>) {
        let own = frame.strip_prefix(b"\n").filter(|_| self.after_cr);
        if own.is_some() && !self.dropped {
            out.push(b'\n');
        }
        let frame = own.unwrap_or(frame);
        self.after_cr = frame.ends_with(b"\r");
        self.dropped = is_usage_only(frame);
        if !self.dropped {
            out.extend_from_slice(frame);
        }
    }
}

/// Returns whether a frame is the chunk that only carries usage. Looks for the word first, since most chunks lack it.
fn is_usage_only(frame: &[u8]) -> bool {
    #[derive(serde::Deserialize)]
    struct Chunk<'a> {
        #[serde(borrow, default)]
        choices: Option<Vec<&'a RawValue>>,
        #[serde(borrow, default)]
        usage: Option<&'a RawValue>,
    }

    if !frame.windows(7).any(|window| window == b"\"usage\"") {
        return false;
    }
    let Some(event) = SseEvent::parse(frame) else { return false };
    let Ok(chunk) = serde_json::from_str::<Chunk<'_>>(&event.data) else { return false };
    let no_choices = chunk.choices.is_some_and(|choices| choices.is_empty());
    no_choices && chunk.usage.is_some_and(|usage| usage.get().starts_with('{'))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    fn check(body: &str, include_usage: bool, expected: &str) {
        let out = request(body.as_bytes(), Edits { model: "gpt-5", include_usage }).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[test]
    fn bodies_are_edited_in_place() {
        check(r#"{"model":"fast","n": 1e2}"#, false, r#"{"model":"gpt-5","n": 1e2}"#);
        check(r#" { "n" : 1 , "model" : "a\"b" } "#, false, r#" { "n" : 1 , "model" : "gpt-5" } "#);
        check(r#"{"model":"a"}"#, true, r#"{"model":"gpt-5","stream_options":{"include_usage":true}}"#);
        check(
            r#"{"stream_options": {"include_usage": false, "x":1}, "model":"a"}"#,
            true,
            r#"{"stream_options": {"include_usage": true, "x":1}, "model":"gpt-5"}"#,
        );
        check(
            r#"{"model":"a","stream_options":{ "x":1}}"#,
            true,
            r#"{"model":"gpt-5","stream_options":{"include_usage":true, "x":1}}"#,
        );
        check(
            r#"{"model":"a","stream_options":null}"#,
            true,
            r#"{"model":"gpt-5","stream_options":{"include_usage":true}}"#,
        );
        check(r#"{ "variables": {"a": [1]} , "model":"a"}"#, false, r#"{ "model":"gpt-5"}"#);
        check(r#"{"model":"a", "variables":{}, "n":1}"#, false, r#"{"model":"gpt-5", "n":1}"#);
        check(r#"{"model":"a","variables":{}}"#, true, r#"{"model":"gpt-5","stream_options":{"include_usage":true}}"#);
    }

    #[test]
    fn repeated_keys_are_refused() {
        let twice = request(br#"{"model":"a","n":1,"mod\u0065l":"b"}"#, Edits { model: "c", include_usage: false });
        assert!(matches!(twice, Err(DecodeError::DuplicateKey { key }) if key == "model"));
        let missing = request(b"{}", Edits { model: "c", include_usage: false });
        assert!(matches!(missing, Err(DecodeError::Missing { .. })));
    }

    proptest! {
        #[test]
        fn edits_change_only_what_they_say(
            members in prop::collection::btree_map(
                prop::sample::select(vec!["a", "model", "variables", "stream_options", "ü\"", "z"]),
                prop::sample::select(vec!["1", "\"x\"", "{}", "{\"include_usage\":false}", "[{},\"}\"]", "null"]),
                0..6,
            ),
            space in prop::sample::select(vec!["", " ", "\n\t"]),
            include_usage: bool,
        ) {
            let mut members = members;
            members.insert("model", "\"old\"");
            let text: Vec<String> = members.iter()
                .map(|(key, value)| format!("{space}{}{space}:{space}{value}{space}", quoted(key)))
                .collect();
            let body = format!("{{{}}}", text.join(","));
            let out = request(body.as_bytes(), Edits { model: "new", include_usage }).unwrap();
            let mut expected: Value = serde_json::from_str(&body).unwrap();
            expected["model"] = "new".into();
            expected.as_object_mut().unwrap().shift_remove("variables");
            if include_usage {
                if !expected["stream_options"].is_object() {
                    expected["stream_options"] = serde_json::json!({});
                }
                expected["stream_options"]["include_usage"] = true.into();
            }
            prop_assert_eq!(serde_json::from_slice::<Value>(&out).unwrap(), expected);
        }
    }

    #[test]
    fn only_the_usage_chunk_is_taken_out() {
        let content = "data: {\"choices\":[{\"index\":0}],\"usage\":null}";
        let usage = "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":1}}";
        let filter = "data: {\"choices\":[],\"prompt_filter_results\":[]}";
        for end in ["\n\n", "\r\n\r\n", "\r\r"] {
            let all =
                [filter, ": \"usage\"", content, usage, "data: [DONE]"].map(|line| format!("{line}{end}")).concat();
            let kept = [filter, ": \"usage\"", content, "data: [DONE]"].map(|line| format!("{line}{end}")).concat();
            for size in [1, 2, 7, 1000] {
                let mut stripper = UsageFilter::default();
                let mut out: Vec<u8> = all.as_bytes().chunks(size).flat_map(|c| stripper.push(c).unwrap()).collect();
                out.extend_from_slice(&stripper.finish());
                assert_eq!(String::from_utf8(out).unwrap(), kept, "{end:?} in chunks of {size}");
            }
        }
    }
}
