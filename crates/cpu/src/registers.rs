//! Reading and writing registers by operand, and effective addresses.

use isa::{Gpr, Mem, Reg, Width};

use crate::{Cpu, eflags, flags};

impl Cpu {
    /// A general-purpose register, 32 bits.
    #[must_use]
    #[inline]
    pub fn gpr32(&self, gpr: Gpr) -> u32 {
        self.state.gpr[gpr.index()] as u32
    }

    /// Sets a general-purpose register, 32 bits.
    #[inline]
    pub fn set_gpr32(&mut self, gpr: Gpr, value: u32) {
        self.state.gpr[gpr.index()] = u64::from(value);
    }

    /// A register operand, zero-extended.
    #[must_use]
    #[inline]
    pub fn reg(&self, reg: Reg) -> u32 {
        let full = self.gpr32(reg.gpr);
        match (reg.width, reg.high) {
            (Width::B1, true) => full >> 8 & 0xff,
            (Width::B1, false) => full & 0xff,
            (Width::B2, _) => full & 0xffff,
            (Width::B4 | Width::B8, _) => full,
        }
    }

    /// Sets a register operand; the rest of the full register stays.
    #[inline]
    pub fn set_reg(&mut self, reg: Reg, value: u32) {
        let full = self.gpr32(reg.gpr);
        let merged = match (reg.width, reg.high) {
            (Width::B1, true) => full & 0xffff_00ff | (value & 0xff) << 8,
            (Width::B1, false) => full & 0xffff_ff00 | value & 0xff,
            (Width::B2, _) => full & 0xffff_0000 | value & 0xffff,
            (Width::B4 | Width::B8, _) => value,
        };
        self.set_gpr32(reg.gpr, merged);
    }

    /// EFLAGS with the arithmetic flags derived.
    #[inline]
    pub fn eflags(&mut self) -> u32 {
        flags::materialize(&mut self.state);
        self.state.eflags
    }

    /// EFLAGS, in which the arithmetic flags must be valid.
    #[must_use]
    #[inline]
    pub fn valid_eflags(&self) -> u32 {
        debug_assert!(self.state.cc_op == flags::CcOp::EFLAGS, "the flags have been derived");
        self.state.eflags
    }

    /// Sets the flags in `mask` to those in `value`; the arithmetic flags in EFLAGS must be valid.
    #[inline]
    pub fn set_status(&mut self, mask: u32, value: u32) {
        self.state.eflags = self.valid_eflags() & !mask | value & mask | eflags::FIXED;
    }

    /// Offset of a memory operand inside its segment (SDM Vol. 1 3.7.5), wrapped to the address size.
    #[must_use]
    #[inline]
    pub fn effective_address(&self, mem: &Mem, addr_size: Width) -> u32 {
        let base = mem.base.map_or(0, |gpr| self.gpr32(gpr));
        let index = mem.index.map_or(0, |gpr| self.gpr32(gpr) << mem.scale);
        let sum = base.wrapping_add(index).wrapping_add_signed(mem.disp);
        if addr_size == Width::B2 { sum & 0xffff } else { sum }
    }
}
