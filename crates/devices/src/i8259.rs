//! Intel 8259A programmable interrupt controller: the master and slave pair of a PC, with its ELCR.
//!
//! Modelled: ICW1-4, OCW1-3, fixed and rotating priority, specific and non-specific EOI, automatic EOI, special
//! mask mode, special fully nested mode, poll, edge and level inputs (ELCR or ICW1 LTIM), spurious interrupts.
//! Not modelled: MCS-80 mode (vectors are 8086 vectors), buffered mode bits, a wiring other than slave on IR2.
//! The slave's INT enters IR2 by level, so a request that the slave keeps up is never lost at the master.
//! An edge request is dropped when its line falls before the acknowledge, as the data sheet says; QEMU keeps it.
//! Before ICW1 the chip asks for nothing.
//! Source: Intel 8259A data sheet; 82371AB (PIIX4) data sheet for ELCR; register names are theirs.

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use base::{AccessSize, RegionOffset};
use memory::{AccessCx, AccessRules, BusError, MmioDevice};

use crate::{Doorbell, IrqLine, IrqSink};

/// Byte registers.
pub const RULES: AccessRules = AccessRules::new().valid(1, 1).implemented(1, 1).little_endian();

/// Offsets of the pair's three register windows, for the board to place; each is two bytes long.
pub mod window {
    /// Command and data port of the master.
    pub const MASTER: u64 = 0;
    /// Command and data port of the slave.
    pub const SLAVE: u64 = 2;
    /// Edge/level control of master and slave.
    pub const ELCR: u64 = 4;
    /// Bytes of each window.
    pub const LEN: u64 = 2;
}

/// Input of the master that the slave drives.
pub const CASCADE: u8 = 2;
/// The input that a spurious interrupt reports.
const SPURIOUS: u8 = 7;
/// ELCR bits that can be set: IRQ0, 1, 2, 8 and 13 are always edge-triggered.
const ELCR_MASK: [u8; 2] = [0xf8, 0xde];

const ICW1_IC4: u8 = 0x01;
const ICW1_SNGL: u8 = 0x02;
const ICW1_LTIM: u8 = 0x08;
const ICW1_SELECT: u8 = 0x10;
const OCW3_SELECT: u8 = 0x08;
const ICW4_AEOI: u8 = 0x02;
const ICW4_SFNM: u8 = 0x10;

/// The interrupt inputs of the pair: sixteen wires that any thread may drive without blocking.
///
/// The controller takes the levels and the rising edges in at its next look; the doorbell asks for that look.
#[derive(Debug, Default)]
pub struct PicInputs {
    levels: AtomicU16,
    rises: AtomicU16,
    bell: Doorbell,
}

impl PicInputs {
    /// Sixteen low wires that ring `bell` when one changes.
    #[must_use]
    pub fn new(bell: Doorbell) -> Arc<Self> {
        Arc::new(Self { bell, ..Self::default() })
    }

    /// The line into IRQ `irq`, 0 to 15. IRQ 2 leads nowhere: the slave sits there.
    #[must_use]
    pub fn line(self: &Arc<Self>, irq: u8) -> IrqLine {
        IrqLine::new(Arc::clone(self) as Arc<dyn IrqSink>, irq & 15)
    }
}

impl IrqSink for PicInputs {
    fn set_level(&self, line: u8, high: bool) {
        let bit = 1u16 << (line & 15);
        let old = if high {
            self.levels.fetch_or(bit, Ordering::AcqRel)
        } else {
            self.levels.fetch_and(!bit, Ordering::AcqRel)
        };
        if (old & bit != 0) == high {
            return;
        }
        if high {
            self.rises.fetch_or(bit, Ordering::AcqRel);
        }
        self.bell.ring(Doorbell::IRQ);
    }
}

/// What the next write to the data port means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Expect {
    /// No ICW1 yet: the chip is silent.
    #[default]
    Icw1,
    /// The vector base.
    Icw2,
    /// The cascade.
    Icw3,
    /// The modes.
    Icw4,
    /// The mask: initialisation is complete.
    Ocw1,
}

