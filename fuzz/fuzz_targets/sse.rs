//! Streams: no input makes a decoder panic, and the events do not depend on how the bytes were cut into chunks.
//!
//! `cargo +nightly fuzz run sse`; the first byte of an input is the size of the chunks.
#![no_main]

use bowline_chat::{DecodeError, Sse, SseEvent, StreamEvent};
use bowline_providers::{PROVIDERS, ProviderSpec};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Some((size, bytes)) = input.split_first() else { return };
    let size = usize::from(*size).max(1);
    assert_eq!(framed(bytes, size).ok(), framed(bytes, bytes.len().max(1)).ok());
    for spec in PROVIDERS {
        assert_eq!(decoded(spec, bytes, size), decoded(spec, bytes, bytes.len().max(1)), "{}", spec.kind);
    }
});

fn framed(bytes: &[u8], size: usize) -> Result<Vec<SseEvent>, DecodeError> {
    let mut sse = Sse::default();
    let mut events = Vec::new();
    for chunk in bytes.chunks(size) {
        events.extend(sse.push(chunk)?);
    }
    events.extend(sse.finish());
    Ok(events)
}

fn decoded(spec: &ProviderSpec, bytes: &[u8], size: usize) -> Vec<StreamEvent> {
    let mut decoder = spec.stream_decoder();
    let mut events: Vec<_> = bytes.chunks(size).flat_map(|chunk| decoder.push(chunk)).collect();
    events.extend(decoder.finish());
    events
}
