mod expected;
mod normal;

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read as _};
use std::path::Path;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bowline_chat::openai_chat::{self, Envelope};
use bowline_chat::{EncodeError, Opaque, Part, Request, Response, StreamDecoder, StreamEvent, UpstreamError};
use bowline_types::chain;
use bowline_types::conformance::{Group, Report};
use flate2::read::GzDecoder;
use http::{HeaderMap, HeaderName, HeaderValue};
use serde::Deserialize;
use serde_json::Value;

use crate::{PROVIDERS, ProviderSpec};

/// One recorded exchange.
#[derive(Deserialize)]
struct Line {
    id: String,
    request: RecordedRequest,
    response: RecordedResponse,
}

#[derive(Deserialize)]
struct RecordedRequest {
    url: String,
    body: String,
}

#[derive(Deserialize)]
struct RecordedResponse {
    status: u16,
    headers: BTreeMap<String, String>,
    body: String,
}

/// What became of one exchange.
enum Outcome {
    Passed,
    Refused(String),
}

/// Ends the methods of the same APIs that are no chat calls.
const OTHER_METHODS: [&str; 4] = ["count_tokens", "countTokens", "embedContent", "batchEmbedContents"];

/// Decodes the recorded exchanges in `folder`, one file per dialect, whole and streamed answers apart.
///
/// Of each exchange: the request decodes and, written again, is the same JSON (what counts as the same is said in `traffic/normal.rs`); it
/// is written in each other dialect, or refused with a typed error. The answer decodes, its text and usage are what the body
/// says (worked out from the JSON, apart from the decoders); written and read again it is the same; for a client
/// of OpenAI's dialect it is written too, unless it holds content that only its own dialect knows. A stream gives the same
/// events for any chunking, and ends. An error has the message of the body.
///
/// # Errors
/// A file is there but cannot be read, or is not of its form.
pub fn provider_traffic(folder: &Path) -> io::Result<Report> {
    let mut report = Report { corpus: "provider-traffic".to_owned(), groups: Vec::new() };
    for spec in PROVIDERS {
        let file = folder.join(format!("{}.jsonl", spec.dialect));
        if !file.exists() {
            continue;
        }
        let mut plain = Group::new(spec.dialect.as_str());
        let mut streamed = Group::new(format!("{}, streamed", spec.dialect));
        for line in fs::read_to_string(file)?.lines() {
            let line: Line = serde_json::from_str(line)?;
            let body = line.response.bytes()?;
            let is_stream = line.response.status == 200 && looks_streamed(&body);
            let group = if is_stream { &mut streamed } else { &mut plain };
            match exchange(spec, &line, &body, is_stream) {
                Ok(Outcome::Passed) => group.passed += 1,
                Ok(Outcome::Refused(reason)) => group.refuse(reason),
                Err(problem) => group.failed.push(format!("{}: {problem}", line.id)),
            }
        }
        report.groups.extend([plain, streamed]);
    }
    Ok(report)
}

/// Returns whether a body is a stream of events; the recorded flag speaks of the request only.
fn looks_streamed(body: &[u8]) -> bool {
    let start = body.trim_ascii_start();
    [&b"data:"[..], b"event:", b":"].iter().any(|prefix| start.starts_with(prefix))
}

fn exchange(spec: &ProviderSpec, line: &Line, body: &[u8], is_stream: bool) -> Result<Outcome, String> {
    let path = line.request.url.split_once('#').map_or(line.request.url.as_str(), |(url, _)| url);
    let method = path.split('?').next().and_then(|path| path.rsplit(['/', ':']).next()).unwrap_or_default();
    if OTHER_METHODS.contains(&method) {
        return Ok(Outcome::Refused(format!("not a chat call: {method}")));
    }
    request(spec, line, path)?;
    if line.response.status != 200 {
        error(spec, &line.response, body)?;
    } else if is_stream {
        stream(spec, body)?;
    } else {
        let Ok(value) = serde_json::from_slice::<Value>(body) else {
            return Ok(Outcome::Refused("the recorded answer is not JSON".to_owned()));
        };
        response(spec, body, &value)?;
    }
    Ok(Outcome::Passed)
}

