//! The debug console port of Bochs and QEMU: a byte written is a byte printed.
//!
//! Modelled: writes; a read gives `e9`, by which a guest finds the port.
//! Source: QEMU `-debugcon`, Bochs `port_e9_hack`.

use std::sync::Arc;

use base::{AccessSize, RegionOffset};
use memory::{AccessCx, AccessRules, BusError, MmioDevice};

use crate::ByteSink;

/// Bytes only: a wider access to the port is cut into bytes, and the rest meets other ports.
pub const RULES: AccessRules = AccessRules::new().valid(1, 1).implemented(1, 1).little_endian();

/// What a read answers.
pub const READBACK: u8 = 0xe9;

/// The debug console. It has no state.
pub struct Debugcon {
    sink: Arc<dyn ByteSink>,
}

impl Debugcon {
    /// A console that prints to `sink`.
    #[must_use]
    pub fn new(sink: Arc<dyn ByteSink>) -> Self {
        Self { sink }
    }
}

impl MmioDevice for Debugcon {
    fn read(&mut self, _off: RegionOffset, _size: AccessSize, _cx: &mut AccessCx) -> Result<u64, BusError> {
        Ok(u64::from(READBACK))
    }

    fn write(
        &mut self,
        _off: RegionOffset,
        value: u64,
        _size: AccessSize,
        _cx: &mut AccessCx,
    ) -> Result<(), BusError> {
        self.sink.put((value & 0xff) as u8);
        Ok(())
    }

    fn reset(&mut self) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lines::fake::Bytes;

    #[test]
    fn bytes_come_out_and_the_port_is_found() {
        let out = Arc::new(Bytes::default());
        let mut port = Debugcon::new(out.clone());
        let cx = &mut AccessCx::cpu();
        for byte in *b"hi" {
            port.write(RegionOffset(0), u64::from(byte), AccessSize::B1, cx).unwrap();
        }
        assert_eq!(*out.0.lock().unwrap(), b"hi");
        assert_eq!(port.read(RegionOffset(0), AccessSize::B1, cx), Ok(0xe9));
    }
}
