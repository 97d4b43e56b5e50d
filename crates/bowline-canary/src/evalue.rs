use std::fmt;

use serde::{Deserialize, Serialize};

/// Evidence against a hypothesis: the wealth of a bettor who started with 1 and for whom, were the hypothesis true, every bet
/// was fair or worse. So the chance that it *ever* reaches 20 under the hypothesis is at most 1 in 20 (Ville).
///
/// The value is `mantissa · 2^exponent`, with the mantissa in `[1, 2)`: it neither overflows nor loses bits over any length
/// of log, without a logarithm, whose last bits differ between platforms.
#[derive(Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct EValue {
    /// From 1 to below 2; 0 only for nothing.
    pub mantissa: f64,
    /// The power of two.
    pub exponent: i64,
}

/// The bits of the exponent of 1.0, and where they start.
const EXPONENT_ONE: u64 = 1023;
const FRACTION_BITS: u32 = 52;

// === impl EValue ===

impl EValue {
    /// No evidence either way.
    pub const ONE: Self = Self { mantissa: 1.0, exponent: 0 };

    /// Returns `value`, which is not negative.
    #[must_use]
    pub fn new(value: f64) -> Self {
        Self::scaled(value, 0)
    }

    /// Returns `value · 2^exponent` in the normal form.
    pub(crate) fn scaled(value: f64, exponent: i64) -> Self {
        if !value.is_normal() {
            // Zero, and what is so small that it has lost bits already.
            return Self { mantissa: 0.0, exponent: 0 };
        }
        let bits = value.to_bits();
        let own = bits >> FRACTION_BITS & 0x7ff;
        let mantissa = f64::from_bits(bits & ((1 << FRACTION_BITS) - 1) | EXPONENT_ONE << FRACTION_BITS);
        Self { mantissa, exponent: exponent + own.cast_signed() - EXPONENT_ONE.cast_signed() }
    }

    /// Returns the nearest float: 0 below its range, infinity above.
    #[must_use]
    pub fn to_f64(self) -> f64 {
        if self.mantissa == 0.0 || self.exponent < -1022 {
            0.0
        } else if self.exponent > 1023 {
            f64::INFINITY
        } else {
            self.mantissa * power_of_two(self.exponent)
        }
    }

    /// Returns the evidence after a bet that multiplied it.
    #[must_use]
    pub(crate) fn times(self, factor: f64) -> Self {
        Self::scaled(self.mantissa * factor, self.exponent)
    }

    /// Returns whether the value is `threshold` or more.
    #[must_use]
    pub fn reaches(self, threshold: f64) -> bool {
        self.to_f64() >= threshold
    }

    /// Returns the common logarithm, for plots and people only: its last bits differ between platforms.
    #[must_use]
    pub fn log10(self) -> f64 {
        let exponent = self.exponent as f64;
        self.mantissa.log10() + exponent * std::f64::consts::LOG10_2
    }

    /// Returns the larger one.
    #[must_use]
    pub fn max(self, other: Self) -> Self {
        // Zero has exponent 0, so it is told apart first.
        let smaller = other.mantissa != 0.0
            && (self.mantissa == 0.0 || (self.exponent, self.mantissa) < (other.exponent, other.mantissa));
        if smaller { other } else { self }
    }
}

/// Returns `2^exponent`, for exponents of normal floats.
pub(crate) const fn power_of_two(exponent: i64) -> f64 {
    f64::from_bits((exponent + EXPONENT_ONE.cast_signed()).cast_unsigned() << FRACTION_BITS)
}

impl fmt::Display for EValue {
    /// Writes three significant digits: `0.0312`, `4.75`, `1250`, `3.1e-12`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let log10 = self.log10();
        if self.mantissa == 0.0 {
            f.pad("0")
        } else if (-3.0..6.0).contains(&log10) {
            let places = match log10 {
                log if log < -2.0 => 5,
                log if log < -1.0 => 4,
                log if log < 0.0 => 3,
                log if log < 1.0 => 2,
                log if log < 2.0 => 1,
                _ => 0,
            };
            f.pad(&format!("{:.places$}", self.to_f64()))
        } else {
            let whole = log10.floor();
            f.pad(&format!("{:.1}e{whole}", 10_f64.powf(log10 - whole)))
        }
    }
}

impl fmt::Debug for EValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self} ({}·2^{})", self.mantissa, self.exponent)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn values_show_three_digits() {
        let check = |value: EValue, expected: &str| assert_eq!(value.to_string(), expected);
        check(EValue::ONE, "1.00");
        check(EValue::new(20.04), "20.0");
        check(EValue::new(1_234.5), "1234");
        check(EValue::new(0.031_24), "0.0312");
        check(EValue::new(3.14e-12), "3.1e-12");
        check(EValue { mantissa: 1.0, exponent: 4_000 }, "1.3e1204");
        check(EValue::new(0.0), "0");
    }

    #[test]
    fn far_values_compare() {
        let large = EValue { mantissa: 1.5, exponent: 90_000 };
        let small = EValue { mantissa: 1.5, exponent: -90_000 };
        assert!(large.reaches(1e300) && !small.reaches(1e-300));
        assert_eq!(small.max(large), large);
        assert_eq!(small.max(EValue::new(0.0)), small);
        assert_eq!(EValue::new(0.0).max(small), small);
    }

    proptest! {
        #[test]
        fn floats_round_trip(value in 1e-300..1e300_f64) {
            prop_assert_eq!(EValue::new(value).to_f64().to_bits(), value.to_bits());
            let json = serde_json::to_string(&EValue::new(value)).unwrap();
            prop_assert_eq!(serde_json::from_str::<EValue>(&json).unwrap(), EValue::new(value));
        }
    }
}
