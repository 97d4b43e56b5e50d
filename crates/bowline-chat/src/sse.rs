use bytes::Bytes;

use crate::DecodeError;

/// The most bytes of one event, line ends included. Images within a stream are the largest events that providers send.
pub const SSE_EVENT_BYTES_MAX: usize = 16 * 1024 * 1024;

/// One event of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SseEvent {
    /// The `event:` field.
    pub name: Option<String>,
    /// The `data:` fields, joined by line feeds.
    pub data: String,
}

/// An incremental decoder of server-sent events (WHATWG HTML, section 9.2.6, read 2026-08-20).
///
/// Lines end in LF, CR or CRLF; comments, `id` and `retry` are passed over; a byte order mark at the start is skipped; bytes
/// that are no UTF-8 become U+FFFD. Other than the standard it also gives the last event when the stream ends without a blank
/// line, since some providers end so. The events do not depend on how the bytes were cut into chunks.
#[derive(Debug, Default)]
pub struct Sse {
    frames: Frames,
}

/// Cuts the bytes of a stream of events after each blank line, and changes none of them.
#[derive(Debug, Default)]
pub(crate) struct Frames {
    buffer: Vec<u8>,
    /// How much of the buffer was looked at.
    scanned: usize,
    /// Whether the line that is being read has no bytes yet.
    line_is_empty: bool,
    /// Whether the last byte was CR, so that LF belongs to it.
    after_cr: bool,
    /// Whether the first byte was seen.
    started: bool,
}

// === impl Sse ===

impl Sse {
    /// Takes the next bytes and returns the events that they complete.
    ///
    /// # Errors
    /// An event exceeds [`SSE_EVENT_BYTES_MAX`]; the stream cannot be read any further.
    pub fn push(&mut self, bytes: &[u8]) -> Result<Vec<SseEvent>, DecodeError> {
        let frames = self.frames.push(bytes)?;
        Ok(frames.iter().filter_map(|frame| SseEvent::parse(frame)).collect())
    }

    /// Ends the stream and returns an event that lacks its blank line.
    #[must_use]
    pub fn finish(&mut self) -> Option<SseEvent> {
        SseEvent::parse(&self.frames.finish())
    }
}

// === impl Frames ===

impl Frames {
    /// Takes the next bytes and returns the frames that they complete, each with the blank line that ends it.
    ///
    /// A CRLF at the very end may be cut apart: its LF then opens the next frame, where it counts as no line end.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Result<Vec<Bytes>, DecodeError> {
        if !self.started && !bytes.is_empty() {
            self.started = true;
            self.line_is_empty = true;
        }
        self.buffer.extend_from_slice(bytes);
        let mut frames = Vec::new();
        let mut start = 0;
        while let Some(&byte) = self.buffer.get(self.scanned) {
            self.scanned += 1;
            let line_ends = byte == b'\r' || (byte == b'\n' && !self.after_cr);
            let blank = line_ends && self.line_is_empty;
            self.line_is_empty = line_ends || (byte == b'\n' && self.line_is_empty);
            self.after_cr = byte == b'\r';
            if blank {
                frames.push(Bytes::copy_from_slice(self.buffer.get(start..self.scanned).unwrap_or_default()));
                start = self.scanned;
            }
        }
        self.buffer.drain(..start);
        self.scanned -= start;
        let bytes_max = SSE_EVENT_BYTES_MAX;
        if self.buffer.len() > bytes_max || frames.iter().any(|frame| frame.len() > bytes_max) {
            return Err(DecodeError::EventTooLarge { bytes_max });
        }
        Ok(frames)
    }

    /// Ends the stream and returns what lacks its blank line.
    pub(crate) fn finish(&mut self) -> Bytes {
        self.scanned = 0;
        std::mem::take(&mut self.buffer).into()
    }
}

// === impl SseEvent ===