// === Requests ===

fn request(spec: &ProviderSpec, line: &Line, path: &str) -> Result<(), String> {
    let body = line.request.body.as_str();
    let request =
        (spec.server.decode_request)(body.as_bytes(), path).map_err(|error| format!("request: {}", chain(&error)))?;
    let wire = match spec.encode_request(&request, &request.model) {
        // The provider refused it too.
        Err(EncodeError::Unsupported { .. }) if line.response.status == 400 => return Ok(()),
        wire => wire.map_err(|error| format!("request again: {error}"))?,
    };
    if let Some(note) = wire.notes.first() {
        return Err(format!("request again: {} was changed: {}", note.parameter, note.change));
    }
    let recorded = serde_json::from_str(body).map_err(|error| error.to_string())?;
    let again = serde_json::from_slice(&wire.body).map_err(|error| error.to_string())?;
    let (recorded, again) = (normal::request(spec.dialect, recorded), normal::request(spec.dialect, again));
    if let Some(difference) = difference("", &recorded, &again) {
        return Err(format!("request again: {difference}"));
    }
    for other in PROVIDERS.iter().filter(|other| other.dialect != spec.dialect) {
        translated(&request, other)?;
    }
    Ok(())
}

/// Writes a request in another dialect: what is opaque must be refused by name.
fn translated(request: &Request, other: &ProviderSpec) -> Result<(), String> {
    let is_opaque = holds_opaque(request);
    match other.encode_request(request, &request.model) {
        Ok(_) if is_opaque => Err(format!("written for {} in spite of opaque pieces", other.kind)),
        Err(EncodeError::Opaque { path, .. }) if !is_opaque => {
            Err(format!("{path} was refused though nothing is opaque"))
        }
        Ok(_) | Err(_) => Ok(()),
    }
}

fn holds_opaque(request: &Request) -> bool {
    let in_tools = request.tools.iter().any(|tool| match tool {
        bowline_chat::Tool::Opaque(_) => true,
        bowline_chat::Tool::Function { opaque, .. } => !opaque.is_empty(),
    });
    let in_messages =
        request.messages.iter().any(|message| !message.opaque.is_empty() || parts_hold_opaque(&message.content));
    in_tools || in_messages || !request.opaque.is_empty()
}

fn parts_hold_opaque(parts: &[Part]) -> bool {
    parts.iter().any(|part| match part {
        Part::Opaque(_) => true,
        Part::ToolResult(result) => !result.opaque.is_empty() || parts_hold_opaque(&result.content),
        part => !part.opaque().is_empty(),
    })
}

// === Answers ===

fn response(spec: &ProviderSpec, body: &[u8], value: &Value) -> Result<(), String> {
    let response = spec.decode_response(body).map_err(|error| format!("answer: {}", chain(&error)))?;
    let expected = expected::answer(spec.dialect, std::slice::from_ref(value));
    equal("usage", &response.usage, &expected.usage)?;
    equal("text", &response.text(), &expected.text)?;
    equal("finish", &response.choices.first().map(|choice| choice.finish.as_str()), &expected.finish.as_deref())?;
    let envelope = Envelope { id: response.id.clone(), model: response.model.clone(), created: 0 };
    let again =
        (spec.server.encode_response)(&response, &envelope).map_err(|error| format!("answer again: {error}"))?;
    let mut again = spec.decode_response(&again).map_err(|error| format!("answer again: {}", chain(&error)))?;
    without_made_ids(&response, &mut again);
    equal("answer again", &(again.choices, again.usage), &(response.choices.clone(), response.usage))?;
    for_client(spec, &response, &envelope)
}

