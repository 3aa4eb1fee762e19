//! One counter of the 8254, computed from the number of clock ticks and never stepped.
//!
//! Time is a signed number of ticks of the input clock since power-on. A count written in tick `t` is loaded at
//! `t + 1`; `elapsed` is the number of ticks since that load. The output, the counting element and the next change
//! of the output are functions of the mode, the count and `elapsed`, so that a jump over any time costs the same.
//! Modes 2 and 3 take a count below 2, which the data sheet forbids, as 2.

/// Counter mode, M2 to M0 of the control word (data sheet, "Mode Definitions").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Mode 0: interrupt on terminal count.
    TerminalCount,
    /// Mode 1: hardware retriggerable one-shot.
    OneShot,
    /// Mode 2: rate generator.
    RateGenerator,
    /// Mode 3: square wave.
    SquareWave,
    /// Mode 4: software triggered strobe.
    SoftwareStrobe,
    /// Mode 5: hardware triggered strobe.
    HardwareStrobe,
}

impl Mode {
    /// Decodes three bits; 6 and 7 are 2 and 3.
    #[must_use]
    pub const fn from_bits(bits: u8) -> Self {
        match bits & 7 {
            0 => Self::TerminalCount,
            1 => Self::OneShot,
            2 | 6 => Self::RateGenerator,
            3 | 7 => Self::SquareWave,
            4 => Self::SoftwareStrobe,
            _ => Self::HardwareStrobe,
        }
    }

    const fn bits(self) -> u8 {
        match self {
            Self::TerminalCount => 0,
            Self::OneShot => 1,
            Self::RateGenerator => 2,
            Self::SquareWave => 3,
            Self::SoftwareStrobe => 4,
            Self::HardwareStrobe => 5,
        }
    }

    /// Counts again and again; the gate reloads it.
    const fn periodic(self) -> bool {
        matches!(self, Self::RateGenerator | Self::SquareWave)
    }

    /// Starts at a rising gate, not at a count.
    const fn triggered(self) -> bool {
        matches!(self, Self::OneShot | Self::HardwareStrobe)
    }

    /// The output between the control word and the first load.
    const fn idle_output(self) -> bool {
        !matches!(self, Self::TerminalCount)
    }
}

/// Which bytes of the count are read and written, RW1 and RW0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Least significant byte only.
    Low,
    /// Most significant byte only.
    High,
    /// Least, then most significant byte.
    Both,
}

impl Access {
    const fn bits(self) -> u8 {
        match self {
            Self::Low => 1,
            Self::High => 2,
            Self::Both => 3,
        }
    }
}

/// What the counting element does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Run {
    /// No count loaded since the control word, or no trigger yet.
    Idle,
    /// Loaded at tick `start`; until then the output keeps the level `before`.
    Counting {
        /// Tick of the load.
        start: i64,
        /// Output before the load.
        before: bool,
    },
    /// The gate holds it after `elapsed` ticks.
    Held {
        /// Ticks counted so far.
        elapsed: i64,
    },
}

/// A count that takes over at the end of the running (half) period.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reload {
    /// The tick of the takeover.
    pub at: i64,
    /// The tick that counts as load of the new count: `at`, or earlier when `at` is the middle of a square wave.
    pub start: i64,
    /// The new count.
    pub count: u32,
}

/// The state of one counter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counter {
    /// Counting mode.
    pub mode: Mode,
    /// Byte access.
    pub access: Access,
    /// Four decimal digits instead of sixteen bits.
    pub bcd: bool,
    /// Gate input.
    pub gate: bool,
    /// The count register as a number of ticks, 1 to 65536, once written after the control word.
    pub count: Option<u32>,
    /// The count in use.
    pub active: u32,
    /// The counting element.
    pub run: Run,
    /// A count that waits for the period to end.
    pub reload: Option<Reload>,
    /// When the count register reaches the counting element; `None`: not scheduled (status bit NULL COUNT).
    pub loaded_at: Option<i64>,
    /// The low byte of a two-byte write whose high byte is awaited.
    pub write_low: Option<u8>,
    /// The next read of a two-byte count gives the high byte.
    pub read_high: bool,
    /// A latched count.
    pub latch: Option<u16>,
    /// A latched status byte.
    pub status: Option<u8>,
    /// The tick up to which the output has been reported.
    pub synced: i64,
}

impl Counter {
    /// The power-on state, which the data sheet leaves open: mode 3 with the longest count, running, as a PC's
    /// firmware leaves counter 0.
    #[must_use]
    pub fn new(gate: bool) -> Self {
        let run = if gate { Run::Counting { start: 0, before: true } } else { Run::Held { elapsed: 0 } };
        Self {
            mode: Mode::SquareWave,
            access: Access::Both,
            bcd: false,
            gate,
            count: Some(65536),
            active: 65536,
            run,
            reload: None,
            loaded_at: Some(0),
            write_low: None,
            read_high: false,
            latch: None,
            status: None,
            synced: 0,
        }
    }

