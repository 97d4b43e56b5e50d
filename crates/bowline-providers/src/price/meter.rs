use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Text that names no meter.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{0}` is nothing that is counted here")]
pub struct MeterParseError(String);

// What a meter counts, as marks: a meter whose marks are all among those of another counts the other's tokens too.
const INPUT: u16 = 1;
const OUTPUT: u16 = 1 << 1;
const SEARCH: u16 = 1 << 2;
const REQUEST: u16 = 1 << 3;
const TEXT: u16 = 1 << 4;
const AUDIO: u16 = 1 << 5;
const IMAGE: u16 = 1 << 6;
const VIDEO: u16 = 1 << 7;
const CACHE_READ: u16 = 1 << 8;
const CACHE_WRITE: u16 = 1 << 9;
const TOOL: u16 = 1 << 10;
const REASONING: u16 = 1 << 11;
const CITATION: u16 = 1 << 12;
const FIVE_MINUTES: u16 = 1 << 13;
const ONE_HOUR: u16 = 1 << 14;

/// Marks that exclude each other.
const GROUPS: [u16; 4] = [
    INPUT | OUTPUT | SEARCH | REQUEST,
    TEXT | AUDIO | IMAGE | VIDEO,
    CACHE_READ | CACHE_WRITE | TOOL | REASONING | CITATION,
    FIVE_MINUTES | ONE_HOUR,
];

macro_rules! meters {
    ($($(#[$doc:meta])* $meter:ident, $name:literal, $marks:expr;)*) => {
        /// Something that is counted in a call and may have a price of its own.
        ///
        /// Declared so that a part stands before every whole it belongs to: the order of the type is the order in which costs are
        /// worked out.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Meter {
            $($(#[$doc])* $meter,)*
        }

        impl Meter {
            /// Every meter, parts before wholes.
            pub const ALL: [Self; [$($name),*].len()] = [$(Self::$meter),*];

            /// Returns the name used in the table: `input_tokens`, …
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$meter => $name,)* }
            }

            const fn marks(self) -> u16 {
                match self { $(Self::$meter => $marks,)* }
            }
        }
    };
}

meters! {
    /// Cached tokens of text that were read.
    CacheTextReadTokens, "cache_text_read_tokens", INPUT | CACHE_READ | TEXT;
    /// Cached tokens of sound that were read.
    CacheAudioReadTokens, "cache_audio_read_tokens", INPUT | CACHE_READ | AUDIO;
    /// Cached tokens of pictures that were read.
    CacheImageReadTokens, "cache_image_read_tokens", INPUT | CACHE_READ | IMAGE;
    /// Cached tokens of video that were read.
    CacheVideoReadTokens, "cache_video_read_tokens", INPUT | CACHE_READ | VIDEO;
    /// Tokens written to a cache for five minutes.
    CacheWrite5mTokens, "cache_write_5m_tokens", INPUT | CACHE_WRITE | FIVE_MINUTES;
    /// Tokens written to a cache for an hour.
    CacheWrite1hTokens, "cache_write_1h_tokens", INPUT | CACHE_WRITE | ONE_HOUR;
    /// Tokens of text that a tool of the provider put into the request.
    InputTextToolTokens, "input_text_tool_tokens", INPUT | TOOL | TEXT;
    /// Tokens of sound that a tool of the provider put into the request.
    InputAudioToolTokens, "input_audio_tool_tokens", INPUT | TOOL | AUDIO;
    /// Tokens of pictures that a tool of the provider put into the request.
    InputImageToolTokens, "input_image_tool_tokens", INPUT | TOOL | IMAGE;
    /// Tokens of video that a tool of the provider put into the request.
    InputVideoToolTokens, "input_video_tool_tokens", INPUT | TOOL | VIDEO;
    /// Tokens read from a cache.
    CacheReadTokens, "cache_read_tokens", INPUT | CACHE_READ;
    /// Tokens written to a cache, for however long.
    CacheWriteTokens, "cache_write_tokens", INPUT | CACHE_WRITE;
    /// Tokens that a tool of the provider put into the request.
    InputToolTokens, "input_tool_tokens", INPUT | TOOL;
    /// Tokens of text in the request.
    InputTextTokens, "input_text_tokens", INPUT | TEXT;
    /// Tokens of sound in the request.
    InputAudioTokens, "input_audio_tokens", INPUT | AUDIO;
    /// Tokens of pictures in the request.
    InputImageTokens, "input_image_tokens", INPUT | IMAGE;
    /// Tokens of video in the request.
    InputVideoTokens, "input_video_tokens", INPUT | VIDEO;
    /// Tokens of reasoning in the answer.
    OutputReasoningTokens, "output_reasoning_tokens", OUTPUT | REASONING;
    /// Tokens of cited sources in the answer.
    OutputCitationTokens, "output_citation_tokens", OUTPUT | CITATION;
    /// Tokens of text in the answer.
    OutputTextTokens, "output_text_tokens", OUTPUT | TEXT;
    /// Tokens of sound in the answer.
    OutputAudioTokens, "output_audio_tokens", OUTPUT | AUDIO;
    /// Tokens of pictures in the answer.
    OutputImageTokens, "output_image_tokens", OUTPUT | IMAGE;
    /// Tokens of video in the answer.
    OutputVideoTokens, "output_video_tokens", OUTPUT | VIDEO;
    /// All tokens of the request.
    InputTokens, "input_tokens", INPUT;
    /// All tokens of the answer.
    OutputTokens, "output_tokens", OUTPUT;
    /// Searches that the provider ran.
    WebSearches, "web_searches", SEARCH;
    /// Calls; every call is one.
    Requests, "requests", REQUEST;
}

// === impl Meter ===

impl Meter {
    /// Returns whether this counts tokens of the request.
    pub(super) const fn is_input(self) -> bool {
        self.marks() & INPUT != 0
    }

    /// Returns whether this counts tokens of the answer.
    pub(super) const fn is_output(self) -> bool {
        self.marks() & OUTPUT != 0
    }

    /// Returns the decimal places between a rate of this meter and the price of one: rates are per million tokens, else per thousand.
    pub(super) const fn rate_places(self) -> u32 {
        if self.is_input() || self.is_output() { 6 } else { 3 }
    }

    /// Returns whether everything that `part` counts is counted here too.
    pub(super) const fn covers(self, part: Self) -> bool {
        self.marks() != part.marks() && self.marks() & part.marks() == self.marks()
    }

    /// Returns whether something may be counted by both, and neither is a part of the other.
    pub(super) fn overlaps(self, other: Self) -> bool {
        let conflict = |group: &u16| {
            let (mine, theirs) = (self.marks() & group, other.marks() & group);
            mine != 0 && theirs != 0 && mine != theirs
        };
        self != other && !self.covers(other) && !other.covers(self) && !GROUPS.iter().any(conflict)
    }

    /// Returns the meter of what both count, where there is one.
    pub(super) fn overlap(self, other: Self) -> Option<Self> {
        Self::ALL.into_iter().find(|meter| meter.marks() == self.marks() | other.marks())
    }
}

impl fmt::Display for Meter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Meter {
    type Err = MeterParseError;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let meter = Self::ALL.into_iter().find(|meter| meter.name() == name);
        meter.ok_or_else(|| MeterParseError(name.to_owned()))
    }
}

impl Serialize for Meter {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl<'de> Deserialize<'de> for Meter {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        name.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_stand_before_their_wholes() {
        for whole in Meter::ALL {
            for part in Meter::ALL.into_iter().filter(|part| whole.covers(*part)) {
                assert!(part < whole, "{part} is a part of {whole}");
            }
        }
        assert!(Meter::InputTokens.covers(Meter::CacheWrite1hTokens));
        assert!(!Meter::OutputTokens.covers(Meter::InputAudioTokens));
        assert!(!Meter::Requests.covers(Meter::WebSearches) && !Meter::WebSearches.covers(Meter::InputTokens));
    }

    #[test]
    fn overlaps_are_what_both_count() {
        use Meter::*;
        assert!(CacheReadTokens.overlaps(InputAudioTokens));
        assert_eq!(CacheReadTokens.overlap(InputAudioTokens), Some(CacheAudioReadTokens));
        assert_eq!(CacheWriteTokens.overlap(InputAudioTokens), None, "counted by both, but nobody reports it");
        for (one, other) in
            [(CacheReadTokens, CacheWriteTokens), (InputTokens, CacheReadTokens), (InputTokens, OutputTokens)]
        {
            assert!(!one.overlaps(other), "{one} and {other}");
        }
    }
}
