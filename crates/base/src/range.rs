//! Inclusive, non-empty address ranges, so that a range that ends at 2^64 needs no 65th bit.

use core::fmt;

/// A non-empty range of addresses, both ends inclusive.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AddrRange {
    first: u64,
    last: u64,
}

/// Why a range could not be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RangeError {
    /// A range holds at least one address.
    Empty,
    /// The end lies past 2^64.
    Overflow,
}

impl AddrRange {
    /// Every address.
    pub const ALL: Self = Self { first: 0, last: u64::MAX };

    /// The range `first..=last`; `None` when `last < first`.
    #[must_use]
    pub const fn new(first: u64, last: u64) -> Option<Self> {
        if last < first { None } else { Some(Self { first, last }) }
    }

    /// `len` bytes from `first` on.
    ///
    /// # Errors
    /// [`RangeError::Empty`] for length 0, then [`RangeError::Overflow`] past 2^64.
    pub const fn with_len(first: u64, len: u64) -> Result<Self, RangeError> {
        if len == 0 {
            return Err(RangeError::Empty);
        }
        match first.checked_add(len - 1) {
            Some(last) => Ok(Self { first, last }),
            None => Err(RangeError::Overflow),
        }
    }

    /// First address.
    #[must_use]
    pub const fn first(self) -> u64 {
        self.first
    }

    /// Last address (inclusive).
    #[must_use]
    pub const fn last(self) -> u64 {
        self.last
    }

    /// Number of addresses, 1 to 2^64.
    #[must_use]
    pub const fn len(self) -> u128 {
        (self.last - self.first) as u128 + 1
    }

    /// A range is never empty.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        false
    }

    /// Whether `addr` lies inside.
    #[must_use]
    pub const fn contains(self, addr: u64) -> bool {
        self.first <= addr && addr <= self.last
    }

    /// Whether `other` lies wholly inside.
    #[must_use]
    pub const fn contains_range(self, other: Self) -> bool {
        self.first <= other.first && other.last <= self.last
    }

    /// What both ranges hold.
    #[must_use]
    pub fn intersection(self, other: Self) -> Option<Self> {
        Self::new(self.first.max(other.first), self.last.min(other.last))
    }

    /// Whether the two share an address.
    #[must_use]
    pub const fn overlaps(self, other: Self) -> bool {
        self.first <= other.last && other.first <= self.last
    }

    /// Whether `next` starts right after this range ends.
    #[must_use]
    pub const fn touches(self, next: Self) -> bool {
        self.last != u64::MAX && self.last + 1 == next.first
    }
}

impl fmt::Debug for AddrRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}-{:x}", self.first, self.last)
    }
}

impl fmt::Display for AddrRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}-{:016x}", self.first, self.last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_whole_space_is_one_range() {
        assert_eq!(AddrRange::ALL.len(), 1 << 64);
        assert_eq!(AddrRange::with_len(u64::MAX, 1).unwrap().last(), u64::MAX);
        assert_eq!(AddrRange::with_len(u64::MAX, 2), Err(RangeError::Overflow));
        assert_eq!(AddrRange::with_len(5, 0), Err(RangeError::Empty));
    }

    #[test]
    fn intersection_is_what_both_hold() {
        let a = AddrRange::with_len(0, 10).unwrap();
        let b = AddrRange::with_len(8, 10).unwrap();
        assert_eq!(a.intersection(b), AddrRange::new(8, 9));
        assert_eq!(a.intersection(AddrRange::with_len(10, 1).unwrap()), None);
        assert!(a.overlaps(b) && a.touches(AddrRange::with_len(10, 1).unwrap()));
        assert!(!AddrRange::ALL.touches(a));
    }
}