/// Takes the ids out again that were made for calls without one.
fn without_made_ids(response: &Response, again: &mut Response) {
    let before = response.choices.iter().flat_map(|choice| &choice.content);
    let after = again.choices.iter_mut().flat_map(|choice| &mut choice.content);
    for (before, after) in before.zip(after) {
        if let (Part::ToolCall(before), Part::ToolCall(after)) = (before, after)
            && before.id.is_empty()
        {
            after.id.clear();
        }
    }
}

/// Writes an answer for a client of OpenAI's dialect: whole parts that only another dialect knows must be refused.
fn for_client(spec: &ProviderSpec, response: &Response, envelope: &Envelope) -> Result<(), String> {
    let own = spec.dialect == bowline_chat::Dialect::OpenAiChat;
    let is_opaque = |part: &Part| matches!(part, Part::Opaque(_));
    let refused = !own && response.choices.iter().any(|choice| choice.content.iter().any(is_opaque));
    match openai_chat::encode_response(response, envelope) {
        Ok(_) if !refused => Ok(()),
        Err(EncodeError::Opaque { .. }) if refused => Ok(()),
        Ok(_) => Err("written for a client in spite of opaque content".to_owned()),
        Err(error) => Err(format!("for a client: {error}")),
    }
}

fn stream(spec: &ProviderSpec, body: &[u8]) -> Result<(), String> {
    let events = decode(spec.stream_decoder(), body.chunks(body.len().max(1)));
    for size in [1, 7, 4096] {
        let cut = decode(spec.stream_decoder(), body.chunks(size));
        equal(&format!("events in chunks of {size}"), &cut, &events)?;
    }
    let chunks = expected::chunks(body)?;
    let stated = chunks.iter().find_map(|chunk| chunk.get("error")).and_then(|error| error.get("message"));
    match (events.last(), stated) {
        (Some(StreamEvent::Error(error)), Some(message)) => {
            return equal("error", &Some(error.message.as_str()), &message.as_str());
        }
        (Some(StreamEvent::End), None) => {}
        (last, _) => return Err(format!("the stream ended with {last:?}")),
    }
    let expected = expected::answer(spec.dialect, &chunks);
    let usage = events.iter().find_map(|event| if let StreamEvent::Usage(usage) = event { Some(*usage) } else { None });
    equal("usage", &usage.unwrap_or_default(), &expected.usage)?;
    let text = |event: &StreamEvent| {
        if let StreamEvent::TextDelta { choice: 0, text } = event { Some(text.clone()) } else { None }
    };
    equal("text", &events.iter().filter_map(text).collect::<String>(), &expected.text)?;
    let finish = events.iter().find_map(|event| match event {
        StreamEvent::Finish { choice: 0, finish } => Some(finish.as_str()),
        _ => None,
    });
    equal("finish", &finish, &expected.finish.as_deref())?;
    stream_again(spec, &events)
}

/// Writes a stream as a server does and reads it again: the content must be the same.
fn stream_again(spec: &ProviderSpec, events: &[StreamEvent]) -> Result<(), String> {
    let envelope = Envelope { id: "id".to_owned(), model: "model".to_owned(), created: 0 };
    let mut encoder = (spec.server.stream_encoder)(envelope, true);
    let mut bytes = Vec::new();
    for event in events {
        encoder.encode(event, &mut bytes).map_err(|error| format!("stream again: {error}"))?;
    }
    let again = decode(spec.stream_decoder(), bytes.chunks(4096));
    equal("stream again", &content(&again), &content(events))
}

