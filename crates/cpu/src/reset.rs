//! The states that the processor starts in.

use isa::{Gpr, SegReg};

use crate::cpuid::SIGNATURE;
use crate::flags::CcOp;
use crate::layout::{Segment, TableReg};
use crate::{Cpu, Msrs, attr, cr, eflags, leave};

/// Present, writable, accessed data in ring 0.
const DATA: u32 = attr::P | attr::S | attr::RW | attr::ACCESSED;
/// Present, readable, accessed code in ring 0.
const CODE: u32 = DATA | attr::CODE;
/// Busy 32-bit TSS, present.
const TASK: u32 = attr::P | 11;
/// Local descriptor table, present.
const TABLE: u32 = attr::P | 2;

impl Cpu {
    /// Puts the processor into its state after power-up (SDM Vol. 3A 9.1.1, table 9-1). What the run loop
    /// keeps in the state (budget, helpers, the paging-off range) stays.
    pub fn reset(&mut self) {
        let time = self.now_ns();
        let state = &mut *self.state;
        state.gpr = [0; 16];
        state.gpr[Gpr::Edx.index()] = u64::from(SIGNATURE);
        state.eip = 0xfff0;
        state.eflags = eflags::FIXED;
        state.cc_op = CcOp::EFLAGS;
        state.segs = [Segment { limit: 0xffff, attrs: DATA, ..Segment::default() }; 6];
        let code = &mut state.segs[SegReg::Cs.index()];
        (code.selector, code.base) = (0xf000, 0xffff_0000);
        state.ldtr = Segment { limit: 0xffff, attrs: TABLE, ..Segment::default() };
        state.tr = Segment { limit: 0xffff, attrs: TASK, ..Segment::default() };
        state.gdtr = TableReg { limit: 0xffff, ..TableReg::default() };
        state.idtr = TableReg { limit: 0xffff, ..TableReg::default() };
        state.cr0 = cr::CR0_CD | cr::CR0_NW | cr::CR0_ET;
        (state.cr2, state.cr3, state.cr4) = (0, 0, 0);
        state.dr = [0, 0, 0, 0, 0, 0, 0xffff_0ff0, 0x400];
        (state.cpl, state.halted, state.interrupt_shadow) = (0, false, false);
        self.msrs = Msrs { tsc_offset: time.wrapping_neg() };
        self.end_reset();
    }

    /// Puts the processor into the state in which a loader starts a kernel (Multiboot 0.6.96, 3.2): protected
    /// mode, flat 4 GiB segments of 32 bits, interrupts and paging off, everything else as after reset. The
    /// descriptor tables are empty, so the kernel must load its own before it loads a segment.
    pub fn set_flat_protected(&mut self, entry: u32) {
        self.reset();
        let state = &mut *self.state;
        let flat = |selector, kind| Segment {
            limit: u32::MAX,
            attrs: kind | attr::DB | attr::G,
            selector,
            ..Segment::default()
        };
        state.segs = [flat(0x10, DATA); 6];
        state.segs[SegReg::Cs.index()] = flat(0x08, CODE);
        state.gdtr = TableReg::default();
        state.idtr = TableReg::default();
        state.cr0 = cr::CR0_PE | cr::CR0_ET;
        state.eip = entry;
        self.end_reset();
    }

    fn end_reset(&mut self) {
        self.paging_changed();
        self.state.clear_jump_cache();
        self.state.leave |= leave::MODE;
    }
}
