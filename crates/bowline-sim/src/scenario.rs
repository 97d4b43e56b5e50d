mod course;
mod read;

use std::time::Duration;

pub(crate) use self::course::Course;

/// How the simulated providers behave.
///
/// What a call meets is a pure function of the seed and of its number, counted in order of arrival: the same calls in the same
/// order meet the same waits and faults.
#[derive(Clone, Debug, PartialEq)]
pub struct Scenario {
    /// Where the draws start.
    pub seed: u64,
    /// The scale of the model's errors: 0 reads every word right, 0.3 is a good small model, 1 hardly reads.
    pub noise: f64,
    /// How long answers take.
    pub latency: Latency,
    /// What goes wrong; a call meets one of them at most.
    pub faults: Vec<Fault>,
}

/// How long answers take.
#[derive(Clone, Debug, PartialEq)]
pub struct Latency {
    /// From the request to the first byte of the answer.
    pub first_byte: Wait,
    /// How fast the model writes; `None` writes at once.
    pub tokens_per_second: Option<f64>,
}

/// A distribution of waits. None is longer than 10 minutes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Wait {
    /// Always the same.
    Constant(Duration),
    /// Every wait between the two is as likely.
    Uniform(Duration, Duration),
    /// Half of the waits are longer than the median, few of them much longer: how providers behave.
    LogNormal {
        /// The median.
        median: Duration,
        /// The standard deviation of the logarithm; 0.5 puts 1 % of the waits above 3.2 medians.
        sigma: f64,
    },
}

/// Something that goes wrong.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fault {
    /// What.
    pub kind: FaultKind,
    /// The share of the calls that meet it, 0 to 1.
    pub rate: f64,
    /// How long the provider asks to wait, for faults that refuse the call; how much later the first byte comes, for
    /// [`FaultKind::SlowFirstByte`]. `None` is [`FaultKind::wait_default`].
    pub wait: Option<Duration>,
}

/// What can go wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// Status 429 with the provider's own hints when to come back.
    RateLimited,
    /// Status 500.
    ServerError,
    /// Status 503.
    Unavailable,
    /// Too many calls for the provider: status 529 from Anthropic, 503 from others.
    Overloaded,
    /// The first byte comes late.
    SlowFirstByte,
    /// A stream reports an error in its middle; a whole answer has none and stays as it is.
    StreamError,
    /// The connection breaks in the middle of the answer, streamed or not.
    StreamCut,
    /// A part of the answer is cut JSON: one event of a stream, or a whole body.
    MalformedJson,
}

/// Why a scenario cannot be used.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum ScenarioError {
    /// The text is not one YAML document.
    #[error("line {line}: {problem}")]
    Yaml {
        /// The line, from 1.
        line: usize,
        /// What is wrong.
        problem: String,
    },
    /// A key that means nothing here.
    #[error("line {line}: unknown key `{key}`{}", suggestion(.closest.as_ref(), .expected))]
    UnknownKey {
        /// The line, from 1.
        line: usize,
        /// The key.
        key: String,
        /// The key that was probably meant.
        closest: Option<String>,
        /// The keys that are known here.
        expected: String,
    },
    /// A key that must be there is not.
    #[error("line {line}: `{key}` is missing")]
    Missing {
        /// The line of the mapping, from 1.
        line: usize,
        /// The key.
        key: String,
    },
    /// A value that its key cannot have.
    #[error("line {line}: `{key}` must be {expected}")]
    Invalid {
        /// The line, from 1.
        line: usize,
        /// The key.
        key: String,
        /// What it must be.
        expected: String,
    },
}

// === impl Scenario ===

impl Default for Scenario {
    /// No wait, no fault, and a good small model.
    fn default() -> Self {
        let latency = Latency { first_byte: Wait::Constant(Duration::ZERO), tokens_per_second: None };
        Self { seed: 0, noise: 0.3, latency, faults: Vec::new() }
    }
}

// === impl FaultKind ===

impl FaultKind {
    /// Every kind.
    pub const ALL: [Self; 8] = [
        Self::RateLimited,
        Self::ServerError,
        Self::Unavailable,
        Self::Overloaded,
        Self::SlowFirstByte,
        Self::StreamError,
        Self::StreamCut,
        Self::MalformedJson,
    ];

    /// Returns the word used in scenario files.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::RateLimited => "rate_limited",
            Self::ServerError => "server_error",
            Self::Unavailable => "unavailable",
            Self::Overloaded => "overloaded",
            Self::SlowFirstByte => "slow_first_byte",
            Self::StreamError => "stream_error",
            Self::StreamCut => "stream_cut",
            Self::MalformedJson => "malformed_json",
        }
    }

    /// Returns the wait of a fault that states none: 1 s when rate limited, 5 s for a slow first byte, no hint otherwise.
    #[must_use]
    pub const fn wait_default(self) -> Option<Duration> {
        match self {
            Self::RateLimited => Some(Duration::from_secs(1)),
            Self::SlowFirstByte => Some(Duration::from_secs(5)),
            Self::ServerError
            | Self::Unavailable
            | Self::Overloaded
            | Self::StreamError
            | Self::StreamCut
            | Self::MalformedJson => None,
        }
    }
}

fn suggestion(closest: Option<&String>, expected: &str) -> String {
    closest.map_or_else(|| format!(" (expected {expected})"), |closest| format!(" (did you mean `{closest}`?)"))
}

#[cfg(test)]
mod tests;