/// The state of one 8259A.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PicState {
    /// Initialisation progress.
    pub expect: Expect,
    /// ICW1 as written.
    pub icw1: u8,
    /// ICW2: the vector base in its upper five bits.
    pub icw2: u8,
    /// ICW3 as written; the wiring is fixed.
    pub icw3: u8,
    /// ICW4 as written, or 0 without IC4.
    pub icw4: u8,
    /// Levels of the inputs at the last look.
    pub levels: u8,
    /// Edges that wait for an acknowledge.
    pub edges: u8,
    /// In-service register.
    pub isr: u8,
    /// Interrupt mask register.
    pub imr: u8,
    /// Inputs that are level-triggered.
    pub elcr: u8,
    /// The input of the lowest priority; 7 after ICW1.
    pub lowest: u8,
    /// Special mask mode.
    pub special_mask: bool,
    /// Rotate in automatic EOI mode.
    pub rotate_on_aeoi: bool,
    /// The next read is a poll.
    pub poll: bool,
    /// The command port reads ISR instead of IRR.
    pub read_isr: bool,
}

impl PicState {
    fn ready(&self) -> bool {
        self.expect == Expect::Ocw1
    }

    fn level_triggered(&self) -> u8 {
        if self.icw1 & ICW1_LTIM != 0 { 0xff } else { self.elcr }
    }

    /// Interrupt request register.
    #[must_use]
    pub fn irr(&self) -> u8 {
        let level = self.level_triggered();
        (self.levels & level) | (self.edges & !level)
    }

    /// Takes the inputs in. A falling line takes its edge with it.
    fn sample(&mut self, levels: u8, rises: u8) {
        self.levels = levels;
        self.edges = (self.edges | rises) & levels;
    }

    /// Rank of the most urgent input in `lines`: 0 is the highest priority, 8 means none.
    fn rank(&self, lines: u8) -> u32 {
        // Rotated so that bit 0 is the input of the highest priority.
        lines.rotate_right(u32::from(self.lowest) + 1).trailing_zeros()
    }

    fn line_of_rank(&self, rank: u32) -> u8 {
        (self.lowest.wrapping_add(1).wrapping_add((rank & 7) as u8)) & 7
    }

    /// The input whose request reaches the INT pin: unmasked and more urgent than everything in service.
    fn request(&self, cascade: u8) -> Option<u8> {
        if !self.ready() {
            return None;
        }
        let mut in_service = self.isr;
        if self.special_mask {
            in_service &= !self.imr;
        }
        if self.icw4 & ICW4_SFNM != 0 {
            // The slave may interrupt its own service with something more urgent.
            in_service &= !cascade;
        }
        let rank = self.rank(self.irr() & !self.imr);
        (rank < self.rank(in_service)).then(|| self.line_of_rank(rank))
    }

    /// INTA (or a poll) for `line`: the edge is used up and the line is in service.
    fn take(&mut self, line: u8) {
        let bit = 1 << line;
        self.edges &= !bit;
        if self.icw4 & ICW4_AEOI == 0 {
            self.isr |= bit;
        } else if self.rotate_on_aeoi {
            self.lowest = line;
        }
    }

    fn vector(&self, line: u8) -> u8 {
        (self.icw2 & 0xf8) | line
    }

    fn write_icw1(&mut self, value: u8) {
        let (levels, elcr) = (self.levels, self.elcr);
        // Edges are forgotten: a line that is high must fall and rise again to request.
        *self = Self { icw1: value, expect: Expect::Icw2, lowest: 7, levels, elcr, ..Self::default() };
    }

    fn write_data(&mut self, value: u8) {
        self.expect = match self.expect {
            // The mask register takes a value before initialisation too, as on QEMU's `pc`.
            Expect::Icw1 => {
                self.imr = value;
                Expect::Icw1
            }
            Expect::Icw2 => {
                self.icw2 = value;
                if self.icw1 & ICW1_SNGL == 0 { Expect::Icw3 } else { self.after_icw3() }
            }
            Expect::Icw3 => {
                self.icw3 = value;
                self.after_icw3()
            }
            Expect::Icw4 => {
                self.icw4 = value;
                if value & 1 == 0 {
                    unimplemented_feature!("i8259", "MCS-80 mode");
                }
                Expect::Ocw1
            }
            Expect::Ocw1 => {
                self.imr = value;
                Expect::Ocw1
            }
        };
    }

