//! Access rules: what a region takes, what its device implements, and the order of its bytes.

use base::AccessSize;

use crate::RejectReason;

/// Order of the bytes of a device's registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Endian {
    /// The byte at the lowest offset is the least significant.
    Little,
    /// The byte at the lowest offset is the most significant.
    Big,
}

impl Endian {
    /// The value whose bytes in this order are those of a little-endian one, or the other way round.
    pub(crate) const fn of_little(self, value: u64, size: AccessSize) -> u64 {
        match self {
            Self::Little => value & size.mask(),
            Self::Big => value.swap_bytes() >> (64 - size.bits()),
        }
    }

    /// The value of up to eight bytes in memory order.
    pub(crate) fn value(self, bytes: &[u8]) -> u64 {
        let join = |value: u64, byte: &u8| value << 8 | u64::from(*byte);
        match self {
            Self::Little => bytes.iter().rev().fold(0, join),
            Self::Big => bytes.iter().fold(0, join),
        }
    }

    /// Writes the low bytes of `value` in memory order.
    pub(crate) fn put(self, value: u64, bytes: &mut [u8]) {
        let len = bytes.len();
        for (n, byte) in value.to_le_bytes().into_iter().enumerate().take(len) {
            match self {
                Self::Little => bytes[n] = byte,
                Self::Big => bytes[len - 1 - n] = byte,
            }
        }
    }
}

/// What happens to an access that is valid but narrower than the device implements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NarrowPolicy {
    /// One call at the aligned offset; the bytes asked for are those of their lane, the others of a write are 0.
    AlignAndExtract,
    /// A write first reads the aligned unit and puts the new bytes in; a read is as in `AlignAndExtract`.
    ReadModifyWrite,
    /// One call at the offset as it is: the low bits count on a little-endian device, the high ones on a big-endian.
    PassThrough,
    /// The access is rejected.
    Reject,
}

/// Extra check of a region: offset, width, whether it is a write.
type Accepts = fn(u64, AccessSize, bool) -> bool;

/// What a region takes (`valid`), what its device implements, and its byte order.
///
/// A `valid` maximum of 0 means any width up to 8; without `implemented` the device is called with 1 to 4 bytes.
#[derive(Clone, Copy, Debug)]
pub struct AccessRules {
    valid_min: u8,
    valid_max: u8,
    valid_unaligned: bool,
    impl_min: u8,
    impl_max: u8,
    impl_unaligned: bool,
    endian: Endian,
    narrow_reads: NarrowPolicy,
    narrow_writes: NarrowPolicy,
    accepts: Option<Accepts>,
}

impl Default for AccessRules {
    fn default() -> Self {
        Self::new()
    }
}

