//! Which window each access is tried in.
//!
//! Accesses that go to one object should share a window, those to different objects should not. A pointer that a
//! block loads is told apart by the place that loaded it; one that comes from outside the block, by its register.

use cpu::layout::{WINDOW_SHARED, WINDOWS};
use isa::{Gpr, Insn, Op, Operand, Width};

use crate::operand::written;

/// The windows of the addresses in the registers, at one point of a block.
#[derive(Clone, Copy, Debug)]
pub struct Windows([u32; 8]);

impl Default for Windows {
    fn default() -> Self {
        Self(std::array::from_fn(|n| n as u32))
    }
}

/// One of the windows that belong to no register.
pub fn shared(place: u32) -> u32 {
    let spread = place.wrapping_mul(0x9e37_79b1) >> 16;
    WINDOW_SHARED as u32 + spread % (WINDOWS - WINDOW_SHARED) as u32
}

impl Windows {
    /// The window of an address with base register `base`.
    pub fn of(&self, base: Gpr) -> u32 {
        self.0[base.index()]
    }

    /// Takes over what `insn` at `eip` does to the registers.
    pub fn after(&mut self, eip: u32, insn: &Insn) {
        let before = self.0;
        let mut set = written(insn) & !(1 << Gpr::Esp.index());
        // Stepping through an object stays in it.
        if matches!(insn.op, Op::Add | Op::Sub | Op::Inc | Op::Dec | Op::And) {
            set = 0;
        }
        for n in (0..8).filter(|n| set >> n & 1 == 1) {
            let source = match (insn.op, insn.operand(1)) {
                (Op::Mov, Operand::Reg(reg)) if reg.width == Width::B4 => Some(before[reg.gpr.index()]),
                (Op::Lea, Operand::Mem(mem)) => mem.base.map(|base| before[base.index()]),
                _ => None,
            };
            self.0[n] = source.unwrap_or_else(|| shared(eip));
        }
    }
}
