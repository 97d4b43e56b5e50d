use std::time::Duration;

use http::HeaderMap;
use jiff::Timestamp;

/// Reads how long a provider asks to wait, from the headers of a failed call.
///
/// In order: `retry-after-ms`; `retry-after` in seconds or as a date; then, for calls that met a limit, the longest of the
/// resets whose limit has nothing remaining: `x-ratelimit-reset-*` as OpenAI writes durations (`1m2s`),
/// `anthropic-ratelimit-*-reset` as RFC 3339. Dates count from the `date` header of the same answer, so that no clock is asked.
#[must_use]
pub(crate) fn retry_after(status: u16, headers: &HeaderMap) -> Option<Duration> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
    let millis = text("retry-after-ms").and_then(|text| text.parse::<f64>().ok());
    if let Some(wait) = millis.and_then(|millis| Duration::try_from_secs_f64(millis / 1000.0).ok()) {
        return Some(wait);
    }
    let date = text("date").and_then(http_date);
    if let Some(stated) = text("retry-after") {
        let seconds = stated.parse::<f64>().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        return seconds.or_else(|| until(date?, http_date(stated)?));
    }
    if status != 429 {
        return None;
    }
    let openai = ["requests", "tokens"].into_iter().filter_map(|what| {
        text(&format!("x-ratelimit-remaining-{what}")).filter(|remaining| *remaining == "0")?;
        duration(text(&format!("x-ratelimit-reset-{what}"))?)
    });
    let anthropic = ["requests", "tokens", "input-tokens", "output-tokens"].into_iter().filter_map(|what| {
        text(&format!("anthropic-ratelimit-{what}-remaining")).filter(|remaining| *remaining == "0")?;
        until(date?, text(&format!("anthropic-ratelimit-{what}-reset"))?.parse().ok()?)
    });
    openai.chain(anthropic).max()
}

/// Reads a duration of units in falling size: `1h2m3.5s`, `6m0s`, `34.4s`, `12ms`.
pub(crate) fn duration(text: &str) -> Option<Duration> {
    let mut total = 0.0;
    let mut rest = text.trim();
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, tail) = rest.split_at_checked(digits)?;
        let letters = tail.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(tail.len());
        let (unit, tail) = tail.split_at_checked(letters)?;
        let seconds = match unit {
            "d" => 86_400.0,
            "h" => 3_600.0,
            "m" => 60.0,
            "s" => 1.0,
            "ms" => 0.001,
            "us" | "µs" => 0.000_001,
            _ => return None,
        };
        total += number.parse::<f64>().ok()? * seconds;
        rest = tail;
    }
    // To the microsecond, so that the sum of the parts has no noise.
    let wait = Duration::try_from_secs_f64(total).ok()?;
    u64::try_from((wait.as_nanos() + 500) / 1000).ok().map(Duration::from_micros)
}

fn http_date(text: &str) -> Option<Timestamp> {
    jiff::fmt::rfc2822::parse(text).ok().map(|date| date.timestamp())
}

fn until(now: Timestamp, then: Timestamp) -> Option<Duration> {
    let wait = then.duration_since(now);
    Some(if wait.is_negative() { Duration::ZERO } else { wait.unsigned_abs() })
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    fn check(headers: &[(&'static str, &'static str)], expected: Option<u64>) {
        let pair = |(name, value): &(&'static str, &'static str)| {
            (HeaderName::from_static(name), HeaderValue::from_static(value))
        };
        let map: HeaderMap = headers.iter().map(pair).collect();
        assert_eq!(retry_after(429, &map), expected.map(Duration::from_millis), "{headers:?}");
    }

    #[test]
    fn hints_are_read() {
        check(&[], None);
        check(&[("retry-after", "12")], Some(12_000));
        check(&[("retry-after", "0.5")], Some(500));
        check(&[("retry-after", "-1")], None);
        check(&[("retry-after", "soon")], None);
        check(&[("retry-after-ms", "250"), ("retry-after", "1")], Some(250));
        check(
            &[("date", "Wed, 21 Oct 2026 07:28:00 GMT"), ("retry-after", "Wed, 21 Oct 2026 07:29:30 GMT")],
            Some(90_000),
        );
        check(&[("retry-after", "Wed, 21 Oct 2026 07:29:30 GMT")], None);
        check(
            &[
                ("x-ratelimit-remaining-requests", "12"),
                ("x-ratelimit-reset-requests", "8h"),
                ("x-ratelimit-remaining-tokens", "0"),
                ("x-ratelimit-reset-tokens", "1m2s"),
            ],
            Some(62_000),
        );
        check(
            &[
                ("date", "Wed, 21 Oct 2026 07:28:00 GMT"),
                ("anthropic-ratelimit-tokens-remaining", "0"),
                ("anthropic-ratelimit-tokens-reset", "2026-10-21T07:28:07Z"),
            ],
            Some(7_000),
        );
    }

    #[test]
    fn durations_are_read() {
        for (text, millis) in [("34.4s", 34_400), ("6ms", 6), ("1m2s", 62_000), ("1h2m3.5s", 3_723_500), ("0s", 0)] {
            assert_eq!(duration(text), Some(Duration::from_millis(millis)), "{text}");
        }
        for text in ["", "5", "s", "1.2.3s", "-1s", "1 s", "1y", "9e99s"] {
            assert_eq!(duration(text), None, "{text}");
        }
    }
}
