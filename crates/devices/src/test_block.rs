//! Test register block: four registers with side effects that a test can count.
//!
//! Registers (little-endian dwords): 0 scratch, read and write at every width; 4 a counter that grows by one with
//! each read and ignores writes; 8 adds what is written to a sum and reads as 0; c the sum, writes ignored.
//! Narrow accesses to 4, 8 and c count as whole ones: a read gives the bytes of its lane, a write adds its value.
//! The rest of the block reads as 0. Source: this project's `bare` board.

use base::{AccessSize, RegionOffset};
use memory::{AccessCx, AccessRules, BusError, MmioDevice};

/// One to four bytes.
pub const RULES: AccessRules = AccessRules::new().valid(1, 4).implemented(1, 4).little_endian();
/// Bytes of the block.
pub const LEN: u64 = 0x1000;

/// Register offsets.
pub mod reg {
    /// Scratch.
    pub const SCRATCH: u64 = 0x0;
    /// Read counter.
    pub const COUNTER: u64 = 0x4;
    /// Adds to the sum.
    pub const ADD: u64 = 0x8;
    /// The sum.
    pub const SUM: u64 = 0xc;
}

/// The block, which is its own state.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TestBlock {
    /// Scratch register.
    pub scratch: u32,
    /// Reads of the counter so far.
    pub counter: u32,
    /// Sum of the values written to ADD.
    pub sum: u32,
}

/// Bits by which the lane of `off` is shifted inside its dword.
const fn lane_shift(off: RegionOffset) -> u32 {
    (off.0 & 3) as u32 * 8
}

impl MmioDevice for TestBlock {
    fn read(&mut self, off: RegionOffset, size: AccessSize, _cx: &mut AccessCx) -> Result<u64, BusError> {
        let register = match off.0 & !3 {
            reg::SCRATCH => self.scratch,
            reg::COUNTER => {
                let seen = self.counter;
                self.counter = seen.wrapping_add(1);
                seen
            }
            reg::SUM => self.sum,
            _ => 0,
        };
        Ok(u64::from(register >> lane_shift(off)) & size.mask())
    }

    fn write(
        &mut self,
        off: RegionOffset,
        value: u64,
        size: AccessSize,
        _cx: &mut AccessCx,
    ) -> Result<(), BusError> {
        let value = (value & size.mask() & 0xffff_ffff) as u32;
        match off.0 & !3 {
            reg::SCRATCH => {
                let mask = ((size.mask() & 0xffff_ffff) as u32) << lane_shift(off);
                self.scratch = (self.scratch & !mask) | (value << lane_shift(off) & mask);
            }
            reg::ADD => self.sum = self.sum.wrapping_add(value),
            other => guest_error!("test_block", "write of {value:#x} to read-only register {other:#x}"),
        }
        Ok(())
    }

    fn reset(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn registers_do_what_the_header_says() {
        let mut block = TestBlock::default();
        let cx = &mut AccessCx::cpu();
        let mut put = |off, value, size| block.write(RegionOffset(off), value, size, cx).unwrap();
        put(0, 0x1122_3344, AccessSize::B4);
        put(1, 0xaa, AccessSize::B1);
        put(2, 0xbbcc, AccessSize::B2);
        put(8, 0xffff_ffff, AccessSize::B4);
        put(8, 3, AccessSize::B1);
        put(4, 77, AccessSize::B4);
        assert_eq!(block, TestBlock { scratch: 0xbbcc_aa44, counter: 0, sum: 2 });
        let mut get = |off, size| block.read(RegionOffset(off), size, cx).unwrap();
        assert_eq!([get(4, AccessSize::B4), get(4, AccessSize::B1), get(4, AccessSize::B4)], [0, 1, 2]);
        assert_eq!((get(0xc, AccessSize::B4), get(8, AccessSize::B4), get(2, AccessSize::B1)), (2, 0, 0xcc));
        block.reset();
        assert_eq!(block, TestBlock::default());
    }
}