/// Returns what a stream says, with the deltas of each kind joined, as encoders may cut them otherwise.
fn content(events: &[StreamEvent]) -> Vec<StreamEvent> {
    let mut joined: Vec<StreamEvent> = Vec::new();
    for event in events {
        match (joined.last_mut(), event) {
            (Some(StreamEvent::TextDelta { text, .. }), StreamEvent::TextDelta { text: more, .. })
            | (Some(StreamEvent::ReasoningDelta { text, .. }), StreamEvent::ReasoningDelta { text: more, .. }) => {
                text.push_str(more);
            }
            (
                Some(StreamEvent::ToolCallDelta { arguments, .. }),
                StreamEvent::ToolCallDelta { arguments: more, name: None, .. },
            ) => arguments.push_str(more),
            (_, StreamEvent::Start { .. } | StreamEvent::Metadata(_) | StreamEvent::Signature { .. }) => {}
            (_, StreamEvent::Opaque { opaque: Opaque { path, .. }, .. }) if !path.ends_with("/-") => {}
            _ => joined.push(event.clone()),
        }
    }
    joined
}

fn decode<'a>(mut decoder: StreamDecoder, chunks: impl Iterator<Item = &'a [u8]>) -> Vec<StreamEvent> {
    let mut events: Vec<_> = chunks.flat_map(|chunk| decoder.push(chunk)).collect();
    events.extend(decoder.finish());
    events
}

fn error(spec: &ProviderSpec, recorded: &RecordedResponse, body: &[u8]) -> Result<(), String> {
    let UpstreamError { status, message, .. } = spec.decode_error(recorded.status, &recorded.header_map(), body);
    equal("status", &status, &Some(recorded.status))?;
    let value: Value = serde_json::from_slice(body).unwrap_or_default();
    let stated = value.pointer("/error/message").and_then(Value::as_str);
    equal("message", &message.as_str(), &stated.unwrap_or(&message))?;
    if message.is_empty() { Err("an error without a message".to_owned()) } else { Ok(()) }
}

// === Comparison ===

fn equal<T: PartialEq + std::fmt::Debug>(what: &str, found: &T, expected: &T) -> Result<(), String> {
    if found == expected { Ok(()) } else { Err(format!("{what}: {found:?} instead of {expected:?}")) }
}

/// Returns the first place at which two bodies differ.
fn difference(path: &str, recorded: &Value, again: &Value) -> Option<String> {
    match (recorded, again) {
        (Value::Object(left), Value::Object(right)) => {
            let keys = left.keys().chain(right.keys().filter(|key| !left.contains_key(key.as_str())));
            let null = Value::Null;
            let mut fields = keys.map(|key| (key, left.get(key).unwrap_or(&null), right.get(key).unwrap_or(&null)));
            fields.find_map(|(key, left, right)| difference(&format!("{path}.{key}"), left, right))
        }
        (Value::Array(left), Value::Array(right)) if left.len() == right.len() => {
            let mut items = left.iter().zip(right).enumerate();
            items.find_map(|(index, (left, right))| difference(&format!("{path}[{index}]"), left, right))
        }
        _ if recorded == again => None,
        _ => Some(format!("{path}: {again} instead of {recorded}")),
    }
}

// === impl RecordedResponse ===

impl RecordedResponse {
    /// Returns the bytes of the body; binary ones were recorded in base64, and are compressed JSON in these files.
    fn bytes(&self) -> io::Result<Vec<u8>> {
        let Some(text) = self.body.strip_prefix("base64:") else { return Ok(self.body.as_bytes().to_vec()) };
        let bytes = BASE64_STANDARD.decode(text).map_err(io::Error::other)?;
        if !bytes.starts_with(&[0x1f, 0x8b]) {
            return Ok(bytes);
        }
        let mut plain = Vec::new();
        GzDecoder::new(bytes.as_slice()).read_to_end(&mut plain)?;
        Ok(plain)
    }

    fn header_map(&self) -> HeaderMap {
        let pair = |(name, value): (&String, &String)| {
            Some((HeaderName::try_from(name).ok()?, HeaderValue::try_from(value).ok()?))
        };
        self.headers.iter().filter_map(pair).collect()
    }
}
