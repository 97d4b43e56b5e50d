use std::borrow::Cow;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serializer};

/// Reads a duration: a whole number and one unit of `ms`, `s`, `m`, `h`, `d`, such as `30s`.
///
/// Returns `None` for anything else, an overflow included.
#[must_use]
pub fn parse_duration(text: &str) -> Option<Duration> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at_checked(digits)?;
    let number: u64 = number.parse().ok()?;
    let millis = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    number.checked_mul(millis).map(Duration::from_millis)
}

/// Writes a duration in its largest whole unit, the form that [`parse_duration`] reads; parts of a millisecond are cut.
#[must_use]
pub fn format_duration(duration: Duration) -> String {
    let millis = duration.as_millis();
    let units = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1_000, "s")];
    let fits = units.into_iter().find(|(size, _)| millis != 0 && millis.is_multiple_of(*size));
    fits.map_or_else(|| format!("{millis}ms"), |(size, unit)| format!("{}{unit}", millis / size))
}

/// Serialises a duration as text such as `30s`, for `#[serde(with = "bowline_types::duration_text")]`.
pub mod duration_text {
    use super::{Cow, Deserialize, Deserializer, Duration, Serializer, format_duration, parse_duration};

    /// Writes the duration.
    ///
    /// # Errors
    /// Fails where the serialiser does.
    pub fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_duration(*duration))
    }

    /// Reads the duration.
    ///
    /// # Errors
    /// Fails on anything but a whole number and a unit.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        let error =
            || serde::de::Error::custom(format_args!("`{text}` is not a duration (expected `30s`, `5m`, `12h`, `7d`)"));
        parse_duration(&text).ok_or_else(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_round_trip() {
        for text in ["1ms", "1500ms", "30s", "5m", "36h", "14d"] {
            assert_eq!(format_duration(parse_duration(text).unwrap()), text);
        }
        for text in ["", "5", "s", "-1s", "1.5s", "1 s", "99999999999999999999d", "1é"] {
            assert_eq!(parse_duration(text), None, "{text}");
        }
    }
}
