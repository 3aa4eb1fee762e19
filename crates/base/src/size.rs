//! The width of one access.

/// Width of one access in bytes: 1, 2, 4 or 8.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum AccessSize {
    /// One byte.
    B1 = 1,
    /// Two bytes.
    B2 = 2,
    /// Four bytes.
    B4 = 4,
    /// Eight bytes.
    B8 = 8,
}

impl AccessSize {
    /// Every width, narrowest first.
    pub const ALL: [Self; 4] = [Self::B1, Self::B2, Self::B4, Self::B8];

    /// The width of `bytes` bytes, or `None` when no access has it.
    #[must_use]
    pub const fn from_bytes(bytes: u64) -> Option<Self> {
        match bytes {
            1 => Some(Self::B1),
            2 => Some(Self::B2),
            4 => Some(Self::B4),
            8 => Some(Self::B8),
            _ => None,
        }
    }

    /// The widest access of at most `bytes` bytes; `None` for 0.
    #[must_use]
    pub const fn widest_within(bytes: u64) -> Option<Self> {
        match bytes {
            0 => None,
            1 => Some(Self::B1),
            2 | 3 => Some(Self::B2),
            4..=7 => Some(Self::B4),
            _ => Some(Self::B8),
        }
    }

    /// Width in bytes.
    #[must_use]
    pub const fn bytes(self) -> u64 {
        self as u64
    }

    /// Width in bits.
    #[must_use]
    pub const fn bits(self) -> u32 {
        self as u32 * 8
    }

    /// All-ones value of this width.
    #[must_use]
    pub const fn mask(self) -> u64 {
        u64::MAX >> (64 - self.bits())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_and_widths_agree() {
        assert_eq!(AccessSize::B1.mask(), 0xff);
        assert_eq!(AccessSize::B8.mask(), u64::MAX);
        for size in AccessSize::ALL {
            assert_eq!(AccessSize::from_bytes(size.bytes()), Some(size));
            assert_eq!(AccessSize::widest_within(size.bytes()), Some(size));
        }
        assert_eq!(AccessSize::widest_within(7), Some(AccessSize::B4));
        assert_eq!(AccessSize::widest_within(0), None);
    }
}
