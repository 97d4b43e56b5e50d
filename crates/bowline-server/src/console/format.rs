//! How numbers, times and names are written.

use std::time::Duration;

use bowline_canary::wilson;
use bowline_store::{Provenance, RolloutState};
use bowline_types::{Digest, Timestamp, Usd};
use maud::{Markup, html};

/// Returns a time of day, for things of just now.
pub(super) fn clock(at: Timestamp) -> Markup {
    let text = at.to_string();
    let time = text.get(11..19).unwrap_or(&text);
    html! { time datetime=(text) { (time) " UTC" } }
}

/// Returns how long ago something was, with the exact time behind it.
pub(super) fn ago(at: Timestamp, now: Timestamp) -> Markup {
    let exact = at.to_string();
    let shown = exact.replace('T', " ").replace('Z', " UTC");
    html! { time datetime=(exact) title=(shown) { (span(now.since(at))) " ago" } }
}

/// Returns the date and time of something, to the second.
pub(super) fn moment(at: Timestamp) -> Markup {
    let exact = at.to_string();
    let (date, time) = exact.trim_end_matches('Z').split_once('T').unwrap_or((&exact, ""));
    html! { time datetime=(exact) { span.nowrap { (date) } " " span.nowrap { (time) } } }
}

/// Returns a length of time in its largest unit.
pub(super) fn span(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} d", seconds / 86_400),
    }
}

/// Returns a rate in percent with one decimal.
pub(super) fn percent(rate: f64) -> String {
    format!("{:.1} %", rate * 100.0)
}

/// Returns what calls cost, rounded, the exact sum behind; those without a known price are told apart, as they are not free.
pub(super) fn cost(sum: Usd, calls: u64, unpriced: u64) -> Markup {
    let rounded = sum.amount().round_dp(4);
    html! {
        @if calls == 0 { span.quiet { "–" } }
        @else if calls == unpriced { span.quiet { "no price" } }
        @else {
            span title={ "$" (sum) } {
                @if rounded.is_zero() && sum != Usd::ZERO { "< $0.0001" } @else { "$" (rounded) }
            }
            @if unpriced > 0 { small { (unpriced) " without a price" } }
        }
    }
}

/// Returns a digest as people compare it, the whole of it behind.
pub(super) fn version(digest: Digest) -> Markup {
    html! { code.digest title=(digest) { (digest.short()) } }
}

/// Returns the commit of something.
pub(super) fn commit(provenance: &Provenance) -> Markup {
    html! {
        @match &provenance.commit {
            Some(commit) => code title=(commit) { (commit.get(..7).unwrap_or(commit)) },
            None => span.quiet { "no commit" },
        }
        @if provenance.dirty && provenance.commit.is_some() { " " span.quiet { "with changes" } }
    }
}

/// Returns the state of a rollout, told by its word and by a sign.
pub(super) fn state(state: RolloutState) -> Markup {
    let (class, sign, word) = match state {
        RolloutState::Running => ("running", "▶", "running"),
        RolloutState::Held => ("held", "❙❙", "held"),
        RolloutState::Promoted => ("good", "✓", "promoted"),
        RolloutState::RolledBack => ("bad", "↩", "rolled back"),
        RolloutState::Aborted => ("still", "■", "aborted"),
        RolloutState::Superseded => ("still", "»", "superseded"),
    };
    html! { span class={ "state " (class) } { span aria-hidden="true" { (sign) } " " (word) } }
}

/// Passes and fails with what is unknown, as people judge a version by them.
#[derive(Clone, Copy, Default)]
pub(super) struct Tally {
    pub(super) pass: u64,
    pub(super) fail: u64,
    pub(super) unknown: u64,
}

impl Tally {
    /// Returns the success rate with its interval, count and coverage.
    pub(super) fn markup(self) -> Markup {
        let known = self.pass + self.fail;
        let (pass, total) = (float(self.pass), float(known));
        html! {
            @if known == 0 {
                span.quiet { "no known value" }
                @if self.unknown > 0 { small { "n 0 of " (self.unknown) } }
            } @else {
                @let interval = wilson(pass, total);
                strong { (percent(pass / total)) }
                small {
                    (bare(interval.lower)) "–" (percent(interval.upper)) ", n " (known)
                    ", coverage " (format!("{:.0} %", total / float(known + self.unknown) * 100.0))
                }
            }
        }
    }
}

fn bare(rate: f64) -> String {
    format!("{:.1}", rate * 100.0)
}

/// Returns a count as a float, for rates that people read.
pub(super) fn float(count: u64) -> f64 {
    u32::try_from(count).map_or(f64::from(u32::MAX), f64::from)
}

/// Returns text with what stands between backticks as code.
pub(super) fn code_spans(text: &str) -> Markup {
    html! {
        @for (index, part) in text.split('`').enumerate() {
            @if index % 2 == 1 { code { (part) } } @else { (part) }
        }
    }
}

/// Returns commands to type, each with what it does.
pub(super) fn commands(lines: &[(String, &str)]) -> Markup {
    html! {
        dl.commands {
            @for (command, effect) in lines {
                div { dt { code { (command) } } dd { (effect) } }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_have_one_unit() {
        let check = |seconds, expected: &str| assert_eq!(span(Duration::from_secs(seconds)), expected);
        check(0, "0 s");
        check(119, "119 s");
        check(120, "2 min");
        check(7_199, "119 min");
        check(7_200, "2 h");
        check(172_799, "47 h");
        check(172_800, "2 d");
    }

    #[test]
    fn tallies_say_what_they_know() {
        let check = |pass, fail, unknown, expected: &str| {
            assert_eq!(Tally { pass, fail, unknown }.markup().into_string(), expected);
        };
        check(0, 0, 0, r#"<span class="quiet">no known value</span>"#);
        check(0, 0, 7, r#"<span class="quiet">no known value</span><small>n 0 of 7</small>"#);
        check(9, 1, 10, "<strong>90.0 %</strong><small>59.6–98.2 %, n 10, coverage 50 %</small>");
    }

    #[test]
    fn costs_are_never_rounded_to_nothing() {
        let check = |sum: &str, calls, unpriced, expected: &str| {
            let markup = cost(sum.parse().unwrap(), calls, unpriced).into_string();
            assert!(markup.contains(expected), "{markup}");
        };
        check("0", 0, 0, "–");
        check("0", 3, 3, "no price");
        check("0.0200941", 3, 0, r#"title="$0.0200941">$0.0201"#);
        check("0.00001", 3, 0, "&lt; $0.0001");
        check("0", 3, 1, "$0</span><small>1 without a price");
    }

    #[test]
    fn text_is_escaped() {
        assert_eq!(code_spans("run `a <b>` & go").into_string(), "run <code>a &lt;b&gt;</code> &amp; go");
    }
}
