use std::collections::{BTreeMap, HashMap};
use std::fmt;

use bowline_types::{ErrorKind, TokenUsage, chain};
use serde_json::Value;

use crate::json_frames::JsonFrames;
use crate::{DecodeError, Dialect, Fields, Finish, Opaque, Signature, Sse, SseEvent, StreamEvent, UpstreamError};

/// Decodes the bytes of one streamed answer; the events do not depend on how the bytes were cut into chunks.
///
/// Reads server-sent events, and the JSON array that Gemini sends without `alt=sse`. What cannot be read becomes one
/// [`StreamEvent::Error`], after which there is nothing more.
pub struct StreamDecoder {
    framing: Framing,
    events: Events,
    decoder: Box<dyn DecodeEvents + Send>,
}

/// What one wire format makes of the events of a stream.
pub trait DecodeEvents {
    /// Reads one event.
    ///
    /// # Errors
    /// The event is not what the format describes, or it reports a failure of the provider; the stream ends with it.
    fn event(&mut self, event: &SseEvent, out: &mut Events) -> Result<(), DecodeError>;
}

/// Collects what a stream says, and keeps the order that [`StreamEvent`] promises.
#[derive(Debug, Default)]
pub struct Events {
    out: Vec<StreamEvent>,
    started: bool,
    ended: bool,
    /// Metadata that came before the start.
    held: Vec<Opaque>,
    /// The last value of each metadata field, as providers repeat them in every chunk.
    metadata: HashMap<String, Value>,
    /// The choices that spoke, and whether they ended.
    choices: BTreeMap<u32, bool>,
    usage: Option<TokenUsage>,
}

#[derive(Debug)]
enum Framing {
    /// Nothing but white space came yet.
    Unknown,
    Sse(Sse),
    Json(JsonFrames),
}

// === impl StreamDecoder ===

impl StreamDecoder {
    /// Returns a decoder of the format that `decoder` reads.
    #[must_use]
    pub fn new(decoder: Box<dyn DecodeEvents + Send>) -> Self {
        Self { framing: Framing::Unknown, events: Events::default(), decoder }
    }

    /// Takes the next bytes and returns the events that they complete.
    pub fn push(&mut self, bytes: &[u8]) -> Vec<StreamEvent> {
        let mut bytes = bytes;
        if let Framing::Unknown = self.framing {
            bytes = bytes.trim_ascii_start();
            self.framing = match bytes.first() {
                None => return Vec::new(),
                Some(b'[' | b'{') => Framing::Json(JsonFrames::default()),
                Some(_) => Framing::Sse(Sse::default()),
            };
        }
        let framed = match &mut self.framing {
            Framing::Unknown => Ok(Vec::new()),
            Framing::Sse(sse) => sse.push(bytes),
            Framing::Json(frames) => frames.push(bytes),
        };
        let read = framed.and_then(|framed| framed.iter().try_for_each(|event| self.event(event)));
        if let Err(error) = read {
            self.events.fail(error);
        }
        std::mem::take(&mut self.events.out)
    }

    /// Ends the stream. Without [`StreamEvent::End`] or [`StreamEvent::Error`] by now, the answer was cut off.
    pub fn finish(&mut self) -> Vec<StreamEvent> {
        if let Framing::Sse(sse) = &mut self.framing
            && let Some(event) = sse.finish()
        {
            match self.event(&event) {
                // Half an event: the answer was cut off within it.
                Ok(()) | Err(DecodeError::Json(_)) => {}
                Err(error) => self.events.fail(error),
            }
        }
        self.events.close();
        std::mem::take(&mut self.events.out)
    }

    fn event(&mut self, event: &SseEvent) -> Result<(), DecodeError> {
        if self.events.ended { Ok(()) } else { self.decoder.event(event, &mut self.events) }
    }
}

impl fmt::Debug for StreamDecoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamDecoder").field("framing", &self.framing).field("events", &self.events).finish()
    }
}

// === impl Events ===

impl Events {
    /// Says that the provider began to answer; only the first time counts.
    pub fn start(&mut self, id: String, model: String) {
        if !self.started {
            self.started = true;
            self.out.push(StreamEvent::Start { id, model });
            self.out.extend(self.held.drain(..).map(StreamEvent::Metadata));
        }
    }

    /// Adds text.
    pub fn text(&mut self, choice: u32, text: String) {
        if !text.is_empty() {
            self.content(choice, StreamEvent::TextDelta { choice, text });
        }
    }

