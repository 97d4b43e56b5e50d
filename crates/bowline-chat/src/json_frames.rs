use crate::sse::SSE_EVENT_BYTES_MAX;
use crate::{DecodeError, SseEvent};

/// Cuts the objects out of a streamed JSON array, or out of objects that follow each other.
#[derive(Debug, Default)]
pub(crate) struct JsonFrames {
    buffer: Vec<u8>,
    depth: u32,
    in_string: bool,
    escaped: bool,
}

impl JsonFrames {
    /// Takes the next bytes and returns the objects that they complete, each as an event without a name.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Result<Vec<SseEvent>, DecodeError> {
        let mut events = Vec::new();
        for &byte in bytes {
            if self.depth == 0 && byte != b'{' {
                // The brackets, commas and white space between the objects.
                continue;
            }
            self.buffer.push(byte);
            match byte {
                _ if self.escaped => self.escaped = false,
                b'\\' if self.in_string => self.escaped = true,
                b'"' => self.in_string = !self.in_string,
                b'{' if !self.in_string => self.depth += 1,
                b'}' if !self.in_string => self.depth -= 1,
                _ => {}
            }
            if self.depth == 0 {
                let data = String::from_utf8_lossy(&self.buffer).into_owned();
                events.push(SseEvent { name: None, data });
                self.buffer.clear();
            }
        }
        if self.buffer.len() > SSE_EVENT_BYTES_MAX {
            return Err(DecodeError::EventTooLarge { bytes_max: SSE_EVENT_BYTES_MAX });
        }
        Ok(events)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_are_cut_out_of_an_array() {
        let stream = r#"[{"a":"}\"{"} , {"b":{"c":[{}]}}]"#;
        for size in [1, 3, 100] {
            let mut frames = JsonFrames::default();
            let events: Vec<_> = stream.as_bytes().chunks(size).flat_map(|c| frames.push(c).unwrap()).collect();
            let data: Vec<_> = events.iter().map(|event| event.data.as_str()).collect();
            assert_eq!(data, [r#"{"a":"}\"{"}"#, r#"{"b":{"c":[{}]}}"#]);
        }
    }
}
