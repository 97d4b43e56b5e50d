use std::fmt;

use serde::{Deserialize, Serialize};

/// The side of a rollout that served an inference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Arm {
    /// The version the environment points to.
    Stable,
    /// The version that is being tried.
    Candidate,
}

/// What is randomised and judged.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Unit {
    /// Where the unit came from.
    pub kind: UnitKind,
    /// The unit as the application names it; opaque, at most 256 bytes.
    pub value: String,
}

/// Where a unit came from, in order of precedence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UnitKind {
    /// The `x-bowline-unit` header.
    Header,
    /// The conversation of the request.
    Conversation,
    /// The user field of the client's dialect.
    User,
    /// Nothing was named: each request is a unit of its own.
    Request,
}

// === impl Arm ===

impl Arm {
    /// Both arms, stable first.
    pub const ALL: [Self; 2] = [Self::Stable, Self::Candidate];

    /// Returns the word used in records, headers and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Stable => "stable",
            Self::Candidate => "candidate",
        }
    }
}

impl fmt::Display for Arm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

// === impl UnitKind ===

impl UnitKind {
    /// Returns the word used in records.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Header => "header",
            Self::Conversation => "conversation",
            Self::User => "user",
            Self::Request => "request",
        }
    }
}

impl fmt::Display for UnitKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
