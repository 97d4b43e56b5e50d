use std::future::Future as _;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bowline_chat::StreamEvent;
use bowline_providers::EncodeEvents;
use bytes::Bytes;
use hyper::body::{Frame, SizeHint};
use tokio::time::{Instant, Sleep};

/// The body of an answer.
pub(super) enum Body {
    /// All of it.
    Whole(Option<Bytes>),
    /// The first part of it, then the connection breaks.
    Cut {
        /// What is sent.
        part: Option<Bytes>,
        /// The length that was announced.
        length: u64,
        /// How it breaks.
        end: Break,
    },
    /// A streamed answer.
    Stream(Box<Stream>),
}

/// A streamed answer, written while it is sent.
pub(super) struct Stream {
    steps: std::vec::IntoIter<Step>,
    encoder: Box<dyn EncodeEvents>,
    framing: Framing,
    pace: Option<Pace>,
    end: Option<Break>,
}

/// One step of a streamed answer.
#[derive(Debug, PartialEq)]
pub(super) enum Step {
    /// An event.
    Event(StreamEvent),
    /// An event whose JSON is cut off.
    Garbled(StreamEvent),
    /// The connection breaks.
    Cut,
}

/// How the events of a stream follow each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// Server-sent events.
    Events,
    /// Server-sent events with CRLF, as Gemini writes them.
    EventsCrLf,
    /// One JSON array, as Gemini writes without `alt=sse`.
    Array {
        /// Whether an item was written.
        opened: bool,
    },
}

/// A connection that is about to break. Whoever polls gets a chance to send what was written first.
#[derive(Debug, Default)]
pub(super) struct Break {
    flushed: bool,
}

/// The speed of a model.
struct Pace {
    interval: Duration,
    /// When the next token is due; set by the first.
    due: Option<Instant>,
    sleep: Option<Pin<Box<Sleep>>>,
}

// === impl Stream ===

impl Stream {
    /// Returns a body that takes these steps, with `interval` between texts.
    pub(super) fn new(steps: Vec<Step>, encoder: Box<dyn EncodeEvents>, framing: Framing, interval: Duration) -> Self {
        let pace = (!interval.is_zero()).then_some(Pace { interval, due: None, sleep: None });
        Self { steps: steps.into_iter(), encoder, framing, pace, end: None }
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        loop {
            if let Some(end) = &mut self.end {
                return end.poll(context).map(|error| Some(Err(error)));
            }
            if let Some(pace) = &mut self.pace {
                ready!(pace.poll(context));
            }
            let mut out = Vec::new();
            let (event, garbled) = match self.steps.next() {
                None => return Poll::Ready(self.framing.close().map(Ok)),
                Some(Step::Cut) => {
                    self.end = Some(Break::default());
                    continue;
                }
                Some(Step::Event(event)) => (event, false),
                Some(Step::Garbled(event)) => (event, true),
            };
            if let Err(error) = self.encoder.encode(&event, &mut out) {
                return Poll::Ready(Some(Err(io::Error::other(error))));
            }
            if let Some(pace) = self.pace.as_mut().filter(|_| matches!(event, StreamEvent::TextDelta { .. })) {
                pace.wait();
            }
            if garbled {
                out.truncate(out.len() * 2 / 3);
                out.extend_from_slice(b"\n\n");
            }
            // Not every event is written in every format.
            if !out.is_empty() {
                return Poll::Ready(Some(Ok(self.framing.frame(out))));
            }
        }
    }
}

// === impl Pace ===

impl Pace {
    /// Sets the wait for the next token. A late token does not delay the ones after it.
    fn wait(&mut self) {
        let due = self.due.unwrap_or_else(Instant::now) + self.interval;
        self.due = Some(due);
        self.sleep = Some(Box::pin(tokio::time::sleep_until(due)));
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if let Some(sleep) = &mut self.sleep {
            ready!(sleep.as_mut().poll(context));
            self.sleep = None;
        }
        Poll::Ready(())
    }
}

// === impl Break ===

impl Break {
    fn poll(&mut self, context: &Context<'_>) -> Poll<io::Error> {
        if std::mem::replace(&mut self.flushed, true) {
            let broken = io::Error::new(io::ErrorKind::ConnectionReset, "the scenario cuts the answer");
            return Poll::Ready(broken);
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }
}

// === impl Framing ===

impl Framing {
    /// Returns the type of the body.
    pub(super) const fn content_type(self) -> &'static str {
        match self {
            Self::Events | Self::EventsCrLf => "text/event-stream",
            Self::Array { .. } => "application/json",
        }
    }

    /// Puts one server-sent event of one line of data into the frame of the stream.
    fn frame(&mut self, event: Vec<u8>) -> Bytes {
        match self {
            Self::Events => event.into(),
            // A line feed within the data would be escaped, as it is JSON.
            Self::EventsCrLf => {
                let mut framed = Vec::with_capacity(event.len() + 2);
                for byte in event {
                    if byte == b'\n' {
                        framed.push(b'\r');
                    }
                    framed.push(byte);
                }
                framed.into()
            }
            Self::Array { opened } => {
                let start: &[u8] = if std::mem::replace(opened, true) { b",\r\n" } else { b"[" };
                let data = event.strip_prefix(b"data: ").unwrap_or(&event);
                [start, data.strip_suffix(b"\n\n").unwrap_or(data)].concat().into()
            }
        }
    }

    /// Returns what ends the stream, once.
    fn close(&mut self) -> Option<Bytes> {
        match self {
            Self::Array { opened: true } => {
                *self = Self::Events;
                Some(Bytes::from_static(b"]\r\n"))
            }
            Self::Array { opened: false } | Self::Events | Self::EventsCrLf => None,
        }
    }
}

// === impl Body ===

impl hyper::body::Body for Body {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        match self.get_mut() {
            Self::Whole(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::Cut { part, end, .. } => match part.take() {
                Some(part) => Poll::Ready(Some(Ok(Frame::data(part)))),
                None => end.poll(context).map(|error| Some(Err(error))),
            },
            Self::Stream(stream) => stream.poll(context).map(|next| next.map(|bytes| bytes.map(Frame::data))),
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Whole(None))
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => {
                let length = bytes.as_ref().map_or(0, Bytes::len);
                u64::try_from(length).map_or_else(|_| SizeHint::default(), SizeHint::with_exact)
            }
            Self::Cut { length, .. } => SizeHint::with_exact(*length),
            Self::Stream(_) => SizeHint::default(),
        }
    }
}