    fn after_icw3(&self) -> Expect {
        if self.icw1 & ICW1_IC4 != 0 { Expect::Icw4 } else { Expect::Ocw1 }
    }

    fn write_command(&mut self, value: u8) {
        if value & ICW1_SELECT != 0 {
            self.write_icw1(value);
        } else if value & OCW3_SELECT != 0 {
            self.write_ocw3(value);
        } else {
            self.write_ocw2(value);
        }
    }

    /// OCW2: R, SL and EOI in the upper three bits (data sheet, figure "Operation Command Word Format").
    fn write_ocw2(&mut self, value: u8) {
        let line = value & 7;
        match value >> 5 {
            0b000 => self.rotate_on_aeoi = false,
            0b100 => self.rotate_on_aeoi = true,
            0b001 => drop(self.end_most_urgent()),
            0b101 => {
                if let Some(line) = self.end_most_urgent() {
                    self.lowest = line;
                }
            }
            0b011 => self.isr &= !(1 << line),
            0b110 => self.lowest = line,
            0b111 => {
                self.isr &= !(1 << line);
                self.lowest = line;
            }
            _ => {}
        }
    }

    /// Non-specific EOI. In special mask mode a masked in-service bit stays (data sheet, "Special Mask Mode").
    fn end_most_urgent(&mut self) -> Option<u8> {
        let candidates = if self.special_mask { self.isr & !self.imr } else { self.isr };
        let rank = self.rank(candidates);
        (rank < 8).then(|| {
            let line = self.line_of_rank(rank);
            self.isr &= !(1 << line);
            line
        })
    }

    fn write_ocw3(&mut self, value: u8) {
        if value & 0x04 != 0 {
            self.poll = true;
        }
        if value & 0x02 != 0 {
            self.read_isr = value & 0x01 != 0;
        }
        if value & 0x40 != 0 {
            self.special_mask = value & 0x20 != 0;
        }
    }
}

/// Which chip of the pair.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Chip {
    Master,
    Slave,
}

/// The pair's state.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PairState {
    /// The chip on IRQ 0 to 7.
    pub master: PicState,
    /// The chip on IRQ 8 to 15.
    pub slave: PicState,
}

/// Master and slave with their wires.
pub struct I8259Pair {
    state: PairState,
    inputs: Arc<PicInputs>,
    intr: IrqLine,
}

impl I8259Pair {
    /// The pair behind `inputs`, driving `intr`, before ICW1.
    #[must_use]
    pub fn new(inputs: Arc<PicInputs>, intr: IrqLine) -> Self {
        Self { state: PairState::default(), inputs, intr }
    }

    /// The state, to compare and save.
    #[must_use]
    pub fn state(&self) -> &PairState {
        &self.state
    }

    /// Takes the inputs in; whether INTR is high.
    pub fn pending(&mut self) -> bool {
        // Read before it is taken: a look at quiet wires costs no more than that.
        let risen = self.inputs.rises.load(Ordering::Acquire) != 0;
        let rises = if risen { self.inputs.rises.swap(0, Ordering::AcqRel) } else { 0 };
        let levels = self.inputs.levels.load(Ordering::Acquire);
        self.state.sample(levels, rises);
        let pending = self.state.master_request().is_some();
        self.intr.set(pending);
        pending
    }

    /// Whether INTR would be high if IRQ `irq`, 0 to 15, rose now. IRQ 2 leads nowhere.
    #[must_use]
    pub fn would_interrupt(&self, irq: u8) -> bool {
        let wire = 1u16 << (irq & 15);
        let (levels, rises) = (&self.inputs.levels, &self.inputs.rises);
        let mut state = self.state.clone();
        state.sample(levels.load(Ordering::Acquire) | wire, rises.load(Ordering::Acquire) | wire);
        state.master_request().is_some()
    }

