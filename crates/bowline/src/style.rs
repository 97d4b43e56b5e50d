//! Colour, which only repeats what the words say.

use std::io::IsTerminal;

use crate::settings;

/// How text looks where it is printed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Style {
    coloured: bool,
}

/// A colour, by its SGR parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Paint {
    /// For titles.
    Bold,
    /// For what is less important.
    Dim,
    /// For what is wrong.
    Red,
    /// For what is right.
    Green,
    /// For what a person should look at.
    Yellow,
    /// For what to do next.
    Cyan,
}

// === impl Style ===

impl Style {
    /// Text without colour.
    #[cfg(test)]
    pub(crate) const PLAIN: Self = Self { coloured: false };

    /// Returns the style of standard output.
    pub(crate) fn of_stdout() -> Self {
        Self { coloured: std::io::stdout().is_terminal() && colours_wanted() }
    }

    /// Returns the style of standard error.
    pub(crate) fn of_stderr() -> Self {
        Self { coloured: std::io::stderr().is_terminal() && colours_wanted() }
    }

    /// Returns `text` in a colour.
    pub(crate) fn paint(self, paint: Paint, text: &str) -> String {
        if self.coloured { format!("\u{1b}[{}m{text}\u{1b}[0m", paint.parameter()) } else { text.to_owned() }
    }
}

fn colours_wanted() -> bool {
    settings::variable("NO_COLOR").is_none() && settings::variable("TERM").is_none_or(|terminal| terminal != "dumb")
}

// === impl Paint ===

impl Paint {
    const fn parameter(self) -> u8 {
        match self {
            Self::Bold => 1,
            Self::Dim => 2,
            Self::Red => 31,
            Self::Green => 32,
            Self::Yellow => 33,
            Self::Cyan => 36,
        }
    }
}
