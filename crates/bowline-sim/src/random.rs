//! Numbers that look random and are a pure function of what they are drawn for, so that a run can be repeated.

/// A point in the space of draws; every draw is named by what is mixed into it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seed(u64);

// === impl Seed ===

impl Seed {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(mix(seed))
    }

    /// Returns the seed for something named by a text.
    #[must_use]
    pub(crate) fn text(self, text: &str) -> Self {
        // FNV-1a; its weak low bits are repaired by the mixer.
        let hash = text
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
        self.number(hash)
    }

    /// Returns the seed for something named by a number.
    #[must_use]
    pub(crate) const fn number(self, number: u64) -> Self {
        Self(mix(self.0 ^ mix(number)))
    }

    /// Returns the 64 bits of the draw.
    pub(crate) const fn bits(self) -> u64 {
        self.0
    }

    /// Draws from the open interval (0, 1).
    pub(crate) fn uniform(self) -> f64 {
        // 53 bits fit a float exactly; the half keeps 0 out.
        ((self.0 >> 11) as f64 + 0.5) / (1_u64 << 53) as f64
    }

    /// Draws from the standard normal distribution (Box-Muller).
    pub(crate) fn normal(self) -> f64 {
        let radius = (-2.0 * self.number(1).uniform().ln()).sqrt();
        radius * (std::f64::consts::TAU * self.number(2).uniform()).cos()
    }

    /// Draws from the standard Gumbel distribution: added to scores, the highest is a sample of their softmax.
    pub(crate) fn gumbel(self) -> f64 {
        -(-self.uniform().ln()).ln()
    }

    /// Picks one of `items`; `None` where there is none.
    pub(crate) fn pick<T>(self, items: &[T]) -> Option<&T> {
        let count = u64::try_from(items.len()).ok().filter(|count| *count > 0)?;
        items.get(usize::try_from(self.0 % count).ok()?)
    }
}

/// The finaliser of splitmix64.
const fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_repeat_and_have_their_moments() {
        let seed = Seed::new(7);
        assert_eq!(seed.text("a").bits(), Seed::new(7).text("a").bits());
        assert_ne!(seed.text("a").bits(), seed.text("b").bits());
        let count = 20_000_u32;
        let mean = |draw: fn(Seed) -> f64| {
            (0..count).map(|index| draw(seed.number(index.into()))).sum::<f64>() / f64::from(count)
        };
        assert!((mean(Seed::uniform) - 0.5).abs() < 0.01);
        assert!(mean(Seed::normal).abs() < 0.03);
        assert!((mean(|seed| seed.normal().powi(2)) - 1.0).abs() < 0.05);
        assert!((mean(Seed::gumbel) - 0.577).abs() < 0.04);
    }
}