    /// The processor's interrupt acknowledge: the vector, and the request is in service.
    ///
    /// A request that fell away since the last look makes a spurious interrupt: input 7 of the chip that is asked,
    /// with nothing in service there. The master still has the slave's INT latched then, so its IR2 is in service.
    pub fn acknowledge(&mut self) -> u8 {
        let cascade = (1 << CASCADE) & self.state.master.irr();
        self.pending();
        self.state.master.levels |= cascade;
        self.state.master.edges |= cascade;
        let vector = match self.state.master_request() {
            None => self.state.master.vector(SPURIOUS),
            Some(line) => {
                self.state.master.take(line);
                if line == CASCADE { self.acknowledge_slave() } else { self.state.master.vector(line) }
            }
        };
        self.pending();
        vector
    }

    fn acknowledge_slave(&mut self) -> u8 {
        let slave = &mut self.state.slave;
        match slave.request(0) {
            None => slave.vector(SPURIOUS),
            Some(line) => {
                slave.take(line);
                slave.vector(line)
            }
        }
    }

    /// A poll read: like an acknowledge of this one chip; bit 7 says whether there was a request.
    fn poll(&mut self, chip: Chip) -> u8 {
        let request = match chip {
            Chip::Master => self.state.master_request(),
            Chip::Slave => self.state.slave.request(0),
        };
        let pic = self.state.chip(chip);
        pic.poll = false;
        match request {
            None => 0,
            Some(line) => {
                pic.take(line);
                0x80 | line
            }
        }
    }

    fn read_port(&mut self, chip: Chip, data: bool) -> u8 {
        if self.state.chip(chip).poll {
            return self.poll(chip);
        }
        let pic = self.state.chip(chip);
        match (data, pic.read_isr) {
            (true, _) => pic.imr,
            (false, true) => pic.isr,
            (false, false) => pic.irr(),
        }
    }
}

impl PairState {
    fn chip(&mut self, chip: Chip) -> &mut PicState {
        match chip {
            Chip::Master => &mut self.master,
            Chip::Slave => &mut self.slave,
        }
    }

    fn sample(&mut self, levels: u16, rises: u16) {
        let [low_levels, high_levels] = levels.to_le_bytes();
        let [low_rises, high_rises] = rises.to_le_bytes();
        self.slave.sample(high_levels, high_rises);
        let cascade = 1 << CASCADE;
        self.master.sample(low_levels & !cascade, low_rises & !cascade);
        self.refresh_cascade();
    }

    /// Carries the slave's INT to IR2, which follows it by level whatever the trigger mode says.
    fn refresh_cascade(&mut self) {
        let cascade = 1 << CASCADE;
        if self.slave.request(0).is_some() {
            self.master.levels |= cascade;
            self.master.edges |= cascade;
        } else {
            self.master.levels &= !cascade;
            self.master.edges &= !cascade;
        }
    }

    fn master_request(&self) -> Option<u8> {
        self.master.request(1 << CASCADE)
    }
}

impl MmioDevice for I8259Pair {
    fn read(&mut self, off: RegionOffset, _size: AccessSize, _cx: &mut AccessCx) -> Result<u64, BusError> {
        self.pending();
        let value = match off.0 {
            0 => self.read_port(Chip::Master, false),
            1 => self.read_port(Chip::Master, true),
            2 => self.read_port(Chip::Slave, false),
            3 => self.read_port(Chip::Slave, true),
            4 => self.state.master.elcr,
            _ => self.state.slave.elcr,
        };
        self.pending();
        Ok(u64::from(value))
    }

    fn write(
        &mut self,
        off: RegionOffset,
        value: u64,
        _size: AccessSize,
        _cx: &mut AccessCx,
    ) -> Result<(), BusError> {
        let value = (value & 0xff) as u8;
        self.pending();
        let before = self.state.master.expect;
        match off.0 {
            0 => self.state.master.write_command(value),
            1 => self.state.master.write_data(value),
            2 => self.state.slave.write_command(value),
            3 => self.state.slave.write_data(value),
            4 => self.state.master.elcr = value & ELCR_MASK[0],
            _ => self.state.slave.elcr = value & ELCR_MASK[1],
        }
        // A mask or EOI may have let a waiting request through; before ICW1 nobody asks when the next comes.
        if self.pending() || self.state.master.expect != before {
            self.inputs.bell.ring(Doorbell::IRQ);
        }
        Ok(())
    }

    fn reset(&mut self) {
        self.state = PairState::default();
        self.pending();
    }
}

#[cfg(test)]
#[path = "i8259_tests.rs"]
mod tests;
