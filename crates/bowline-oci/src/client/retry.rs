use std::time::Duration;

use http::{HeaderMap, header};

/// The wait before the second attempt; each one after that waits twice as long.
const WAIT_FIRST: Duration = Duration::from_millis(200);
/// The longest wait between two attempts, also where the registry asks for more.
const WAIT_MAX: Duration = Duration::from_secs(30);

/// Returns how long to wait before the attempt after the given one, counted from 1.
pub(super) fn wait(attempt: u32, retry_after: Option<Duration>) -> Duration {
    let doubled = WAIT_FIRST.saturating_mul(1_u32.checked_shl(attempt.saturating_sub(1)).unwrap_or(u32::MAX));
    retry_after.unwrap_or(doubled).min(WAIT_MAX)
}

/// Reads `Retry-After` in seconds; the form with a date is not used by registries, and is read as none.
pub(super) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(header::RETRY_AFTER)?.to_str().ok()?;
    text.trim().parse().ok().map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_and_have_a_bound() {
        let waits: Vec<_> = [1, 2, 3, 40].map(|attempt| wait(attempt, None).as_millis()).into();
        assert_eq!(waits, [200, 400, 800, 30_000]);
        assert_eq!(wait(1, Some(Duration::from_secs(7))).as_secs(), 7);
        assert_eq!(wait(1, Some(Duration::from_secs(3600))).as_secs(), 30);
    }

    #[test]
    fn the_registry_says_how_long() {
        let read = |text: &'static str| {
            let value = header::HeaderValue::from_static(text);
            retry_after(&HeaderMap::from_iter([(header::RETRY_AFTER, value)]))
        };
        assert_eq!(read("3"), Some(Duration::from_secs(3)));
        assert_eq!(read("Wed, 25 Nov 2026 07:28:00 GMT"), None);
        assert_eq!(retry_after(&HeaderMap::new()), None);
    }
}
