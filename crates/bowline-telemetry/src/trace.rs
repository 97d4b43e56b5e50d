use bowline_types::InferenceId;

/// The longest `tracestate` that is carried on; a longer one is left out, as W3C allows.
const STATE_BYTES_MAX: usize = 512;

/// Where in a trace a call belongs: the caller's `traceparent` and `tracestate` headers.
///
/// Source: <https://www.w3.org/TR/trace-context/>, read in August 2026.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceContext {
    trace: [u8; 16],
    parent: [u8; 8],
    sampled: bool,
    state: String,
}

/// The ids of the span of an inference, and where it hangs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SpanPlace {
    pub(crate) trace: [u8; 16],
    pub(crate) span: [u8; 8],
    pub(crate) parent: Option<[u8; 8]>,
    pub(crate) state: String,
}

// === impl TraceContext ===

impl TraceContext {
    /// Reads the headers of a request; `None` where `traceparent` is not valid, which starts a new trace.
    #[must_use]
    pub fn parse(traceparent: &str, tracestate: Option<&str>) -> Option<Self> {
        let mut parts = traceparent.trim().split('-');
        let version: [u8; 1] = unhex(parts.next()?)?;
        let trace: [u8; 16] = unhex(parts.next()?)?;
        let parent: [u8; 8] = unhex(parts.next()?)?;
        let flags: [u8; 1] = unhex(parts.next()?)?;
        // Later versions may append parts; version 0 has exactly these, and 255 is forbidden.
        let whole = version != [0] || parts.next().is_none();
        if !whole || version == [0xff] || trace == [0; 16] || parent == [0; 8] {
            return None;
        }
        let state = tracestate.filter(|state| state.len() <= STATE_BYTES_MAX).unwrap_or_default();
        Some(Self { trace, parent, sampled: flags[0] & 1 == 1, state: state.to_owned() })
    }

    /// Returns whether the caller records the trace; if not, neither do we.
    #[must_use]
    pub const fn is_sampled(&self) -> bool {
        self.sampled
    }
}

// === impl SpanPlace ===

impl SpanPlace {
    /// Places the span of an inference. Without a caller's trace, the trace id is the UUID of the inference, so that either finds
    /// the other; the span id is always the random half of that UUID.
    pub(crate) fn new(inference: InferenceId, context: Option<&TraceContext>) -> Self {
        let uuid = *inference.uuid().as_bytes();
        let mut span = [0; 8];
        span.copy_from_slice(&uuid[8..]);
        match context {
            Some(context) => {
                Self { trace: context.trace, span, parent: Some(context.parent), state: context.state.clone() }
            }
            None => Self { trace: uuid, span, parent: None, state: String::new() },
        }
    }
}

/// Decodes lower-case hexadecimal digits of exactly `N` bytes.
fn unhex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    if text.len() != 2 * N {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(bytes)
}

const fn digit(character: u8) -> Option<u8> {
    match character {
        b'0'..=b'9' => Some(character - b'0'),
        b'a'..=b'f' => Some(character - b'a' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn traceparents_parse() {
        let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
        let parent = "00f067aa0ba902b7";
        for (text, expected) in [
            (format!("00-{trace}-{parent}-01"), Some(true)),
            (format!("00-{trace}-{parent}-00"), Some(false)),
            (format!("cc-{trace}-{parent}-01-more"), Some(true)),
            (format!("00-{trace}-{parent}-01-more"), None),
            (format!("ff-{trace}-{parent}-01"), None),
            (format!("00-{}-{parent}-01", "0".repeat(32)), None),
            (format!("00-{trace}-{}-01", "0".repeat(16)), None),
            (format!("00-{}-{parent}-01", trace.to_uppercase()), None),
            (format!("00-+{}-{parent}-01", "1".repeat(31)), None),
            (format!("00-{trace}-{parent}"), None),
            (String::new(), None),
        ] {
            let context = TraceContext::parse(&text, None);
            assert_eq!(context.map(|context| context.is_sampled()), expected, "{text}");
        }
    }
}
