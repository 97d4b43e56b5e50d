use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The share of units that a candidate gets, in hundredths of a percent; written `10%` or `2.5%`.
///
/// More than 0, at most 100 %.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Share(u16);

/// Text that is not a share.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{0}` is not a share (expected `10%` or `2.5%`: more than 0, at most 100, at most two decimals)")]
pub struct ShareError(String);

/// Hundredths of a percent in the whole.
const WHOLE: u16 = 10_000;

// === impl Share ===

impl Share {
    /// Half of the units: the largest share of a stage.
    pub const HALF: Self = Self(WHOLE / 2);

    /// Returns the share of `percent` percent, at least 1 % and at most 100 %.
    #[must_use]
    pub const fn percent(percent: u8) -> Self {
        let percent = if percent > 100 { 100 } else { percent as u16 };
        Self(if percent == 0 { 100 } else { percent * 100 })
    }

    /// Returns hundredths of a percent, 1 to 10,000.
    #[must_use]
    pub const fn basis_points(self) -> u16 {
        self.0
    }

    /// Returns the share as a part of one.
    #[must_use]
    pub fn fraction(self) -> f64 {
        f64::from(self.0) / f64::from(WHOLE)
    }

    /// Returns whether a position on the circle of 2^64 places lies within the share.
    ///
    /// The places of a smaller share are places of every larger one, so a unit that is on the candidate stays there while
    /// shares grow.
    #[must_use]
    pub const fn contains(self, position: u64) -> bool {
        // position / 2^64 < share, without a division or a rounding.
        (position as u128) * (WHOLE as u128) < (self.0 as u128) << 64
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.0 / 100, self.0 % 100) {
            (whole, 0) => write!(f, "{whole}%"),
            (whole, part) if part % 10 == 0 => write!(f, "{whole}.{}%", part / 10),
            (whole, part) => write!(f, "{whole}.{part:02}%"),
        }
    }
}

impl fmt::Debug for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Share {
    type Err = ShareError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        parse(text).ok_or_else(|| ShareError(text.to_owned()))
    }
}

fn parse(text: &str) -> Option<Share> {
    let number = text.strip_suffix('%')?;
    let (whole, part) = match number.split_once('.') {
        Some((whole, part)) => (whole, part),
        None => (number, "0"),
    };
    let digits = |text: &str, most: usize| {
        let valid = (1..=most).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
        if valid { text.parse::<u16>().ok() } else { None }
    };
    let part = digits(part, 2)? * if part.len() == 1 { 10 } else { 1 };
    let points = digits(whole, 3)?.checked_mul(100)?.checked_add(part)?;
    (1..=WHOLE).contains(&points).then_some(Share(points))
}

impl Serialize for Share {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Share {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for Share {
    fn schema_name() -> Cow<'static, str> {
        "Share".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": "A share of the units, such as `10%` or `2.5%`.",
            "pattern": r"^[0-9]{1,3}(\.[0-9]{1,2})?%$",
            "examples": ["10%", "2.5%"],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_round_trip() {
        for text in ["0.01%", "2.5%", "2.05%", "10%", "33.33%", "50%", "100%"] {
            let share: Share = text.parse().unwrap();
            assert_eq!(share.to_string(), text);
            assert_eq!(serde_json::from_str::<Share>(&serde_json::to_string(&share).unwrap()).unwrap(), share);
        }
    }

    #[test]
    fn other_texts_are_refused() {
        for text in
            ["", "%", "0%", "0.00%", "100.01%", "101%", "999%", "10", "-1%", "+1%", "1.%", ".5%", "1.234%", "1 %"]
        {
            assert!(text.parse::<Share>().is_err(), "{text}");
        }
    }

    #[test]
    fn the_whole_contains_every_position_and_half_contains_half() {
        let whole = Share::percent(100);
        assert!(whole.contains(0) && whole.contains(u64::MAX));
        assert!(Share::HALF.contains((1 << 63) - 1) && !Share::HALF.contains(1 << 63));
    }
}