    /// Brings the counter to tick `now`; whether the output rose on the way.
    pub fn sync(&mut self, now: i64) -> bool {
        let mut rose = false;
        if let Some(reload) = self.reload.filter(|reload| reload.at <= now) {
            rose = self.rose_until(reload.at);
            self.synced = self.synced.max(reload.at);
            self.active = reload.count;
            self.run = Run::Counting { start: reload.start, before: true };
            self.reload = None;
        }
        rose |= self.rose_until(now);
        self.synced = self.synced.max(now);
        rose
    }

    /// The output at the tick of the last sync.
    #[must_use]
    pub fn output(&self) -> bool {
        match self.run {
            Run::Idle => self.mode.idle_output(),
            Run::Counting { start, before } if self.synced < start => before,
            Run::Counting { start, .. } => self.level(self.synced - start),
            Run::Held { elapsed } if self.mode == Mode::TerminalCount => self.level(elapsed),
            Run::Held { .. } => true,
        }
    }

    /// The first tick after the last sync at which the output changes. A low pulse of one tick counts as one
    /// change, at its end.
    #[must_use]
    pub fn next_change(&self) -> Option<i64> {
        let Run::Counting { start, .. } = self.run else { return None };
        let elapsed = self.synced - start;
        let count = self.period();
        let after = match self.mode {
            Mode::TerminalCount => (elapsed < count).then_some(count),
            Mode::OneShot if elapsed < 0 => Some(0),
            Mode::OneShot => (elapsed < count).then_some(count),
            Mode::RateGenerator => Some(next_multiple(elapsed, count)),
            Mode::SquareWave => {
                let base = elapsed.max(0) / count * count;
                let high_end = base + high_ticks(count);
                Some(if elapsed < high_end { high_end } else { base + count })
            }
            Mode::SoftwareStrobe | Mode::HardwareStrobe => (elapsed <= count).then_some(count + 1),
        };
        after.map(|elapsed| start + elapsed)
    }

    /// The counting element as a read shows it.
    #[must_use]
    pub fn value(&self) -> u16 {
        let elapsed = match self.run {
            Run::Idle => 0,
            Run::Counting { start, .. } => (self.synced - start).max(0),
            Run::Held { elapsed } => elapsed,
        };
        let count = self.period();
        let ticks = match self.mode {
            Mode::RateGenerator => count - elapsed % count,
            Mode::SquareWave => square_wave_value(count, elapsed % count),
            Mode::TerminalCount | Mode::OneShot | Mode::SoftwareStrobe | Mode::HardwareStrobe => {
                count - elapsed
            }
        };
        self.encode(ticks)
    }

    /// A control word for this counter: access, mode and BCD.
    pub fn program(&mut self, access: Access, mode: Mode, bcd: bool) {
        let (gate, active, synced) = (self.gate, self.active, self.synced);
        *self = Self {
            mode,
            access,
            bcd,
            gate,
            count: None,
            active,
            run: Run::Idle,
            reload: None,
            loaded_at: None,
            write_low: None,
            read_high: false,
            latch: None,
            status: None,
            synced,
        };
    }

    /// A byte written to the count register.
    pub fn write(&mut self, byte: u8) {
        let raw = match (self.access, self.write_low.take()) {
            (Access::Low, _) => u16::from(byte),
            (Access::High, _) => u16::from(byte) << 8,
            (Access::Both, Some(low)) => u16::from_le_bytes([low, byte]),
            (Access::Both, None) => {
                self.write_low = Some(byte);
                if self.mode == Mode::TerminalCount {
                    // The first byte stops the count and sets the output low (data sheet, mode 0).
                    self.run = Run::Idle;
                }
                return;
            }
        };
        self.write_count(self.decode(raw));
    }

    fn write_count(&mut self, count: u32) {
        self.count = Some(count);
        let load = self.synced + 1;
        if self.mode.triggered() {
            self.loaded_at = None;
        } else if self.mode.periodic() && self.loaded() {
            self.reload_later(count);
        } else {
            self.active = count;
            self.loaded_at = Some(load);
            let before = self.mode.idle_output();
            self.run =
                if self.gate { Run::Counting { start: load, before } } else { Run::Held { elapsed: 0 } };
        }
    }

    /// Whether the counting element holds a count of this control word.
    fn loaded(&self) -> bool {
        match self.run {
            Run::Idle => false,
            Run::Counting { start, .. } => self.synced >= start,
            Run::Held { .. } => true,
        }
    }

    /// Modes 2 and 3, already running: the count waits for the end of the period, or of the half period.
    fn reload_later(&mut self, count: u32) {
        let Run::Counting { start, .. } = self.run else {
            // Held by the gate: its rise loads the count register.
            self.loaded_at = None;
            return;
        };
        let period = self.period();
        let elapsed = self.synced - start;
        let base = elapsed / period * period;
        let at_half = self.mode == Mode::SquareWave && elapsed - base < high_ticks(period);
        let (at, lead) = if at_half {
            (start + base + high_ticks(period), high_ticks(i64::from(count).max(2)))
        } else {
            (start + base + period, 0)
        };
        self.reload = Some(Reload { at, start: at - lead, count });
        self.loaded_at = Some(at);
    }

