use std::fmt;

/// What tells the cases of a suite apart: stable while description, variables and the position among equals stay, so that results
/// are matched by it across runs and versions.
///
/// Its text is 16 hexadecimal digits, with `-2`, `-3`, … behind them for the cases that equal an earlier one. A suite may have a
/// million of them, so it is 12 bytes and not that text.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CaseId {
    digest: [u8; 8],
    place: u32,
}

// === impl CaseId ===

impl CaseId {
    /// Returns the id of a case by the beginning of its digest, and by its place among those that equal it, from 1.
    #[must_use]
    pub const fn new(digest: [u8; 8], place: u32) -> Self {
        Self { digest, place }
    }
}

impl fmt::Display for CaseId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", u64::from_be_bytes(self.digest))?;
        if self.place > 1 { write!(f, "-{}", self.place) } else { Ok(()) }
    }
}

impl fmt::Debug for CaseId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_short_and_have_a_text() {
        let digest = [0, 1, 2, 3, 4, 5, 0xfe, 0xff];
        let check = |place, expected: &str| assert_eq!(CaseId::new(digest, place).to_string(), expected);
        check(1, "000102030405feff");
        check(2, "000102030405feff-2");
        check(10, "000102030405feff-10");
        assert!(CaseId::new(digest, 2) < CaseId::new(digest, 10));
        assert_eq!(size_of::<CaseId>(), 12);
    }
}
