//! QEMU's `isa-debug-exit`: a write ends the run.
//!
//! Modelled: writes of 1, 2 and 4 bytes; the exit status is `(value << 1) | 1`. Reads give 0.
//! Source: QEMU `-device isa-debug-exit`.

use std::sync::Arc;

use base::{AccessSize, RegionOffset};
use memory::{AccessCx, AccessRules, BusError, MmioDevice};

/// One value of up to four bytes, taken whole.
pub const RULES: AccessRules = AccessRules::new().valid(1, 4).implemented(1, 4).little_endian();

/// Bytes of the register block (`iosize=4`).
pub const LEN: u64 = 4;

/// Who ends the run.
pub trait ExitSink: Send + Sync {
    /// The guest asks to end with `status`. The first request counts.
    fn exit(&self, status: i32);
}

/// The exit port. It has no state: the request is the sink's.
pub struct DebugExit {
    sink: Arc<dyn ExitSink>,
}

impl DebugExit {
    /// A port that ends the run through `sink`.
    #[must_use]
    pub fn new(sink: Arc<dyn ExitSink>) -> Self {
        Self { sink }
    }
}

/// The status of a run that ends with `value`: always odd, so that it never reads as success by accident.
#[must_use]
pub const fn status_of(value: u32) -> i32 {
    (value.wrapping_shl(1) | 1).cast_signed()
}

impl MmioDevice for DebugExit {
    fn read(&mut self, _off: RegionOffset, _size: AccessSize, _cx: &mut AccessCx) -> Result<u64, BusError> {
        Ok(0)
    }

    fn write(
        &mut self,
        _off: RegionOffset,
        value: u64,
        _size: AccessSize,
        _cx: &mut AccessCx,
    ) -> Result<(), BusError> {
        self.sink.exit(status_of((value & 0xffff_ffff) as u32));
        Ok(())
    }

    fn reset(&mut self) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    struct Statuses(Mutex<Vec<i32>>);
    impl ExitSink for Statuses {
        fn exit(&self, status: i32) {
            self.0.lock().unwrap().push(status);
        }
    }

    #[test]
    fn the_status_is_the_value_doubled_plus_one() {
        let sink = Arc::new(Statuses(Mutex::new(Vec::new())));
        let mut port = DebugExit::new(sink.clone());
        let cx = &mut AccessCx::cpu();
        for (value, size) in [(0, AccessSize::B1), (1, AccessSize::B4), (0xffff_ffff, AccessSize::B4)] {
            port.write(RegionOffset(0), value, size, cx).unwrap();
        }
        assert_eq!(*sink.0.lock().unwrap(), [1, 3, -1]);
    }
}