    /// A new level at the gate.
    pub fn set_gate(&mut self, gate: bool) {
        let rising = gate && !self.gate;
        let falling = !gate && self.gate;
        self.gate = gate;
        if rising {
            self.gate_rises();
        } else if falling {
            self.gate_falls();
        }
    }

    fn gate_rises(&mut self) {
        let start = self.synced + 1;
        let before = self.output();
        if self.mode.triggered() || self.mode.periodic() {
            let Some(count) = self.count else { return };
            self.active = count;
            self.reload = None;
            self.loaded_at = Some(start);
            self.run = Run::Counting { start, before };
        } else if let Run::Held { elapsed } = self.run {
            self.run = Run::Counting { start: self.synced - elapsed, before };
        }
    }

    fn gate_falls(&mut self) {
        if self.mode.triggered() {
            return;
        }
        if let Run::Counting { start, .. } = self.run {
            self.run = Run::Held { elapsed: (self.synced - start).max(0) };
            self.reload = None;
        }
    }

    /// A byte read from the counter: latched status, latched count, or the running count.
    pub fn read(&mut self) -> u8 {
        if let Some(status) = self.status.take() {
            return status;
        }
        let [low, high] = self.latch.unwrap_or_else(|| self.value()).to_le_bytes();
        let (byte, complete) = match self.access {
            Access::Low => (low, true),
            Access::High => (high, true),
            Access::Both if self.read_high => (high, true),
            Access::Both => (low, false),
        };
        self.read_high = !complete;
        if complete {
            self.latch = None;
        }
        byte
    }

    /// Counter latch command: holds the count until it is read; a held count stays.
    pub fn latch_count(&mut self) {
        if self.latch.is_none() {
            self.latch = Some(self.value());
        }
    }

    /// Read-back command: holds the status until it is read; a held status stays.
    pub fn latch_status(&mut self) {
        if self.status.is_none() {
            let null = self.loaded_at.is_none_or(|at| self.synced < at);
            self.status = Some(
                u8::from(self.output()) << 7
                    | u8::from(null) << 6
                    | self.access.bits() << 4
                    | self.mode.bits() << 1
                    | u8::from(self.bcd),
            );
        }
    }

    /// The count in use as a number of ticks.
    fn period(&self) -> i64 {
        let least = if self.mode.periodic() { 2 } else { 1 };
        i64::from(self.active).max(least)
    }

    /// The output after `elapsed >= 0` ticks.
    fn level(&self, elapsed: i64) -> bool {
        let count = self.period();
        match self.mode {
            Mode::TerminalCount | Mode::OneShot => elapsed >= count,
            Mode::RateGenerator => elapsed % count != count - 1,
            Mode::SquareWave => elapsed % count < high_ticks(count),
            Mode::SoftwareStrobe | Mode::HardwareStrobe => elapsed != count,
        }
    }

    /// Whether the output rises in the ticks after the last sync up to `now`.
    fn rose_until(&self, now: i64) -> bool {
        let Run::Counting { start, .. } = self.run else { return false };
        let (from, to) = (self.synced - start, now - start);
        let count = self.period();
        let passes = |at: i64| from < at && at <= to;
        match self.mode {
            Mode::TerminalCount | Mode::OneShot => passes(count),
            Mode::RateGenerator | Mode::SquareWave => to >= next_multiple(from, count),
            Mode::SoftwareStrobe | Mode::HardwareStrobe => passes(count + 1),
        }
    }

    /// Ticks of a count register; 0 is the longest count.
    fn decode(&self, raw: u16) -> u32 {
        match (self.bcd, raw) {
            (false, 0) => 65536,
            (false, raw) => u32::from(raw),
            (true, 0) => 10_000,
            (true, raw) => (0..4).rev().fold(0, |sum, digit| sum * 10 + u32::from((raw >> (digit * 4)) & 15)),
        }
    }

    /// A number of ticks as the counting element shows it, wrapped at its width.
    fn encode(&self, ticks: i64) -> u16 {
        if !self.bcd {
            return (ticks.rem_euclid(65536)) as u16;
        }
        let mut rest = ticks.rem_euclid(10_000) as u16;
        let mut raw = 0;
        for digit in 0..4 {
            raw |= (rest % 10) << (digit * 4);
            rest /= 10;
        }
        raw
    }
}

/// Ticks that a square wave of `count` ticks is high.
const fn high_ticks(count: i64) -> i64 {
    count / 2 + count % 2
}

/// The first positive multiple of `count` after `elapsed`.
const fn next_multiple(elapsed: i64, count: i64) -> i64 {
    if elapsed < 0 { count } else { (elapsed / count + 1) * count }
}

/// The counting element of mode 3, which counts by twos and is reloaded each half (data sheet, mode 3).
const fn square_wave_value(count: i64, phase: i64) -> i64 {
    let high = high_ticks(count);
    let in_half = if phase < high { phase } else { phase - high };
    (count & !1) - 2 * in_half
}
