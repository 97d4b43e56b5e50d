use bowline_types::{Arm, Digest, RolloutId, Unit};
use serde::{Deserialize, Serialize};

use crate::share::Share;

/// The place of a unit in one rollout: the SHA-256 of both.
///
/// Sticky, as it depends on nothing else: the same unit is on the same arm on every gateway, and stays on the candidate while
/// the share grows. Another rollout shuffles anew. It also names the unit in observations, so those hold no user's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Assignment(Digest);

/// Separates these hashes from all others; a new rule needs a new number, as it moves every unit.
const DOMAIN: &[u8] = b"bowline/assignment/1\n";

impl Assignment {
    /// Returns the place of `unit` in `rollout`.
    #[must_use]
    pub fn new(rollout: RolloutId, unit: &Unit) -> Self {
        // Fixed lengths or a line end before each part, and the free text last: no two inputs share an encoding.
        let mut bytes = Vec::with_capacity(DOMAIN.len() + 16 + 16 + unit.value.len());
        bytes.extend_from_slice(DOMAIN);
        bytes.extend_from_slice(rollout.uuid().as_bytes());
        bytes.extend_from_slice(unit.kind.as_str().as_bytes());
        bytes.push(b'\n');
        bytes.extend_from_slice(unit.value.as_bytes());
        Self(Digest::of(&bytes))
    }

    /// Returns the arm of the unit while the candidate has `share` of the units.
    #[must_use]
    pub const fn arm(&self, share: Share) -> Arm {
        if share.contains(self.position()) { Arm::Candidate } else { Arm::Stable }
    }

    /// Returns the hash, the name of the unit in observations.
    #[must_use]
    pub const fn digest(&self) -> Digest {
        self.0
    }

    /// Returns the first 8 bytes of the hash, big-endian: a place on the circle of 2^64.
    #[must_use]
    pub const fn position(&self) -> u64 {
        let [a, b, c, d, e, f, g, h, ..] = *self.0.as_bytes();
        u64::from_be_bytes([a, b, c, d, e, f, g, h])
    }
}

#[cfg(test)]
mod tests {
    use bowline_types::UnitKind;
    use proptest::prelude::*;

    use super::*;

    const ROLLOUT: &str = "rol_0198f3d2a1b47c0e8f00112233445566";

    fn assignment(rollout: &str, kind: UnitKind, value: &str) -> Assignment {
        Assignment::new(rollout.parse().unwrap(), &Unit { kind, value: value.to_owned() })
    }

    /// Golden: a change here moves the users of every running rollout.
    #[test]
    fn places_are_fixed() {
        let check = |kind, value, expected| {
            assert_eq!(assignment(ROLLOUT, kind, value).position(), expected, "{kind} {value}");
        };
        check(UnitKind::Conversation, "c-1", 0xed7c_81a9_a5e5_10df);
        check(UnitKind::User, "c-1", 0x378b_0d45_af43_61b2);
        check(UnitKind::User, "", 0x3ca3_5a00_c934_768f);
        check(UnitKind::Header, "żółw", 0xa965_2012_37dc_4c46);
    }

    #[test]
    fn shares_are_kept() {
        for (percent, low, high) in [(10, 9_700, 10_300), (50, 49_500, 50_500)] {
            let places = (0..100_000).map(|each| assignment(ROLLOUT, UnitKind::User, &each.to_string()));
            let candidates = places.filter(|place| place.arm(Share::percent(percent)) == Arm::Candidate).count();
            assert!((low..high).contains(&candidates), "{percent}%: {candidates}");
        }
    }

    #[test]
    fn rollouts_shuffle_independently() {
        let other = "rol_0198f3d2a1b47c0e8f00112233445567";
        let both = (0..10_000).filter(|each| {
            let arm = |rollout| assignment(rollout, UnitKind::User, &each.to_string()).arm(Share::percent(10));
            arm(ROLLOUT) == Arm::Candidate && arm(other) == Arm::Candidate
        });
        assert!((60..140).contains(&both.count()), "about one in a hundred units is on the candidate of both");
    }

    proptest! {
        #[test]
        fn a_candidate_unit_stays_while_shares_grow(value in ".{0,40}", small in 1_u8..=100, more in 0_u8..=99) {
            let place = assignment(ROLLOUT, UnitKind::User, &value);
            if place.arm(Share::percent(small)) == Arm::Candidate {
                prop_assert_eq!(place.arm(Share::percent(small.saturating_add(more))), Arm::Candidate);
            }
        }
    }
}