    /// Adds reasoning.
    pub fn reasoning(&mut self, choice: u32, text: String) {
        if !text.is_empty() {
            self.content(choice, StreamEvent::ReasoningDelta { choice, text });
        }
    }

    /// Adds a signature.
    pub fn signature(&mut self, choice: u32, call: Option<u32>, signature: Signature) {
        self.content(choice, StreamEvent::Signature { choice, call, signature });
    }

    /// Adds a refusal.
    pub fn refusal(&mut self, choice: u32, text: String) {
        if !text.is_empty() {
            self.content(choice, StreamEvent::RefusalDelta { choice, text });
        }
    }

    /// Begins a tool call.
    pub fn call(&mut self, choice: u32, index: u32, id: Option<String>, name: String, arguments: String) {
        self.content(choice, StreamEvent::ToolCallDelta { choice, index, id, name: Some(name), arguments });
    }

    /// Adds arguments to a tool call.
    pub fn arguments(&mut self, choice: u32, index: u32, arguments: String) {
        if !arguments.is_empty() {
            self.content(choice, StreamEvent::ToolCallDelta { choice, index, id: None, name: None, arguments });
        }
    }

    /// Adds content that is not modelled.
    pub fn opaque(&mut self, choice: u32, opaque: Opaque) {
        self.content(choice, StreamEvent::Opaque { choice, opaque });
    }

    /// Says that a choice ended; only the first time counts.
    pub fn finish(&mut self, choice: u32, finish: Finish) {
        if self.choices.get(&choice) != Some(&true) {
            self.content(choice, StreamEvent::Finish { choice, finish });
            self.choices.insert(choice, true);
        }
    }

    /// Adds metadata: what is left of a wire object. A value that did not change is not repeated.
    pub fn metadata(&mut self, fields: Fields, dialect: Dialect, parent: &str) {
        for opaque in fields.rest(dialect, parent) {
            if self.metadata.insert(opaque.path.clone(), opaque.raw.clone()).as_ref() != Some(&opaque.raw) {
                self.piece(opaque);
            }
        }
    }

    /// Adds metadata of a delta, whose lists and objects add to what came before even where they repeat it.
    pub fn delta_metadata(&mut self, fields: Fields, dialect: Dialect, parent: &str) {
        for opaque in fields.rest(dialect, parent) {
            let adds = opaque.raw.is_object() || opaque.raw.is_array();
            if adds || self.metadata.insert(opaque.path.clone(), opaque.raw.clone()).as_ref() != Some(&opaque.raw) {
                self.piece(opaque);
            }
        }
    }

    /// Adds one piece of metadata.
    pub fn piece(&mut self, opaque: Opaque) {
        if self.started { self.out.push(StreamEvent::Metadata(opaque)) } else { self.held.push(opaque) }
    }

    /// Replaces the usage; providers state totals so far, so the last one counts. One that says nothing is passed over.
    pub fn usage(&mut self, usage: TokenUsage) {
        if !usage.is_empty() {
            self.usage = Some(usage);
        }
    }

    /// Says that the answer is whole. Choices for which the provider gave no reason end with one that says so.
    pub fn end(&mut self) {
        let open: Vec<u32> = self.choices.iter().filter(|(_, ended)| !**ended).map(|(choice, _)| *choice).collect();
        for choice in open {
            self.finish(choice, Finish::Other("unspecified".to_owned()));
        }
        self.start(String::new(), String::new());
        self.out.extend(self.usage.take().map(StreamEvent::Usage));
        self.out.push(StreamEvent::End);
        self.ended = true;
    }

    /// The bytes ended: the answer is whole if every choice ended, since some providers send no end marker.
    fn close(&mut self) {
        if self.ended {
            return;
        }
        if !self.choices.is_empty() && self.choices.values().all(|ended| *ended) {
            self.end();
        } else {
            self.out.extend(self.usage.take().map(StreamEvent::Usage));
            self.ended = true;
        }
    }

    fn fail(&mut self, error: DecodeError) {
        if self.ended {
            return;
        }
        let error = match error {
            DecodeError::Upstream(error) => error,
            error => UpstreamError {
                kind: ErrorKind::UpstreamInvalid,
                status: None,
                code: None,
                message: chain(&error),
                retry_after: None,
            },
        };
        self.out.extend(self.usage.take().map(StreamEvent::Usage));
        self.out.push(StreamEvent::Error(error));
        self.ended = true;
    }

    fn content(&mut self, choice: u32, event: StreamEvent) {
        self.start(String::new(), String::new());
        self.choices.entry(choice).or_insert(false);
        self.out.push(event);
    }
}