impl SseEvent {
    /// Reads one frame; `None` if it carries no data.
    pub(crate) fn parse(frame: &[u8]) -> Option<Self> {
        let text = String::from_utf8_lossy(frame);
        let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
        let mut name = None;
        let mut data: Option<String> = None;
        for line in text.split(['\r', '\n']) {
            let (field, value) = line.split_once(':').unwrap_or((line, ""));
            let value = value.strip_prefix(' ').unwrap_or(value);
            match (field, &mut data) {
                ("event", _) => name = Some(value.to_owned()),
                ("data", None) => data = Some(value.to_owned()),
                ("data", Some(data)) => {
                    data.push('\n');
                    data.push_str(value);
                }
                _ => {}
            }
        }
        data.map(|data| Self { name, data })
    }

    /// Writes the event.
    pub fn write(&self, out: &mut Vec<u8>) {
        if let Some(name) = &self.name {
            out.extend_from_slice(b"event: ");
            out.extend_from_slice(name.as_bytes());
            out.push(b'\n');
        }
        for line in self.data.split('\n') {
            out.extend_from_slice(b"data: ");
            out.extend_from_slice(line.as_bytes());
            out.push(b'\n');
        }
        out.push(b'\n');
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn events(chunks: &[&[u8]]) -> Vec<SseEvent> {
        let mut sse = Sse::default();
        let mut events: Vec<_> = chunks.iter().flat_map(|chunk| sse.push(chunk).unwrap()).collect();
        events.extend(sse.finish());
        events
    }

    fn check(stream: &str, expected: &[(Option<&str>, &str)]) {
        let expected: Vec<_> = expected
            .iter()
            .map(|(name, data)| SseEvent { name: name.map(str::to_owned), data: (*data).to_owned() })
            .collect();
        assert_eq!(events(&[stream.as_bytes()]), expected, "{stream:?}");
        let bytes: Vec<&[u8]> = stream.as_bytes().chunks(1).collect();
        assert_eq!(events(&bytes), expected, "{stream:?} byte by byte");
    }

    #[test]
    fn streams_decode() {
        check("data: a\n\ndata: b\n\n", &[(None, "a"), (None, "b")]);
        check("data: a\r\n\r\ndata: b\r\n\r\n", &[(None, "a"), (None, "b")]);
        check("data: a\r\rdata: b\r\r", &[(None, "a"), (None, "b")]);
        check("event: ping\ndata: {}\n\n", &[(Some("ping"), "{}")]);
        check(": keep-alive\n\n:\n\ndata:x\n\n", &[(None, "x")]);
        check("data: a\ndata:  b\ndata\n\n", &[(None, "a\n b\n")]);
        check("\u{feff}data: a\n\n", &[(None, "a")]);
        check("id: 1\nretry: 5\nevent: only-a-name\n\n", &[]);
        check("\n\n\r\n\r\ndata: a\r\n\n", &[(None, "a")]);
        check("data: [DONE]", &[(None, "[DONE]")]);
        check("", &[]);
    }

    #[test]
    fn events_are_bounded() {
        let mut sse = Sse::default();
        let chunk = vec![b'x'; 1024 * 1024];
        let results: Vec<_> = (0..17).map(|_| sse.push(&chunk)).collect();
        assert!(results.iter().take(16).all(Result::is_ok));
        assert!(matches!(results[16], Err(DecodeError::EventTooLarge { .. })));
    }

    proptest! {
        #[test]
        fn chunking_does_not_matter(
            pieces in prop::collection::vec(prop::sample::select(vec![
                "data: ", "data", ":", "é", "\u{feff}", "event: a", "\n", "\r", "\r\n", "\n\n", "\r\r", " ", "x",
            ]), 0..40),
            cuts in prop::collection::vec(0usize..200, 0..10),
        ) {
            let stream = pieces.concat().into_bytes();
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(stream.len())).chain([0, stream.len()]).collect();
            cuts.sort_unstable();
            let chunks: Vec<&[u8]> = cuts.windows(2).map(|pair| &stream[pair[0]..pair[1]]).collect();
            prop_assert_eq!(events(&chunks), events(&[&stream]));
        }

        #[test]
        fn frames_change_no_byte(stream in prop::collection::vec(prop::sample::select(b"\r\n:ad".to_vec()), 0..80)) {
            let mut frames = Frames::default();
            let mut out: Vec<u8> = stream.chunks(3).flat_map(|chunk| frames.push(chunk).unwrap()).flatten().collect();
            out.extend_from_slice(&frames.finish());
            prop_assert_eq!(out, stream);
        }
    }
}
