//! Numbers and times in words.

use std::time::Duration;

use bowline_types::Timestamp;

/// Returns `1 error`, `2 errors`.
pub(crate) fn count(number: usize, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}

/// Returns the first of two words for one, the second for any other number.
pub(crate) const fn plural<'a>(number: usize, one: &'a str, more: &'a str) -> &'a str {
    if number == 1 { one } else { more }
}

/// Returns a time in UTC to the second: `2026-11-23 14:02:31`.
pub(crate) fn moment(at: Timestamp) -> String {
    at.to_string().replace('T', " ").trim_end_matches('Z').to_owned()
}

/// Returns an age in its two largest units: `3m 20s`, `2h 5m`, `4d 0h`.
pub(crate) fn age(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let (minutes, hours, days) = (seconds / 60, seconds / 3_600, seconds / 86_400);
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3_600 => format!("{minutes}m {}s", seconds % 60),
        3_600..86_400 => format!("{hours}h {}m", minutes % 60),
        _ => format!("{days}d {}h", hours % 24),
    }
}

/// Returns a part of one in percent: `91.2 %`.
pub(crate) fn percent(part: f64) -> String {
    format!("{:.1} %", part * 100.0)
}

/// Returns names in backquotes: `` `a`, `b` and `c` ``.
pub(crate) fn quoted<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    joined(names.into_iter().map(|name| format!("`{name}`")))
}

/// Returns `a, b and c`.
pub(crate) fn joined(parts: impl IntoIterator<Item = String>) -> String {
    let mut parts: Vec<String> = parts.into_iter().collect();
    match (parts.pop(), parts.is_empty()) {
        (Some(last), true) => last,
        (Some(last), false) => format!("{} and {last}", parts.join(", ")),
        (None, _) => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_joined() {
        assert_eq!(quoted([]), "");
        assert_eq!(quoted(["a"]), "`a`");
        assert_eq!(quoted(["a", "b", "c"]), "`a`, `b` and `c`");
        assert_eq!(count(1, "error"), "1 error");
        assert_eq!(count(0, "error"), "0 errors");
    }

    #[test]
    fn ages_have_two_units() {
        let check = |seconds: u64, expected: &str| assert_eq!(age(Duration::from_secs(seconds)), expected);
        check(0, "0s");
        check(59, "59s");
        check(200, "3m 20s");
        check(7_500, "2h 5m");
        check(345_600, "4d 0h");
    }

    #[test]
    fn times_are_in_utc() {
        assert_eq!(moment(Timestamp::from_micros(1_790_000_000_123_456)), "2026-09-21 14:13:20");
    }
}
