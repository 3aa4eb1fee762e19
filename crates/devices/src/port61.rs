//! System control port B of the PC/AT: the gate and output of the speaker timer.
//!
//! Modelled: gate of counter 2 (bit 0), speaker data (bit 1, reads back), refresh toggle (bit 4), output of
//! counter 2 (bit 5). Not modelled: the speaker, parity and channel check enables (bits 2 and 3 read back).
//! Source: IBM PC/AT Technical Reference, "System Control Port B"; 82371AB data sheet, NMISC.

use std::sync::Arc;

use base::{AccessSize, RegionOffset};
use memory::{AccessCx, AccessRules, BusError, Device, MmioDevice};

use crate::Clock;
use crate::i8254::I8254;

/// One byte.
pub const RULES: AccessRules = AccessRules::new().valid(1, 1).implemented(1, 1).little_endian();

const GATE2: u8 = 0x01;
const WRITABLE: u8 = 0x0f;
const REFRESH: u8 = 0x10;
const OUT2: u8 = 0x20;
/// The refresh request of a PC toggles every 15.085 us, eighteen ticks of the timer's clock.
const REFRESH_NS: u64 = 15_085;

/// The timer channel that the port controls.
pub trait SpeakerTimer: Send + Sync {
    /// Drives the gate.
    fn set_gate(&self, gate: bool);
    /// Samples the output.
    fn output(&self) -> bool;
}

/// Counter 2 of an 8254. Takes the timer's lock, which never waits for another device.
pub struct PitChannel2(pub Arc<Device<I8254>>);

impl SpeakerTimer for PitChannel2 {
    fn set_gate(&self, gate: bool) {
        self.0.lock().set_gate(2, gate);
    }

    fn output(&self) -> bool {
        self.0.lock().output(2)
    }
}

/// The port with its wires; `value` is its whole state.
pub struct Port61 {
    value: u8,
    timer: Arc<dyn SpeakerTimer>,
    clock: Arc<dyn Clock>,
}

impl Port61 {
    /// The port after reset: gate low.
    #[must_use]
    pub fn new(timer: Arc<dyn SpeakerTimer>, clock: Arc<dyn Clock>) -> Self {
        Self { value: 0, timer, clock }
    }

    /// The written bits, to compare and save.
    #[must_use]
    pub fn state(&self) -> u8 {
        self.value
    }

    fn refresh_toggle(&self) -> u8 {
        if (self.clock.now_ns() / REFRESH_NS).is_multiple_of(2) { 0 } else { REFRESH }
    }
}

impl MmioDevice for Port61 {
    fn read(&mut self, _off: RegionOffset, _size: AccessSize, _cx: &mut AccessCx) -> Result<u64, BusError> {
        let output = if self.timer.output() { OUT2 } else { 0 };
        Ok(u64::from(self.value | self.refresh_toggle() | output))
    }

    fn write(
        &mut self,
        _off: RegionOffset,
        value: u64,
        _size: AccessSize,
        _cx: &mut AccessCx,
    ) -> Result<(), BusError> {
        self.value = (value & u64::from(WRITABLE)) as u8;
        self.timer.set_gate(self.value & GATE2 != 0);
        Ok(())
    }

    fn reset(&mut self) {
        self.value = 0;
        self.timer.set_gate(false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::GuestClock;
    use std::sync::atomic::{AtomicBool, Ordering};

    #[derive(Default)]
    struct FakeTimer {
        gate: AtomicBool,
        output: AtomicBool,
    }
    impl SpeakerTimer for FakeTimer {
        fn set_gate(&self, gate: bool) {
            self.gate.store(gate, Ordering::Relaxed);
        }
        fn output(&self) -> bool {
            self.output.load(Ordering::Relaxed)
        }
    }

    #[test]
    fn the_gate_follows_bit_0_and_bit_5_shows_the_output() {
        let (timer, clock) = (Arc::new(FakeTimer::default()), GuestClock::new());
        let mut port = Port61::new(timer.clone(), Arc::new(clock.clone()));
        let cx = &mut AccessCx::cpu();
        port.write(RegionOffset(0), 0xf1, AccessSize::B1, cx).unwrap();
        assert!(timer.gate.load(Ordering::Relaxed));
        assert_eq!(port.read(RegionOffset(0), AccessSize::B1, cx), Ok(0x01));
        timer.output.store(true, Ordering::Relaxed);
        clock.advance_ns(REFRESH_NS);
        assert_eq!(port.read(RegionOffset(0), AccessSize::B1, cx), Ok(0x31));
        port.reset();
        assert_eq!((port.state(), timer.gate.load(Ordering::Relaxed)), (0, false));
    }
}
