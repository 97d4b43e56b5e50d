use serde::{Deserialize, Serialize};

/// A range of plausible rates, for people.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// The lower end.
    pub lower: f64,
    /// The upper end.
    pub upper: f64,
}

/// Returns Wilson's score interval of `successes` out of `total`, 95 %, without continuity correction.
///
/// It holds for one look at a fixed number of units. Verdicts do not use it.
#[must_use]
pub fn wilson(successes: f64, total: f64) -> Interval {
    /// The 97.5 % quantile of the normal distribution.
    const Z: f64 = 1.959_963_984_540_054;
    let rate = successes / total;
    let squared = Z * Z / total;
    let centre = (rate + squared / 2.0) / (1.0 + squared);
    let half = Z / (1.0 + squared) * (rate * (1.0 - rate) / total + squared / (4.0 * total)).sqrt();
    Interval { lower: (centre - half).max(0.0), upper: (centre + half).min(1.0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Newcombe, Statistics in Medicine 17 (1998) 857-872, table I, method 3.
    #[test]
    fn published_intervals() {
        let check = |successes, total, lower: f64, upper: f64| {
            let found = wilson(successes, total);
            assert!((found.lower - lower).abs() < 5e-5 && (found.upper - upper).abs() < 5e-5, "{found:?}");
        };
        check(81.0, 263.0, 0.2553, 0.3662);
        check(15.0, 148.0, 0.0624, 0.1605);
        check(0.0, 20.0, 0.0, 0.1611);
        check(1.0, 29.0, 0.0061, 0.1718);
    }
}
