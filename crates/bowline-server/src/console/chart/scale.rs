/// Maps values to places along an axis of a plot.
#[derive(Clone, Copy)]
pub(super) struct Scale {
    low: f64,
    high: f64,
    /// The place of `low`.
    from: f64,
    /// The place of `high`.
    to: f64,
}

impl Scale {
    /// Returns the scale that takes `low` to the place `from` and `high` to `to`.
    pub(super) const fn new((low, high): (f64, f64), (from, to): (f64, f64)) -> Self {
        Self { low, high, from, to }
    }

    /// Returns the place of a value; what is beyond the axis is at its end.
    pub(super) fn at(self, value: f64) -> f64 {
        let part = ((value - self.low) / (self.high - self.low)).clamp(0.0, 1.0);
        self.from + part * (self.to - self.from)
    }
}

/// Returns a place as attributes of SVG write it.
pub(super) fn place(value: f64) -> String {
    format!("{value:.1}")
}

/// Returns round values from 0 to `most`, at most seven.
pub(super) fn ticks(most: f64) -> Vec<f64> {
    let rough = most / 6.0;
    let decade = 10_f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].into_iter().map(|each| each * decade).find(|step| *step >= rough).unwrap_or(most);
    (0_u8..7).map(|each| f64::from(each) * step.max(1.0)).take_while(|tick| *tick <= most).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round() {
        assert_eq!(ticks(20.0), [0.0, 5.0, 10.0, 15.0, 20.0]);
        assert_eq!(ticks(232.0), [0.0, 50.0, 100.0, 150.0, 200.0]);
        assert_eq!(ticks(12_000.0), [0.0, 2_000.0, 4_000.0, 6_000.0, 8_000.0, 10_000.0, 12_000.0]);
        assert_eq!(ticks(3.0), [0.0, 1.0, 2.0, 3.0]);
    }

    #[test]
    fn what_is_beyond_the_axis_is_at_its_end() {
        let scale = Scale::new((-2.0, 2.0), (300.0, 20.0));
        assert_eq!([scale.at(-9.0), scale.at(0.0), scale.at(f64::INFINITY)], [300.0, 160.0, 20.0]);
    }
}
