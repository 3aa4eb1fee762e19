//! Intel 8254 programmable interval timer.
//!
//! Modelled: three counters, all six modes, gates, binary and BCD counts, counter latch, read-back of count and
//! status, NULL COUNT. The interrupt line follows the output of counter 0, except that a low pulse of one tick
//! is one rising edge at its end, and that of the rises between two looks at the timer one is delivered.
//! Not modelled: the half tick between the edges of the clock input.
//! Source: Intel 8254 data sheet; names are its names.

mod counter;

use std::sync::Arc;

use base::{AccessSize, RegionOffset};
use memory::{AccessCx, AccessRules, BusError, MmioDevice};

pub use counter::{Access, Counter, Mode, Reload, Run};

use crate::{Clock, Doorbell, IrqLine};

/// Byte registers: counters 0 to 2, control word.
pub const RULES: AccessRules = AccessRules::new().valid(1, 1).implemented(1, 1).little_endian();
/// Bytes of the register block.
pub const LEN: u64 = 4;
/// Frequency of the clock input on a PC.
pub const INPUT_HZ: u64 = 1_193_182;

const NS_PER_S: u128 = 1_000_000_000;
const CONTROL: u64 = 3;
/// Counters 0 and 1 count always; counter 2's gate is an input.
const GATES_AT_RESET: [bool; 3] = [true, true, false];

/// The three counters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PitState {
    /// Counters 0 to 2.
    pub counters: [Counter; 3],
}

impl Default for PitState {
    fn default() -> Self {
        Self { counters: GATES_AT_RESET.map(Counter::new) }
    }
}

/// The timer with its wires.
pub struct I8254 {
    state: PitState,
    clock: Arc<dyn Clock>,
    irq: IrqLine,
    bell: Doorbell,
}

/// Ticks of the input clock by `now_ns`.
fn tick_at(now_ns: u64) -> i64 {
    // At most 2^64 * 1193182 / 10^9 < 2^55.
    (u128::from(now_ns) * u128::from(INPUT_HZ) / NS_PER_S) as i64
}

/// The first nanosecond at which `tick` has happened.
fn ns_of(tick: i64) -> u64 {
    let tick = u128::from(tick.max(0).cast_unsigned());
    u64::try_from((tick * NS_PER_S).div_ceil(u128::from(INPUT_HZ))).unwrap_or(u64::MAX)
}

impl I8254 {
    /// A timer that counts by `clock`, drives `irq` with counter 0, and rings `bell` when it is programmed.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>, irq: IrqLine, bell: Doorbell) -> Self {
        let timer = Self { state: PitState::default(), clock, irq, bell };
        timer.drive_irq(false);
        timer
    }

    /// The state, to compare and save.
    #[must_use]
    pub fn state(&self) -> &PitState {
        &self.state
    }

    /// When the interrupt line changes next, in guest nanoseconds; `None`: not before it is programmed.
    #[must_use]
    pub fn next_event_ns(&self) -> Option<u64> {
        self.state.counters[0].next_change().map(ns_of)
    }

    /// Brings the counters to `now_ns` and the interrupt line with them. Cost does not depend on the time passed.
    pub fn advance(&mut self, now_ns: u64) {
        let tick = tick_at(now_ns);
        let rose = self.state.counters[0].sync(tick);
        for counter in &mut self.state.counters[1..] {
            counter.sync(tick);
        }
        self.drive_irq(rose);
    }

    /// The output of counter `index` (0 to 2) now.
    pub fn output(&mut self, index: usize) -> bool {
        self.catch_up();
        self.state.counters[index].output()
    }

    /// Sets the gate of counter `index` (0 to 2).
    pub fn set_gate(&mut self, index: usize, gate: bool) {
        self.catch_up();
        self.state.counters[index].set_gate(gate);
        self.drive_irq(false);
        self.bell.ring(Doorbell::TIMER);
    }

    fn catch_up(&mut self) {
        self.advance(self.clock.now_ns());
    }

    /// A rise that a fall has followed already is still an edge: the line stays high until the next look.
    fn drive_irq(&self, rose: bool) {
        if rose {
            self.irq.pulse();
        } else {
            self.irq.set(self.state.counters[0].output());
        }
    }

    fn write_control(&mut self, value: u8) {
        let select = usize::from(value >> 6);
        if select == 3 {
            self.read_back(value);
            return;
        }
        let counter = &mut self.state.counters[select];
        let access = match (value >> 4) & 3 {
            0 => {
                counter.latch_count();
                return;
            }
            1 => Access::Low,
            2 => Access::High,
            _ => Access::Both,
        };
        counter.program(access, Mode::from_bits(value >> 1), value & 1 != 0);
    }

    /// Read-back: bit 5 low latches counts, bit 4 low latches status, bits 3 to 1 select counters 2 to 0.
    fn read_back(&mut self, value: u8) {
        for (index, counter) in self.state.counters.iter_mut().enumerate() {
            if value & (2 << index) == 0 {
                continue;
            }
            if value & 0x20 == 0 {
                counter.latch_count();
            }
            if value & 0x10 == 0 {
                counter.latch_status();
            }
        }
    }
}

impl MmioDevice for I8254 {
    fn read(&mut self, off: RegionOffset, _size: AccessSize, _cx: &mut AccessCx) -> Result<u64, BusError> {
        self.catch_up();
        match off.0 {
            index @ 0..=2 => Ok(u64::from(self.state.counters[index as usize].read())),
            // The control word cannot be read; the data bus floats.
            _ => Ok(0xff),
        }
    }

    fn write(
        &mut self,
        off: RegionOffset,
        value: u64,
        _size: AccessSize,
        _cx: &mut AccessCx,
    ) -> Result<(), BusError> {
        self.catch_up();
        let value = (value & 0xff) as u8;
        match off.0 {
            index @ 0..=2 => self.state.counters[index as usize].write(value),
            CONTROL => self.write_control(value),
            _ => {}
        }
        self.drive_irq(false);
        self.bell.ring(Doorbell::TIMER);
        Ok(())
    }

    fn reset(&mut self) {
        let tick = tick_at(self.clock.now_ns());
        self.state = PitState::default();
        for counter in &mut self.state.counters {
            counter.synced = tick;
            if let Run::Counting { start, .. } = &mut counter.run {
                *start = tick;
            }
        }
        self.drive_irq(false);
        self.bell.ring(Doorbell::TIMER);
    }
}

#[cfg(test)]
mod tests;
