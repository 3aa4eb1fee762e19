//! The POST code port of a PC: takes a byte; nobody answers a read.
//!
//! Modelled: the byte, for whoever looks at the state; reads float to all ones, as on QEMU's `pc`. Firmware and kernels also write here for a delay of one bus cycle; there is none.

use base::{AccessSize, RegionOffset};
use memory::{AccessCx, AccessRules, BusError, MmioDevice};

/// One byte.
pub const RULES: AccessRules = AccessRules::new().valid(1, 1).implemented(1, 1).little_endian();

/// The port, which is its own state.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ScratchPort {
    /// The last code written.
    pub value: u8,
}

impl MmioDevice for ScratchPort {
    fn read(&mut self, _off: RegionOffset, _size: AccessSize, _cx: &mut AccessCx) -> Result<u64, BusError> {
        Ok(0xff)
    }

    fn write(
        &mut self,
        _off: RegionOffset,
        value: u64,
        _size: AccessSize,
        _cx: &mut AccessCx,
    ) -> Result<(), BusError> {
        self.value = (value & 0xff) as u8;
        Ok(())
    }

    fn reset(&mut self) {
        self.value = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_code_is_kept_and_reads_float() {
        let mut port = ScratchPort::default();
        let cx = &mut AccessCx::cpu();
        port.write(RegionOffset(0), 0x55, AccessSize::B1, cx).unwrap();
        assert_eq!((port.value, port.read(RegionOffset(0), AccessSize::B1, cx)), (0x55, Ok(0xff)));
        port.reset();
        assert_eq!(port, ScratchPort::default());
    }
}