impl AccessRules {
    /// Any width, aligned, little-endian, implemented with 1 to 4 bytes.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            valid_min: 0,
            valid_max: 0,
            valid_unaligned: false,
            impl_min: 0,
            impl_max: 0,
            impl_unaligned: false,
            endian: Endian::Little,
            narrow_reads: NarrowPolicy::AlignAndExtract,
            narrow_writes: NarrowPolicy::PassThrough,
            accepts: None,
        }
    }

    /// Widths in bytes that the guest may use.
    #[must_use]
    pub const fn valid(mut self, min: u8, max: u8) -> Self {
        (self.valid_min, self.valid_max) = (min, max);
        self
    }

    /// Widths in bytes that the device is called with.
    #[must_use]
    pub const fn implemented(mut self, min: u8, max: u8) -> Self {
        (self.impl_min, self.impl_max) = (min, max);
        self
    }

    /// The guest may use offsets that are no multiple of the width.
    #[must_use]
    pub const fn valid_unaligned(mut self) -> Self {
        self.valid_unaligned = true;
        self
    }

    /// The device takes offsets that are no multiple of the width.
    #[must_use]
    pub const fn impl_unaligned(mut self) -> Self {
        self.impl_unaligned = true;
        self
    }

    /// The device's registers are little-endian.
    #[must_use]
    pub const fn little_endian(mut self) -> Self {
        self.endian = Endian::Little;
        self
    }

    /// The device's registers are big-endian.
    #[must_use]
    pub const fn big_endian(mut self) -> Self {
        self.endian = Endian::Big;
        self
    }

    /// What happens to reads and writes that are narrower than the device implements.
    #[must_use]
    pub const fn narrow(mut self, reads: NarrowPolicy, writes: NarrowPolicy) -> Self {
        (self.narrow_reads, self.narrow_writes) = (reads, writes);
        self
    }

    /// A check that comes before those of alignment and width.
    #[must_use]
    pub const fn accepts(mut self, accepts: Accepts) -> Self {
        self.accepts = Some(accepts);
        self
    }

    /// What contradicts itself, if anything does.
    ///
    /// # Errors
    /// A width that no access has, a minimum above its maximum, or unaligned implementation without validity.
    pub const fn validate(&self) -> Result<(), &'static str> {
        if !is_width_or_0(self.valid_min) || !is_width_or_0(self.valid_max) {
            return Err("a valid width is 1, 2, 4 or 8");
        }
        if !is_width_or_0(self.impl_min) || !is_width_or_0(self.impl_max) {
            return Err("an implemented width is 1, 2, 4 or 8");
        }
        if self.valid_max != 0 && self.valid_min > self.valid_max {
            return Err("the least valid width is above the greatest");
        }
        if self.implemented_min() > self.implemented_max() {
            return Err("the least implemented width is above the greatest");
        }
        if self.impl_unaligned && !self.valid_unaligned {
            return Err("unaligned offsets are implemented but not valid");
        }
        Ok(())
    }

    pub(crate) const fn implemented_min(&self) -> u64 {
        if self.impl_min == 0 { 1 } else { self.impl_min as u64 }
    }

    pub(crate) const fn implemented_max(&self) -> u64 {
        if self.impl_max == 0 { 4 } else { self.impl_max as u64 }
    }

    pub(crate) const fn takes_unaligned(&self) -> bool {
        self.impl_unaligned
    }

    pub(crate) const fn endian(&self) -> Endian {
        self.endian
    }

    pub(crate) const fn narrow_policy(&self, write: bool) -> NarrowPolicy {
        if write { self.narrow_writes } else { self.narrow_reads }
    }

    /// Whether the guest may access `size` bytes at `offset` (memory-api.md, 13.1: the order counts).
    pub(crate) fn check(&self, offset: u64, size: AccessSize, write: bool) -> Result<(), RejectReason> {
        if self.accepts.is_some_and(|accepts| !accepts(offset, size, write)) {
            return Err(RejectReason::NotAccepted);
        }
        if !self.valid_unaligned && !offset.is_multiple_of(size.bytes()) {
            return Err(RejectReason::Unaligned);
        }
        let bytes = size.bytes();
        let fits =
            self.valid_max == 0 || (u64::from(self.valid_min) <= bytes && bytes <= u64::from(self.valid_max));
        if fits { Ok(()) } else { Err(RejectReason::Width) }
    }

    /// The widths, each a bit of its own value, of which an access is one call of that width with the value as it is,
    /// whatever its row, as long as address and offset are multiples of it and the region holds all of it.
    pub(crate) const fn whole_widths(&self) -> u8 {
        let as_it_is = self.accepts.is_none() && matches!(self.endian, Endian::Little);
        let (least, most) = if self.valid_max == 0 { (1, 4) } else { (self.valid_min, self.valid_max) };
        let (mut widths, mut width) = (0, 1);
        while as_it_is && width <= 8 {
            let implemented =
                self.implemented_min() <= width as u64 && width as u64 <= self.implemented_max();
            if least <= width && width <= most && implemented {
                widths |= width;
            }
            width <<= 1;
        }
        widths
    }

    /// Width of one step of a byte-wise copy at `offset` with `left` bytes to go, `room` of them in the region.
    pub(crate) fn copy_width(&self, offset: u64, left: u64, room: u128) -> AccessSize {
        let mut width = if self.valid_max == 0 { 4 } else { u64::from(self.valid_max) };
        if !self.impl_unaligned && offset != 0 {
            width = width.min(1 << offset.trailing_zeros().min(3));
        }
        width = width.min(left).min(u64::try_from(room).unwrap_or(u64::MAX));
        AccessSize::widest_within(width).unwrap_or(AccessSize::B1)
    }
}

const fn is_width_or_0(bytes: u8) -> bool {
    matches!(bytes, 0 | 1 | 2 | 4 | 8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contradictions_are_found() {
        const GOOD: AccessRules = AccessRules::new().valid(1, 4).implemented(4, 4).big_endian();
        assert_eq!(GOOD.validate(), Ok(()));
        assert_eq!(AccessRules::new().valid(4, 0).validate(), Ok(()));
        for bad in [
            AccessRules::new().valid(3, 4),
            AccessRules::new().valid(1, 16),
            AccessRules::new().valid(4, 2),
            AccessRules::new().implemented(8, 4),
            AccessRules::new().implemented(8, 0),
            AccessRules::new().impl_unaligned(),
        ] {
            assert!(bad.validate().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn bytes_and_values_agree_in_both_orders() {
        let mut bytes = [0; 3];
        Endian::Big.put(0x0011_2233, &mut bytes);
        assert_eq!(
            (bytes, Endian::Big.value(&bytes), Endian::Little.value(&bytes)),
            ([0x11, 0x22, 0x33], 0x11_2233, 0x33_2211)
        );
    }

    #[test]
    fn widths_that_are_one_call_are_valid_and_implemented() {
        let any = AccessRules::new();
        assert_eq!([any.whole_widths(), any.implemented(4, 8).whole_widths()], [7, 4]);
        assert_eq!(any.valid(2, 8).implemented(1, 8).whole_widths(), 0b1110);
        assert_eq!(any.valid(1, 8).implemented(4, 8).whole_widths(), 0b1100);
        assert_eq!([any.big_endian().whole_widths(), any.accepts(|_, _, _| true).whole_widths()], [0, 0]);
    }

    #[test]
    fn a_copy_step_is_as_wide_as_region_and_offset_allow() {
        let width = |rules: AccessRules, offset, left, room| rules.copy_width(offset, left, room).bytes();
        let any = AccessRules::new();
        assert_eq!(
            [width(any, 0, 9, 99), width(any, 1, 9, 99), width(any, 2, 9, 99), width(any, 0, 3, 99)],
            [4, 1, 2, 2]
        );
        assert_eq!(
            [width(any, 0, 9, 1), width(any.valid(1, 1), 0, 9, 99), width(any.valid(1, 8), 8, 9, 99)],
            [1, 1, 8]
        );
        assert_eq!(width(any.valid(1, 4).valid_unaligned().impl_unaligned(), 1, 4, 99), 4);
    }
}
